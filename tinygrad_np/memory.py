"""Where arrays lie: those that live long at the start of a cache line, and the others in memory that was used before.

NumPy's own large arrays start 16 bytes into one, so each 64 bytes that a vector instruction reads or writes lie in two
lines. That is slow where a core must first take both from another, as after a matrix product in several threads: the
update of a weight then takes twice the time.
"""

from __future__ import annotations

import ctypes
import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
    *("CACHE_LINE", "aligned", "aligned_bytes", "laid_out", "owner", "row_of"),
    *("keep_freed_memory", "keep_some_freed_memory"),
]

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
    flat = memory[: like.nbytes].view(like.dtype)
    steps = [abs(step) for step in like.strides]
    if steps == sorted(steps, reverse=True):  # in C's order, as most are
        in_order: NDArray[Any] = flat.reshape(like.shape)
        return in_order
    order = sorted(range(len(steps)), key=lambda axis: -steps[axis])
    back = sorted(range(len(order)), key=order.__getitem__)
    array: NDArray[Any] = flat.reshape([like.shape[axis] for axis in order]).transpose(back)
    return array


@functools.lru_cache(maxsize=128)
def row_of(number: float, length: int, dtype: np.dtype[Any]) -> NDArray[Any]:
    """A row of one number, always the same array; nobody may write to it."""
    row = np.full(length, number, dtype)
    row.flags.writeable = False
    return row


def owner(array: NDArray[Any]) -> Any:
    """What the memory belongs to that an array looks into: itself, another array, or whatever lent it."""
    found: Any = array
    while isinstance(found, np.ndarray) and found.base is not None:
        found = found.base
    return found


# The names and numbers that glibc's malloc.h gives them.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_LARGEST_TRIM, _LARGEST_MMAP = 2**31 - 1, 32 * 2**20


@functools.cache
def keep_some_freed_memory() -> None:
    """Have the C library keep up to 64 MB of freed memory, for the steps of a training free what the next ones need.

    glibc takes the largest memory under 32 MB that was ever freed for the size that will be needed again, and keeps
    twice as much. So it is enough to free some, which costs nothing as nobody wrote to it; a program that has set the
    tunables itself, or called `keep_freed_memory`, is left alone. Other C libraries do not mind.

    Notes
    -----
    The GNU C Library Reference Manual, "Malloc Tunable Parameters", and mallopt(3), on M_MMAP_THRESHOLD.
    """
    try:
        library = ctypes.CDLL(None)
        malloc, free = library.malloc, library.free
    except (AttributeError, OSError, TypeError):  # no such function; no such library; Windows
        return
    # Not an array, as whoever measures the memory of arrays would take it for one.
    malloc.restype, free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
    free(malloc(ctypes.c_size_t(_LARGEST_MMAP - 2**16)))  # less than the largest, as glibc adds a header and rounds up


def keep_freed_memory() -> bool:
    """Have the C library keep the memory of freed arrays for the next ones, rather than give it back to the system.

    Every operation makes a new array. At first the C library gives the memory of one of more than 128 KB back to the
    system as soon as it is freed, and the next array then costs a page fault for every 4 KB, often more time than the
    arithmetic on it. From the first gradient on, it is led to keep up to 64 MB. With this setting it keeps all there
    is, for programs that have more at a time. A compiled function does not need it: its arrays are made once.

    The setting is for the whole process and cannot be taken back, so call it at the start of a program, not in a
    library. The process stays as large as it was at its peak.

    Returns
    -------
    bool
        Whether the C library could be told. It can with glibc (most Linux systems), and not with musl, on macOS or on
        Windows, where nothing is changed.

    Notes
    -----
    The GNU C Library Reference Manual, "Malloc Tunable Parameters": M_TRIM_THRESHOLD is set to 2 GB, and
    M_MMAP_THRESHOLD to 32 MB, the largest that glibc takes; arrays larger than that still go back.

    Examples
    --------
    >>> import tinygrad_np as tg
    >>> told = tg.keep_freed_memory()
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # no such function; no such library; Windows
        return False
    return bool(mallopt(_MMAP_THRESHOLD, _LARGEST_MMAP) and mallopt(_TRIM_THRESHOLD, _LARGEST_TRIM))
