"""RMSprop."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinygrad_np.arguments import checked
from tinygrad_np.optim.optimizer import Optimizer, Parameters

__all__ = ["RMSprop"]


class RMSprop(Optimizer):
    """Steps scaled by a running mean of the squared gradient (Tieleman and Hinton, 2012), as in PyTorch.

    For a parameter p with gradient g::

        g = g + weight_decay * p
        s = alpha * s + (1 - alpha) * g**2               s starts at 0
        m = alpha * m + (1 - alpha) * g                  m starts at 0, and stays there unless centered
        v = momentum * v + g / (sqrt(s - m**2) + eps)    v starts at 0
        p = p - lr * v

    Parameters
    ----------
    parameters : iterable of Tensor, or of dict
        Leaves that require a gradient, such as ``model.parameters()``, or groups of them: see `Optimizer`.
    lr : float
        The learning rate.
    alpha : float
        How much the running means keep at each step; below 1.
    eps : float
        Keeps the denominator from zero.
    weight_decay : float
        Strength of the pull to zero (L2 regularisation).
    momentum : float
        How much of the last step the next one keeps; below 1.
    centered : bool
        Divide by the standard deviation of the gradient rather than by its size.

    Raises
    ------
    ShapeError, DtypeError, GradientError
        As `Optimizer` says. Complex parameters are not offered.

    Examples
    --------
    >>> import numpy as np, tinygrad_np as tg
    >>> w = tg.tensor([1.0, -2.0], requires_grad=True)
    >>> optimiser = tg.optim.RMSprop([w], lr=0.1, alpha=0.75, eps=0.0)
    >>> np.sum(w * w).backward()
    >>> optimiser.step()
    >>> w
    tensor([ 0.8, -1.8], requires_grad=True)
    """

    _real_only = True

    def __init__(
        self,
        parameters: Parameters,
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        *,
        centered: bool = False,
    ) -> None:
        options = {"alpha": alpha, "eps": eps, "weight_decay": weight_decay, "momentum": momentum}
        super().__init__(parameters, lr, **options, centered=centered)

    @classmethod
    def _checked(cls, options: dict[str, Any]) -> dict[str, Any]:
        limits = {"alpha": 1, "eps": math.inf, "weight_decay": math.inf, "momentum": 1}
        numbers = {name: checked("RMSprop", name, options[name], below) for name, below in limits.items()}
        return {**numbers, "centered": bool(options["centered"])}

    @classmethod
    def _fresh(cls, parameter: NDArray[Any], options: dict[str, Any]) -> dict[str, NDArray[Any]]:
        names = ["square", *["mean"] * options["centered"], *["velocity"] * (options["momentum"] > 0)]
        return {name: np.zeros_like(parameter) for name in names}

    def _update(self, i: int, parameter: NDArray[Any], gradient: NDArray[Any]) -> None:
        state, options, change, rate = self._state[i], self._options[i], self._scratch[i][1], self._rates[i]
        square, alpha, momentum = state["square"], options["alpha"], options["momentum"]
        gradient = self._pulled(i, parameter, gradient)

        np.multiply(gradient, gradient, out=change)
        np.multiply(change, 1 - alpha, out=change)
        np.multiply(square, alpha, out=square)
        np.add(square, change, out=square)
        if options["centered"]:
            mean = state["mean"]
            np.subtract(mean, gradient, out=mean)
            np.multiply(mean, alpha, out=mean)
            np.add(mean, gradient, out=mean)
            np.multiply(mean, mean, out=change)
            np.subtract(square, change, out=change)
            np.maximum(change, 0, out=change)  # the variance of equal gradients, but for rounding
            np.sqrt(change, out=change)
        else:
            np.sqrt(square, out=change)

        np.add(change, options["eps"], out=change)
        np.divide(gradient, change, out=change)
        if momentum:
            velocity = state["velocity"]
            np.multiply(velocity, momentum, out=velocity)
            np.add(velocity, change, out=velocity)
            np.multiply(velocity, rate, out=change)
        else:
            np.multiply(change, rate, out=change)
        np.subtract(parameter, change, out=parameter)
