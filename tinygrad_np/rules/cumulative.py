"""Running sums and products, differences between neighbours, and the integrals and slopes made of them."""

from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple

from tinygrad_np.core import Tensor, defvjp
from tinygrad_np.rules.handlers import composite
from tinygrad_np.rules.indexing import arrayed
from tinygrad_np.rules.reductions import as_computed

_MISSING = np._NoValue  # what NumPy's signatures have where None is a value


def _part(x: Any, axis: int, start: int | None, stop: int | None = None, step: int | None = None) -> Any:
    """``x[start:stop:step]`` along an axis."""
    return x[(slice(None),) * (axis % x.ndim) + (slice(start, stop, step),)]


# Running sums and products. Without an axis NumPy runs through the elements in C order.


def _sums_onwards(g: Any, axis: int) -> Any:
    """For each place, the sum from there to the end."""
    return _part(np.cumsum(_part(g, axis, None, None, -1), axis=axis), axis, None, None, -1)


def _cumsum_rule(g: Any, _y: Any, _a: Any, axis: Any = None, dtype: Any = None) -> Any:
    return _sums_onwards(g, 0 if axis is None else axis).reshape(_a.shape)


def _recurrence(g: Any, x: Any) -> Any:
    """``t[k] = g[k] + x[k] * t[k + 1]`` along the last axis, from its end, where t is zero.

    Pairs of steps are joined into one, the problem of half the length is solved, and each pair taken apart again.
    """
    length = g.shape[-1]
    if length <= 1:
        return g
    if length % 2:
        end = np.zeros((*g.shape[:-1], 1), g.dtype)
        return _recurrence(np.concatenate([g, end], axis=-1), np.concatenate([x, end], axis=-1))[..., :-1]
    even, odd = x[..., ::2], x[..., 1::2]
    starts = _recurrence(g[..., ::2] + even * g[..., 1::2], even * odd)
    following = np.concatenate([starts[..., 1:], np.zeros((*g.shape[:-1], 1), g.dtype)], axis=-1)
    return np.stack([starts, g[..., 1::2] + odd * following], axis=-1).reshape(g.shape)


def _cumprod_rule(g: Any, _y: Any, a: Any, axis: Any = None, dtype: Any = None) -> Any:
    """Each factor's gradient is the product of all before it, times what follows: zeros are exact without dividing."""
    if axis is None:
        return _cumprod_rule(g, _y, a.ravel(), axis=0).reshape(a.shape)
    a = as_computed(a, _y.dtype)
    x, g = np.moveaxis(a.conjugate(), axis, -1), np.moveaxis(g, axis, -1)
    is_used = _sums_onwards(g != 0, -1) > 0
    x = np.where(is_used | np.isfinite(x), x, 1)  # what comes after the last product that was used does not matter
    one = np.ones((*x.shape[:-1], 1), x.dtype)
    before = np.cumprod(np.concatenate([one, x], axis=-1)[..., :-1], axis=-1)
    following = np.concatenate([x, one], axis=-1)[..., 1:]
    return np.moveaxis(before * _recurrence(g, following), -1, axis)


defvjp(np.cumsum, _cumsum_rule)
defvjp(np.cumprod, _cumprod_rule)


def _cumulative_sum_rule(
    g: Any, _y: Any, _x: Any, axis: Any = None, dtype: Any = None, include_initial: bool = False
) -> Any:
    axis = 0 if axis is None else axis
    return _cumsum_rule(_part(g, axis, 1) if include_initial else g, _y, _x, axis)


def _cumulative_prod_rule(
    g: Any, _y: Any, x: Any, axis: Any = None, dtype: Any = None, include_initial: bool = False
) -> Any:
    axis = 0 if axis is None else axis
    g = _part(g, axis, 1) if include_initial else g
    return _cumprod_rule(g, _y, x.reshape(g.shape), axis).reshape(x.shape)  # a scalar counts as one element


if hasattr(np, "cumulative_sum"):  # since NumPy 2.1
    defvjp(np.cumulative_sum, _cumulative_sum_rule)
    defvjp(np.cumulative_prod, _cumulative_prod_rule)


@composite(np.nancumsum)
def _nancumsum(a: Any, axis: Any = None, dtype: Any = None) -> Any:
    return np.cumsum(np.where(np.isnan(a), 0, a), axis=axis, dtype=dtype)


@composite(np.nancumprod)
def _nancumprod(a: Any, axis: Any = None, dtype: Any = None) -> Any:
    return np.cumprod(np.where(np.isnan(a), 1, a), axis=axis, dtype=dtype)


# Differences and integrals


@composite(np.diff)
def _diff(a: Any, n: int = 1, axis: int = -1, prepend: Any = _MISSING, append: Any = _MISSING) -> Any:
    a = arrayed(a)
    if n < 0:
        raise ValueError(f"the number of differences must not be negative, as n={n} is")
    (axis,) = normalize_axis_tuple(axis, a.ndim)
    if n == 0:
        return +a
    edge = (*a.shape[:axis], 1, *a.shape[axis + 1 :])
    before, after = (
        [] if x is _MISSING else [np.broadcast_to(x, edge) if np.ndim(x) == 0 else arrayed(x)]
        for x in (prepend, append)
    )
    if before or after:
        a = np.concatenate([*before, a, *after], axis=axis)
    subtract = np.not_equal if a.dtype == np.bool_ else np.subtract
    for _ in range(n):
        a = subtract(_part(a, axis, 1), _part(a, axis, None, -1))
    return a


@composite(np.ediff1d)
def _ediff1d(ary: Any, to_end: Any = None, to_begin: Any = None) -> Any:
    ary = np.ravel(ary)
    ends = [None if x is None else np.ravel(x).astype(ary.dtype, casting="same_kind") for x in (to_begin, to_end)]
    parts = [ends[0], ary[1:] - ary[:-1], ends[1]]
    return np.concatenate([part for part in parts if part is not None])


@composite(np.trapezoid)
def _trapezoid(y: Any, x: Any = None, dx: Any = 1.0, axis: int = -1) -> Any:
    y = arrayed(y)
    (along,) = normalize_axis_tuple(axis, y.ndim)
    if x is not None:
        x = arrayed(x)
        dx = np.diff(x, axis=-1 if x.ndim == 1 else axis)  # counted in x, which may have fewer axes than y, or more
        if x.ndim == 1:
            dx = dx.reshape([-1 if i == along else 1 for i in range(y.ndim)])
    return np.sum(dx * (_part(y, axis, 1) + _part(y, axis, None, -1)) / 2.0, axis=axis)


# A phase is moved by whole periods, whose number does not change with it.
defvjp(np.unwrap, lambda g, _y, _p, discont=None, axis=-1, period=None: g)


# Slopes, by the parabola through three neighbours. `Spacing` is one number, or the distances between neighbours.

Spacing = Any


@composite(np.gradient)
def _gradient(f: Any, *varargs: Any, axis: Any = None, edge_order: int = 1) -> Any:
    f = arrayed(f)
    axes = tuple(range(f.ndim)) if axis is None else normalize_axis_tuple(axis, f.ndim)
    if edge_order not in (1, 2):
        raise ValueError(f"edge_order must be 1 or 2, not {edge_order}")
    if len(varargs) == 1 and np.ndim(varargs[0]) == 0:
        varargs = varargs * len(axes)
    elif varargs and len(varargs) != len(axes):
        raise TypeError(f"{len(varargs)} spacings for {len(axes)} axes: pass none, one, or one an axis")
    if f.dtype.kind in "iu":
        f = f.astype(np.float64)  # unsigned differences would wrap around
    spacings = [_spacing(given, f.shape[axis]) for given, axis in zip(varargs or [1.0] * len(axes), axes, strict=True)]
    slopes = tuple(_slope(f, axis, spacing, edge_order) for axis, spacing in zip(axes, spacings, strict=True))
    return slopes[0] if len(slopes) == 1 else slopes


def _spacing(given: Any, length: int) -> Spacing:
    """One number, or from an array of coordinates the distances between them."""
    if np.ndim(given) == 0:
        return given
    coordinates = arrayed(given)
    if coordinates.shape != (length,):
        raise ValueError(f"{coordinates.shape} coordinates along an axis of length {length}")
    if coordinates.dtype.kind in "iu":
        coordinates = coordinates.astype(np.float64)
    distances = np.diff(coordinates)
    # Even ones count as one number, as in NumPy; but the gradient of a tensor's has to reach each of its elements.
    is_even = not isinstance(distances, Tensor) and bool((distances == distances[0]).all())
    return distances[0] if is_even else distances


def _slope(f: Any, axis: int, spacing: Spacing, edge_order: int) -> Any:
    if f.shape[axis] <= edge_order:
        raise ValueError(f"axis {axis} of shape {f.shape} needs at least {edge_order + 1} elements")
    rows = np.moveaxis(f, axis, -1)
    even = np.ndim(spacing) == 0
    if even:
        inside = (rows[..., 2:] - rows[..., :-2]) / (2.0 * spacing)
    else:
        h0, h1 = spacing[:-1], spacing[1:]
        inside = (
            -h1 / (h0 * (h0 + h1)) * rows[..., :-2]
            + (h1 - h0) / (h0 * h1) * rows[..., 1:-1]
            + h0 / (h1 * (h0 + h1)) * rows[..., 2:]
        )
    if edge_order == 1:
        first = (rows[..., 1:2] - rows[..., :1]) / (spacing if even else spacing[0])
        last = (rows[..., -1:] - rows[..., -2:-1]) / (spacing if even else spacing[-1])
    else:
        a, b, c = (-1.5 / spacing, 2.0 / spacing, -0.5 / spacing) if even else _at_first(spacing[0], spacing[1])
        first = a * rows[..., :1] + b * rows[..., 1:2] + c * rows[..., 2:3]
        a, b, c = (0.5 / spacing, -2.0 / spacing, 1.5 / spacing) if even else _at_last(spacing[-2], spacing[-1])
        last = a * rows[..., -3:-2] + b * rows[..., -2:-1] + c * rows[..., -1:]
    slope = np.moveaxis(np.concatenate([first, inside, last], axis=-1), -1, axis)
    # A spacing in a wider dtype is not to widen the slope of inexact numbers.
    return slope.astype(f.dtype) if f.dtype.kind in "fc" and slope.dtype != f.dtype else slope


def _at_first(h0: Any, h1: Any) -> tuple[Any, Any, Any]:
    """What three neighbours contribute to the slope at the first of them, given the distances between them."""
    return -(2.0 * h0 + h1) / (h0 * (h0 + h1)), (h0 + h1) / (h0 * h1), -h0 / (h1 * (h0 + h1))


def _at_last(h0: Any, h1: Any) -> tuple[Any, Any, Any]:
    """The same at the last of them."""
    return h1 / (h0 * (h0 + h1)), -(h1 + h0) / (h0 * h1), (2.0 * h1 + h0) / (h1 * (h0 + h1))
