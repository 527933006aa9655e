"""Numerical derivatives that say how far they can be trusted.

`differentiate` follows a curve: a function of one number, the distance along some direction, that returns a vector.
It gives each element of the vector the step that suits it, since elements may differ in scale by many orders of
magnitude, and measures for each how noisy it is, which error its derivative has, and whether it has a kink.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["Curve", "Slope", "differentiate"]

Array = np.ndarray[Any, Any]
Curve = Callable[[Any], Array]

FIRST, LAST = 2.0**-5, 2.0**-44  # the largest step and the smallest, relative to the direction
LEVELS = 3  # how many steps are tried in any case, each half of the one before
HALVINGS = 10  # how many steps are halved; beyond, they shrink faster
COLUMNS = 5  # how far differences are extrapolated towards a step of zero
GOAL = 1e-9  # relative error that is good enough
SHORT = 2.0**-16  # the step that a result from longer ones has to agree with
NEAR, FAR = 2.0**-44, 2.0**-23  # distances of the points whose scatter is the noise
TINY = 2.0**16  # how much larger a direction could be, for a measured noise to be measured again
AWAY, FARTHEST = 2.0**9, 2.0**-5  # how much further each next try is, and how far at most
CLOSE = 2.0**-34  # from how close what was rounded to few digits stands still, and hardly anything else that moves
STAIR = 2.0**-20  # how high a stair may be, relative to the curve, to come from rounding to few digits
NOISE_POINTS = 4  # as many on each side, which makes two third differences
CERTAIN = 30.0  # how far a jump of the slope must rise above the noise to be taken for a kink
STEEPER = 0.75  # of what power of the step the slopes of a jump grow at least; those of a kink do not


@dataclass(frozen=True)
class Slope:
    """The derivative of a curve at zero, element by element.

    Attributes
    ----------
    value : ndarray
        The derivative; at a kink, the mean of the slopes to both sides; NaN where there is none, as at a jump.
    error : ndarray
        How far it may be off, or at a kink those slopes; infinite where there is no derivative.
    step : ndarray
        The step that the value comes from.
    noise : ndarray
        How much the curve itself scatters, by rounding or otherwise.
    left, right : ndarray
        The slopes to both sides, which differ at a kink.
    kinked : ndarray of bool
        Where they do.
    """

    value: Array
    error: Array
    step: Array
    noise: Array
    left: Array
    right: Array
    kinked: Array


def differentiate(
    curve: Curve,
    *,
    eps: Array | float = 2.0**-52,
    farthest: float = 1.0,
    complex_step: bool = False,
    noise: Array | None = None,
    forward: bool = False,
) -> Slope:
    """Differentiate a curve at zero.

    Central differences at smaller and smaller steps are extrapolated to a step of zero (Richardson, by Neville's
    scheme), and each element takes the extrapolation that moved least (Ridders), plus what the measured noise does to
    it. Steps shrink until all elements are good enough or drown in noise; where noise is what limits, larger
    directions are tried.

    Parameters
    ----------
    curve : callable
        From a distance to a vector, always of the same length. What it cannot compute may be NaN.
    eps : float or ndarray
        The relative rounding error of each element.
    farthest : float
        How many times larger than the direction steps may become where noise asks for it.
    complex_step : bool
        Try an imaginary step as well, which loses nothing to rounding, and use it where it confirms the differences.
    noise : ndarray, optional
        The noise, if it has been measured before.
    forward : bool
        Take steps forward only, from where the curve begins; that is good for half of the digits.

    Returns
    -------
    Slope
        The derivative of each element, with its error.

    Examples
    --------
    >>> import numpy as np
    >>> slope = differentiate(lambda t: np.exp([t, 3 * t]))
    >>> slope.value.round(9)
    array([1., 3.])
    >>> bool(np.all(slope.error < 1e-9))
    True
    """
    with np.errstate(all="ignore"):
        origin = curve(0.0)

        def both_ways(t: Any) -> Array:
            """The curve; where it is not to be followed backward, mirrored at its beginning."""
            return 2 * origin - curve(-t) if forward and t.real < 0 else curve(t)

        ends = {end: both_ways(end) for end in {FIRST, -FIRST, FIRST * farthest}}
        moves = np.any([end != origin for end in ends.values()], axis=0)

        def remembered(t: Any) -> Array:
            return ends[t] if t in ends else origin if t == 0 else both_ways(t)

        options = farthest, complex_step and not forward, forward
        if 2 * np.sum(moves) < moves.size:
            # Most elements stand still, as they do when few inputs move: see to the others alone.
            eps = np.broadcast_to(eps, origin.shape)
            still = eps * np.abs(origin) / 2 if noise is None else noise
            noise = None if noise is None else noise[moves]
            found = _differentiate(lambda t: remembered(t)[moves], eps[moves], noise, *options)
            return _with_still_ones(found, moves, still, FIRST * farthest)
        return _differentiate(remembered, eps, noise, *options)


def _differentiate(
    curve: Curve, eps: Array | float, noise: Array | None, farthest: float, complex_step: bool, forward: bool
) -> Slope:
    origin = curve(0.0)
    if noise is None:
        noise = _noise(curve, origin, eps, farthest)
    elif farthest > TINY:
        # Short steps may drown in the rounding of larger numbers on the way, which other directions did not show.
        noise = np.fmax(noise, _noise(curve, origin, eps, farthest))
    best = _descend(curve, origin, noise, 1.0, forward)
    scale = 1.0
    while scale < farthest and np.any(_limited_by_noise(best)):
        scale = min(scale * 32, farthest)
        best = _better(best, _descend(curve, origin, noise, scale, forward))
    if complex_step and origin.dtype.kind == "f" and np.any(best.error > 1e-6 * np.abs(best.value)):
        best = _with_complex_step(curve, origin, best)
    return best


def _with_still_ones(slope: Slope, moves: Array, noise: Array, step: float) -> Slope:
    """The slopes of all elements, from those of the elements that move."""

    def filled(found: Array, others: Any) -> Array:
        result: Array = np.broadcast_to(np.asarray(others, found.dtype), moves.shape).copy()
        result[moves] = found
        return result

    value, left, right = (filled(found, 0) for found in (slope.value, slope.left, slope.right))
    error, steps = filled(slope.error, 0), filled(slope.step, step)
    error[~moves] = 2 * noise[~moves] / step
    every = noise.copy()
    every[moves] = slope.noise
    return Slope(value, error, steps, every, left, right, filled(slope.kinked, False))


def _noise(curve: Curve, origin: Array, eps: Array | float, farthest: float) -> Array:
    """The standard deviation of the curve around a smooth line, but at least half a unit in the last place.

    Third differences of neighbouring points hold nothing but noise (Hamming; J. Moré and S. Wild, "Estimating
    computational noise", 2011). The points lie close together, so that a curve may bend sharply. But one that was
    rounded to few digits on its way stands still from so close, and shows its noise from further away.
    """
    unit = 64 * float(np.max(eps, initial=0))
    near, moves = _scatter(curve, origin, max(NEAR, unit))
    if not np.all(moves):
        near = np.where(moves, near, np.fmax(near, _stairs(curve, origin, eps)))
    step = max(FAR, unit)
    while not np.all(moves):
        far, now = _scatter(curve, origin, step)
        near = np.where(moves, near, np.fmax(near, far))
        moves |= now
        step *= AWAY
        if step > FARTHEST * farthest or not np.any(~moves & (curve(FIRST * farthest) != origin)):
            break
    return np.fmax(near, np.asarray(eps) * np.abs(origin) / 2)


def _stairs(curve: Curve, origin: Array, eps: Array | float) -> Array:
    """Half the height of the stairs that a curve climbs if it was rounded to few digits; 0 for one that was not.

    Where all points stand on the edges of stairs, as where each is one stair further, they do not scatter. So stairs
    tell themselves by standing still from so close that from further away, the curve would not move by more than this.
    """
    points = range(-NOISE_POINTS, NOISE_POINTS + 1)
    close = np.array([curve(j * CLOSE) for j in points])
    still = np.all((close == np.min(close, axis=0)) | (close == np.max(close, axis=0)), axis=0)  # or one begins here
    size, height = np.abs(origin), np.zeros(origin.shape)
    step = 4 * CLOSE
    while step <= FAR * AWAY and np.any(still & (height == 0)):
        changes = np.abs(np.diff([curve(j * step) for j in points], axis=0))
        lowest = np.min(np.where(changes > 0, changes, np.inf), axis=0)
        rounded = still & (lowest > 4 * step / CLOSE * np.asarray(eps) * size) & (lowest <= STAIR * size)
        height = np.where(rounded & (height == 0), lowest, height)
        step *= 8
    return height / 2


def _scatter(curve: Curve, origin: Array, step: float) -> tuple[Array, Array]:
    """How much points at this distance scatter, and where they move by more than that.

    The middle ones of four differences, so that a kink between two of the points does not count.
    """
    ahead, behind = ([curve(sign * j * step) for j in range(1, NOISE_POINTS + 1)] for sign in (1, -1))
    thirds = [np.abs(np.diff(points, n=3, axis=0)) / np.sqrt(20) for points in ([origin, *ahead], [origin, *behind])]
    scatter = np.sort(np.concatenate(thirds), axis=0)[1:3].mean(axis=0)
    # What was rounded to few digits climbs stairs, and does not scatter where most of the points stand on one: all
    # points of one side are to move. Higher stairs are the curve itself.
    sides = [np.abs(np.diff(points, axis=0)) for points in ([origin, *ahead], [origin, *behind])]
    climbs = np.all(sides[0] > 0, axis=0) | np.all(sides[1] > 0, axis=0)
    high = np.max(sides, axis=(0, 1)) > STAIR * np.abs(origin)
    return scatter, (np.abs(ahead[-1] - behind[-1]) > 8 * scatter) & (climbs | high)


def _descend(curve: Curve, origin: Array, noise: Array, scale: float, forward: bool) -> Slope:
    """Smaller and smaller steps, until nothing is gained any more."""
    value, step = np.full_like(origin, np.nan), np.full(origin.shape, np.nan)
    error, error_of_sides = np.full(origin.shape, np.inf), np.full(origin.shape, np.inf)
    left, right = value.copy(), value.copy()
    to_left, to_right = value, value
    bend = np.full(origin.shape, np.inf)  # how much the slopes to both sides differ
    kinked, jumps = np.zeros(origin.shape, bool), np.zeros(origin.shape, bool)
    steps: list[float] = []
    above: list[Array] = []
    short: Array | None = None
    # The error of central differences is a series in the square of the step, that of forward ones in the step.
    power, columns = (1, 1) if forward else (2, COLUMNS)
    h = FIRST * scale
    while True:
        ahead, behind = curve(h), curve(-h)
        steps.append(h)
        row = [(ahead - behind) / (2 * h)]
        rounding = 2 * noise / h
        for j, coarser in enumerate(above[:columns], start=1):
            refined = row[-1] + (row[-1] - coarser) / ((steps[-1 - j] / h) ** power - 1)
            moved = np.fmax(np.abs(refined - row[-1]), np.abs(refined - coarser)) + rounding
            # Steps longer than the features of a curve may agree by chance. The first extrapolation from shorter ones,
            # which is nearly as good as it says, tells.
            gains = (moved < error) | ((np.abs(refined - value) > 4 * moved) if j == 1 else False)
            value, error = np.where(gains, refined, value), np.where(gains, moved, error)
            step = np.where(gains, h, step)
            row.append(refined)
        above = row
        before_left, before_right = to_left, to_right
        to_left, to_right = (origin - behind) / h, (ahead - origin) / h
        before, bend = bend, np.abs(to_right - to_left)
        resolved = bend > CERTAIN * rounding
        # Of a smooth curve the bend shrinks with the step; only a kink at zero itself lets it stay, and a jump grow.
        known = before > 2 * CERTAIN * rounding
        growth = (steps[-2] / h) ** STEEPER if len(steps) > 1 else np.inf
        kinked = np.where(known, resolved & (bend > 0.85 * before), kinked)
        jumps = np.where(known, resolved & (bend > growth * before), jumps)
        moved = np.fmax(np.abs(to_left - before_left), np.abs(to_right - before_right)) + rounding
        closer = resolved & (moved < error_of_sides)
        error_of_sides = np.where(closer, moved, error_of_sides)
        left = np.where(closer | np.isnan(left), to_left, left)
        right = np.where(closer | np.isnan(right), to_right, right)
        if len(steps) >= LEVELS:
            waiting = (error > GOAL * np.abs(value)) & (error > 4 * rounding) | (kinked & resolved)
            waiting |= np.abs(row[0] - value) > 4 * rounding + 1e-3 * np.abs(value)
            if h > SHORT * scale and not np.any(waiting):
                if short is None:
                    short = (curve(SHORT * scale) - curve(-SHORT * scale)) / (2 * SHORT * scale)
                waiting = np.abs(short - value) > 8 * noise / (SHORT * scale) + 1e-3 * np.abs(value)
            if h <= LAST * scale or not np.any(waiting):
                break
            h /= 2 if len(steps) < HALVINGS else 8
        else:
            h /= 2
    kinked &= ~jumps & ~np.isnan(left) & ~np.isnan(right)
    value, error = np.where(jumps, np.nan, value), np.where(jumps, np.inf, error)
    error = np.where(kinked, error_of_sides, error)
    return Slope(value, error, step, noise, np.where(kinked, left, value), np.where(kinked, right, value), kinked)


def _limited_by_noise(slope: Slope) -> Array:
    rounding = 4 * slope.noise / slope.step
    limited: Array = ~slope.kinked & (slope.error > 1e-6 * np.abs(slope.value)) & (slope.error < 4 * rounding)
    return limited


def _better(a: Slope, b: Slope) -> Slope:
    gains = (b.error < a.error) & ~a.kinked & ~b.kinked & (np.abs(b.value - a.value) <= 4 * a.error)

    def pick(name: str) -> Array:
        picked: Array = np.where(gains, getattr(b, name), getattr(a, name))
        return picked

    return Slope(*(pick(name) for name in ("value", "error", "step", "noise", "left", "right", "kinked")))


def _with_complex_step(curve: Curve, origin: Array, slope: Slope) -> Slope:
    """Derivatives from imaginary steps, wherever they are better and the differences confirm them.

    The differences have to be good for something, or a function that takes no complex numbers seriously, as np.abs,
    would pass as constant.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            ends = [(curve(1j * h), h) for h in (1e-20, 3e-22)]
    except Exception:
        return slope  # the function takes no complex numbers, and may say so in any way
    if any(end.dtype.kind != "c" for end, _ in ends):
        return slope
    first, second = (end.imag / h for end, h in ends)
    error = 4 * np.abs(first - second) + 2.0**-48 * np.abs(first)
    gains = (
        ~slope.kinked
        & (np.abs(ends[0][0].real - origin) <= 10 * slope.noise)
        & (np.abs(first - slope.value) <= 4 * slope.error)
        & (slope.error < 0.05 * np.abs(first))
        & (error < slope.error)
        & (slope.error > GOAL * np.abs(first))
    )

    def replaced(old: Array, new: Any) -> Array:
        return np.where(gains, new, old)

    value, step = replaced(slope.value, first), replaced(slope.step, 1e-20)
    left, right = replaced(slope.left, first), replaced(slope.right, first)
    return Slope(value, replaced(slope.error, error), step, slope.noise, left, right, slope.kinked)
