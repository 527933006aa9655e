"""Stochastic gradient descent."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinygrad_np.arguments import checked
from tinygrad_np.errors import ShapeError
from tinygrad_np.optim.optimizer import Optimizer, Parameters

__all__ = ["SGD"]


class SGD(Optimizer):
    """Stochastic gradient descent, with momentum as in Sutskever et al. (2013) and PyTorch.

    For a parameter p with gradient g::

        g = g + weight_decay * p
        v = momentum * v + g                             v starts at 0
        p = p - lr * v                                   or, with nesterov, p - lr * (g + momentum * v)

    Parameters
    ----------
    parameters : iterable of Tensor, or of dict
        Leaves that require a gradient, such as ``model.parameters()``, or groups of them: see `Optimizer`.
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
        parameters: Parameters,
        lr: float = 1e-3,
        momentum: float = 0.0,
        *,
        weight_decay: float = 0.0,
        nesterov: bool = False,
    ) -> None:
        super().__init__(parameters, lr, momentum=momentum, weight_decay=weight_decay, nesterov=nesterov)

    @classmethod
    def _checked(cls, options: dict[str, Any]) -> dict[str, Any]:
        momentum = checked("SGD", "momentum", options["momentum"], below=1)
        if options["nesterov"] and not momentum:
            raise ShapeError(f"SGD: nesterov looks ahead along the velocity, so it needs a momentum, not {momentum!r}")
        weight_decay = checked("SGD", "weight_decay", options["weight_decay"])
        return {"momentum": momentum, "weight_decay": weight_decay, "nesterov": bool(options["nesterov"])}

    @classmethod
    def _fresh(cls, parameter: NDArray[Any], options: dict[str, Any]) -> dict[str, NDArray[Any]]:
        return {"velocity": np.zeros_like(parameter)} if options["momentum"] else {}

    def _update(self, i: int, parameter: NDArray[Any], gradient: NDArray[Any]) -> None:
        change, rate, momentum = self._scratch[i][1], self._rates[i], self._options[i]["momentum"]
        gradient = self._pulled(i, parameter, gradient)
        if momentum:
            velocity = self._state[i]["velocity"]
            np.multiply(velocity, momentum, out=velocity)
            np.add(velocity, gradient, out=velocity)
            if self._options[i]["nesterov"]:
                np.multiply(velocity, momentum, out=change)
                np.add(change, gradient, out=change)
                gradient = change
            else:
                gradient = velocity
        np.multiply(gradient, rate, out=change)
        np.subtract(parameter, change, out=parameter)
