"""Numerical derivatives, and `check_gradient`: what every rule has to pass, at every order.

A rule is checked through a real loss, a random *quadratic* function of all outputs. Quadratic, because a linear loss
makes the second derivative of a linear function vanish, and whatever the rule does with its recorded cotangent would go
unseen. The gradient of that loss is a function of the inputs like any other, so order two is the same check again, of
the gradient; and so on.

Complex numbers follow the library's convention: the gradient of a real loss is d/dRe + i d/dIm, so that the loss
changes by Re(sum(conj(gradient) * direction)) along a direction.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

import tinygrad_np as tg

Function = Callable[..., Any]

RELATIVE = {1: 1e-8, 2: 1e-7, 3: 1e-6}  # tolerance at each order, relative to the gradient's size
ROUNDING = 1e-11  # what differences lose to rounding, relative to the loss
STEP = 0.01  # the largest step of the differences: cases keep further than this from kinks and poles
ELEMENTWISE = 12  # up to how many numbers in the inputs each is checked by itself; beyond, random directions do


def check_gradient(function: Function, arrays: Sequence[np.ndarray], order: int = 1) -> None:
    """Assert that the order-th derivative of a function agrees with the numerical derivative of the one before.

    Parameters
    ----------
    function : callable
        From arrays to an array, or to a list or tuple of arrays; called with ndarrays and with Tensors.
    arrays : sequence of ndarray
        float64 or complex128 inputs, away from kinks.
    order : int
        1 checks the gradient, 2 the gradient of the gradient, and so on.
    """
    for level in range(1, order):
        function = gradient_of(function, level)
    contraction = Contraction(order)
    slopes = [np.asarray(g) for g in gradient_of(function, order)(*arrays)]
    for x, slope in zip(arrays, slopes, strict=True):
        assert (slope.shape, slope.dtype) == (x.shape, x.dtype)

    def loss(*inputs: np.ndarray) -> float:
        return contraction.loss(function(*inputs))

    noise = ROUNDING * (1 + abs(loss(*arrays)))
    for direction, scale in directions(arrays, slopes, singly=order == 1):
        tolerance = RELATIVE[order] * scale + noise
        numerical, error = directional_derivative(loss, arrays, direction, enough=tolerance / 10)
        analytical = sum(float(np.sum((np.conj(s) * v).real)) for s, v in zip(slopes, direction, strict=True))
        assert error <= tolerance, (
            f"the numerical derivative is only good to {error:.1e} where {tolerance:.1e} is needed: "
            "the inputs are too close to a kink or a pole, or the function is not smooth"
        )
        assert abs(numerical - analytical) <= tolerance, (
            f"order {order}: the derivative is {analytical:.12g} by the rules and {numerical:.12g} by differences, "
            f"off by {abs(numerical - analytical):.1e} (tolerance {tolerance:.1e}) along\n{direction}\n"
            f"at\n{list(arrays)}\nwith the gradients\n{slopes}"
        )


def gradient_of(function: Function, level: int = 1) -> Function:
    """The gradient of a random quadratic loss of a function's outputs, itself a function of arrays or Tensors."""
    contraction = Contraction(level)

    def gradient(*inputs: Any) -> list[Any]:
        recorded = any(isinstance(x, tg.Tensor) for x in inputs)
        leaves = [x if isinstance(x, tg.Tensor) else tg.tensor(x, requires_grad=True) for x in inputs]
        outputs = floating(function(*leaves))
        cotangents = contraction.cotangents(outputs)
        pairs = [(y, g) for y, g in zip(outputs, cotangents, strict=True) if y.requires_grad]
        if not pairs:  # the outputs are constant
            zeros = [np.zeros_like(x.data) for x in leaves]
            return [tg.tensor(z) for z in zeros] if recorded else zeros
        ends, starts = zip(*pairs, strict=True)
        # An array would lose how the cotangent depends on the inputs; a Tensor without recording has no use for it.
        starts = starts if recorded else tuple(g.data for g in starts)
        return tg.gradients(ends, leaves, starts, create_graph=recorded)

    return gradient


class Contraction:
    """Re(conj(c) y) + d |y|^2 / 2 + Re(conj(e) y^2) / 2, summed over all elements of all outputs y.

    c, d and e are random, and the same for every call: they depend on the level and the position only.
    """

    def __init__(self, level: int) -> None:
        self.level = level

    def loss(self, outputs: Any) -> float:
        total = 0.0
        for position, y in enumerate(floating(outputs)):
            y = np.asarray(y.data if isinstance(y, tg.Tensor) else y)
            c, d, e = self._coefficients(position, y)
            terms = np.conj(c) * y + d / 2 * np.conj(y) * y + np.conj(e) * y * y / 2
            total += float(np.sum(terms.real))
        return total

    def cotangents(self, outputs: Sequence[Any]) -> list[Any]:
        """The gradient of the loss with respect to each output."""
        found = []
        for position, y in enumerate(outputs):
            c, d, e = self._coefficients(position, y)
            found.append(c + d * y + e * np.conjugate(y) if y.dtype.kind == "c" else c + d * y)
        return found

    def _coefficients(self, position: int, y: Any) -> tuple[Any, Any, Any]:
        rng = np.random.default_rng([self.level, position])
        c, d, e = rng.uniform(0.5, 1.5, (3, *y.shape)) * rng.choice([-1.0, 1.0], (3, *y.shape))
        if y.dtype.kind != "c":
            return c, d, np.zeros(())
        return c + 1j * rng.uniform(0.5, 1.5, y.shape), d, e - 1j * rng.uniform(0.5, 1.5, y.shape)


def floating(outputs: Any) -> list[Any]:
    """The outputs that can have a gradient, as a flat list."""
    outputs = list(outputs) if isinstance(outputs, list | tuple) else [outputs]
    return [y for y in outputs if y.dtype.kind in "fc"]


def directions(
    arrays: Sequence[np.ndarray], slopes: Sequence[np.ndarray], singly: bool
) -> Iterator[tuple[list[np.ndarray], float]]:
    """Directions to check along, with the size of the derivative that an error is compared to.

    Two random ones, in which every element takes part; and, if asked and the inputs are small, each number by itself.
    """
    rng = np.random.default_rng(0)

    def random(x: np.ndarray) -> np.ndarray:
        v = rng.uniform(0.3, 1, x.shape) * rng.choice([-1.0, 1.0], x.shape)
        return v * np.exp(2j * np.pi * rng.random(x.shape)) if x.dtype.kind == "c" else v

    for _ in range(2):
        direction = [random(x) for x in arrays]
        yield direction, sum(float(np.sum(abs(s * v))) for s, v in zip(slopes, direction, strict=True))
    if not singly or sum(x.size * (2 if x.dtype.kind == "c" else 1) for x in arrays) > ELEMENTWISE:
        return
    for which, x in enumerate(arrays):
        for element in range(x.size):
            for unit in (1, 1j) if x.dtype.kind == "c" else (1,):
                direction = [np.zeros_like(other) for other in arrays]
                direction[which].flat[element] = unit
                yield direction, float(abs(slopes[which]).max())


def directional_derivative(
    loss: Callable[..., float], arrays: Sequence[np.ndarray], direction: Sequence[np.ndarray], enough: float
) -> tuple[float, float]:
    """How a real function changes along a direction, and how far that number can be trusted.

    Central differences at halved steps, extrapolated to step zero (Richardson); of the extrapolations, the one that
    moved least (Ridders), which weighs truncation against rounding without knowing either. It ends once the number is
    good enough.
    """

    def difference(step: float) -> float:
        ahead, behind = (loss(*(x + h * v for x, v in zip(arrays, direction, strict=True))) for h in (step, -step))
        return (ahead - behind) / (2 * step)

    best, error = np.nan, np.inf
    above: list[float] = []
    for halvings in range(5):
        row = [difference(STEP / 2**halvings)]
        for j, coarser in enumerate(above, start=1):
            row.append(row[-1] + (row[-1] - coarser) / (4**j - 1))
            moved = max(abs(row[j] - row[j - 1]), abs(row[j] - coarser))
            if moved < error:
                best, error = row[j], moved
        above = row
        if error <= enough:
            break
    return best, error
