"""Adam, and Adam with decoupled weight decay."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinygrad_np.arguments import checked, checked_pair
from tinygrad_np.optim.optimizer import Optimizer, Parameters

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
    _transient = (*Optimizer._transient, "_roots", "_lengths", "_floors")

    def __init__(
        self,
        parameters: Parameters,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(parameters, lr, betas=betas, eps=eps, weight_decay=weight_decay)
        # What is a single number for each parameter is computed at once for all that share group and dtype.
        alike: dict[int, list[int]] = {}
        for i, rate in enumerate(self._rates):
            alike.setdefault(id(rate), []).append(i)
        self._alike = tuple(map(tuple, alike.values()))
        places = {i: (kind, row) for kind, members in enumerate(self._alike) for row, i in enumerate(members)}
        self._places = tuple(places[i] for i in range(len(places)))
        # Each parameter has its own sums of weights, as one that has no gradient at first starts later.
        self._weights, self._square_weights, self._roots = (
            tuple(np.zeros(len(members)) for members in self._alike) for _ in range(3)
        )
        self._lengths, self._floors = (
            tuple(np.zeros(len(members), self._rates[members[0]].dtype) for members in self._alike) for _ in range(2)
        )

    @classmethod
    def _checked(cls, options: dict[str, Any]) -> dict[str, Any]:
        numbers = {name: checked(cls.__name__, name, options[name]) for name in ("eps", "weight_decay")}
        return {"betas": checked_pair(cls.__name__, "betas", options["betas"]), **numbers}

    @classmethod
    def _fresh(cls, parameter: NDArray[Any], options: dict[str, Any]) -> dict[str, NDArray[Any]]:
        return {"sum": np.zeros_like(parameter), "square_sum": np.zeros_like(parameter)}

    def _kept(self, i: int) -> dict[str, NDArray[Any]]:
        kind, row = self._places[i]
        weights = {"weight": self._weights[kind], "square_weight": self._square_weights[kind]}
        return {**self._state[i], **{name: array[row, ...] for name, array in weights.items()}}

    def _update(self, i: int, parameter: NDArray[Any], gradient: NDArray[Any]) -> None:
        self._descend(i, parameter, self._pulled(i, parameter, gradient))

    def _descend(self, i: int, parameter: NDArray[Any], gradient: NDArray[Any]) -> None:
        (beta1, beta2), state, change = self._options[i]["betas"], self._state[i], self._scratch[i][0]
        total, square_total = state["sum"], state["square_sum"]
        kind, row = self._places[i]
        np.multiply(total, beta1, out=total)
        np.add(total, gradient, out=total)

        np.multiply(gradient, gradient, out=change)
        np.multiply(square_total, beta2, out=square_total)
        np.add(square_total, change, out=square_total)

        np.sqrt(square_total, out=change)
        np.add(change, self._floors[kind][row, ...], out=change)
        np.divide(total, change, out=change)
        np.multiply(change, self._lengths[kind][row, ...], out=change)
        np.subtract(parameter, change, out=parameter)

    def _begin(self, stepping: Collection[int]) -> None:
        """Put the sums of weights into the rate and into eps, so that they cost no pass over the arrays.

        The step is then::

            lr * (M / N) / (sqrt(V / W) + eps)  =  lr * sqrt(W) / N  *  M / (sqrt(V) + eps * sqrt(W))
        """
        for kind, members in enumerate(self._alike):
            steps = [i in stepping for i in members]
            self._advance(kind, None if all(steps) else np.array(steps))

    def _advance(self, kind: int, steps: NDArray[Any] | None) -> None:
        """Do that for the parameters of one kind; `steps` says which have a gradient, if not all do."""
        first = self._alike[kind][0]
        (beta1, beta2), eps = self._options[first]["betas"], self._options[first]["eps"]
        weight, square_weight, root = self._weights[kind], self._square_weights[kind], self._roots[kind]
        more: Any = 1
        if steps is not None:  # the sums of the others stay as they are
            beta1, beta2, more = np.where(steps, beta1, 1.0), np.where(steps, beta2, 1.0), steps.astype(np.float64)
        np.multiply(weight, beta1, out=weight)
        np.add(weight, more, out=weight)
        np.multiply(square_weight, beta2, out=square_weight)
        np.add(square_weight, more, out=square_weight)
        np.sqrt(square_weight, out=root)
        np.multiply(root, eps, out=self._floors[kind], casting="same_kind")
        np.multiply(root, self._lrs[first], out=root)
        divisor = weight if steps is None else np.maximum(weight, 1)  # 0 where there has been no step yet
        np.divide(root, divisor, out=self._lengths[kind], casting="same_kind")


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

    _transient = (*Adam._transient, "_shrinkages", "_decays")

    def __init__(
        self,
        parameters: Parameters,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
    ) -> None:
        super().__init__(parameters, lr, betas, eps, weight_decay)
        self._shrinkages = tuple(np.zeros(()) for _ in self._alike)
        self._decays = tuple(np.zeros_like(self._rates[members[0]]) for members in self._alike)

    def _advance(self, kind: int, steps: NDArray[Any] | None) -> None:
        super()._advance(kind, steps)
        first = self._alike[kind][0]
        np.multiply(self._lrs[first], self._options[first]["weight_decay"], out=self._shrinkages[kind])
        np.subtract(1, self._shrinkages[kind], out=self._decays[kind], casting="same_kind")

    def _update(self, i: int, parameter: NDArray[Any], gradient: NDArray[Any]) -> None:
        np.multiply(parameter, self._decays[self._places[i][0]], out=parameter)
        self._descend(i, parameter, gradient)
