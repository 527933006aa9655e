"""Buffers: which memory each result of a program is written to, decided once.

A buffer whose content nobody needs any more is used again, in place if an operand of the same layout dies in the call.
Results that a parameter's own array has in the end, and what they are made of on the way, go straight there.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinygrad_np.compiler.blocks import EXACT
from tinygrad_np.compiler.inexact import stacked
from tinygrad_np.compiler.program import Call, Program, Value, values_in
from tinygrad_np.memory import CACHE_LINE, aligned_bytes, laid_out

__all__ = ["Buffers"]

Array = np.ndarray[Any, Any]


class Buffers:
    """Gives memory to results, in the order of the calls that make them.

    Parameters
    ----------
    program : Program
        Whose results these are.
    fixed : dict of Value to ndarray
        The arrays of the values that are the same on every run, so far: filled by whoever writes the calls.
    careful : bool
        Any arithmetic may raise: of what an array outside of the program has in the end, only that itself goes there.

    Attributes
    ----------
    memory : list of ndarray
        All that was made.
    number_of : dict of Value to int
        Where in `memory` a value is.
    last : dict of Value to float
        After which call the memory of a value is not needed any more.
    returned : set of Value
        What the caller gets, and may keep.
    placed : dict of Value to ndarray
        Results that lie one after the other in memory, for sums of products.
    """

    def __init__(self, program: Program, fixed: dict[Value, Any], *, careful: bool) -> None:
        self.program = program
        self.memory: list[Array] = []
        self.number_of: dict[Value, int] = {}
        self.returned = set(values_in(program.outputs))
        self.last = self._last_uses()
        self._dying: dict[float, list[Value]] = {}
        for value, position in self.last.items():
            self._dying.setdefault(position, []).append(value)
        self._fixed = fixed
        self._free: dict[int, list[int]] = {}
        self._targets = self._storages_of_results([] if careful else program.calls)
        self.placed = self._places()

    def _last_uses(self) -> dict[Value, float]:
        last: dict[Value, float] = {}
        for position, call in enumerate(self.program.calls):
            for value in [*call.operands, *call.results]:
                last[value.root] = position
        for value in self.program.kept():
            last[value.root] = math.inf
        return last

    def _storages_of_results(self, calls: list[Call]) -> dict[Value, Value]:
        """Which array outside of the program a result may be written to: one that has it in the end, or has in the end
        what arithmetic makes of it. All that comes between must be arithmetic on what is no argument: other calls might
        raise, upon which eager would have left the array as it was, and an argument may be that very array.
        """
        targets = {value: target for target, value in self.program.stores.items()}
        run: dict[Value, int] = {}  # how many other calls came before
        others = 0
        for call in calls:
            exact = call.function in EXACT and call.elementwise
            if exact and all(v.root.kind not in ("input", "grad") or not v.shape for v in call.operands):
                run[call.results[0]] = others
            else:
                others += 1
        for position in range(len(calls) - 1, -1, -1):
            result = calls[position].results[0] if calls[position].results else None
            if result not in targets or result not in run or result in self.returned:
                continue
            if not _same_layout(targets[result], result):
                continue
            for operand in calls[position].operands:
                passing = operand not in targets and self.last.get(operand) == position
                if passing and run.get(operand) == run[result] and _same_layout(operand, result):
                    targets[operand] = targets[result]
                    break
        return targets

    def _places(self) -> dict[Value, Array]:
        """Where the factors of stacked products go: the last one first, since backward starts at the latest time."""
        places: dict[Value, Array] = {}
        for call in self.program.calls:
            for factors in call.args[1:] if call.function is stacked else ():
                mine = [v.root for v in factors if v.root.kind == "result" and v.root not in places]
                mine = [v for v in dict.fromkeys(mine) if v not in self.returned and v not in self._targets]
                if len({(v.shape, v.dtype) for v in mine}) == 1 and mine[0].nbytes:
                    whole = self.more(len(mine) * mine[0].nbytes).view(mine[0].dtype)
                    places |= zip(reversed(mine), whole.reshape(len(mine), *mine[0].shape), strict=True)
        return places

    def more(self, nbytes: int) -> Array:
        """New memory of this size."""
        self.memory.append(aligned_bytes(_rounded(nbytes)))
        return self.memory[-1][:nbytes]

    def side_by_side(self, results: list[Value]) -> Array:
        """New memory for results of one kind, one after the other; all of it as one array."""
        size = results[0].nbytes
        block = aligned_bytes(len(results) * size)
        for i, result in enumerate(results):
            self.number_of[result] = len(self.memory)
            self.memory.append(block[i * size : (i + 1) * size])
            self._fixed[result] = laid_out(self.memory[-1], result)
        whole: Array = block.view(results[0].dtype).reshape(len(results), *results[0].shape)
        return whole

    def array_for(self, call: Call, result: Value, position: int, *, in_place: bool = False, only: Any = None) -> Array:
        """Where a result goes: an array outside of the program, an operand that dies, or a buffer.

        Parameters
        ----------
        call, result, position
            What makes it, and where in the program.
        in_place : bool
            The call may write to what it reads: to any operand, or to `only` one.
        """
        if result in self.placed:
            return self.placed[result]
        target = self._targets.get(result)
        if target is not None and self._may_overwrite(target, call, result, position, in_place, only):
            return target.source  # type: ignore[no-any-return]
        if in_place:
            for operand in [only] if only is not None else call.operands:
                if isinstance(operand, Value) and self._dies(operand, position) and _same_layout(operand, result):
                    # The buffer goes on under another name, and is not free after all.
                    self.number_of[result] = self.number_of.pop(operand)
                    return self._fixed[operand]  # type: ignore[no-any-return]
        free = self._free.get(_rounded(result.nbytes))
        if free:
            number = free.pop()
        else:
            number = len(self.memory)
            self.more(result.nbytes)
        self.number_of[result] = number
        return laid_out(self.memory[number], result)

    def _dies(self, operand: Value, position: int) -> bool:
        return operand in self.number_of and operand.owner is None and self.last[operand] == position

    def _may_overwrite(
        self, target: Value, call: Call, result: Value, position: int, in_place: bool, only: Any
    ) -> bool:
        """Whether a result may be written to a parameter's array at once: nobody reads its old elements after that."""
        last = self.last.get(target, -1)
        if not _same_layout(target, result) or last > position:
            return False
        if last < position:
            return True
        # Read by this very call: elementwise functions may read and write the same element, and others start from the
        # elements of one operand.
        reads = [v for v in call.operands if v.root is target]
        return in_place and (all(v is target for v in reads) if only is None else reads == [only])

    def release(self, position: int) -> None:
        """Let the memory be used again that nobody needs after the call at a position."""
        for value in self._dying.get(position, ()):
            if value in self.number_of:
                number = self.number_of[value]
                self._free.setdefault(self.memory[number].nbytes, []).append(number)


def _same_layout(a: Value, b: Value) -> bool:
    return a.is_array and a.lies_as(b)


def _rounded(nbytes: int) -> int:
    return max(CACHE_LINE, -(-nbytes // CACHE_LINE) * CACHE_LINE)
