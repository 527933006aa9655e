"""The second run of a function that is captured.

It must do what the first one did, or no replay could do the same. And it tells what the function makes itself, which is
another array the second time, from what is there all the time, which is the same: only the former is constant.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from operator import is_
from typing import Any

import numpy as np

from tinygrad_np.compiler.capture import Attempt, Tape
from tinygrad_np.compiler.program import Call, Program, Value, Wrapped, values_in
from tinygrad_np.compiler.traced import Traced
from tinygrad_np.errors import CaptureError
from tinygrad_np.memory import owner
from tinygrad_np.trees import leaves

__all__ = ["Repetition"]

_SMALL = 100  # to which one can be added in every dtype
_UNCHANGING = (bool, int, float, complex, str, bytes, type(None), np.generic, np.dtype, type(...), slice)


class Repetition(Tape):
    """Follows a program, and raises at the first thing that is not as it was when that was written down.

    Parameters
    ----------
    program : Program
        What the first run wrote. Its values stand for what the second run meets in their places.
    name : str
        What error messages call the function.
    outside : list of ndarray
        As for `Tape`.
    """

    def __init__(self, program: Program, name: str, outside: Sequence[np.ndarray[Any, Any]] = ()) -> None:
        super().__init__(outside)
        self._first = program
        self._name = name
        self._met: dict[int, tuple[Any, Value]] = {}

    def _outside(self, kind: str, array: Any, source: Any) -> Traced:
        position = len(self.program.values)
        if position == len(self._first.values):
            raise self._differs(f"it needed another {kind} of {array.dtype}{array.shape} the second time")
        value = self._first.values[position]
        if kind != value.kind or (array.shape, array.dtype) != (value.shape, value.dtype):
            was = f"{value.kind} of {value.dtype}{value.shape}"
            raise self._differs(f"a {was} was a {kind} of {array.dtype}{array.shape} the second time")
        if isinstance(source, np.ndarray):
            self._met[id(source)] = source, value  # kept alive, so that no other array gets its number
            self._tell_kind(source, value)
        elif kind == "constant":
            self._check_elements(source, value)
        elif source is not value.source and kind != "input":
            raise self._differs(f"a {kind} of {array.dtype}{array.shape} belonged to another the second time")
        self._count = value.number
        self.program.values.append(value)
        return Traced(self, value, array)

    def _tell_kind(self, source: np.ndarray[Any, Any], value: Value) -> None:
        """Whether an array is there all the time, or is made by the function, and then must have the same elements."""
        if owner(source) is not owner(value.source):
            self._check_elements(source, value)
            value.kind = "constant"
        elif _place(source) != _place(value.source):
            raise self._differs(f"it used another part of an array, {value.dtype}{value.shape}, the second time")
        elif _is_writeable(source):
            value.kind = "storage"

    def storage(self, array: Any, *, transient: bool = False) -> Any:
        """As for `Tape`; what the function made must not have changed since the last time that it was met."""
        found = super().storage(array, transient=transient)
        if found is array:
            return found
        source, value = self._met.get(id(array), (None, None))
        if source is array and value is not None and value.kind == "constant":
            self._check_elements(array, value)
        return found

    def _write_to(self, array: Any, target: Traced, made: Traced) -> Traced:
        """As for `Tape`. A plain array is not written to in fact, so whoever looks at it sees what is not so."""
        if array is not target:
            source, value = self._met[id(array)]
            if owner(source) is owner(value.source):
                raise CaptureError(
                    f"the function writes in place to an array of {target.dtype}{target.shape} that is not its own, "
                    "nor in anything that it names: use the array by a name, an attribute or an item of something"
                )
            _spoil(array)
        return super()._write_to(array, target, made)

    def _check_elements(self, array: Any, value: Value) -> None:
        if _bytes(array) != _bytes(value.source):
            raise self._differs(
                f"a constant of {value.dtype}{value.shape} has other elements the second time, or is written to after "
                "it was used, or by out= where np.zeros_like(x) or what the call returns should be used instead"
            )

    def _noted(self, function: np.ufunc, args: tuple[Any, ...], operands: list[Value], result: Any) -> Value:
        """As for `Tape`; that most calls are as they were is told soon."""
        earlier = self._earlier()
        if earlier is None or not _is_same(earlier, function, args, result):
            call = self._written(Attempt(function, args, {}, [(None, value) for value in operands]), [result], False)
            self.program.calls.append(call)
            return call.results[0]
        self._take_over(earlier, [result])
        self.program.calls.append(earlier)
        return earlier.results[0]

    def _earlier(self) -> Call | None:
        """The call that was made at this point the first time."""
        calls, position = self._first.calls, len(self.program.calls)
        return calls[position] if position < len(calls) else None

    def _take_over(self, earlier: Call, made: list[Any]) -> None:
        """Let the values of a call stand for its results once more."""
        self._count += len(made)
        for value in earlier.operands:
            if value.kind != "constant" and (value.kind != "result" or value.source is None):
                return
        for value, array in zip(earlier.results, made, strict=True):  # made of what does not change
            value.source = array

    def _written(self, attempt: Attempt, made: list[Any], several: bool) -> Call:
        earlier = self._earlier()
        if earlier is not None and _alike(attempt, earlier, made):
            self._take_over(earlier, made)
            return earlier
        theirs = super()._written(attempt, made, several)
        if earlier is None:
            raise self._differs(f"the call {theirs} was made only the second time")
        if str(theirs) != str(earlier):
            raise self._differs(f"the call {earlier} was {theirs} the second time")
        return earlier

    def finish(self, output: Any) -> Program:
        """The program, if all of it is as it was the first time."""
        first, second = self._first, super().finish(output)
        if len(second.calls) < len(first.calls):
            raise self._differs(f"the call {first.calls[len(second.calls)]} was made only the first time")
        # Nobody sees what the function has written to arrays of its own.
        first.stores = {target: value for target, value in first.stores.items() if target.kind != "constant"}
        second.stores = {target: value for target, value in second.stores.items() if target.kind != "constant"}
        for what in ("stores", "grads", "grads_read", "updated"):
            if getattr(first, what) != getattr(second, what):
                raise self._differs(f"what it leaves behind ({what}) was something else the second time")
        self._check_outputs(leaves(first.outputs), leaves(second.outputs))
        return first

    def _check_outputs(self, first: list[Any], second: list[Any]) -> None:
        for ours, theirs in zip_longest(first, second):
            if isinstance(ours, Value | Wrapped) and isinstance(theirs, Value | Wrapped):
                if next(values_in(ours)) is not next(values_in(theirs)):
                    raise self._differs("it returned the result of another call the second time")
            elif isinstance(ours, _UNCHANGING) and isinstance(theirs, _UNCHANGING):
                if not _same(ours, theirs):
                    raise self._differs(f"it returned {ours!r} the first time, and {theirs!r} the second")
            elif ours is not theirs:
                raise CaptureError(
                    f"tg.compile: {self._name} returns a {type(ours).__name__} that it makes itself, which a replay "
                    "could not: return arrays, tensors, numbers and strings, in dicts, lists and tuples"
                )

    def _differs(self, what: str) -> CaptureError:
        return CaptureError(
            f"tg.compile: {self._name} did not do the same when it was run twice on the same arguments ({what}): a "
            "replay would repeat one of them for ever. Draw random numbers with tg.random inside of it, and pass in "
            "what else changes"
        )


def _spoil(array: np.ndarray[Any, Any]) -> None:
    """Give an array other elements, so that what is computed from them differs from what it was the first time."""
    if array.dtype.kind == "b":
        array[...] = ~array
    else:
        array[...] = np.where(np.abs(array) < _SMALL, array + array.dtype.type(1), array.dtype.type(0))


def _place(array: np.ndarray[Any, Any]) -> tuple[int, tuple[int, ...]]:
    return array.ctypes.data, array.strides


def _is_writeable(array: np.ndarray[Any, Any]) -> bool:
    memory = owner(array)
    return array.flags.writeable or (isinstance(memory, np.ndarray) and memory.flags.writeable)


def _is_same(earlier: Call, function: np.ufunc, args: tuple[Any, ...], result: Any) -> bool:
    """Whether a call of a ufunc is an earlier one to the last object."""
    if earlier.function is not function or len(earlier.args) != len(args) or earlier.kwargs:
        return False
    value = earlier.results[0]
    return result.shape == value.shape and result.dtype is value.dtype and all(map(is_, args, earlier.args))


def _alike(attempt: Attempt, earlier: Call, made: list[Any]) -> bool:
    """Whether a call is an earlier one, as far as can be told without writing both out."""
    # np.add.reduce is a new object each time, and equal.
    if attempt.function != earlier.function or len(made) != len(earlier.results):
        return False
    for array, value in zip(made, earlier.results, strict=True):
        if array.shape != value.shape or array.dtype != value.dtype:
            return False
    return _same(attempt.args, earlier.args) and _same(attempt.kwargs, earlier.kwargs)


def _same(a: Any, b: Any) -> bool:
    """Whether nested arguments are the same, as 1, 1.0 and True are not."""
    if a is b:
        return True
    if a.__class__ is not b.__class__:
        return False
    if isinstance(a, (tuple, list)):
        return len(a) == len(b) and all(map(_same, a, b))
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(map(_same, a.values(), b.values()))
    return a.__class__ is not Value and repr(a) == repr(b)


def _bytes(array: Any) -> bytes:
    return np.asarray(array).tobytes()
