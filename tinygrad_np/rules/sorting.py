"""Sorting, and what depends on the order: each result is an element of the input or lies between two of them.

The order itself is piecewise constant. Where elements tie, it is the order that NumPy used.
"""

import functools
import inspect
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple

from tinygrad_np.core import defvjp, primitive, zero
from tinygrad_np.methods import ArrayMethods
from tinygrad_np.rules.handlers import composite, constant, plain
from tinygrad_np.rules.indexing import along_axis, arrayed, scattered
from tinygrad_np.rules.reductions import real_dtype, restored
from tinygrad_np.signatures import CallSignature, function_name

# Rearrangements: an order names each place along an axis once.


@primitive
def rearranged(x: Any, order: Any, *, axis: int) -> Any:
    """The elements in an order along an axis."""
    return np.take_along_axis(x, order, axis)


@primitive
def returned(x: Any, order: Any, *, axis: int) -> Any:
    """The elements back at the places that the order took them from."""
    result = np.empty_like(x)
    np.put_along_axis(result, order, x, axis)
    return result


defvjp(rearranged, lambda g, _y, _x, order, axis: returned(g, order, axis=axis), zero)
defvjp(returned, lambda g, _y, _x, order, axis: rearranged(g, order, axis=axis), zero)


def _sort_rule(g: Any, _y: Any, a: Any, axis: Any = -1, kind: Any = None, order: Any = None, stable: Any = None) -> Any:
    if axis is None:
        return _sort_rule(g, _y, a.ravel(), 0, kind, order, stable).reshape(a.shape)
    return returned(g, np.argsort(a, axis=axis, kind=kind, stable=stable), axis=axis)


def _partition_rule(
    g: Any, y: Any, a: Any, kth: Any, axis: Any = -1, kind: Any = "introselect", order: Any = None
) -> Any:
    """The smallest result is the smallest element, and so on; which results those are, only sorting them can tell."""
    if axis is None:
        return _partition_rule(g, y, a.ravel(), kth, axis=0).reshape(a.shape)
    ascending = rearranged(g, np.argsort(y, axis=axis, kind="stable"), axis=axis)
    return returned(ascending, np.argsort(a, axis=axis, kind="stable"), axis=axis)


defvjp(np.sort, _sort_rule)
defvjp(np.partition, _partition_rule)
constant(np.lexsort)


@composite(np.sort_complex)
def _sort_complex(a: Any) -> Any:
    ordered = np.sort(a)
    if ordered.dtype.kind == "c":
        return ordered
    return ordered.astype({"b": "F", "h": "F", "B": "F", "H": "F", "g": "G"}.get(ordered.dtype.char, "D"))


@composite(np.ptp)
def _ptp(a: Any, axis: Any = None, out: Any = None, keepdims: Any = False) -> Any:
    return np.max(a, axis, out, keepdims) - np.min(a, axis, out, keepdims)


# Unique values and sets: of several equal elements, the first one is the value.


def _read_from(x: Any, found: Any) -> Any:
    """What NumPy found out about the elements of an array, with the values read from it, so that they are recorded."""
    values, *others = found if isinstance(found, tuple) else (found,)
    x = np.ravel(x)
    order = np.argsort(plain(x), kind="stable")
    read = x[order[np.searchsorted(plain(x), values, sorter=order)]]
    if not others:
        return read
    return found._make([read, *others]) if hasattr(found, "_make") else (read, *others)


def _reading(function: Callable[..., Any], arrays: int) -> None:
    """Register a function whose values are elements of its first arrays."""
    signature = inspect.signature(function)

    @composite(function)
    def spelling(*args: Any, **options: Any) -> Any:
        given = signature.bind(*args, **options)
        found = function(*plain(given.args), **given.kwargs)
        return _read_from(np.concatenate([np.ravel(a) for a in given.args[:arrays]]), found)


_reading(np.unique_all, 1)
_reading(np.unique_counts, 1)
_reading(np.unique_inverse, 1)
_reading(np.unique_values, 1)
_reading(np.union1d, 2)
_reading(np.intersect1d, 2)
_reading(np.setdiff1d, 1)
_reading(np.setxor1d, 2)
constant(np.isin)
if "in1d" in vars(np):  # deprecated
    constant(vars(np)["in1d"])


@composite(np.unique)
def _unique(
    ar: Any,
    return_index: bool = False,
    return_inverse: bool = False,
    return_counts: bool = False,
    axis: int | None = None,
    **options: Any,
) -> Any:
    x = plain(ar)
    found = np.unique(x, return_index, return_inverse, return_counts, axis, **options)  # type: ignore[call-overload]
    if axis is None:
        return _read_from(ar, found)
    rows = np.take(ar, np.unique(x, return_index=True, axis=axis, **options)[1], axis=axis)
    return (rows, *found[1:]) if isinstance(found, tuple) else rows


# Medians and quantiles lie between two neighbours of the sorted elements. Where, NumPy itself says: it is the estimate
# that it makes from the numbers 0, 1, 2, ... in the elements' place. So every method that NumPy has is differentiated
# by one rule; and since the position moves with q, there is a gradient with respect to q as well.

Estimate = Callable[..., Any]

_IGNORING_NAN = (np.nanmedian, np.nanquantile, np.nanpercentile)
_STEPS = {  # how far the position moves as q goes from 0 to 1, less the number of elements; other methods jump
    "linear": -1.0,
    "hazen": 0.0,
    "interpolated_inverted_cdf": 0.0,
    "weibull": 1.0,
    "median_unbiased": 1 / 3,
    "normal_unbiased": 1 / 4,
}


def _by_data(estimate: Estimate, g: Any, _y: Any, *arrays: Any, axis: int, **options: Any) -> Any:
    """Each of the two neighbours gets the share of the cotangent that it has in the estimate."""
    a, *q = arrays
    if not a.size:
        return np.zeros(a.shape, a.dtype)
    position, *neighbours = _neighbours(estimate, a, q, options)
    share = (position - np.floor(position)).astype(real_dtype(a.dtype))
    g = _quantiles_last(g, position.shape)
    gradient = sum(
        scattered(part * g, index=along_axis(places, a.shape, a.ndim - 1), shape=a.shape)
        for part, places in zip((1 - share, share), neighbours, strict=True)
    )
    return np.where(np.isnan(a), 0, gradient) if estimate in _IGNORING_NAN else gradient


def _by_quantile(estimate: Estimate, g: Any, _y: Any, *arrays: Any, axis: int, **options: Any) -> Any:
    """The distance between the neighbours, times how far the position moves; nothing once it is past the ends."""
    a, q = arrays
    method = options.get("method", "linear")
    if method not in _STEPS or not a.size:
        return np.zeros(q.shape, q.dtype)
    position, lower, upper = _neighbours(estimate, a, [q], options)
    elements = np.sum(_present(a), axis=-1, keepdims=True, dtype=q.dtype) if estimate in _IGNORING_NAN else a.shape[-1]
    step = (elements + _STEPS[method]) / (100 if estimate in (np.percentile, np.nanpercentile) else 1)
    slope = step * (np.take_along_axis(a, upper, axis=-1) - np.take_along_axis(a, lower, axis=-1))
    moved = np.where((position > 0) & (position < elements - 1), slope, 0) * _quantiles_last(g, position.shape)
    return np.sum(moved, axis=tuple(range(a.ndim - 1))).reshape(q.shape)


def _neighbours(estimate: Estimate, a: Any, q: Sequence[Any], options: dict[str, Any]) -> tuple[Any, Any, Any]:
    """Each estimate's position among the sorted elements of its row, and where in the row its two neighbours are."""
    length = a.shape[-1]
    shape = (*a.shape[:-1], math.prod(np.shape(q[0])) if q else 1)
    by_row = estimate in _IGNORING_NAN or "weights" in options
    if by_row:
        ranks = np.argsort(np.argsort(a, axis=-1), axis=-1).astype(real_dtype(a.dtype))
        if estimate in _IGNORING_NAN:
            ranks = np.where(_present(a), ranks, np.nan)
        position = _quantiles_last(estimate(ranks, *q, axis=-1, **options), shape)
    else:
        # Tensors stay in their dtype; but an array of float64 places even the last of many elements exactly.
        dtype = real_dtype(a.dtype) if q and isinstance(q[0], ArrayMethods) else np.float64
        position = np.reshape(estimate(np.arange(length, dtype=dtype), *q, **options), shape[-1])
    lower = np.floor(position).astype(np.intp)
    upper = np.minimum(lower + 1, length - 1)
    if by_row or not isinstance(position, np.ndarray):
        order = np.argsort(a, axis=-1)
    else:
        order = np.argpartition(a, np.unique([lower, upper]), axis=-1)
    lower, upper = (np.take_along_axis(order, np.broadcast_to(place, shape), axis=-1) for place in (lower, upper))
    return np.broadcast_to(position, shape), lower, upper


def _present(a: Any) -> Any:
    """Where there are numbers; everywhere in a row that has none."""
    absent = np.isnan(a)
    return ~absent | np.all(absent, axis=-1, keepdims=True)


def _quantiles_last(x: Any, shape: tuple[int, ...]) -> Any:
    """An array of quantiles of each row as an array in which each row holds its quantiles."""
    return np.moveaxis(x.reshape(shape[-1], *shape[:-1]), 0, -1)


def _rows(x: Any, axis: Any) -> Any:
    """The axes that are to be reduced as one, the last."""
    axes = tuple(range(x.ndim)) if axis is None else normalize_axis_tuple(axis, x.ndim)
    kept = tuple(i for i in range(x.ndim) if i not in axes)
    if axes == (x.ndim - 1,):
        return x
    length = math.prod(x.shape[i] for i in axes)
    return np.transpose(x, (*kept, *sorted(axes))).reshape(*(x.shape[i] for i in kept), length)


def aligned(weights: Any, shape: tuple[int, ...], axis: Any) -> Any:
    """Weights in a shape that broadcasts against the data: they have the data's shape, or that of the reduced axes."""
    weights = arrayed(weights)
    if weights.shape == shape:
        return weights
    if axis is None:
        raise TypeError(f"weights of shape {weights.shape} for data of shape {shape} need an axis that they are along")
    axes = normalize_axis_tuple(axis, len(shape))
    if weights.shape != tuple(shape[i] for i in axes):
        raise ValueError(f"weights of shape {weights.shape} fit neither data of shape {shape} nor its axis {axis}")
    return np.transpose(weights, np.argsort(axes)).reshape([shape[i] if i in axes else 1 for i in range(len(shape))])


def _estimates(estimate: Estimate, *rules: Callable[..., Any]) -> Any:
    """Give one of NumPy's estimates its gradient by rows, and spell it by rows."""
    by_rows = defvjp(primitive(estimate), *(functools.partial(rule, estimate) for rule in rules), selects=True)
    signature = CallSignature(estimate, (), len(rules), function_name(estimate))

    @composite(estimate)
    def spelling(*args: Any, **kwargs: Any) -> Any:
        (a, *q), options = signature.bind(args, kwargs)
        axis, keepdims = options.pop("axis", None), options.pop("keepdims", False)
        options.pop("overwrite_input", None)  # a recorded array is never overwritten
        a = arrayed(a)
        if "weights" in options:
            weights = np.broadcast_to(aligned(plain(options["weights"]), a.shape, axis), a.shape)
            options["weights"] = _rows(weights, axis)
        y = by_rows(_rows(a, axis), *q, axis=-1, **options)
        if not keepdims:
            return y
        leading = np.shape(q[0]) if q else ()
        kept = restored(np.empty(y.shape[len(leading) :]), a.shape, axis).shape
        return y.reshape(*leading, *kept)

    return by_rows


median = _estimates(np.median, _by_data)
nanmedian = _estimates(np.nanmedian, _by_data)
quantile = _estimates(np.quantile, _by_data, _by_quantile)
nanquantile = _estimates(np.nanquantile, _by_data, _by_quantile)
percentile = _estimates(np.percentile, _by_data, _by_quantile)
nanpercentile = _estimates(np.nanpercentile, _by_data, _by_quantile)
