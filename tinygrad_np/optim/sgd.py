"""Stochastic gradient descent."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinygrad_np.core import Tensor
from tinygrad_np.errors import ShapeError
from tinygrad_np.optim.optimizer import Optimizer, checked, zeros_like

__all__ = ["SGD"]


class SGD(Optimizer):
    """Stochastic gradient descent, with momentum as in Sutskever et al. (2013) and PyTorch.

    For a parameter p with gradient g::

        g = g + weight_decay * p
        v = momentum * v + g                             v starts at 0
        p = p - lr * v                                   or, with nesterov, p - lr * (g + momentum * v)

    Parameters
    ----------
    parameters : iterable of Tensor
        Leaves that require a gradient, such as ``model.parameters()``.
    lr : float
        The learning rate.
    momentum : float
        How much of the last step the next one keeps; below 1.
    weight_decay : float
        Strength of the pull to zero (L2 regularisation).
    nesterov : bool
        Look ahead along the velocity; needs a momentum.

    Raises
    ------
    ShapeError, DtypeError, GradientError
        As `Optimizer` says.

    Examples
    --------
    >>> import numpy as np, tinygrad_np as tg
    >>> w = tg.tensor([1.0, -2.0], requires_grad=True)
    >>> optimiser = tg.optim.SGD([w], lr=0.25)
    >>> np.sum(w * w).backward()
    >>> optimiser.step()
    >>> w
    tensor([ 0.5, -1. ], requires_grad=True)
    """

    def __init__(
        self,
        parameters: Iterable[Tensor],
        lr: float = 1e-3,
        momentum: float = 0.0,
        *,
        weight_decay: float = 0.0,
        nesterov: bool = False,
    ) -> None:
        super().__init__(parameters, lr)
        self.momentum = checked("SGD", "momentum", momentum, below=1)
        self.weight_decay = checked("SGD", "weight_decay", weight_decay)
        self.nesterov = bool(nesterov)
        if nesterov and not self.momentum:
            raise ShapeError(f"SGD: nesterov looks ahead along the velocity, so it needs a momentum, not {momentum!r}")
        self._velocities = zeros_like(self.parameters) if self.momentum else []
        # An array, unlike a Python number, widens the dtype of what it multiplies: it must be in the parameter's own.
        self._rates = [np.zeros((), parameter.dtype) for parameter in self.parameters]

    def _update(self, i: int, parameter: NDArray[Any], gradient: NDArray[Any]) -> None:
        change, rate = self._scratch[i], self._rates[i]
        np.copyto(rate, self._lr, casting="same_kind")
        if self.weight_decay:
            np.multiply(parameter, self.weight_decay, out=change)
            np.add(change, gradient, out=change)
            gradient = change
        if self.momentum:
            velocity = self._velocities[i]
            np.multiply(velocity, self.momentum, out=velocity)
            np.add(velocity, gradient, out=velocity)
            if self.nesterov:
                np.multiply(gradient, rate, out=change)
                np.subtract(parameter, change, out=parameter)
                np.multiply(velocity, self.momentum, out=change)
                gradient = change
            else:
                gradient = velocity
        np.multiply(gradient, rate, out=change)
        np.subtract(parameter, change, out=parameter)
