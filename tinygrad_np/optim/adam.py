"""Adam, and Adam with decoupled weight decay."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinygrad_np.arguments import checked
from tinygrad_np.optim.optimizer import Optimizer, Parameters, checked_pair

__all__ = ["Adam", "AdamW"]


class Adam(Optimizer):
    """Adam: steps scaled by running means of the gradient and of its square (Kingma and Ba, 2015).

    For a parameter p with gradient g, at its step t = 1, 2, ...::

        g = g + weight_decay * p
        m = beta1 * m + (1 - beta1) * g                  m starts at 0
        v = beta2 * v + (1 - beta2) * g**2               v starts at 0
        p = p - lr / (1 - beta1**t) * m / (sqrt(v / (1 - beta2**t)) + eps)

    Parameters
    ----------
    parameters : iterable of Tensor, or of dict
        Leaves that require a gradient, such as ``model.parameters()``, or groups of them: see `Optimizer`.
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

    Notes
    -----
    It keeps sums where the formulae have means, which saves two passes over the arrays a step::

        M = beta1 * M + g        N = beta1 * N + 1        so that  M / N = m / (1 - beta1**t)
        V = beta2 * V + g**2     W = beta2 * W + 1        so that  V / W = v / (1 - beta2**t)

    and both are weighted means of all that there has been, even if the betas change between steps.

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

    _real_only = True
    _transient = (*Optimizer._transient, "_scalar", "_floors", "_decays")

    def __init__(
        self,
        parameters: Parameters,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(parameters, lr, betas=betas, eps=eps, weight_decay=weight_decay)
        self._scalar = np.zeros(())
        self._floors, self._decays = (tuple(np.zeros_like(rate) for rate in self._rates) for _ in range(2))

    @classmethod
    def _checked(cls, options: dict[str, Any]) -> dict[str, Any]:
        numbers = {name: checked(cls.__name__, name, options[name]) for name in ("eps", "weight_decay")}
        return {"betas": checked_pair(cls.__name__, "betas", options["betas"]), **numbers}

    @classmethod
    def _fresh(cls, parameter: NDArray[Any], options: dict[str, Any]) -> dict[str, NDArray[Any]]:
        # Each parameter has its own sums of weights, as one that has no gradient at first starts later.
        weights = {"weight": np.zeros(()), "square_weight": np.zeros(())}
        return {"sum": np.zeros_like(parameter), "square_sum": np.zeros_like(parameter), **weights}

    def _update(self, i: int, parameter: NDArray[Any], gradient: NDArray[Any]) -> None:
        self._descend(i, parameter, self._pulled(i, parameter, gradient))

    def _descend(self, i: int, parameter: NDArray[Any], gradient: NDArray[Any]) -> None:
        (beta1, beta2), state, change = self._options[i]["betas"], self._state[i], self._scratch[i][0]
        total, square_total = state["sum"], state["square_sum"]
        self._advance(i)
        np.multiply(total, beta1, out=total)
        np.add(total, gradient, out=total)

        np.multiply(gradient, gradient, out=change)
        np.multiply(square_total, beta2, out=square_total)
        np.add(square_total, change, out=square_total)

        np.sqrt(square_total, out=change)
        np.add(change, self._floors[i], out=change)
        np.divide(total, change, out=change)
        np.multiply(change, self._rates[i], out=change)
        np.subtract(parameter, change, out=parameter)

    def _advance(self, i: int) -> None:
        """Put the sums of weights into the rate and into eps, so that they cost no pass over the arrays.

        The step is then::

            lr * (M / N) / (sqrt(V / W) + eps)  =  lr * sqrt(W) / N  *  M / (sqrt(V) + eps * sqrt(W))
        """
        (beta1, beta2), eps, state = self._options[i]["betas"], self._options[i]["eps"], self._state[i]
        weight, square_weight, root = state["weight"], state["square_weight"], self._scalar
        np.multiply(weight, beta1, out=weight)
        np.add(weight, 1, out=weight)
        np.multiply(square_weight, beta2, out=square_weight)
        np.add(square_weight, 1, out=square_weight)
        np.sqrt(square_weight, out=root)
        np.multiply(root, eps, out=self._floors[i], casting="same_kind")
        np.multiply(root, self._lrs[i], out=root)
        np.divide(root, weight, out=self._rates[i], casting="same_kind")


class AdamW(Adam):
    """`Adam` whose decay is a shrinking of the parameters, not a part of the gradient (Loshchilov and Hutter, 2019).

    Each step starts with ``p = p * (1 - lr * weight_decay)`` and goes on as that of Adam without decay. So the pull to
    zero is equally strong on parameters with large and with small gradients.

    Parameters
    ----------
    parameters, lr, betas, eps
        As of `Adam`.
    weight_decay : float
        Which part of itself, times lr, a parameter loses in a step.

    Raises
    ------
    ShapeError, DtypeError, GradientError
        As `Optimizer` says. Complex parameters are not offered.

    Examples
    --------
    >>> import numpy as np, tinygrad_np as tg
    >>> w = tg.tensor([1.0, -2.0], requires_grad=True)
    >>> optimiser = tg.optim.AdamW([w], lr=0.25, weight_decay=0.4)
    >>> w.grad = np.zeros(2)
    >>> optimiser.step()
    >>> w
    tensor([ 0.9, -1.8], requires_grad=True)
    """

    def __init__(
        self,
        parameters: Parameters,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
    ) -> None:
        super().__init__(parameters, lr, betas, eps, weight_decay)

    def _update(self, i: int, parameter: NDArray[Any], gradient: NDArray[Any]) -> None:
        kept, lost = self._decays[i], self._scalar
        np.multiply(self._lrs[i], self._options[i]["weight_decay"], out=lost)
        np.subtract(1, lost, out=kept, casting="same_kind")
        np.multiply(parameter, kept, out=parameter)
        self._descend(i, parameter, gradient)
