"""Interpolation, convolution, choices between arrays, special functions, and functions applied along axes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tinygrad_np.core import defvjp, primitive, updated
from tinygrad_np.rules.creation import operand
from tinygrad_np.rules.elementwise import over
from tinygrad_np.rules.handlers import as_tensor, composite, constant, plain, query
from tinygrad_np.rules.indexing import arrayed
from tinygrad_np.rules.movement import as_dtype

constant(np.iscomplex, np.isreal)
query(np.einsum_path)

# Interpolation


@composite(np.interp)
def _interp(x: Any, xp: Any, fp: Any, left: Any = None, right: Any = None, period: Any = None) -> Any:
    """At a point of `xp` the derivative is that of the interval to its right."""
    x, xp, fp = (as_tensor(_double(arrayed(a))) for a in (x, xp, fp))
    if "c" in (x.dtype.kind, xp.dtype.kind):
        raise TypeError(f"np.interp: x and xp must be real, not {x.dtype} and {xp.dtype}")
    if period is not None:
        if period == 0:
            raise ValueError("np.interp: period must be a non-zero value")
        period = np.abs(period)
        x, xp = x % period, xp % period
        order = np.argsort(plain(xp))
        xp, fp = xp[order], fp[order]
        xp = np.concatenate([xp[-1:] - period, xp, xp[:1] + period])
        fp = np.concatenate([fp[-1:], fp, fp[:1]])
        left = right = None
    if xp.ndim != 1 or xp.shape != fp.shape or xp.size == 0:
        raise ValueError(f"np.interp: xp and fp must be of one length above 0, not of shapes {xp.shape} and {fp.shape}")
    points = plain(xp)
    lower = np.clip(np.searchsorted(points, plain(x), side="right") - 1, 0, xp.size - 1)
    upper = np.minimum(lower + 1, xp.size - 1)
    y = _on_lines(x, xp[lower], xp[upper], fp[lower], fp[upper])
    if xp.size == 1:  # NumPy takes NaN for the point
        y = np.where(np.isnan(x), fp[0], y)
    y = np.where(x < points[0], fp[0] if left is None else left, y)
    return np.where(x > points[-1], fp[-1] if right is None else right, y)


@np.errstate(invalid="ignore")
def _on_lines(x: Any, x0: Any, x1: Any, y0: Any, y1: Any) -> Any:
    """What the lines through ``(x0, y0)`` and ``(x1, y1)`` have at x: where the points are infinite, as NumPy does.

    Seen from the point on the left, then from the one on the right; on the point itself, and between points of one
    height, it is theirs.
    """
    slope = over(y1 - y0, x1 - x0)
    from_left = slope * (x - x0) + y0
    if from_left.dtype.kind == "c":
        return from_left
    from_right = slope * (x - x1) + y1
    undefined = np.isnan(from_left)
    is_flat = np.isnan(from_right) & (y0 == y1) & ~np.isnan(x)
    y = np.where(undefined, from_right, from_left)
    return np.where(undefined & ((x == x0) | is_flat), y0, y)


def _double(a: Any) -> Any:
    return as_dtype(a, np.result_type(a.dtype, np.float64))


# Correlation and convolution, of the longer array with the shorter one


@primitive(name="np.correlate")
def correlated(a: Any, v: Any, *, mode: str) -> Any:
    """``sum(a[k + n] * conj(v[n]))`` for the k at which v lies in a, or reaches over its ends as the mode allows."""
    return np.correlate(a, v, mode)  # type: ignore[call-overload]


def _overhang(length: int, mode: str) -> tuple[int, int]:
    """How far the shorter array reaches over the ends of the longer one, at most."""
    if mode == "full":
        return length - 1, length - 1
    return (length // 2, length - length // 2 - 1) if mode == "same" else (0, 0)


def _correlated_by_longer(g: Any, _y: Any, _a: Any, v: Any, mode: str) -> Any:
    before, _ = _overhang(v.size, mode)
    return np.convolve(g, v)[before : before + _a.size]


def _correlated_by_shorter(g: Any, _y: Any, a: Any, _v: Any, mode: str) -> Any:
    return np.correlate(np.pad(a, _overhang(_v.size, mode)), g)


defvjp(correlated, _correlated_by_longer, _correlated_by_shorter)


@composite(np.correlate)
def _correlate(a: Any, v: Any, mode: Any = "valid") -> Any:
    a, v, mode = _checked("np.correlate", a, v, mode)
    if v.size > a.size:
        return correlated(v, a, mode=mode)[::-1].conjugate()
    return correlated(a, v, mode=mode)


@composite(np.convolve)
def _convolve(a: Any, v: Any, mode: Any = "full") -> Any:
    a, v, mode = _checked("np.convolve", a, v, mode)
    longer, shorter = (v, a) if v.size > a.size else (a, v)
    return correlated(longer, shorter[::-1].conjugate(), mode=mode)


def _checked(name: str, a: Any, v: Any, mode: Any) -> tuple[Any, Any, str]:
    a, v = np.atleast_1d(arrayed(a)), np.atleast_1d(arrayed(v))
    if a.ndim > 1 or v.ndim > 1 or a.size == 0 or v.size == 0:
        raise ValueError(f"{name}: both arrays must have one axis and be non-empty, not shapes {a.shape} and {v.shape}")
    modes = ("valid", "same", "full")
    if mode not in (*modes, *range(3)):
        raise ValueError(f"{name}: mode must be one of {', '.join(map(repr, modes))}, not {mode!r}")
    return a, v, mode if isinstance(mode, str) else modes[mode]


# Choices


def _in_common_dtype(choices: Sequence[Any]) -> list[Any]:
    """As arrays in the dtype that all of them have together, which Python's numbers do not widen."""
    dtype = np.result_type(*map(operand, choices))
    return [as_dtype(choice, dtype) for choice in choices]


@composite(np.select)
def _select(condlist: Sequence[Any], choicelist: Sequence[Any], default: Any = 0) -> Any:
    if len(condlist) != len(choicelist) or len(condlist) == 0:
        raise ValueError(f"np.select: {len(condlist)} conditions (one or more) need {len(condlist)} choices")
    if any(plain(arrayed(condition)).dtype.kind != "b" for condition in condlist):
        raise TypeError("np.select: the conditions must be boolean arrays")
    *choices, result = _in_common_dtype([*choicelist, default])
    for condition, choice in zip(reversed(condlist), reversed(choices), strict=True):
        result = np.where(condition, choice, result)
    return result


@composite(np.choose)
def _choose(a: Any, choices: Any, out: Any = None, mode: str = "raise") -> Any:
    which, choices, count = np.asarray(plain(a)), _in_common_dtype(choices), len(choices)
    if mode == "raise" and not np.all((which >= 0) & (which < count)):
        raise ValueError(f"np.choose: an index is not from 0 to {count - 1}, the places of the choices")
    which = which % count if mode == "wrap" else np.clip(which, 0, count - 1)
    result = choices[0]
    for place, choice in enumerate(choices):
        result = np.where(which == place, choice, result)
    return result


@composite(np.piecewise)
def _piecewise(x: Any, condlist: Any, funclist: Sequence[Any], *args: Any, **kw: Any) -> Any:
    condlist = plain(condlist)
    if np.isscalar(condlist) or (not isinstance(condlist[0], list | np.ndarray) and x.ndim != 0):
        condlist = [condlist]
    conditions = np.asarray(condlist, bool)
    if len(funclist) == len(conditions) + 1:
        conditions = np.concatenate([conditions, ~np.any(conditions, axis=0, keepdims=True)])
    elif len(funclist) != len(conditions):
        raise ValueError(
            f"np.piecewise: {len(conditions)} conditions need as many functions, or one more, not {len(funclist)}"
        )
    y = np.zeros(x.shape, x.dtype)
    for condition, function in zip(conditions, funclist, strict=True):
        if callable(function):
            chosen = x[condition]
            y = updated(y, function(chosen, *args, **kw), index=condition) if chosen.size else y
        else:
            y = updated(y, function, index=condition)
    return y


@composite(np.real_if_close)
def _real_if_close(a: Any, tol: float = 100) -> Any:
    if a.dtype.kind == "c":
        if tol > 1:
            tol = float(np.finfo(a.dtype).eps * tol)
        if np.all(np.absolute(plain(a).imag) < tol):
            return a.real
    return a


# Special functions, with derivatives of every order


@composite(np.sinc)
def _sinc(x: Any) -> Any:
    return sine_quotient(x * math.pi, order=0)


@primitive(name="np.sinc")
def sine_quotient(x: Any, *, order: int) -> Any:
    """The derivative of this order of ``f(x) = sin(x) / x``.

    Each derivative follows from the one before, since ``x f(x) = sin(x)`` has been differentiated as often on both
    sides. Where that divides by a small number, the power series converges quickly.
    """
    is_small = np.absolute(x) < order + 1
    large = np.where(is_small, order + 1, x)
    sine, cosine = np.sin(large), np.cos(large)
    recurred = sine / large
    for n in range(1, order + 1):
        recurred = ((sine, cosine, -sine, -cosine)[n % 4] - n * recurred) / large
    small = np.where(is_small, x, 0)
    square, series = small * small, np.zeros_like(x)
    first = (order + 1) // 2
    for k in reversed(range(first, first + 2 * order + 12)):
        series = series * square + (-1) ** k / (math.factorial(2 * k - order) * (2 * k + 1))
    return np.where(is_small, series * small ** (2 * first - order), recurred)


defvjp(sine_quotient, lambda g, _y, x, order: g * sine_quotient(x, order=order + 1).conjugate(), elementwise=True)


@composite(np.i0)
def _i0(x: Any) -> Any:
    return bessel(x, order=0)


@primitive(name="np.i0")
def bessel(x: Any, *, order: int) -> Any:
    """The derivative of this order of the modified Bessel function of the first kind, order 0.

    That is the mean of ``cos(t)**order * exp(x * cos(t))`` over the circle, of which this is the first quarter. The
    trapezoidal rule is exact to rounding for a periodic function, given enough points.
    """
    if order == 0:
        return np.i0(x)
    even_or_odd = np.sinh if order % 2 else np.cosh
    largest = np.max(np.absolute(x), initial=0, where=np.isfinite(x))
    points = 8 + order + math.ceil(2.5 * math.sqrt(min(largest, 720)))  # beyond, the result overflows
    total = even_or_odd(x) / 2
    for j in range(1, points):
        cosine = math.cos(j * math.pi / (2 * points))
        total = total + cosine**order * even_or_odd(x * cosine)
    return total / points


defvjp(bessel, lambda g, _y, x, order: g * bessel(x, order=order + 1), has_pole=True, elementwise=True)

# Functions applied along axes


@composite(np.apply_along_axis)
def _apply_along_axis(func1d: Callable[..., Any], axis: int, arr: Any, *args: Any, **kwargs: Any) -> Any:
    rows = np.moveaxis(arr, axis, -1)
    leading = rows.shape[:-1]
    if 0 in leading:
        raise ValueError(f"np.apply_along_axis: an array of shape {arr.shape} has no vectors along axis {axis}")
    vectors = rows.reshape(math.prod(leading), rows.shape[-1])
    results = np.stack([arrayed(func1d(vector, *args, **kwargs)) for vector in vectors])
    results = results.reshape(leading + results.shape[1:])
    added = range(len(leading), results.ndim)
    return np.moveaxis(results, added, [axis % arr.ndim + i for i in range(len(added))])


@composite(np.apply_over_axes)
def _apply_over_axes(func: Callable[[Any, int], Any], a: Any, axes: Any) -> Any:
    for axis in np.atleast_1d(plain(axes)) % a.ndim:
        result = func(a, int(axis))
        if result.ndim == a.ndim - 1:
            result = np.expand_dims(result, int(axis))
        if result.ndim != a.ndim:
            raise ValueError(f"np.apply_over_axes: the function made shape {result.shape} of shape {a.shape}")
        a = result
    return a
