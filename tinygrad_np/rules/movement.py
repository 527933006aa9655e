"""Repeating, rolling, inserting, windows and writing in place: elements move, and their gradients move back.

A function that only moves elements tells, from the numbers of the elements, where each one comes from. So the irregular
ones run on an array of numbers, and reading by those numbers, which has a rule, does the rest.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided, sliding_window_view

from tinygrad_np.core import Tensor, defvjp, primitive
from tinygrad_np.errors import DtypeError, EscapeError
from tinygrad_np.rules.handlers import composite, plain, refuse
from tinygrad_np.rules.indexing import arrayed, scattered


def numbered(*arrays: Any) -> list[np.ndarray[Any, Any]]:
    """The elements of several arrays numbered in one sequence, in the arrays' shapes."""
    stops = np.cumsum([a.size for a in arrays])
    return [np.arange(stop - a.size, stop).reshape(a.shape) for a, stop in zip(arrays, stops, strict=True)]


def gathered(numbers: np.ndarray[Any, Any], *arrays: Any) -> Any:
    """The elements with these numbers."""
    return np.concatenate([np.ravel(a) for a in arrays])[numbers]


def as_dtype(a: Any, dtype: np.dtype[Any]) -> Any:
    """An array or nested list in a dtype, without a conversion to record if it has it already."""
    a = arrayed(a)
    return a if a.dtype == dtype else a.astype(dtype)


# Repeating


@composite(np.repeat)
def _repeat(a: Any, repeats: Any, axis: Any = None) -> Any:
    a = np.atleast_1d(arrayed(a))
    if axis is None:
        a, axis = np.ravel(a), 0
    axis = _checked(axis, a.ndim)
    repeats = np.asarray(plain(repeats))
    if repeats.size != 1:
        return np.take(a, np.repeat(np.arange(a.shape[axis]), repeats), axis=axis)
    number = int(repeats.item())
    copies = np.broadcast_to(np.expand_dims(a, axis + 1), (*a.shape[: axis + 1], number, *a.shape[axis + 1 :]))
    return copies.reshape(*a.shape[:axis], a.shape[axis] * number, *a.shape[axis + 1 :])


@composite(np.tile)
def _tile(A: Any, reps: Any) -> Any:
    repeats = [int(n) for n in np.atleast_1d(plain(reps))]
    ndim = max(A.ndim, len(repeats))
    shape = (1,) * (ndim - A.ndim) + A.shape
    repeats = [1] * (ndim - len(repeats)) + repeats
    # Each axis gets one before it to be repeated along.
    spaced = A.reshape([n for length in shape for n in (1, length)])
    copies = np.broadcast_to(spaced, [n for pair in zip(repeats, shape, strict=True) for n in pair])
    return copies.reshape([times * length for times, length in zip(repeats, shape, strict=True)])


@composite(np.resize)
def _resize(a: Any, new_shape: Any) -> Any:
    shape = tuple(int(n) for n in np.atleast_1d(plain(new_shape)))
    size = math.prod(shape)
    if min(shape, default=0) < 0:
        raise ValueError(f"np.resize: all elements of `new_shape` must be non-negative, not {shape}")
    if a.size == 0:
        return np.zeros_like(a, shape=shape)
    return np.tile(np.ravel(a), -(-size // a.size))[:size].reshape(shape)


# Turning


defvjp(
    np.roll,
    lambda g, _y, _a, shift, axis=None: np.roll(g, np.negative(shift, dtype=int), axis),
)
defvjp(np.rot90, lambda g, _y, _m, k=1, axes=(0, 1): np.rot90(g, -k, axes))


@composite(np.rollaxis)
def _rollaxis(a: Any, axis: int, start: int = 0) -> Any:
    axis, start = _checked(axis, a.ndim), start + a.ndim if start < 0 else start
    if not 0 <= start <= a.ndim:
        raise np.exceptions.AxisError(f"np.rollaxis: start={start} lies outside of 0 to {a.ndim}")
    return np.moveaxis(a, axis, start - (axis < start))


def _checked(axis: int, ndim: int) -> int:
    if not -ndim <= axis < ndim:
        raise np.exceptions.AxisError(axis, ndim)
    return axis % ndim


# Joining and taking out


@composite(np.append)
def _append(arr: Any, values: Any, axis: Any = None) -> Any:
    if axis is None:
        return np.concatenate([np.ravel(arrayed(arr)), np.ravel(arrayed(values))])
    return np.concatenate([arr, values], axis=axis)


@composite(np.insert)
def _insert(arr: Any, obj: Any, values: Any, axis: Any = None) -> Any:
    arr = arrayed(arr)
    values = as_dtype(values, arr.dtype)
    old, new = numbered(arr, values)
    return gathered(np.insert(old, plain(obj), new, axis), arr, values)


@composite(np.delete)
def _delete(arr: Any, obj: Any, axis: Any = None) -> Any:
    if axis is None:
        arr, axis = np.ravel(arr), 0
    axis = _checked(axis, arr.ndim)
    kept = np.zeros(arr.shape[axis], bool)
    kept[np.delete(np.arange(arr.shape[axis]), plain(obj))] = True
    return arr[(slice(None),) * axis + (kept,)]


@composite(np.trim_zeros)
def _trim_zeros(filt: Any, trim: str = "fb", axis: Any = None) -> Any:
    trim = trim.lower()
    if trim not in {"fb", "bf", "f", "b"}:
        raise ValueError(f"np.trim_zeros: trim must be 'f', 'b' or 'fb', not {trim!r}")
    axes = range(filt.ndim) if axis is None else np.atleast_1d(axis)
    index = [slice(None)] * filt.ndim
    places = np.argwhere(plain(filt))
    for a in (_checked(int(a), filt.ndim) for a in axes):
        if len(places):
            start = int(places[:, a].min()) if "f" in trim else None
            stop = int(places[:, a].max()) + 1 if "b" in trim else None
            index[a] = slice(start, stop)
        else:
            index[a] = slice(0, 0)
    return filt[tuple(index)]


@composite(np.block)
def _block(arrays: Any) -> Any:
    depth = _depth(arrays)
    ndim = max(depth, _largest_ndim(arrays))

    def joined(tree: Any, depth: int) -> Any:
        if depth:
            return np.concatenate([joined(item, depth - 1) for item in tree], axis=-depth)
        tree = arrayed(tree)
        return tree.reshape((1,) * (ndim - tree.ndim) + tree.shape)

    return joined(arrays, depth) if depth else np.copy(arrays)


def _depth(tree: Any) -> int:
    """How deeply the lists are nested, which must be the same everywhere."""
    if isinstance(tree, tuple):
        raise DtypeError("np.block takes nested lists, and here is a tuple: write [...] for (...)")
    if not isinstance(tree, list):
        return 0
    depths = {_depth(item) for item in tree}
    if len(depths) != 1:
        raise ValueError(f"np.block: lists {'are empty' if not depths else f'of different depths, {sorted(depths)}'}")
    return 1 + depths.pop()


def _largest_ndim(tree: Any) -> int:
    return max(map(_largest_ndim, tree)) if isinstance(tree, list) else int(np.ndim(tree))


if hasattr(np, "unstack"):  # new in NumPy 2.1

    @composite(np.unstack)
    def _unstack(x: Any, /, *, axis: int = 0) -> Any:
        return tuple(np.moveaxis(x, axis, 0))


# Diagonals and triangles


@composite(np.diag)
def _diag(v: Any, k: int = 0) -> Any:
    if v.ndim == 2:
        return np.diagonal(v, k)
    if v.ndim != 1:
        raise ValueError(f"np.diag: the input must have one or two axes, not shape {v.shape}")
    length = v.size + abs(k)
    start = k if k >= 0 else -k * length
    steps = slice(start, start + v.size * (length + 1), length + 1)
    return scattered(v, index=steps, shape=(length * length,)).reshape(length, length)


@composite(np.diagflat)
def _diagflat(v: Any, k: int = 0) -> Any:
    return np.diag(np.ravel(v), k)


@composite(np.tril)
def _tril(m: Any, k: int = 0) -> Any:
    return np.where(_lower(m.shape, k), m, m.dtype.type(0))


@composite(np.triu)
def _triu(m: Any, k: int = 0) -> Any:
    return np.where(_lower(m.shape, k - 1), m.dtype.type(0), m)


def _lower(shape: tuple[int, ...], k: int) -> Any:
    """Which elements lie on the k-th diagonal or below it; a vector stands for rows that are all alike."""
    rows, columns = shape[-2:] if len(shape) > 1 else 2 * shape
    return np.tri(rows, columns, k, bool)


# Windows: without a copy one way, added up where they overlap on the way back.


@primitive(name="np.lib.stride_tricks.sliding_window_view")
def windows(x: Any, *, lengths: tuple[int, ...], axes: tuple[int, ...]) -> Any:
    """Every window of these lengths along these axes, each along new last axes."""
    return sliding_window_view(x, lengths, axes)


@primitive
def overlapped(g: Any, *, shape: tuple[int, ...], lengths: tuple[int, ...], axes: tuple[int, ...]) -> Any:
    """Windows added up at the places that they were taken from."""
    result = np.zeros(shape, g.dtype)
    for offsets in np.ndindex(*lengths):
        starts = [0] * len(shape)
        for axis, offset in zip(axes, offsets, strict=True):
            starts[axis] += offset
        place = tuple(slice(start, start + length) for start, length in zip(starts, g.shape, strict=False))
        one_of_each = (..., *offsets)
        result[place] += g[one_of_each]
    return result


defvjp(windows, lambda g, _y, _x, lengths, axes: overlapped(g, shape=_x.shape, lengths=lengths, axes=axes))
defvjp(overlapped, lambda g, _y, _g, shape, lengths, axes: windows(g, lengths=lengths, axes=axes))


@composite(sliding_window_view)
def _sliding_window_view(
    x: Any, window_shape: Any, axis: Any = None, *, subok: bool = False, writeable: bool = False
) -> Any:
    if writeable:
        raise EscapeError("sliding_window_view(writeable=True): writing through a view of a tensor is not recorded")
    lengths = tuple(int(n) for n in np.atleast_1d(plain(window_shape)))
    axes = range(x.ndim) if axis is None else np.atleast_1d(axis)
    return windows(x, lengths=lengths, axes=tuple(_checked(int(a), x.ndim) for a in axes))


refuse(
    "its strides address memory, where elements may overlap in any way: write np.lib.stride_tricks.sliding_window_view "
    "for windows, or t[index] with arrays of indices",
    as_strided,
)

# Writing into the first argument. A tensor is a value, so its handle is bound to the updated one.


def _write(name: str, target: Any, values: Any, write: Callable[[Any, Any], None]) -> None:
    """Bind a tensor to what NumPy makes of it by writing values into it; write into a plain array as ever."""
    if isinstance(target, Tensor):
        values = as_dtype(values, target.dtype)
        old, new = numbered(target, values)
        write(old, new)
        target._rebind(gathered(old, target, values), name)
    else:
        refuse_writing(name, values)
        write(target, plain(values))


def refuse_writing(name: str, *values: Any) -> None:
    """Raise if values to be written into a plain array need a gradient, which it could not keep."""
    for value in values:
        if isinstance(value, Tensor) and value.requires_grad:
            raise EscapeError(
                f"{name}: writing a tensor of shape {value.shape} that requires a gradient into a plain array would "
                "lose the gradient. Write into a tensor, as made by tg.tensor(array); np.broadcast_to(t, shape) is "
                "full of t"
            )


@composite(np.put)
def _put(a: Any, ind: Any, v: Any, mode: Any = "raise") -> None:
    _write("np.put", a, v, lambda old, new: np.put(old, plain(ind), new, mode))


@composite(np.place)
def _place(arr: Any, mask: Any, vals: Any) -> None:
    _write("np.place", arr, vals, lambda old, new: np.place(old, plain(mask), new))


@composite(np.putmask)
def _putmask(a: Any, mask: Any, values: Any) -> None:
    _write("np.putmask", a, values, lambda old, new: np.putmask(old, plain(mask), new))


@composite(np.put_along_axis)
def _put_along_axis(arr: Any, indices: Any, values: Any, axis: Any = -1) -> None:
    _write("np.put_along_axis", arr, values, lambda old, new: np.put_along_axis(old, plain(indices), new, axis))


@composite(np.fill_diagonal)
def _fill_diagonal(a: Any, val: Any, wrap: bool = False) -> None:
    _write("np.fill_diagonal", a, val, lambda old, new: np.fill_diagonal(old, new, wrap))


@composite(np.copyto)
def _copyto(dst: Any, src: Any, casting: Any = "same_kind", where: Any = True) -> None:
    src = arrayed(src)
    if not np.can_cast(src.dtype, dst.dtype, casting):
        raise DtypeError(f"np.copyto: {src.dtype} cannot be cast to {dst.dtype} with casting={casting!r}")
    _write("np.copyto", dst, src, lambda old, new: np.copyto(old, new, where=plain(where)))
