"""Adagrad."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinygrad_np.arguments import checked
from tinygrad_np.optim.optimizer import Optimizer, Parameters

__all__ = ["Adagrad"]


class Adagrad(Optimizer):
    """Steps scaled by the sum of all squared gradients so far (Duchi, Hazan and Singer, 2011), as in PyTorch.

    For a parameter p with gradient g, at its step t = 1, 2, ...::

        g = g + weight_decay * p
        s = s + g**2                                     s starts at initial_accumulator_value
        p = p - lr / (1 + (t - 1) * lr_decay) * g / (sqrt(s) + eps)

    Parameters
    ----------
    parameters : iterable of Tensor, or of dict
        Leaves that require a gradient, such as ``model.parameters()``, or groups of them: see `Optimizer`.
    lr : float
        The learning rate: about the length of the first step in each coordinate.
    lr_decay : float
        How fast the learning rate falls on its own.
    weight_decay : float
        Strength of the pull to zero (L2 regularisation).
    initial_accumulator_value : float
        What the sums start from.
    eps : float
        Keeps the denominator from zero.

    Raises
    ------
    ShapeError, DtypeError, GradientError
        As `Optimizer` says. Complex parameters are not offered.

    Examples
    --------
    >>> import numpy as np, tinygrad_np as tg
    >>> w = tg.tensor([1.0, -2.0], requires_grad=True)
    >>> optimiser = tg.optim.Adagrad([w], lr=0.25)
    >>> np.sum(w * w).backward()
    >>> optimiser.step()
    >>> w
    tensor([ 0.75, -1.75], requires_grad=True)
    """

    _real_only = True
    _transient = (*Optimizer._transient, "_slowdown")

    def __init__(
        self,
        parameters: Parameters,
        lr: float = 1e-2,
        lr_decay: float = 0.0,
        weight_decay: float = 0.0,
        initial_accumulator_value: float = 0.0,
        eps: float = 1e-10,
    ) -> None:
        options = {"lr_decay": lr_decay, "weight_decay": weight_decay, "eps": eps}
        super().__init__(parameters, lr, **options, initial_accumulator_value=initial_accumulator_value)
        self._slowdown = np.zeros(())

    @classmethod
    def _checked(cls, options: dict[str, Any]) -> dict[str, Any]:
        return {name: checked("Adagrad", name, value) for name, value in options.items()}

    @classmethod
    def _fresh(cls, parameter: NDArray[Any], options: dict[str, Any]) -> dict[str, NDArray[Any]]:
        return {"count": np.zeros(()), "square": np.full_like(parameter, options["initial_accumulator_value"])}

    def _update(self, i: int, parameter: NDArray[Any], gradient: NDArray[Any]) -> None:
        state, options, change, rate = self._state[i], self._options[i], self._scratch[i][1], self._rates[i]
        count, square, slowdown = state["count"], state["square"], self._slowdown
        np.multiply(count, options["lr_decay"], out=slowdown)
        np.add(slowdown, 1, out=slowdown)
        np.divide(self._lrs[i], slowdown, out=rate, casting="same_kind")
        np.add(count, 1, out=count)

        gradient = self._pulled(i, parameter, gradient)
        np.multiply(gradient, gradient, out=change)
        np.add(square, change, out=square)
        np.sqrt(square, out=change)
        np.add(change, options["eps"], out=change)
        np.divide(gradient, change, out=change)
        np.multiply(change, rate, out=change)
        np.subtract(parameter, change, out=parameter)
