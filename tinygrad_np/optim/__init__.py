"""Optimisers: what changes parameters, given their gradients; schedules of their learning rates; clipping."""

from tinygrad_np.optim.adagrad import Adagrad as Adagrad
from tinygrad_np.optim.adam import Adam as Adam
from tinygrad_np.optim.adam import AdamW as AdamW
from tinygrad_np.optim.clipping import clip_grad_norm as clip_grad_norm
from tinygrad_np.optim.clipping import clip_grad_value as clip_grad_value
from tinygrad_np.optim.optimizer import Group as Group
from tinygrad_np.optim.optimizer import Optimizer as Optimizer
from tinygrad_np.optim.rmsprop import RMSprop as RMSprop
from tinygrad_np.optim.schedules import Constant as Constant
from tinygrad_np.optim.schedules import CosineDecay as CosineDecay
from tinygrad_np.optim.schedules import ReduceOnPlateau as ReduceOnPlateau
from tinygrad_np.optim.schedules import Schedule as Schedule
from tinygrad_np.optim.schedules import StepDecay as StepDecay
from tinygrad_np.optim.schedules import WarmUp as WarmUp
from tinygrad_np.optim.sgd import SGD as SGD

__all__ = [
    "SGD",
    "Adagrad",
    "Adam",
    "AdamW",
    "Constant",
    "CosineDecay",
    "Group",
    "Optimizer",
    "RMSprop",
    "ReduceOnPlateau",
    "Schedule",
    "StepDecay",
    "WarmUp",
    "clip_grad_norm",
    "clip_grad_value",
]
