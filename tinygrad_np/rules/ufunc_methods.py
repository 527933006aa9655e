"""The methods of ufuncs: ``np.add.reduce``, ``accumulate``, ``reduceat``, ``outer`` and ``at``.

Where a reduction has a derivative in closed form it gets a rule. All others are what they mean, the ufunc applied to
one row after another, so that the ufunc's own rule does the work.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, cast

import numpy as np

from tinygrad_np.backward import cut_off
from tinygrad_np.core import Differentiable, Tensor, defvjp, table, updated
from tinygrad_np.rules.elementwise import over
from tinygrad_np.rules.handlers import Composite, Constant, composite, constant, plain, refuse
from tinygrad_np.rules.indexing import arrayed, scattered
from tinygrad_np.rules.movement import as_dtype, refuse_writing
from tinygrad_np.rules.reductions import axes_of, restored, spread

# The same as another function but for the axis, which is the first one unless told.

_SAME: dict[Any, Any] = {
    np.add.reduce: np.sum,
    np.multiply.reduce: np.prod,
    np.maximum.reduce: np.max,
    np.minimum.reduce: np.min,
    np.fmax.reduce: np.max,
    np.fmin.reduce: np.min,
    np.add.accumulate: np.cumsum,
    np.multiply.accumulate: np.cumprod,
}
for _method, _function in _SAME.items():
    _known = cast(Differentiable, table[_function])
    defvjp(_method, functools.partial(cast(Any, _known.rules[0]), axis=0), selects=_known.selects)


def _share_rule(exponential: np.ufunc) -> Callable[..., Any]:
    def rule(
        g: Any,
        y: Any,
        array: Any,
        axis: Any = 0,
        dtype: Any = None,
        keepdims: Any = False,
        initial: Any = None,
        where: Any = True,
    ) -> Any:
        """Each term's share in the sum of exponentials: summed anew, since the rounding of a large y is no share."""
        y = restored(y, array.shape, axis)
        y = np.where(y == -np.inf, 0, y)
        terms = array if where is True else np.where(where, array, -np.inf)
        powers = exponential(terms - y)
        total = np.sum(powers, axis=axes_of(axis, array.ndim), keepdims=True)
        if initial is not None:
            total = total + exponential(initial - y)
        g = spread(g, array.shape, axis)
        return cut_off(g, g * over(powers, total))

    return rule


defvjp(np.logaddexp.reduce, _share_rule(np.exp))
defvjp(np.logaddexp2.reduce, _share_rule(np.exp2))


def _length_rule(
    g: Any,
    y: Any,
    array: Any,
    axis: Any = 0,
    dtype: Any = None,
    keepdims: Any = False,
    initial: Any = None,
    where: Any = True,
) -> Any:
    legs = array if where is True else np.where(where, array, 0)
    g = spread(g, array.shape, axis, where)
    return cut_off(g, g * over(legs, restored(y, array.shape, axis)))


defvjp(np.hypot.reduce, _length_rule)

# One row after another. NumPy's own method runs first: for its checks, and for what its result looks like.


def _reduce(ufunc: Any) -> Callable[..., Any]:
    numpys = Constant(ufunc.reduce)

    def reduce(
        array: Any,
        /,
        axis: Any = 0,
        dtype: Any = None,
        keepdims: bool = False,
        initial: Any = None,
        where: Any = True,
        **_out: None,
    ) -> Any:
        result = numpys.call((array,), {"axis": axis, "dtype": dtype, "initial": initial, "where": where})
        array = as_dtype(array, result.dtype)
        axes = axes_of(axis, array.ndim)
        number = math.prod(array.shape[axis] for axis in axes)

        def rows(x: Any) -> Any:
            return np.moveaxis(x, axes, range(len(axes))).reshape(number, *result.shape)

        masks = [True] * number if where is True else rows(np.broadcast_to(plain(where), array.shape))
        if initial is None:
            total, *terms = rows(array)
            masks = masks[1:]
        else:
            total, terms = np.broadcast_to(as_dtype(initial, result.dtype), result.shape), rows(array)
        for term, mask in zip(terms, masks, strict=False):
            step = ufunc(total, term)
            total = step if where is True else np.where(mask, step, total)
        return restored(total, array.shape, axis) if keepdims else total

    return reduce


def _accumulate(ufunc: Any) -> Callable[..., Any]:
    numpys = Constant(ufunc.accumulate)

    def accumulate(array: Any, /, axis: int = 0, dtype: Any = None, **_out: None) -> Any:
        result = numpys.call((array,), {"axis": axis, "dtype": dtype})
        terms = np.moveaxis(as_dtype(array, result.dtype), axis, 0)
        totals = list(terms[:1])
        for term in terms[1:]:
            totals.append(ufunc(totals[-1], term))
        return np.stack(totals, axis) if totals else result

    return accumulate


def _reduceat(ufunc: Any) -> Callable[..., Any]:
    numpys = Constant(ufunc.reduceat)

    def reduceat(array: Any, places: Any, /, axis: int = 0, dtype: Any = None, **_again: Any) -> Any:
        result = numpys.call((array, places), {"axis": axis, "dtype": dtype})
        terms = np.moveaxis(as_dtype(array, result.dtype), axis, 0)
        starts = [int(start) for start in plain(places)]
        stops = [*starts, len(terms)][1:]
        parts = [
            ufunc.reduce(terms[start:stop]) if start + 1 < stop else terms[start]
            for start, stop in zip(starts, stops, strict=True)
        ]
        return np.stack(parts, axis) if parts else result

    return reduceat


def _outer(ufunc: Any) -> Callable[..., Any]:
    def outer(a: Any, b: Any, /, **options: Any) -> Any:
        a, b = arrayed(a), arrayed(b)
        return ufunc(a.reshape(a.shape + (1,) * b.ndim), b, **options)

    return outer


def _at(ufunc: Any) -> Callable[..., None]:
    name = f"np.{ufunc.__name__}.at"

    def at(target: Any, index: Any, *operand: Any) -> None:
        """An element that the index names several times is changed as often: there is a round for each time."""
        index = plain(index)
        if not isinstance(target, Tensor):
            refuse_writing(name, *operand)
            ufunc.at(target, index, *map(plain, operand))
            return
        with np.errstate(all="ignore"):  # for NumPy's own checks, which need no more than shapes and dtypes
            ufunc.at(_ones(target), index, *map(_ones, operand))
        places = np.arange(target.size).reshape(target.shape)[index]
        own = [arrayed(x) if ufunc is np.ldexp else as_dtype(x, target.dtype) for x in operand]
        operands = [np.ravel(np.broadcast_to(x, places.shape)) for x in own]
        elements: Any = np.ravel(target)
        places = places.ravel()
        if ufunc is np.add or ufunc is np.subtract:  # how often does not matter to a sum
            elements = ufunc(elements, scattered(*operands, index=places, shape=elements.shape))
        else:
            for now in _rounds(places):
                step = ufunc(elements[places[now]], *(x[now] for x in operands))
                elements = updated(elements, step, index=places[now])
        target._rebind(elements.reshape(target.shape), name)

    return at


def _ones(x: Any) -> Any:
    x = arrayed(x)
    return np.ones(x.shape, x.dtype)


def _rounds(places: np.ndarray[Any, Any]) -> list[np.ndarray[Any, Any]]:
    """Where each place is named for the first time, for the second time, and so on."""
    order = np.argsort(places, kind="stable")
    ordered = places[order]
    times = np.empty(places.shape, int)
    times[order] = np.arange(places.size) - np.searchsorted(ordered, ordered)
    return np.split(np.argsort(times, kind="stable"), np.cumsum(np.bincount(times))[:-1])


# What each ufunc has.

_SPELLINGS = {"reduce": _reduce, "accumulate": _accumulate, "reduceat": _reduceat, "outer": _outer, "at": _at}


def is_defined(method: Any) -> bool:
    """Whether NumPy defines a method for a ufunc of this many arguments and results."""
    ufunc, kind = method.__self__, method.__name__
    if kind not in _SPELLINGS:
        return True
    takes_it = ufunc.nin == 2 or kind == "at"
    gives_it = ufunc.nout == 1 or kind == "outer"
    return ufunc.signature is None and takes_it and gives_it


def _register(ufunc: Any, method: Any) -> None:
    name, kind = f"np.{ufunc.__name__}", method.__name__
    if not is_defined(method):
        refuse(f"NumPy does not define it for functions like {name}", method)
    elif ufunc is np.ldexp and kind not in ("outer", "at"):
        refuse("its second argument is an integer, so it cannot take its own results", method)
    elif isinstance(table[ufunc], Differentiable | Composite) or (ufunc is np.floor_divide and kind != "outer"):
        composite(method)(_SPELLINGS[kind](ufunc))  # an element by itself is not divided, and keeps its gradient
    elif kind == "at":
        refuse(f"write t[index] = {name}(t[index])", method)
    else:
        constant(method)


for _ufunc in dict.fromkeys(value for value in vars(np).values() if isinstance(value, np.ufunc)):
    for _kind in _SPELLINGS:
        _method = getattr(_ufunc, _kind)
        if _method not in table and (_ufunc in table or _ufunc.signature is not None):
            _register(_ufunc, _method)
