"""Whether a pullback is linear in the cotangent, as every right one is, whatever it is the gradient of.

Differences show that a gradient is right for some cotangents; linearity, that it is so for all others. A rule that
forgets its cotangent, or takes the sign, size or square of it, is right for some, and those may be the ones tried.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["Nonlinearity", "nonlinearities"]

Array = np.ndarray[Any, Any]
Pull = Callable[[Array], list[Array]]  # from a cotangent to the gradients of all inputs

DRAWS = 16  # how often rounding is measured before what differs is called wrong
SAFETY = 10.0  # how many times the measured rounding is allowed
ROUNDING = 64.0  # how many roundings of an element of the gradient are allowed in any case
NEARBY = 2.0**-20  # how far the cotangents are, relative to themselves, whose gradients show how those are rounded
FAR, NEAR = 0.77, -0.38  # how long cotangents become: as many times as there are digits, to this power
ODD = 1.37  # a factor that changes all digits


@dataclass(frozen=True)
class Nonlinearity:
    """An element of a gradient that is not what linearity makes of the gradients for other cotangents."""

    element: int
    trial: str
    found: complex
    expected: complex

    def __str__(self) -> str:
        return f"{self.trial} gives {self.found:.6g}, and {self.expected:.6g} if the rules are linear in it"


def nonlinearities(
    pull: Pull, cotangents: Sequence[Array], slopes: Sequence[list[Array]], eps: Array, rng: np.random.Generator
) -> dict[int, Nonlinearity]:
    """The inputs, by position, whose gradient is not linear in the cotangent, and an element that shows it.

    Parameters
    ----------
    pull : callable
        The pullback.
    cotangents, slopes : sequence
        Two independent cotangents, and what they give.
    eps : ndarray
        The relative rounding error of each element of a cotangent.
    rng : numpy.random.Generator
        Where cotangents nearby come from.
    """
    with np.errstate(all="ignore"):  # long cotangents may overflow
        return _nonlinearities(pull, cotangents, slopes, eps, rng)


def _nonlinearities(
    pull: Pull, cotangents: Sequence[Array], slopes: Sequence[list[Array]], eps: Array, rng: np.random.Generator
) -> dict[int, Nonlinearity]:
    rounding = _Rounding(pull, cotangents[0], slopes, eps, rng)
    found: dict[int, Nonlinearity] = {}
    for trial, size, cotangent, expected in _trials(cotangents, slopes, float(np.max(eps, initial=0))):
        for j, (s, e) in enumerate(zip(pull(cotangent), expected, strict=True)):
            # What overflows says nothing. But zero times anything finite is zero.
            usable = np.isfinite(e) & np.isfinite(slopes[0][j]) & (np.isfinite(s) if size else True)
            off = np.abs(np.where(usable, s, 0) - np.where(usable, e, 0))
            off = np.where(np.isnan(off), np.inf, off)
            finite = [np.where(usable & np.isfinite(x[j]), x[j], 0) for x in slopes]
            terms = np.sum(np.abs(finite), axis=0)
            wrong = rounding.exceeded(j, off, size * terms, size)
            if np.any(wrong) and j not in found:
                k = int(np.argmax(np.where(wrong, off, -1)))
                found[j] = Nonlinearity(k, trial, s.flat[k].item(), e.flat[k].item())
    return found


def _trials(
    cotangents: Sequence[Array], slopes: Sequence[list[Array]], eps: float
) -> Iterator[tuple[str, float, Array, list[Array]]]:
    """What is tried, how large it is beside the first cotangent, the cotangent, and what it should give."""
    (g, other), (s, s_of_other) = cotangents, slopes
    yield "a cotangent of zero", 0.0, 0 * g, [np.zeros_like(x) for x in s]
    digits = -np.log2(eps) if eps else 52
    for power in (round(FAR * digits), round(NEAR * digits)):  # powers of two change no digit, whatever cancels
        yield f"-2**{power} times a cotangent", 2.0**power, -(2.0**power) * g, [-(2.0**power) * x for x in s]
    yield f"{ODD} times a cotangent", ODD, ODD * g, [ODD * x for x in s]
    yield "the sum of two cotangents", 2.0, g + other, [x + y for x, y in zip(s, s_of_other, strict=True)]


class _Rounding:
    """How much rounding there is in a gradient, measured only when it is asked for.

    Cotangents that are a few roundings off show what rounding of a cotangent does. And of cotangents to both sides of
    one, a linear pullback gives gradients whose mean is the one in the middle, but for its own rounding, which may be
    to fewer digits. One that is not linear is nearly so over such short distances: that excuses nothing.

    Where terms as large as the cotangent cancel, nearby cotangents may all leave the same few digits. So of a gradient
    that always ends early, the last digit is taken for rounding, unless it is larger than that of such terms.
    """

    def __init__(
        self, pull: Pull, g: Array, slopes: Sequence[list[Array]], eps: Array, rng: np.random.Generator
    ) -> None:
        self.pull, self.g, self.slopes, self.rng = pull, g, slopes[0], rng
        self.eps, self.distance = float(np.max(eps, initial=0)), np.maximum(NEARBY, 64 * eps)
        largest = self.eps * float(np.max(np.abs(g), initial=0))
        last = [np.minimum(*map(_last_digit, pair)) for pair in zip(*slopes, strict=True)]
        self.measured = [np.where(digit <= largest, digit, np.where(np.isinf(digit), largest, 0)) for digit in last]
        self.draws = 0

    def exceeded(self, j: int, off: Array, size: Array, factor: float) -> Array:
        """Where something is further off than rounding explains, in a gradient of so many times the size."""
        tiny = float(np.finfo(self.slopes[j].dtype).tiny)
        while True:
            t = self.measured[j]
            spread = float(np.sqrt(np.mean(t**2))) if t.size else 0.0
            wrong: Array = off > ROUNDING * (self.eps * size + tiny) + factor * SAFETY * (t + spread)
            if self.draws == DRAWS or not np.any(wrong):
                return wrong
            self._measure()

    def _measure(self) -> None:
        self.draws += 1
        digits = self.g * self.eps * self.rng.choice([-4, -2, -1, 1, 2, 4], self.g.shape)
        away = self.g * self.distance * self.rng.uniform(-1, 1, self.g.shape)
        pulled = [self.pull(g) for g in (self.g + digits, self.g + away, self.g - away)]
        for t, s, off, ahead, behind in zip(self.measured, self.slopes, *pulled, strict=True):
            for change in (np.abs(off - s), np.abs(ahead - s + (behind - s))):
                np.fmax(t, np.where(np.isfinite(change), change, 0), out=t)


def _last_digit(numbers: Array) -> Array:
    """What the last binary digit that is not 0 stands for, in each number; infinity for 0, which has none."""
    if numbers.dtype.kind == "c":
        smaller: Array = np.minimum(_last_digit(numbers.real), _last_digit(numbers.imag))
        return smaller
    fraction, exponent = np.frexp(np.abs(np.where(np.isfinite(numbers), numbers, 0)).astype(np.float64))
    digits = np.ldexp(fraction, 53).astype(np.int64)
    return np.where(digits == 0, np.inf, np.ldexp((digits & -digits).astype(np.float64), exponent - 53))
