"""Padding. All modes but the simplest ones extend one axis after the other, as NumPy does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tinygrad_np.core import Tensor, updated
from tinygrad_np.errors import MissingRuleError
from tinygrad_np.rules.handlers import composite, plain
from tinygrad_np.rules.indexing import arrayed
from tinygrad_np.rules.movement import as_dtype
from tinygrad_np.trees import leaves, map_leaves

_OPTIONS = {
    "constant": "constant_values",
    "linear_ramp": "end_values",
    **dict.fromkeys(("maximum", "mean", "median", "minimum"), "stat_length"),
    **dict.fromkeys(("reflect", "symmetric"), "reflect_type"),
    **dict.fromkeys(("edge", "wrap")),
}
_COPYING = ("edge", "reflect", "symmetric", "wrap")
_STATISTICS: dict[str, Callable[..., Any]] = {
    "maximum": np.max,
    "mean": np.mean,
    "median": np.median,
    "minimum": np.min,
}


@composite(np.pad)
def _pad(array: Any, pad_width: Any, mode: Any = "constant", **options: Any) -> Any:
    if mode == "empty":
        raise MissingRuleError("np.pad: mode='empty' leaves new elements undefined: write mode='constant' for zeros")
    if callable(mode):
        raise MissingRuleError(
            f"np.pad: mode={mode.__name__} writes into arrays, which is not recorded: write np.concatenate([...]) with "
            "the new elements, or name one of NumPy's modes"
        )
    if mode not in _OPTIONS:
        raise ValueError(f"np.pad: mode={mode!r} is none of {', '.join(_OPTIONS)}")
    if unknown := options.keys() - {_OPTIONS[mode]}:
        raise ValueError(f"np.pad: mode={mode!r} does not take {', '.join(sorted(unknown))}")
    widths = _widths(pad_width, array.ndim)
    if array.ndim == 0:
        return np.copy(array)  # there is no axis to pad
    if array.dtype.kind not in "fc":
        return Tensor(np.pad(array.data, widths, mode, **plain(options)))
    if mode == "constant" and not any(isinstance(leaf, Tensor) for leaf in leaves(options)):
        filling = np.pad(np.zeros(array.shape, array.dtype), widths, mode, **options)
        inside = tuple(slice(left, left + length) for (left, _), length in zip(widths, array.shape, strict=True))
        return updated(filling, array, index=inside)
    is_odd = options.get("reflect_type") == "odd"
    if (mode in _COPYING and not is_odd) or (array.size == 0 and mode != "constant"):
        # Elements are copied only, so padding their numbers tells which go where.
        numbers = np.arange(array.size).reshape(array.shape)
        return np.ravel(array)[np.pad(numbers, widths, mode, **options)]
    if mode in _STATISTICS:
        return _padded_with_statistics(array, widths, _STATISTICS[mode], **options)
    if is_odd:
        return _reflected_oddly(array, widths, include_edge=mode == "symmetric")
    return (_padded_with_constants if mode == "constant" else _padded_with_ramps)(array, widths, **options)


def _widths(pad_width: Any, ndim: int) -> np.ndarray[Any, Any]:
    """How much to add before and after along each axis."""
    pad_width = plain(pad_width)
    if isinstance(pad_width, dict):
        by_axis = ndim * [np.zeros(2, int)]
        for axis, width in pad_width.items():
            by_axis[axis] = np.broadcast_to(width, 2)
        pad_width = by_axis
    pairs: np.ndarray[Any, Any] = np.broadcast_to(pad_width, (ndim, 2))
    if pairs.dtype.kind != "i":
        raise TypeError(f"np.pad: pad_width must be of integers, not {pairs.dtype}")
    if np.any(pairs < 0):
        raise ValueError(f"np.pad: pad_width must not be negative, and here is {pairs.min()}")
    return pairs


def _values(values: Any, array: Any) -> Any:
    """Numbers and tensors, nested or not, as one array of pairs, in the dtype of what is to be padded."""
    values = arrayed(map_leaves(lambda value: as_dtype(value, array.dtype), values))
    return np.broadcast_to(values, (array.ndim, 2))


def _part(a: Any, axis: int, *bounds: int | None) -> Any:
    return a[(slice(None),) * axis + (slice(*bounds),)]


def _stretched(a: Any, axis: int, width: int) -> Any:
    """A number, or an array of length 1 along an axis, repeated along it."""
    return np.broadcast_to(a, (*a.shape[:axis], width, *a.shape[axis + 1 :]))


def _padded_with_constants(array: Any, widths: Any, constant_values: Any = 0) -> Any:
    values = _values(constant_values, array)
    for axis, pair in enumerate(widths):
        shape = list(array.shape)
        pieces = [np.broadcast_to(values[axis, i], [*shape[:axis], pair[i], *shape[axis + 1 :]]) for i in (0, 1)]
        array = np.concatenate([pieces[0], array, pieces[1]], axis=axis)
    return array


def _padded_with_ramps(array: Any, widths: Any, end_values: Any = 0) -> Any:
    values = _values(end_values, array)
    for axis, (left, right) in enumerate(widths.tolist()):
        first, last = (np.squeeze(_part(array, axis, *bounds), axis) for bounds in ((0, 1), (-1, None)))
        before = np.linspace(values[axis, 0], first, left, endpoint=False, axis=axis)
        after = np.linspace(values[axis, 1], last, right, endpoint=False, axis=axis)
        array = np.concatenate([before, array, np.flip(after, axis)], axis=axis)
    return array


def _padded_with_statistics(array: Any, widths: Any, statistic: Callable[..., Any], stat_length: Any = None) -> Any:
    lengths = np.broadcast_to(max(array.shape, default=0) if stat_length is None else stat_length, (array.ndim, 2))
    if np.any(lengths < 0) or (statistic in (np.max, np.min) and not np.all(lengths)):
        raise ValueError(f"np.pad: a stat_length of {lengths.min()} yields no value for padding")
    for axis, (left, right) in enumerate(widths.tolist()):
        whole = array.shape[axis]
        head, tail = (min(int(length), whole) for length in lengths[axis])
        first, last = _part(array, axis, 0, head), _part(array, axis, whole - tail, whole)
        before, after = (statistic(part, axis=axis, keepdims=True) for part in (first, last))
        array = np.concatenate([_stretched(before, axis, left), array, _stretched(after, axis, right)], axis=axis)
    return array


def _reflected_oddly(array: Any, widths: Any, *, include_edge: bool) -> Any:
    """Turn what is there about each end, as often as it takes: new elements are twice the edge less the old ones."""
    skipped = 0 if include_edge else 1
    for axis, (left, right) in enumerate(widths.tolist()):
        period = array.shape[axis] - skipped
        if array.shape[axis] == 1:
            first = _part(array, axis, 0, 1)
            array = np.concatenate([_stretched(first, axis, left), array, _stretched(first, axis, right)], axis=axis)
            continue
        while left or right:
            # Whole periods only: about the end of a part of one, the new elements would be others.
            longest = (array.shape[axis] - skipped) // period * period
            head, tail = min(longest, left), min(longest, right)
            backwards = np.flip(array, axis)
            before = 2 * _part(array, axis, 0, 1) - np.flip(_part(array, axis, skipped, skipped + head), axis)
            after = 2 * _part(backwards, axis, 0, 1) - _part(backwards, axis, skipped, skipped + tail)
            array = np.concatenate([before, array, after], axis=axis)
            left, right = left - head, right - tail
    return array
