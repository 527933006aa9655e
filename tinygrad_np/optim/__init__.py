"""Optimisers: what changes parameters, given their gradients."""

from tinygrad_np.optim.adam import Adam as Adam
from tinygrad_np.optim.optimizer import Optimizer as Optimizer
from tinygrad_np.optim.sgd import SGD as SGD

__all__ = ["SGD", "Adam", "Optimizer"]
