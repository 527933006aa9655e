"""Large arrays block by block, so that of several elementwise calls each finds in the cache what the one before left.

An update of a weight is such a sequence of calls. Each goes through arrays that are too large for the cache, and waits
for memory most of the time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinygrad_np.compiler.code import Step
from tinygrad_np.memory import CACHE_LINE

__all__ = ["EXACT", "Loop", "Sweep", "is_large", "loops"]

Array = np.ndarray[Any, Any]

EXACT = frozenset({np.add, np.subtract, np.multiply, np.divide, np.sqrt, np.square, np.negative, np.absolute})
"""Functions that round correctly, so that a result is the same wherever in an array it lies (but for a NaN's sign)."""

LARGE, BLOCK = 1 << 19, 1 << 18
"""From how many bytes of an array on it is gone through in blocks, and about how many bytes of it make one."""


def is_large(array: Array) -> bool:
    """Whether an array is worth cutting up."""
    return array.nbytes >= LARGE


@dataclass
class Sweep:
    """A step that goes through whole arrays, element by element.

    Attributes
    ----------
    line : int
        Which line of the generated function it is.
    function : callable
        What is called: a ufunc.
    args : sequence
        What it reads: arrays, and what is the same for all elements, be it in an array without axes.
    out : ndarray
        The array that it writes.
    position : int
        Which call of the program it is.
    last_use : float
        Which call is the last one that reads the result.
    bind : callable or None
        What makes, of a part of each array that is read, the call for these parts, if it is not that of a ufunc.
    """

    line: int
    function: Callable[..., Any]
    args: Sequence[Any]
    out: Array
    position: int
    last_use: float
    bind: Callable[..., Callable[[], Any]] | None = None

    def fits(self) -> bool:
        """Whether the arrays are large, and each element lies in all of them at the same place."""
        out = self.out
        kind = out.shape, out.dtype, True
        return is_large(out) and all((x.shape, x.dtype, x.flags.c_contiguous) == kind for x in [*self.read, out])

    @property
    def read(self) -> list[Array]:
        """The arrays that it goes through."""
        return [x for x in self.args if isinstance(x, np.ndarray) and x.ndim]

    @property
    def single(self) -> list[Array]:
        """The arrays without axes."""
        return [x for x in self.args if isinstance(x, np.ndarray) and not x.ndim]

    def step(self, block: dict[int, Array]) -> Step:
        """The call for a block: a part of each array, by where that starts."""
        args = [block[_start(x)] if isinstance(x, np.ndarray) and x.ndim else x for x in self.args]
        if self.bind is not None:
            return Step(self.bind(*(x for x in args if isinstance(x, np.ndarray) and x.ndim)), ())
        return Step(self.function, (*args, block[_start(self.out)]))


class Loop:
    """Sweeps that follow one another, made for one block after the other.

    Attributes
    ----------
    first, last : int
        Which lines it takes the place of.
    blocks : list of dicts
        A part of each array, by where that starts. Of an array that only these sweeps use, it is always the same part,
        which then stays in the cache.
    """

    def __init__(self, sweeps: Sequence[Sweep]) -> None:
        self.sweeps = sweeps
        self.first, self.last = sweeps[0].line, sweeps[-1].line
        flat: dict[int, Array] = {}
        last_use: dict[int, float] = {}
        inner: set[int] = set()  # written here before they are read
        for sweep in sweeps:
            flat |= {_start(x): x.reshape(-1) for x in sweep.read}
            start = _start(sweep.out)
            if start not in flat:
                inner.add(start)
            flat[start], last_use[start] = sweep.out.reshape(-1), sweep.last_use
        inner = {start for start in inner if last_use[start] <= sweeps[-1].position}
        out = sweeps[0].out
        in_line = max(1, CACHE_LINE // out.itemsize)
        # About as large as a block should be, but all alike: a short one at the end costs as many calls.
        length = -(-out.size // max(1, round(out.nbytes / BLOCK)))
        length = -(-length // in_line) * in_line
        parts = [slice(i, min(i + length, out.size)) for i in range(0, out.size, length)]
        self.blocks = [
            {start: x[: part.stop - part.start] if start in inner else x[part] for start, x in flat.items()}
            for part in parts
        ]

    def steps(self) -> list[Step]:
        """All of it."""
        return [sweep.step(block) for block in self.blocks for sweep in self.sweeps]


def loops(sweeps: Sequence[Sweep]) -> list[Loop]:
    """One for each sequence of sweeps on lines that follow one another, through arrays of one size."""
    groups: list[list[Sweep]] = []
    for sweep in sweeps:
        if groups and _goes_on(groups[-1], sweep):
            groups[-1].append(sweep)
        else:
            groups.append([sweep])
    return [Loop(group) for group in groups if len(group) > 1]


def _goes_on(group: list[Sweep], sweep: Sweep) -> bool:
    out, before = sweep.out, group[-1].out
    if sweep.line != group[-1].line + 1 or (out.size, out.dtype) != (before.size, before.dtype):
        return False
    starts = {_start(x) for one in (*group, sweep) for x in [*one.read, one.out]}
    # Arrays that overlap but do not start together have an element in several blocks; and what is the same for all
    # elements must not be one of those that are written.
    apart = all(a == b or abs(a - b) >= out.nbytes for a in starts for b in starts)
    both = [*group, sweep]
    return apart and not any(np.may_share_memory(x, y.out) for one in both for x in one.single for y in both)


def _start(array: Array) -> int:
    return array.ctypes.data
