"""Where arrays that live long are put: at the start of a cache line.

NumPy's own large arrays start 16 bytes into one, so each 64 bytes that a vector instruction reads or writes lie in two
lines. That is slow where a core must first take both from another, as after a matrix product in several threads: the
update of a weight then takes twice the time.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["CACHE_LINE", "aligned", "aligned_bytes", "laid_out"]

CACHE_LINE = 64
"""Bytes that a processor fetches at once."""

_LARGE = 64 * CACHE_LINE
"""Bytes from which on it matters where an array starts."""


def aligned(array: NDArray[Any]) -> NDArray[Any]:
    """The array itself if it is small or starts at a cache line; else a copy that does, with the same order of axes."""
    if array.nbytes < _LARGE or array.ctypes.data % CACHE_LINE == 0:
        return array
    copy = laid_out(aligned_bytes(array.nbytes), array)
    np.copyto(copy, array)
    return copy


def aligned_bytes(nbytes: int) -> NDArray[np.uint8]:
    """New memory that starts at a cache line."""
    raw = np.empty(nbytes + CACHE_LINE, np.uint8)
    start = -raw.ctypes.data % CACHE_LINE
    return raw[start : start + nbytes]


def laid_out(memory: NDArray[np.uint8], like: Any) -> NDArray[Any]:
    """The start of some memory as an array with another's shape, dtype and order of axes, and without gaps.

    What it is like may be anything with a shape, dtype, strides and nbytes.
    """
    order = sorted(range(len(like.shape)), key=lambda axis: -abs(like.strides[axis]))
    flat = memory[: like.nbytes].view(like.dtype)
    back = sorted(range(len(order)), key=order.__getitem__)
    array: NDArray[Any] = flat.reshape([like.shape[axis] for axis in order]).transpose(back)
    return array
