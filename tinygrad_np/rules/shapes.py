"""Moving, joining, splitting and stretching: every gradient is the same movement backwards."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple

from tinygrad_np.backward import summed_to
from tinygrad_np.core import Tensor, converted, defvjp, primitive
from tinygrad_np.rules.handlers import composite, query

query(
    *(np.shape, np.ndim, np.size, np.result_type, np.can_cast, np.min_scalar_type, np.common_type),
    *(np.iscomplexobj, np.isrealobj, np.isscalar, np.shares_memory, np.may_share_memory),
    *(np.array2string, np.array_repr, np.array_str),
)

# Rearranging


@primitive(name="np.reshape")
def reshaped(a: Any, shape: Any, order: str) -> Any:
    return np.reshape(a, shape, order=order)  # type: ignore[call-overload]


defvjp(reshaped, lambda g, _y, _a, shape, order: g.reshape(_a.shape, order=order))


@composite(np.reshape)
def _reshape(a: Any, /, shape: Any = None, order: str = "C", *, newshape: Any = None, copy: Any = None) -> Any:
    if order == "A":
        order = "F" if a.data.flags.fnc else "C"
    return reshaped(a, newshape if shape is None else shape, order)


@composite(np.ravel)
def _ravel(a: Any, order: str = "C") -> Any:
    if order == "K":  # the order in memory: axes by falling stride
        strides = a.data.strides
        return np.transpose(a, sorted(range(a.ndim), key=lambda axis: -abs(strides[axis]))).reshape(-1)
    return np.reshape(a, -1, order=order)  # type: ignore[call-overload]


defvjp(np.transpose, lambda g, _y, _a, axes=None: np.transpose(g, None if axes is None else _inverse(axes)))
defvjp(np.swapaxes, lambda g, _y, _a, axis1, axis2: np.swapaxes(g, axis1, axis2))
defvjp(np.moveaxis, lambda g, _y, _a, source, destination: np.moveaxis(g, destination, source))
for _reshaping in (np.expand_dims, np.squeeze):
    defvjp(_reshaping, lambda g, _y, _a, axis=None: g.reshape(_a.shape))


def _inverse(axes: Any) -> list[int]:
    axes = np.atleast_1d(axes)
    return [int(i) for i in np.argsort(axes % len(axes))]


@composite(np.flip)
def _flip(m: Any, axis: Any = None) -> Any:
    index = [slice(None)] * m.ndim
    for a in range(m.ndim) if axis is None else normalize_axis_tuple(axis, m.ndim):
        index[a] = slice(None, None, -1)
    return m[tuple(index)]


@composite(np.flipud)
def _flipud(m: Any) -> Any:
    return np.flip(m, 0)


@composite(np.fliplr)
def _fliplr(m: Any) -> Any:
    return np.flip(m, 1)


@composite(np.matrix_transpose)
def _matrix_transpose(x: Any, /) -> Any:
    return np.swapaxes(x, -1, -2)


@composite(np.atleast_1d)
def _atleast_1d(*arys: Any) -> Any:
    return _each(lambda a: a.reshape(1) if a.ndim == 0 else a, arys)


@composite(np.atleast_2d)
def _atleast_2d(*arys: Any) -> Any:
    return _each(lambda a: a.reshape(1, -1) if a.ndim < 2 else a, arys)


@composite(np.atleast_3d)
def _atleast_3d(*arys: Any) -> Any:
    return _each(lambda a: a.reshape(1, -1, 1) if a.ndim < 2 else a[:, :, None] if a.ndim == 2 else a, arys)


def _each(change: Any, arrays: Sequence[Any]) -> Any:
    changed = tuple(change(_tensor(a)) for a in arrays)
    return changed[0] if len(changed) == 1 else changed


def _tensor(a: Any) -> Any:
    """An argument of several as a Tensor even if it is none, so that what becomes of it is one too."""
    return a if isinstance(a, Tensor) else Tensor(np.asarray(a))


# Stretching


defvjp(np.broadcast_to, lambda g, _y, _array, shape, subok=False: summed_to(g, _array.shape))


@composite(np.broadcast_arrays)
def _broadcast_arrays(*args: Any, subok: bool = False) -> Any:
    shape = np.broadcast_shapes(*(np.shape(a) for a in args))
    return tuple(np.broadcast_to(_tensor(a), shape) for a in args)


# The walk converts every gradient to its input's dtype.
defvjp(converted, lambda g, _y, _x, dtype, casting="unsafe": g)
defvjp(np.copy, lambda g, _y, _a, order="K", subok=False: g)

# Joining and splitting


@primitive(name="np.concatenate")
def joined(*arrays: Any, axis: int) -> Any:
    return np.concatenate(arrays, axis=axis)


def _joined_rule(g: Any, _y: Any, *_arrays: Any, argnum: int, axis: int) -> Any:
    start = sum(a.shape[axis] for a in _arrays[:argnum])
    index = [slice(None)] * g.ndim
    index[axis] = slice(start, start + _arrays[argnum].shape[axis])
    return g[tuple(index)]


defvjp(joined, _joined_rule, variadic=True)


@composite(np.concatenate)
def _concatenate(arrays: Any, /, axis: Any = 0, *, dtype: Any = None, casting: str = "same_kind") -> Any:
    arrays = list(arrays)
    if dtype is not None:
        arrays = [a.astype(dtype, casting=casting) for a in map(_arrayed, arrays)]
    if axis is None:
        return joined(*(np.ravel(a) for a in arrays), axis=0)
    return joined(*arrays, axis=axis)


def _arrayed(a: Any) -> Any:
    return a if hasattr(a, "astype") else np.asarray(a)


@composite(np.stack)
def _stack(arrays: Any, axis: int = 0, *, dtype: Any = None, casting: str = "same_kind") -> Any:
    arrays = list(arrays)
    shapes = sorted({np.shape(a) for a in arrays})
    if len(shapes) != 1:
        raise ValueError(f"np.stack: all arrays must have the same shape, not {', '.join(map(str, shapes))}")
    return np.concatenate([np.expand_dims(a, axis) for a in arrays], axis=axis, dtype=dtype, casting=casting)  # type: ignore[call-overload]


@composite(np.vstack)
def _vstack(tup: Any, *, dtype: Any = None, casting: str = "same_kind") -> Any:
    return np.concatenate([np.atleast_2d(a) for a in tup], axis=0, dtype=dtype, casting=casting)  # type: ignore[call-overload]


@composite(np.hstack)
def _hstack(tup: Any, *, dtype: Any = None, casting: str = "same_kind") -> Any:
    arrays = [np.atleast_1d(a) for a in tup]
    axis = 0 if arrays and arrays[0].ndim == 1 else 1
    return np.concatenate(arrays, axis=axis, dtype=dtype, casting=casting)  # type: ignore[call-overload]


@composite(np.dstack)
def _dstack(tup: Any) -> Any:
    return np.concatenate([np.atleast_3d(a) for a in tup], axis=2)


@composite(np.column_stack)
def _column_stack(tup: Any) -> Any:
    return np.concatenate([a if a.ndim > 1 else np.atleast_2d(a).T for a in map(_arrayed, tup)], axis=1)


@composite(np.array_split)
def _array_split(ary: Any, indices_or_sections: Any, axis: int = 0) -> Any:
    length = ary.shape[axis]
    if np.ndim(indices_or_sections) == 0:
        sections = int(indices_or_sections)
        if sections <= 0:
            raise ValueError("np.array_split: the number of sections must be larger than 0")
        each, longer = divmod(length, sections)
        stops = [(i + 1) * each + min(i + 1, longer) for i in range(sections)]
    else:
        stops = [*(int(i) for i in indices_or_sections), length]
    swapped = np.swapaxes(ary, axis, 0)
    return [np.swapaxes(swapped[i:j], axis, 0) for i, j in zip([0, *stops[:-1]], stops, strict=True)]


@composite(np.split)
def _split(ary: Any, indices_or_sections: Any, axis: int = 0) -> Any:
    if np.ndim(indices_or_sections) == 0 and ary.shape[axis] % int(indices_or_sections):
        raise ValueError(
            f"np.split: axis {axis} of shape {ary.shape} does not divide into {indices_or_sections} equal parts; "
            "np.array_split takes unequal ones"
        )
    return np.array_split(ary, indices_or_sections, axis)


@composite(np.vsplit)
def _vsplit(ary: Any, indices_or_sections: Any) -> Any:
    return _split_along("np.vsplit", ary, indices_or_sections, 0, least=2)


@composite(np.hsplit)
def _hsplit(ary: Any, indices_or_sections: Any) -> Any:
    return _split_along("np.hsplit", ary, indices_or_sections, 1 if ary.ndim > 1 else 0, least=1)


@composite(np.dsplit)
def _dsplit(ary: Any, indices_or_sections: Any) -> Any:
    return _split_along("np.dsplit", ary, indices_or_sections, 2, least=3)


def _split_along(name: str, ary: Any, indices_or_sections: Any, axis: int, *, least: int) -> Any:
    if ary.ndim < least:
        raise ValueError(f"{name}: the array must have {least} axes or more, not shape {ary.shape}")
    return np.split(ary, indices_or_sections, axis)
