"""Neural networks: modules, layers, activations, losses and initialisers."""

from tinygrad_np.nn import init as init
from tinygrad_np.nn.activations import ELU as ELU
from tinygrad_np.nn.activations import GELU as GELU
from tinygrad_np.nn.activations import LeakyReLU as LeakyReLU
from tinygrad_np.nn.activations import LogSoftmax as LogSoftmax
from tinygrad_np.nn.activations import ReLU as ReLU
from tinygrad_np.nn.activations import Sigmoid as Sigmoid
from tinygrad_np.nn.activations import SiLU as SiLU
from tinygrad_np.nn.activations import Softmax as Softmax
from tinygrad_np.nn.activations import Softplus as Softplus
from tinygrad_np.nn.activations import Tanh as Tanh
from tinygrad_np.nn.layers import BatchNorm as BatchNorm
from tinygrad_np.nn.layers import Dense as Dense
from tinygrad_np.nn.layers import Dropout as Dropout
from tinygrad_np.nn.layers import Embedding as Embedding
from tinygrad_np.nn.layers import Flatten as Flatten
from tinygrad_np.nn.layers import LayerNorm as LayerNorm
from tinygrad_np.nn.layers import Sequential as Sequential
from tinygrad_np.nn.losses import binary_cross_entropy as binary_cross_entropy
from tinygrad_np.nn.losses import cross_entropy as cross_entropy
from tinygrad_np.nn.losses import huber_loss as huber_loss
from tinygrad_np.nn.losses import mae_loss as mae_loss
from tinygrad_np.nn.losses import mse_loss as mse_loss
from tinygrad_np.nn.module import Module as Module

__all__ = [
    "ELU",
    "GELU",
    "BatchNorm",
    "Dense",
    "Dropout",
    "Embedding",
    "Flatten",
    "LayerNorm",
    "LeakyReLU",
    "LogSoftmax",
    "Module",
    "ReLU",
    "Sequential",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Softplus",
    "Tanh",
    "binary_cross_entropy",
    "cross_entropy",
    "huber_loss",
    "init",
    "mae_loss",
    "mse_loss",
]
