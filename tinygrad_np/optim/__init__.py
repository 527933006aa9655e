"""Optimisers: what changes parameters, given their gradients; schedules of their learning rates; clipping."""

from tinygrad_np.optim.adagrad import Adagrad as Adagrad
from tinygrad_np.optim.adam import Adam as Adam
from tinygrad_np.optim.adam import AdamW as AdamW
from tinygrad_np.optim.optimizer import Group as Group
from tinygrad_np.optim.optimizer import Optimizer as Optimizer
from tinygrad_np.optim.rmsprop import RMSprop as RMSprop
from tinygrad_np.optim.sgd import SGD as SGD

__all__ = ["SGD", "Adagrad", "Adam", "AdamW", "Group", "Optimizer", "RMSprop"]
