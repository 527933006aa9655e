"""Capture: run a function on arrays that write down what is called on them.

`Traced` stands in for an ndarray. NumPy hands it every call that it takes part in, and the `Tape` makes the call for
real and writes it down. The engine needs to know nothing of this: a Tensor wraps a Traced as it wraps an array, and
derivative rules run on Traced arrays as on plain ones.

What a replay could not repeat, such as a decision that depends on an element's value, is an error here and now.
"""

from __future__ import annotations

import operator
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from tinygrad_np.compiler.program import Call, Program, Value, Wrapped
from tinygrad_np.core import Tensor, converted, getitem, table, updated
from tinygrad_np.errors import CaptureError
from tinygrad_np.graph import Leaf, Pending, capturing, next_number
from tinygrad_np.memory import laid_out
from tinygrad_np.methods import ArrayMethods
from tinygrad_np.signatures import function_name
from tinygrad_np.trees import leaves, map_leaves

__all__ = ["Tape", "Traced", "copied", "overlap", "reinterpreted"]

Function = Callable[..., Any]

# The shape of what these return depends on the elements; what is indexed by a mask does too.
_OF_ANY_SHAPE = frozenset(
    {np.nonzero, np.flatnonzero, np.argwhere, np.unique, np.unique_values, np.unique_all, np.unique_counts}
    | {np.unique_inverse, np.compress, np.extract, np.trim_zeros, np.union1d, np.intersect1d, np.setdiff1d, np.setxor1d}
    | {np.bincount, np.delete, np.roots}
)

# What these write to cannot be followed.
_WRITING = frozenset({np.copyto, np.put, np.place, np.putmask, np.put_along_axis, np.fill_diagonal})

_QUERIES = frozenset({np.shape, np.ndim, np.size, np.result_type, np.can_cast, np.iscomplexobj, np.isrealobj})


class Traced(np.lib.mixins.NDArrayOperatorsMixin, ArrayMethods):
    """What a captured function sees in the place of an ndarray.

    Attributes
    ----------
    value : Value
        What it is in the program at the moment; writing in place makes it another.
    array : ndarray or NumPy scalar
        What it is during capture.
    is_array : bool
        Whether it stands for an ndarray. One without axes may be given a scalar's content.
    """

    __slots__ = ("__weakref__", "array", "is_array", "tape", "value")

    def __init__(self, tape: Tape, value: Value, array: Any) -> None:
        self.tape = tape
        self.value = value
        self.array = array
        self.is_array = isinstance(array, np.ndarray)

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        """What the user's ``isinstance`` is told that it is: an ndarray, or a NumPy scalar."""
        if sys._getframe(1).f_globals.get("__name__", "")[:12] == "tinygrad_np.":
            return Traced
        return np.ndarray if self.is_array else type(self.array)

    @property
    def _value(self) -> Any:
        return self.array

    @property
    def data(self) -> Any:
        """Itself: it stands for an array."""
        return self

    @property
    def strides(self) -> tuple[int, ...]:
        """Bytes from one element to the next along each axis."""
        return self.array.strides  # type: ignore[no-any-return]

    @property
    def flags(self) -> Any:
        """How the array lies in memory."""
        return self.array.flags

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if any(isinstance(x, Tensor) for x in inputs):
            return NotImplemented  # a Tensor wraps what is captured
        return self.tape.call(ufunc if method == "__call__" else getattr(ufunc, method), inputs, kwargs)

    def __array_function__(
        self, function: Function, types: Iterable[type], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        if any(issubclass(kind, Tensor) for kind in types):
            return NotImplemented
        return self.tape.call(function, args, kwargs)

    @staticmethod
    def door(function: Function, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        """Where the calls of primitives that it takes part in go."""
        tape = next(a.tape for a in leaves([list(args), kwargs]) if isinstance(a, Traced))
        return tape.call(table[function].function, args, kwargs)

    def __getitem__(self, index: Any) -> Any:
        return self.tape.call(getitem.__wrapped__, (self,), {"index": index})  # type: ignore[attr-defined]

    def __setitem__(self, index: Any, value: Any) -> None:
        if self.is_elsewhere():
            self.array[index] = _concrete(value)
            return
        made = self.tape.call(updated.__wrapped__, (self, value), {"index": index})  # type: ignore[attr-defined]
        self.tape.write(self, made)

    def astype(self, dtype: Any, casting: str = "unsafe", copy: bool = True, **options: Any) -> Any:
        """The same numbers in another dtype."""
        if not copy and self.dtype == dtype:
            return self
        wrapped = converted.__wrapped__  # type: ignore[attr-defined]
        return self.tape.call(wrapped, (self,), {"dtype": np.dtype(dtype), "casting": casting})

    def view(self, dtype: Any) -> Any:
        """The same memory as another dtype."""
        return self.tape.call(reinterpreted, (self, np.dtype(dtype)), {})

    def _rebind(self, updated: Any, spelling: str) -> Any:
        self.tape.write(self, updated)
        return self

    def is_elsewhere(self) -> bool:
        """Whether this is another thread, which finds it where an array was, or a time when its tape has ended.

        Raises
        ------
        CaptureError
            If the function itself has handed it to the other thread, where no tape is.
        """
        if capturing.get() is self.tape:
            return False
        if self.tape.active and self.value.root.kind in ("input", "result"):
            raise CaptureError(
                f"{_described(self)} was used in another thread than the one that tg.compile captures the function in, "
                "and the replay would not see what happens to it there: compute it in one thread"
            )
        return True

    # What a replay could not repeat.

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        if self.is_elsewhere():
            return np.array(self.array, dtype=dtype, copy=copy)
        raise CaptureError(
            f"{_described(self)} was turned into a plain array while tg.compile captured the function, and the replay "
            "would not see what happens to it: call NumPy functions on it (tg.tensor(x)[i] rather than x[i] or "
            "np.take(x, i) where x is a plain array), or do this outside of the compiled function"
        )

    def _escapes(self, what: str, elsewhere: Callable[[Any], Any]) -> Any:
        if self.is_elsewhere():
            return elsewhere(self.array)
        raise CaptureError(
            f"{what} of {_described(self)} while tg.compile captured the function: the result depends on its elements, "
            "and a replay would go on with the number of today. Use np.where for a choice, return the value to look at "
            "it, or do this outside of the compiled function"
        )

    def __bool__(self) -> bool:
        return bool(self._escapes("bool()", bool))

    def __float__(self) -> float:
        return float(self._escapes("float()", float))

    def __int__(self) -> int:
        return int(self._escapes("int()", int))

    def __complex__(self) -> complex:
        return complex(self._escapes("complex()", complex))

    def __index__(self) -> int:
        return int(self._escapes("use as a Python integer", operator.index))

    def __contains__(self, value: Any) -> bool:
        return bool(self._escapes("in", lambda array: value in array))

    def __format__(self, spec: str) -> str:
        return str(self._escapes("printing", lambda array: format(array, spec)))

    def __repr__(self) -> str:
        return f"Traced({self.value}: {self.dtype}{self.shape})"

    def __str__(self) -> str:
        return str(self._escapes("printing", str))

    def item(self) -> Any:
        """Refused: a Python number would be fixed for all replays."""
        return self._escapes("item()", lambda array: array.item())

    def tolist(self) -> Any:
        """Refused: Python numbers would be fixed for all replays."""
        return self._escapes("tolist()", lambda array: array.tolist())


_ARRAYS = (np.ndarray, np.generic)
_SEVERAL = (tuple, list)
# What arguments that nothing is nested in consist of.
_ATOMS = frozenset({Traced, np.ndarray, int, float, complex, bool, type(None), np.float64, np.float32, np.int64})


def _described(x: Traced) -> str:
    return f"an array of {x.dtype}{x.shape}"


class Tape:
    """Writes a `Program` down, call by call. While it is active, the engine hands it every array that it meets.

    Parameters
    ----------
    outside : list of ndarray
        Plain arrays that the function can reach: their content may change between runs. Any other plain array was made
        by the function itself, out of nothing that the tape knows, and is taken for a constant.
    """

    def __init__(self, outside: Sequence[np.ndarray[Any, Any]] = ()) -> None:
        self.program = Program()
        self._outside_ids = {id(array) for array in outside}
        self.grads: dict[Leaf, Any] = {}
        self._count = 0
        self.active = True
        self._start = next_number()
        self._errors: Any = np.geterr()
        self._last_errors: Any = None
        self._storages: dict[int, Traced] = {}
        self._transient: set[Value] = set()
        self._grad_inputs: dict[Leaf, Traced | None] = {}
        self._loaded: list[tuple[Traced, Value]] = []
        self._stale: set[Value] = set()  # values that share memory with one that was written to since

    # What the program reads from outside.

    def input(self, array: Any, path: Any) -> Traced:
        """An argument of the captured function."""
        return self._outside("input", array, path)

    def storage(self, array: Any, *, transient: bool = False) -> Any:
        """An array that exists outside of the program, such as a parameter: the same each time that it is met.

        Parameters
        ----------
        array : ndarray or Traced
            What is met.
        transient : bool
            Its content does not matter after the program has run.
        """
        if isinstance(array, Traced):
            return array if array.tape is self else self.storage(array.array)
        if not isinstance(array, np.ndarray):
            return self._constant(array)
        found = self._storages.get(id(array))
        if found is None:
            found = self._storages[id(array)] = self._outside("storage", array, array)
            self._loaded.append((found, found.value))
            if transient:
                self._transient.add(found.value)
        return found

    def _constant(self, array: Any) -> Traced:
        return self._outside("constant", array, array)

    def _outside(self, kind: str, array: Any, source: Any) -> Traced:
        if isinstance(array, np.ma.MaskedArray | np.matrix):
            raise CaptureError(
                f"tg.compile: a {type(array).__name__} of {array.dtype}{array.shape} would be taken for a plain array, "
                "whose operators do something else: convert it with np.asarray, or a mask with np.where"
            )
        value = self._value(kind, array, source)
        self.program.values.append(value)
        return Traced(self, value, array)

    def _value(self, kind: str, array: Any, source: Any = None) -> Value:
        self._count += 1
        strides = array.strides if isinstance(array, np.ndarray) else ()
        return Value(self._count, kind, array.shape, array.dtype, strides, isinstance(array, np.ndarray), source)

    # The gradients of leaves are Python state: the function sees its own changes, the outside only those of a replay.

    def grad(self, leaf: Leaf) -> Any:
        """What ``leaf.grad`` is at this point of the function."""
        if leaf in self.grads:
            return self.grads[leaf]
        if leaf not in self._grad_inputs:
            given: Any = leaf.grad
            given = given.array() if isinstance(given, Pending) else given
            self._grad_inputs[leaf] = made = None if given is None else self._outside("grad", given, leaf)
            if made is not None:
                self._loaded.append((made, made.value))
        return self._grad_inputs[leaf]

    def set_grad(self, leaf: Leaf, gradient: Any) -> None:
        """What ``leaf.grad = gradient`` means."""
        self.grads[leaf] = gradient

    def mark_updated(self, leaf: Leaf) -> None:
        """What ``t.mark_updated()`` means."""
        self.program.updated.append(leaf)

    # Calls

    def call(
        self, function: Function, args: Sequence[Any], kwargs: dict[str, Any], *, effect: bool = False
    ) -> Any:
        """Make a call for real, and write it down."""
        if capturing.get() is not self:
            for leaf in leaves((args, kwargs)):
                if isinstance(leaf, Traced):
                    leaf.is_elsewhere()
            return function(*map_leaves(_concrete, tuple(args)), **map_leaves(_concrete, kwargs))
        out = target = dtype = None
        if kwargs or function.__class__ is not np.ufunc:  # else there is nothing special about it
            if getattr(function, "traceable", False):
                return function(*args, **kwargs)
            if function is np.copyto and kwargs.get("where", True) is True:
                return self._copyto(*args)
            _refuse(function, len(args), kwargs)
            if function in _QUERIES:
                return function(*map_leaves(_concrete, tuple(args)), **kwargs)
            kwargs = dict(kwargs)
            out = kwargs.pop("out", None)
            if isinstance(out, tuple):
                (out,) = out if len(out) == 1 else (self._several_outs(function),)
            if out is not None:
                kwargs.pop("casting", None)
            if isinstance(out, Traced) and not out.is_array:
                out = None  # an operator in place gives the name of a number to another one
        if out is not None:
            target = self.storage(out)
        if _ATOMS.issuperset(map(type, args)):  # nothing nested, as in most calls
            concrete = tuple([a.array if type(a) is Traced else a for a in args])
            given, operands = args, tuple(map(self._operand, args))
        else:
            given, args = leaves(args), tuple(args)
            concrete, operands = map_leaves(_concrete, args), map_leaves(self._operand, args)
        concrete_kwargs = kwargs
        if kwargs:
            given = [*given, *leaves(kwargs)]
            concrete_kwargs, kwargs = map_leaves(_concrete, kwargs), map_leaves(self._operand, kwargs)
        result = function(*concrete, **concrete_kwargs)
        if target is not None and (result.dtype != target.dtype or result.shape != target.shape):
            dtype = target.dtype
            result = np.empty_like(target.array)
            casting = {"casting": "same_kind"} if isinstance(function, np.ufunc) else {}
            function(*concrete, out=result, **concrete_kwargs, **casting)
        made = self._record(Call(function, operands, kwargs, [], dtype, effect), given, result)
        return made if target is None else self._write_to(out, target, made)

    def _write_to(self, array: Any, target: Traced, made: Traced) -> Traced:
        """Let what stands in for an array, which may be a plain one, have another content."""
        self.write(target, made)
        return target

    def _record(self, call: Call, given: Sequence[Any], result: Any) -> Any:
        call.several = several = isinstance(result, _SEVERAL)
        made = [] if result is None else list(result) if several else [result]
        for array in made:
            if not isinstance(array, _ARRAYS):
                raise CaptureError(
                    f"{function_name(call.function)} returned {type(array).__name__}, not an array, while tg.compile "
                    "captured the function: call it outside"
                )
        call = self._written(call, given, made)
        self.program.calls.append(call)
        if result is None:
            return None
        traced = [Traced(self, value, array) for value, array in zip(call.results, made, strict=True)]
        if not several:
            return traced[0]
        return type(result)._make(traced) if hasattr(result, "_make") else type(result)(traced)

    def _written(self, call: Call, given: Sequence[Any], made: list[Any]) -> Call:
        """The call with values for its results."""
        for array in made:
            value = self._value("result", array)
            if call.function.__class__ is not np.ufunc:  # whose results are new arrays
                for operand in given:
                    if overlap(array, _concrete(operand)):
                        value.owner = self._operand(operand).root
            call.results.append(value)
        errors: Any = np.geterr()
        if errors != self._last_errors:
            self._last_errors = errors
            self.program.ignored |= {kind: setting for kind, setting in errors.items() if setting == "ignore"}
        if errors != self._errors:
            call.errors = {kind: setting for kind, setting in errors.items() if setting != self._errors[kind]}
        return call

    def _operand(self, leaf: Any) -> Any:
        if isinstance(leaf, Traced):
            if leaf.tape is not self:  # left over from another capture
                return self._operand(leaf.array)
            if self._stale and leaf.value.root in self._stale:
                raise CaptureError(
                    f"{_described(leaf)} shares its memory with an array that the function has written to in place "
                    "since: tg.compile would use its old elements, so write to a copy"
                )
            return leaf.value
        if isinstance(leaf, slice):
            return slice(*(self._operand(part) for part in (leaf.start, leaf.stop, leaf.step)))
        return self._plain(leaf).value if isinstance(leaf, np.ndarray) else leaf

    def _plain(self, array: np.ndarray[Any, Any]) -> Traced:
        """A plain array that takes part in a call."""
        known = id(array) in self._storages
        base: Any = array
        while isinstance(base, np.ndarray) and not known:
            known, base = id(base) in self._outside_ids or id(base) in self._storages, base.base
        if not known:
            made = self._storages[id(array)] = self._constant(array)
            self._loaded.append((made, made.value))
        return self.storage(array)  # type: ignore[no-any-return]

    def _copyto(self, array: Any, source: Any) -> None:
        target = self.storage(array)
        strides = target.array.strides
        made = self.call(copied, (source,), {"shape": target.shape, "dtype": target.dtype, "strides": strides})
        self._write_to(array, target, made)

    def _several_outs(self, function: Function) -> Any:
        raise CaptureError(f"{function_name(function)}: tg.compile does not capture several out= arrays")

    def write(self, target: Traced, made: Traced) -> None:
        """Let an array have another content from here on: what writing in place means in a program."""
        root = target.value.root
        if root.kind == "input" or (root.kind == "storage" and root is not target.value):
            raise CaptureError(
                f"the function writes into {_described(target)} in place, which is an argument or a part of another "
                "array: tg.compile cannot tell who else would see it, so work on a copy, or use t[...] = v on a tensor"
            )
        if target.value is not made.value:
            self._stale.add(root)
        target.value, target.array = made.value, made.array

    # The end

    def finish(self, output: Any) -> Program:
        """The program, given what the function returned."""
        program = self.program
        program.outputs = map_leaves(self._returned, output)
        for handle, loaded in self._loaded:
            if handle.value is loaded or loaded in self._transient:
                continue
            if loaded.kind == "grad":
                self.grads.setdefault(loaded.source, handle)
            else:
                program.stores[loaded] = self._operand(handle)
        # Leaves that the function made itself are made anew, and forgotten, each time.
        program.grads = {
            leaf: None if gradient is None else self._operand(gradient)
            for leaf, gradient in self.grads.items()
            if leaf.number < self._start
        }
        inputs = self._grad_inputs.items()
        program.grads_read = {leaf: given is not None for leaf, given in inputs if leaf.number < self._start}
        program.updated = [leaf for leaf in program.updated if leaf.number < self._start]
        self._check_stores()
        # What stands in for an array refers to the tape: in a circle, its arrays would stay until the next collection.
        for held in (self.grads, self._storages, self._grad_inputs, self._loaded):
            held.clear()
        return program

    def _returned(self, leaf: Any) -> Any:
        if isinstance(leaf, Tensor):
            if not isinstance(leaf._node, Leaf):
                return Wrapped(self._operand(self.storage(leaf._value)))
            if leaf._node.number > self._start:
                raise CaptureError(
                    f"the function returns a leaf of shape {leaf.shape} that it makes itself, and a replay makes no "
                    "tensors: return its elements, and make the leaf outside of the compiled function"
                )
            return leaf
        return self._operand(leaf) if isinstance(leaf, Traced | np.ndarray) else leaf

    def _check_stores(self) -> None:
        used = {v.root for call in self.program.calls for v in call.operands} | self.program.kept()
        for target in self.program.stores:
            for other in used:
                distinct = other is target or other in self._transient or other.kind != "storage"
                if not distinct and overlap(target.source, other.source):
                    raise CaptureError(
                        f"the function writes to an array of {target.dtype}{target.shape} in place and also uses "
                        "another that shares its memory, so tg.compile cannot tell what a replay would read"
                    )


def _concrete(leaf: Any) -> Any:
    if isinstance(leaf, slice):
        return slice(*(_concrete(part) for part in (leaf.start, leaf.stop, leaf.step)))
    return leaf.array if isinstance(leaf, Traced) else leaf


def _refuse(function: Function, count: int, kwargs: dict[str, Any]) -> None:
    """Raise for a call, with this many arguments that have no keyword, that a program cannot make."""
    if function in _WRITING or getattr(function, "__name__", "") == "at":
        raise CaptureError(
            f"{function_name(function)} while tg.compile captured the function: it writes into an array in place. "
            "Call it on a tensor, which is given a new value, or write array[index] = v"
        )
    masked = function is table[getitem].function and _has_mask(kwargs["index"])
    if function in _OF_ANY_SHAPE or masked or (function is np.where and count == 1):
        raise CaptureError(
            f"{function_name(function)} while tg.compile captured the function: the shape of its result depends on "
            "the elements, and a program's shapes are fixed. Use np.where, which keeps the shape, or do this "
            "outside of the compiled function"
        )


def _has_mask(index: Any) -> bool:
    parts = index if isinstance(index, tuple) else (index,)
    return any(isinstance(part, Traced) and part.dtype == bool for part in parts)


def reinterpreted(array: Any, dtype: Any) -> Any:
    """``array.view(dtype)``."""
    return array.view(dtype)


def copied(source: Any, *, shape: tuple[int, ...], dtype: Any, strides: tuple[int, ...]) -> Any:
    """What ``np.copyto`` leaves in an array of this shape and dtype, with its axes in the order of these strides."""
    like = Value(0, "result", shape, np.dtype(dtype), strides, True)
    result = laid_out(np.empty(like.nbytes, np.uint8), like)
    np.copyto(result, source, casting="same_kind")
    return result


def overlap(a: Any, b: Any) -> bool:
    """Whether both are arrays, and may share memory."""
    return isinstance(a, np.ndarray) and isinstance(b, np.ndarray) and bool(np.may_share_memory(a, b))
