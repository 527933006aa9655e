"""Sums, means, extrema, products and moments along axes."""

import math
from typing import Any

import numpy as np

from tinygrad_np.backward import cut_off
from tinygrad_np.core import defvjp, primitive
from tinygrad_np.rules.elementwise import over
from tinygrad_np.rules.handlers import composite, constant
from tinygrad_np.rules.movement import as_dtype

_ALL = True  # the default of where=


def axes_of(axis: Any, ndim: int) -> tuple[int, ...]:
    """An ``axis`` argument as a tuple of axes that count from 0; None means all of them, and so does 0 of a scalar."""
    if axis is None or ndim == 0:
        return tuple(range(ndim))
    return tuple(a % ndim for a in (axis if isinstance(axis, tuple | list) else (axis,)))


def restored(reduced: Any, shape: tuple[int, ...], axis: Any) -> Any:
    """A reduction's result, or its cotangent, with the reduced axes back as axes of length 1."""
    axes = axes_of(axis, len(shape))
    return reduced.reshape(tuple(1 if i in axes else length for i, length in enumerate(shape)))


def spread(g: Any, shape: tuple[int, ...], axis: Any, where: Any = _ALL) -> Any:
    """A cotangent copied along the reduced axes, and zero where the reduction did not look."""
    g = np.broadcast_to(restored(g, shape, axis), shape)
    return g if where is _ALL else np.where(where, g, 0)


def real_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The dtype of the real and imaginary parts; of real numbers their own."""
    return np.empty(0, dtype).real.dtype


def as_computed(a: Any, dtype: np.dtype[Any]) -> Any:
    """The elements in the result's dtype, which NumPy converts them to before it multiplies them.

    So must a rule that multiplies them, or what is in range for the result may not be for its gradient.
    """
    return as_dtype(a.real if a.dtype.kind == "c" and dtype.kind == "f" else a, dtype)


def count(a: Any, axis: Any, where: Any = _ALL) -> Any:
    """How many elements each result of a reduction was made from, in a shape that broadcasts against the input.

    An array of integers would widen the gradient's dtype, so the numbers are floating-point: float32 at least, since
    float16 counts to 2048 only. One number for all results is what `divisor` makes of it.
    """
    axes = axes_of(axis, a.ndim)
    if where is not _ALL:
        dtype = np.result_type(real_dtype(a.dtype), np.float32)
        return np.sum(np.broadcast_to(where, a.shape), axis=axes, keepdims=True, dtype=dtype)
    return divisor(math.prod(a.shape[axis] for axis in axes), a.dtype)


def divisor(number: int, dtype: np.dtype[Any]) -> Any:
    """A number to divide an array by: as it is, which widens nothing, but where it is infinite in float16."""
    return np.float32(number) if number > 65504 and dtype == np.float16 else number


def _sum_rule(
    g: Any,
    _y: Any,
    _a: Any,
    axis: Any = None,
    dtype: Any = None,
    keepdims: Any = False,
    initial: Any = None,
    where: Any = _ALL,
) -> Any:
    return spread(g, _a.shape, axis, where)


def _mean_rule(
    g: Any, _y: Any, _a: Any, axis: Any = None, dtype: Any = None, keepdims: Any = False, where: Any = _ALL
) -> Any:
    return spread(g, _a.shape, axis, where) / count(_a, axis, where)


defvjp(np.sum, _sum_rule)
defvjp(np.mean, _mean_rule)


def _extremum_rule(
    g: Any, y: Any, a: Any, axis: Any = None, keepdims: Any = False, initial: Any = None, where: Any = _ALL
) -> Any:
    """Split the cotangent evenly among the tied elements; ``initial`` counts as one if it ties with them."""
    extremum = restored(y, a.shape, axis)
    tied = a == extremum
    if where is not _ALL:
        tied = tied & where
    ties = np.sum(tied, axis=axes_of(axis, a.ndim), keepdims=True)
    if initial is not None:
        ties = ties + (extremum == initial)
    # float32 at least: the number of ties may exceed what float16 can hold.
    ties = np.maximum(ties, 1).astype(np.result_type(a.dtype, np.float32))
    return np.where(tied, restored(g, a.shape, axis) / ties, 0)


for _extremum in (np.max, np.min, np.amax, np.amin):
    defvjp(_extremum, _extremum_rule, selects=True)


def product_of_others(x: Any) -> Any:
    """For each element, the product of all others along the last axis, without dividing: zeros are exact.

    Pairs of neighbours are multiplied, the problem of half the length is solved, and each element gets the product
    outside of its pair times its neighbour. Every step is plain NumPy, so it is exact at any order of derivative.
    """
    length = x.shape[-1]
    if length <= 1:
        return np.ones(x.shape, x.dtype)
    odd = length % 2
    if odd:
        x = np.concatenate([x, np.ones((*x.shape[:-1], 1), x.dtype)], axis=-1)
    left, right = x[..., ::2], x[..., 1::2]
    outside = product_of_others(left * right)
    others = np.stack([outside * right, outside * left], axis=-1).reshape(x.shape)
    return others[..., :-1] if odd else others


def _prod_rule(
    g: Any,
    _y: Any,
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    keepdims: Any = False,
    initial: Any = 1,
    where: Any = _ALL,
) -> Any:
    a = as_computed(a, _y.dtype)
    axes = axes_of(axis, a.ndim)
    kept = tuple(i for i in range(a.ndim) if i not in axes)
    x = a if where is _ALL else np.where(where, a, 1)
    rows = x.transpose(kept + axes).reshape(*(a.shape[i] for i in kept), math.prod(a.shape[i] for i in axes))
    others = product_of_others(rows).reshape(tuple(a.shape[i] for i in kept + axes))
    others = others.transpose(np.argsort(kept + axes))
    factor = 1 if initial is None else initial
    g = spread(g, a.shape, axis, where)
    return cut_off(g, g * (others * factor).conjugate())


defvjp(np.prod, _prod_rule)


# Moments. The mean may be passed in, and may itself depend on something.

variance, deviation = primitive(np.var), primitive(np.std)


def _centred(a: Any, y: Any, axis: Any, dtype: Any, where: Any) -> Any:
    """The distances from the mean, in the wider one of the dtypes of array and result."""
    a = as_dtype(a, np.result_type(a.dtype, y.dtype))
    options = {} if where is _ALL else {"where": where}
    mean = np.mean(a, axis=axis, keepdims=True, **options)
    # A real dtype= is that of the mean, but not of the distances.
    return a - (mean if dtype is None or np.dtype(dtype).kind == "c" else mean.real)


def _degrees(a: Any, axis: Any, where: Any, ddof: Any, correction: Any) -> Any:
    """The degrees of freedom: none where there are fewer elements than are to be left out of account."""
    degrees = count(a, axis, where) - (ddof or correction)
    return np.maximum(degrees, 0) if where is not _ALL else max(degrees, 0)


def _variance_rule(
    g: Any,
    _y: Any,
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    ddof: Any = 0,
    keepdims: Any = False,
    where: Any = _ALL,
    correction: Any = 0,
) -> Any:
    degrees = _degrees(a, axis, where, ddof, correction)
    g = spread(g.real, a.shape, axis, where)
    return cut_off(g, g * (2 * _centred(a, _y, axis, dtype, where) / degrees))


def _deviation_rule(
    g: Any,
    y: Any,
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    ddof: Any = 0,
    keepdims: Any = False,
    where: Any = _ALL,
    correction: Any = 0,
) -> Any:
    degrees = _degrees(a, axis, where, ddof, correction)
    g = spread(g.real, a.shape, axis, where)
    return cut_off(g, g * over(_centred(a, y, axis, dtype, where), degrees * restored(y.real, a.shape, axis)))


defvjp(variance, _variance_rule)
defvjp(deviation, _deviation_rule)


@composite(np.var)
def _var(
    a: Any, axis: Any = None, dtype: Any = None, out: Any = None, *options: Any, mean: Any = None, **named: Any
) -> Any:
    if mean is None:
        return variance(a, axis, dtype, out, *options, **named)
    return _variance_around(mean, a, axis, dtype, *options, **named)


@composite(np.std)
def _std(
    a: Any, axis: Any = None, dtype: Any = None, out: Any = None, *options: Any, mean: Any = None, **named: Any
) -> Any:
    if mean is None:
        return deviation(a, axis, dtype, out, *options, **named)
    return np.sqrt(_variance_around(mean, a, axis, dtype, *options, **named))


def _variance_around(
    mean: Any,
    a: Any,
    axis: Any,
    dtype: Any,
    ddof: Any = 0,
    keepdims: Any = False,
    *,
    where: Any = _ALL,
    correction: Any = 0,
) -> Any:
    away = a - mean
    squares = np.real(away * away.conjugate()) if a.dtype.kind == "c" else away * away
    total = np.sum(squares, axis=axis, dtype=dtype, keepdims=keepdims, where=where)
    degrees = _degrees(a, axis, where, ddof, correction)
    return total / (degrees if where is _ALL else degrees.reshape(total.shape))


constant(np.any, np.all, np.argmax, np.argmin, np.nanargmax, np.nanargmin, np.count_nonzero)
