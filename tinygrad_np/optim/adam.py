"""Adam."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinygrad_np.core import Tensor
from tinygrad_np.errors import DtypeError
from tinygrad_np.optim.optimizer import Optimizer, checked, zeros_like

__all__ = ["Adam"]


class Adam(Optimizer):
    """Adam: steps scaled by running means of the gradient and of its square (Kingma and Ba, 2015).

    For a parameter p with gradient g, at its step t = 1, 2, ...::

        g = g + weight_decay * p
        m = beta1 * m + (1 - beta1) * g                  m starts at 0
        v = beta2 * v + (1 - beta2) * g**2               v starts at 0
        p = p - lr / (1 - beta1**t) * m / (sqrt(v / (1 - beta2**t)) + eps)

    Parameters
    ----------
    parameters : iterable of Tensor
        Leaves that require a gradient, such as ``model.parameters()``.
    lr : float
        The learning rate: about the length of a step in each coordinate.
    betas : tuple of two floats
        How much the running means keep at each step; both below 1.
    eps : float
        Keeps the denominator from zero.
    weight_decay : float
        Strength of the pull to zero (L2 regularisation).

    Raises
    ------
    ShapeError, DtypeError, GradientError
        As `Optimizer` says. Complex parameters are not offered.

    Examples
    --------
    >>> import numpy as np, tinygrad_np as tg
    >>> w = tg.tensor([1.0, -2.0], requires_grad=True)
    >>> optimiser = tg.optim.Adam([w], lr=0.25)
    >>> np.sum(w * w).backward()
    >>> optimiser.step()
    >>> w
    tensor([ 0.75, -1.75], requires_grad=True)
    """

    def __init__(
        self,
        parameters: Iterable[Tensor],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(parameters, lr)
        for position, parameter in enumerate(self.parameters):
            if parameter.dtype.kind == "c":
                raise DtypeError(
                    f"Adam: parameter {position} is {parameter.dtype}, and only real ones have a g**2 to average: "
                    "keep the real and the imaginary part as two parameters"
                )
        try:
            beta1, beta2 = betas
        except (TypeError, ValueError):
            raise DtypeError(f"Adam: betas must be two numbers, not {betas!r}") from None
        self.betas = checked("Adam", "betas[0]", beta1, below=1), checked("Adam", "betas[1]", beta2, below=1)
        self.eps = checked("Adam", "eps", eps)
        self.weight_decay = checked("Adam", "weight_decay", weight_decay)
        self._means, self._squares = zeros_like(self.parameters), zeros_like(self.parameters)
        # Each parameter has its own count, as one that has no gradient at first starts later.
        self._counts = [np.zeros(()) for _ in self.parameters]
        self._corrections = [np.zeros(()), np.zeros(())]
        # An array, unlike a Python number, widens the dtype of what it multiplies: it must be in the parameter's own.
        self._rates, self._floors = ([np.zeros((), p.dtype) for p in self.parameters] for _ in range(2))

    def _update(self, i: int, parameter: NDArray[Any], gradient: NDArray[Any]) -> None:
        (beta1, beta2), mean, square, change = self.betas, self._means[i], self._squares[i], self._scratch[i]
        self._advance(i)
        if self.weight_decay:
            np.multiply(parameter, self.weight_decay, out=change)
            np.add(change, gradient, out=change)
            gradient = change
        # beta1 * m + (1 - beta1) * g, written so that it needs no further array.
        np.subtract(mean, gradient, out=mean)
        np.multiply(mean, beta1, out=mean)
        np.add(mean, gradient, out=mean)

        np.multiply(gradient, gradient, out=change)
        np.multiply(change, 1 - beta2, out=change)
        np.multiply(square, beta2, out=square)
        np.add(square, change, out=square)

        np.sqrt(square, out=change)
        np.add(change, self._floors[i], out=change)
        np.divide(mean, change, out=change)
        np.multiply(change, self._rates[i], out=change)
        np.subtract(parameter, change, out=parameter)

    def _advance(self, i: int) -> None:
        """Count the step, and put both bias corrections into the rate and into eps, which saves a pass over the arrays.

        That is the form at the end of section 2 of the paper::

            lr * sqrt(1 - beta2**t) / (1 - beta1**t) * m / (sqrt(v) + eps * sqrt(1 - beta2**t))
        """
        (beta1, beta2), count, (first, second) = self.betas, self._counts[i], self._corrections
        np.add(count, 1, out=count)
        np.power(beta1, count, out=first)
        np.subtract(1, first, out=first)
        np.power(beta2, count, out=second)
        np.subtract(1, second, out=second)
        np.sqrt(second, out=second)
        np.multiply(second, self.eps, out=self._floors[i], casting="same_kind")
        np.multiply(second, self._lr, out=second)
        np.divide(second, first, out=self._rates[i], casting="same_kind")
