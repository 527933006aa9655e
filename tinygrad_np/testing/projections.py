"""The arithmetic of projections: how a combination of outputs changes along a direction, by either derivative."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tinygrad_np.testing.numerical import Slope

__all__ = [
    *("Direction", "element_name", "length", "part_name", "projected", "real_product", "scales_of", "terms_of"),
    "with_one_side",
]

Array = np.ndarray[Any, Any]
Direction = Mapping[int, Array]  # for some of the inputs, by position


def with_one_side(slope: Slope, ahead: Slope, sign: int) -> Slope:
    """Slopes to one side, where there are no others, as at the end of a function's domain."""
    gains = ahead.error < slope.error

    def pick(name: str, sign: int = 1) -> Array:
        picked: Array = np.where(gains, sign * getattr(ahead, name), getattr(slope, name))
        return picked

    value, left, right = pick("value", sign), pick("left", sign), pick("right", sign)
    return Slope(value, pick("error"), pick("step"), pick("noise"), left, right, slope.kinked & ~gains)


def length(terms: Array) -> float:
    """The Euclidean length, without what is not finite."""
    return float(np.linalg.norm(terms[np.isfinite(terms)]))


def projected(g: Array, slope: Slope) -> tuple[float, float, float]:
    """How a combination of outputs changes: from where to where, between the slopes of kinks, and with which error."""
    used = g != 0
    g = g[used]
    ends = [np.real(np.conj(g) * side[used]) for side in (slope.left, slope.right)]
    error = np.abs(g) * slope.error[used]
    low, high = (float(np.sum(pick(*ends))) for pick in (np.minimum, np.maximum))
    return low, high, float(np.sqrt(np.sum(error**2)))


def terms_of(slopes: Sequence[Array], direction: Direction) -> Array:
    """What each element of the inputs that move contributes to the change of a combination of outputs."""
    return np.concatenate([real_product(slopes[j], v).ravel() for j, v in direction.items()])


def real_product(a: Array, b: Array) -> Array:
    """What each element contributes to the real part of a product; where nothing moves, that is nothing."""
    return np.where(b == 0, 0, np.real(np.conj(np.where(b == 0, 0, a)) * b))


def scales_of(x: Array) -> Array:
    """How far each element may move: about its own size, and for zeros that of the others; not at all if not finite.

    Nor much less than the others, or the noise of the function would drown what the smallest elements do.
    """
    size = np.abs(x).ravel().astype(float)
    finite = np.isfinite(size)
    nonzero = size[finite & (size > 0)]
    typical = float(np.median(nonzero)) if nonzero.size else 1.0
    return np.where(finite, np.where(size > 0, np.maximum(size, 1e-2 * typical), typical), 0.0)


def element_name(name: str, index: tuple[int, ...]) -> str:
    """``x[3, 1]``."""
    return f"{name}[{', '.join(map(str, index))}]" if index else name


def part_name(text: str, unit: complex, array: Array) -> str:
    """Of complex arrays, ``x[3, 1].imag``."""
    if array.dtype.kind != "c":
        return text
    return f"{text}.{'imag' if unit == 1j else 'real'}"
