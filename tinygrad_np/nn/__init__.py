"""Neural networks: modules, layers, losses and initialisers."""

from tinygrad_np.nn import init as init
from tinygrad_np.nn.layers import Dense as Dense
from tinygrad_np.nn.layers import ReLU as ReLU
from tinygrad_np.nn.layers import Sequential as Sequential
from tinygrad_np.nn.losses import binary_cross_entropy as binary_cross_entropy
from tinygrad_np.nn.losses import cross_entropy as cross_entropy
from tinygrad_np.nn.losses import mse_loss as mse_loss
from tinygrad_np.nn.module import Module as Module

__all__ = ["Dense", "Module", "ReLU", "Sequential", "binary_cross_entropy", "cross_entropy", "init", "mse_loss"]
