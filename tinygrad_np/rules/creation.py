"""Arrays made from numbers that may be tensors: sequences between two of them, grids, and arrays like another."""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np

from tinygrad_np.core import updated
from tinygrad_np.rules.handlers import as_tensor, composite, constant, plain
from tinygrad_np.rules.indexing import arrayed
from tinygrad_np.rules.movement import as_dtype

constant(np.zeros_like, np.ones_like, np.empty_like)


@composite(np.full_like)
def _full_like(
    a: Any,
    fill_value: Any,
    dtype: Any = None,
    order: Any = "K",
    subok: bool = True,
    shape: Any = None,
    *,
    device: Any = None,
) -> Any:
    filled = as_tensor(np.empty_like(plain(a), dtype, order, subok, shape, device=device))
    filled[...] = fill_value
    return filled


if hasattr(np, "astype"):  # new in NumPy 2.1

    @composite(np.astype)
    def _astype(x: Any, dtype: Any, /, *, copy: bool = True, device: Any = None) -> Any:
        if device not in (None, "cpu"):
            raise ValueError(f"np.astype: arrays live in main memory, so device must be 'cpu', not {device!r}")
        return x.astype(dtype)


# Sequences


def operand(x: Any) -> Any:
    """A Python number as it is, so that it does not widen the result, and anything else as an array."""
    return x if isinstance(x, int | float | complex) else arrayed(x)


@composite(np.linspace)
def _linspace(
    start: Any,
    stop: Any,
    num: int = 50,
    endpoint: bool = True,
    retstep: bool = False,
    dtype: Any = None,
    axis: int = 0,
    *,
    device: Any = None,
) -> Any:
    num = operator.index(num)
    if num < 0:
        raise ValueError(f"np.linspace: the number of samples must not be negative, and here is {num}")
    start, stop = operand(start), operand(stop)
    inexact = np.result_type(start, stop, 1.0)
    intervals = num - 1 if endpoint else num
    length = np.subtract(stop, start, dtype=inexact)
    step = length / intervals if intervals > 0 else math.nan
    counts = np.arange(num, dtype=inexact, device=device).reshape(-1, *[1] * np.ndim(length))
    y = counts * (step if intervals > 0 else length) + start
    if endpoint and num > 1:
        y = updated(y, stop, index=-1)
    y = np.moveaxis(y, 0, axis)
    if dtype is not None:
        y = as_dtype(np.floor(y) if np.issubdtype(dtype, np.integer) else y, np.dtype(dtype))
    return (y, step) if retstep else y


@composite(np.logspace)
def _logspace(
    start: Any, stop: Any, num: int = 50, endpoint: bool = True, base: Any = 10.0, dtype: Any = None, axis: int = 0
) -> Any:
    if np.ndim(base):
        start, stop, base = (arrayed(x) for x in (start, stop, base))
        ndim = max(start.ndim, stop.ndim, base.ndim)
        start, stop, base = (x.reshape((1,) * (ndim - x.ndim) + x.shape) for x in (start, stop, base))
        base = np.expand_dims(base, axis)
    y = base ** np.linspace(start, stop, num, endpoint, axis=axis)
    return y if dtype is None else as_dtype(y, np.dtype(dtype))


@composite(np.geomspace)
def _geomspace(
    start: Any, stop: Any, num: int = 50, endpoint: bool = True, dtype: Any = None, axis: int = 0
) -> Any:
    start, stop = arrayed(start), arrayed(stop)
    if np.any(plain(start) == 0) or np.any(plain(stop) == 0):
        raise ValueError("np.geomspace: a geometric sequence cannot include zero")
    inexact = np.result_type(start, stop, float(num), np.zeros((), dtype))
    # Turned so that it starts from a positive number, and back in the end.
    direction = np.sign(as_dtype(start, inexact))
    start, stop = as_dtype(start, inexact) / direction, as_dtype(stop, inexact) / direction
    y = np.logspace(np.log10(start), np.log10(stop), num, endpoint)
    if num > 0:
        y = updated(y, start, index=0)
    if num > 1 and endpoint:
        y = updated(y, stop, index=-1)
    y = np.moveaxis(y * direction, 0, axis)
    return y if dtype is None else as_dtype(y, np.dtype(dtype))


# Grids


@composite(np.meshgrid)
def _meshgrid(*xi: Any, copy: bool = True, sparse: bool = False, indexing: str = "xy") -> Any:
    if indexing not in ("xy", "ij"):
        raise ValueError(f"np.meshgrid: indexing must be 'xy' or 'ij', not {indexing!r}")
    places = list(range(len(xi)))
    if indexing == "xy":
        places[:2] = places[1::-1]
    axes = [
        arrayed(x).reshape([-1 if axis == place else 1 for axis in range(len(xi))])
        for x, place in zip(xi, places, strict=True)
    ]
    grids = axes if sparse else np.broadcast_arrays(*axes)
    return tuple(np.copy(x) for x in grids) if copy else grids


@composite(np.ix_)
def _ix(*args: Any) -> Any:
    found = []
    for position, x in enumerate(map(arrayed, args)):
        if x.ndim != 1:
            raise ValueError(f"np.ix_: every argument must have one axis, and argument {position} has shape {x.shape}")
        if x.dtype.kind == "b":
            x = np.flatnonzero(plain(x))
        found.append(x.reshape([-1 if axis == position else 1 for axis in range(len(args))]))
    return tuple(found)


# NumPy does not dispatch these, but their own code calls functions that have rules, so tensors pass through them.

_DEPRECATED = [vars(np)[name] for name in ("row_stack", "trapz") if name in vars(np)]
for _function in (np.fft.fftfreq, np.fft.rfftfreq, np.fromfunction, np.poly1d, *_DEPRECATED):
    composite(_function)(_function)
