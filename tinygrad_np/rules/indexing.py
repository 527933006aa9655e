"""Reading by index, and functional writing: each one's gradient is the other.

An element that an index reads several times gets the sum of the cotangents; of several values that are written to one
element, the last one wins, and it alone gets the cotangent.
"""

from __future__ import annotations

import functools
import operator
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from tinygrad_np.backward import summed_to
from tinygrad_np.core import Tensor, defvjp, getitem, primitive, updated
from tinygrad_np.methods import ArrayMethods
from tinygrad_np.rules.handlers import composite, constant, plain, query
from tinygrad_np.standins import as_array
from tinygrad_np.trees import leaves

NO_ARRAY = (slice, type(None), type(Ellipsis))
"""The parts of an index that NumPy does not take as arrays, as it does lists, tuples and numbers."""


def reads_twice(index: Any) -> bool:
    """Whether an index may read an element more than once: only integer arrays can."""
    parts = index if isinstance(index, tuple) else (index,)
    one_at_most = (*NO_ARRAY, int, np.generic)
    return any(not isinstance(part, one_at_most) and as_array(part).dtype.kind in "iu" for part in parts)


def reads_outside(index: Any, length: int) -> bool:
    """Whether an array of integers has one that is negative, or not below a length."""
    return bool(index.size and np.maximum.reduce(index.view(_unsigned(index.dtype)), None) >= length)


@functools.cache
def _unsigned(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The integers without a sign, as which -1 is the largest."""
    return np.dtype(f"u{dtype.itemsize}")


@primitive
def scattered(g: Any, *, index: Any, shape: tuple[int, ...]) -> Any:
    """Zeros of a shape, with the elements of ``g`` added where the index reads."""
    result = np.zeros(shape, g.dtype)
    if reads_twice(index):
        np.add.at(result, index, g)
    else:
        result[index] = g
    return result


defvjp(getitem, lambda g, _y, _x, index: scattered(g, index=index, shape=_x.shape), selects=True)
defvjp(scattered, lambda g, _y, _g, index, shape: getitem(g, index=index))


def _updated_by_value(g: Any, _y: Any, _x: Any, _value: Any, index: Any) -> Any:
    read = getitem(g, index=index)
    if reads_twice(index):
        numbers = np.arange(read.size).reshape(read.shape)
        kept = updated(np.zeros(_x.shape, int), numbers, index=index)
        read = np.where(getitem(kept, index=index) == numbers, read, 0)
    # An assignment drops leading axes of length 1 that its target does not have.
    shape = _value.shape
    while len(shape) > read.ndim:
        shape = shape[1:]
    return summed_to(read, shape).reshape(_value.shape)


defvjp(
    updated,
    lambda g, _y, _x, _value, index: updated(g, 0, index=index),
    _updated_by_value,
    selects=True,
)


# NumPy's functions that read by index


@composite(np.take)
def _take(a: Any, indices: Any, axis: Any = None, out: Any = None, mode: Any = "raise") -> Any:
    a, indices = np.atleast_1d(arrayed(a)), plain(indices)
    if axis is None:
        a, axis = np.ravel(a), 0
    axis = normalize_axis_index(axis, a.ndim)
    if mode != "raise" or not hasattr(indices, "dtype") or indices.dtype.kind not in "iu":
        # Taken from their own numbers, the places are what NumPy makes of masks, lists and numbers out of range.
        indices = np.take(np.arange(a.shape[axis]), indices, mode=mode)
    return a[(slice(None),) * axis + (indices,)]


@composite(np.take_along_axis)
def _take_along_axis(arr: Any, indices: Any, axis: Any = -1) -> Any:
    arr, indices = arrayed(arr), as_array(plain(indices))
    if axis is None:
        arr, indices, axis = np.ravel(arr), np.ravel(indices), 0
    if indices.dtype.kind not in "iu":
        raise IndexError(f"indices must be an integer array, not {indices.dtype}")
    if arr.ndim != indices.ndim:
        raise ValueError(f"indices of shape {indices.shape} must have as many axes as the array, {arr.ndim}")
    return arr[along_axis(indices, arr.shape, normalize_axis_index(axis, arr.ndim))]


def along_axis(indices: Any, shape: tuple[int, ...], axis: int) -> tuple[Any, ...]:
    """The index into an array of a shape that reads, at every place, the element that `indices` names along an axis."""
    grid = np.ogrid[tuple(slice(length) for length in shape)]
    return (*grid[:axis], indices, *grid[axis + 1 :])


def arrayed(a: Any) -> Any:
    """A Tensor or array as it is, and a number or a nested list, even of Tensors, as one of them."""
    if a.__class__ is np.ndarray or a.__class__ is Tensor:
        return a
    if isinstance(a, list | tuple) and any(isinstance(leaf, Tensor) for leaf in leaves(a)):
        return np.stack([arrayed(item) for item in a])
    return a if isinstance(a, ArrayMethods | np.ndarray) else np.asarray(a)


@composite(np.compress)
def _compress(condition: Any, a: Any, axis: Any = None, out: Any = None) -> Any:
    condition = as_array(plain(condition))
    if condition.ndim != 1:
        raise ValueError(f"the condition must have one axis, not shape {condition.shape}: index with it, as in a[mask]")
    return np.take(a, np.flatnonzero(condition), axis=axis)


@composite(np.extract)
def _extract(condition: Any, arr: Any) -> Any:
    return np.take(np.ravel(arr), np.flatnonzero(plain(condition)))


@composite(np.diagonal)
def _diagonal(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    if axis1 % a.ndim == axis2 % a.ndim:
        raise ValueError(f"axis1 and axis2 must differ, not {axis1} and {axis2}")
    offset = operator.index(offset)  # that of an unsigned integer is not to wrap around when negated
    rows_last = np.moveaxis(a, (axis1, axis2), (-2, -1))
    rows, columns = rows_last.shape[-2:]
    start_row, start_column = max(-offset, 0), max(offset, 0)
    length = max(min(rows - start_row, columns - start_column), 0)
    steps = np.arange(length)
    return rows_last[..., start_row + steps, start_column + steps]


@composite(np.trace)
def _trace(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1, dtype: Any = None, out: Any = None) -> Any:
    return np.sum(np.diagonal(a, offset, axis1, axis2), axis=-1, dtype=dtype)


constant(np.nonzero, np.flatnonzero, np.argwhere, np.argsort, np.argpartition, np.searchsorted, np.digitize)
constant(np.diag_indices_from, np.tril_indices_from, np.triu_indices_from)
query(np.ravel_multi_index, np.unravel_index)
