"""Capture: run a function on arrays that write down what is called on them.

`traced.Traced` stands in for an ndarray. NumPy hands it every call that it takes part in, and the `Tape` makes the call
for real and writes it down. A Tensor wraps a Traced as it wraps an array, and derivative rules run on Traced arrays as
on plain ones: all that the engine knows of this is in `Differentiable.record` and in `standins`.

What a replay could not repeat, such as a decision that depends on an element's value, is an error here and now.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, cast

import numpy as np

from tinygrad_np.compiler.handling import handling, token
from tinygrad_np.compiler.program import Call, Program, Value, Wrapped, is_flat
from tinygrad_np.compiler.traced import Traced, described, overlap, underlying
from tinygrad_np.core import Tensor, getitem, table
from tinygrad_np.errors import CaptureError
from tinygrad_np.graph import Leaf, Pending, capturing, next_number
from tinygrad_np.memory import laid_out
from tinygrad_np.signatures import function_name, named_from, parameters_by_position
from tinygrad_np.trees import leaves, map_leaves, refilled

__all__ = ["Attempt", "Tape", "copied"]

Function = Callable[..., Any]

# The shape of what these return depends on the elements; what is indexed by a mask does too.
_OF_ANY_SHAPE = frozenset(
    {np.nonzero, np.flatnonzero, np.argwhere, np.unique, np.unique_values, np.unique_all, np.unique_counts}
    | {np.unique_inverse, np.compress, np.extract, np.trim_zeros, np.union1d, np.intersect1d, np.setdiff1d, np.setxor1d}
    | {np.bincount, np.delete, np.roots}
)

# What these write to cannot be followed.
_WRITING = frozenset({np.copyto, np.put, np.place, np.putmask, np.put_along_axis, np.fill_diagonal})

_WRITING_OPTIONS = {"overwrite_input": True, "copy": False}

_QUERIES = frozenset({np.shape, np.ndim, np.size, np.result_type, np.can_cast, np.iscomplexobj, np.isrealobj})

_ARRAYS = (np.ndarray, np.generic)
_SEVERAL = (tuple, list)
_NUMBERS = frozenset({int, float, complex, bool, np.float64, np.float32, np.int64})
_OF_NUMPY = frozenset({np.ndarray, *_NUMBERS, *np.sctypeDict.values()} - {int, float, complex, bool})
_ATOMS = _NUMBERS | {str, type(None), type(...), type, *(type(np.dtype(char)) for char in np.typecodes["All"])}

Given = tuple[Any, Value]
"""An array that a call is made on, and what it is in the program."""


class Attempt(NamedTuple):
    """A call that has been made, before it is written down: its arguments have values in the place of arrays."""

    function: Function
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    given: list[Given]
    dtype: np.dtype[Any] | None = None
    effect: bool = False


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
        self._errors = dict(handling())
        self._settings: Any = None
        self._other_errors: dict[str, str] = {}
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

    def as_array(self, value: Any) -> Any:
        """The array of a Tensor, which is one even if a call returned a scalar."""
        found = self.storage(value)
        return found if found.is_array else self.call(np.asarray, (found,), {})

    def _constant(self, array: Any) -> Traced:
        return self._outside("constant", array, array)

    def _outside(self, kind: str, array: Any, source: Any) -> Traced:
        if isinstance(array, np.ndarray) and not _is_plain(cast(Any, type(array))):
            raise CaptureError(
                f"tg.compile: a {type(array).__name__} of {array.dtype}{array.shape} would be taken for a plain array, "
                "whose operators may do something else: convert it with np.asarray, or a mask with np.where"
            )
        value = self._value(kind, array, source)
        self.program.values.append(value)
        return Traced(self, value, array)

    def _value(self, kind: str, array: Any, source: Any = None) -> Value:
        self._count += 1
        is_array = isinstance(array, np.ndarray)
        strides = array.strides if is_array else ()
        return Value(self._count, kind, array.shape, array.dtype, strides, is_array, source)

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
            return function(*map_leaves(underlying, tuple(args)), **map_leaves(underlying, kwargs))
        if type(function) is np.ufunc and not kwargs:
            made = self._ufunc(function, args)
            if made is not None:
                return made
        if not _is_ordinary(function):
            if getattr(function, "traceable", False):
                return function(*args, **kwargs)
            if function is np.copyto and kwargs.get("where", True) is True:
                return self._copyto(*args)
            _refuse(function, args, kwargs)
            if function in _QUERIES:
                if function is np.size:
                    map_leaves(_checked_axis, (args[1:], kwargs))
                return function(*map_leaves(underlying, tuple(args)), **kwargs)
        named = _first_to_name(function)
        if len(args) > named:
            args, kwargs = named_from(named, function, args, kwargs)
            return self.call(function, args, kwargs, effect=effect)
        if "out" in kwargs:
            return self._call_with_out(function, args, kwargs)
        given: list[Given] = []
        concrete, operands = self._apart(tuple(args), given)
        concrete_kwargs, operands_by_name = self._apart(kwargs, given) if kwargs else (kwargs, kwargs)
        result = function(*concrete, **concrete_kwargs)
        return self._record(Attempt(function, operands, operands_by_name, given, effect=effect), result)

    def _ufunc(self, function: np.ufunc, args: Sequence[Any], target: Traced | None = None) -> Any:
        """The most frequent call, soon done: of a ufunc with one result, on numbers and arrays; None if it is none, or
        the result does not fit a target.
        """
        concrete: list[Any] = []
        given: list[Any] = []
        operands: list[Value] = []
        for x in args:
            kind = type(x)
            if kind is Traced:
                value = x.value
                if x.tape is not self or (self._stale and value.root in self._stale):
                    return None
                concrete.append(x.array)
                given.append(value)
                operands.append(value)
            elif kind in _NUMBERS:
                concrete.append(x)
                given.append(x)
            else:
                return None
        result = function(*concrete)
        if type(result) not in _OF_NUMPY:
            return None
        if target is not None and not _lies_as(result, target.array):
            return None
        return Traced(self, self._noted(function, tuple(given), operands, result), result)

    def _noted(self, function: np.ufunc, args: tuple[Any, ...], operands: list[Value], result: Any) -> Value:
        """The result of a new call of a ufunc."""
        value = self._value("result", result)
        call = Call.known(function, args, {}, [value], operands, True)
        self._note_errors(call)
        self.program.calls.append(call)
        return value

    def _call_with_out(self, function: Function, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        """A call whose result is written into an array: the array has another content from then on."""
        out = kwargs["out"]
        if isinstance(out, tuple):
            (out,) = out if len(out) == 1 else (self._several_outs(function),)
        without = ("out",) if out is None else ("out", "casting")
        kwargs = {name: value for name, value in kwargs.items() if name not in without}
        if out is None or (isinstance(out, Traced) and not out.is_array):
            return self.call(function, args, kwargs)  # an operator in place gives the name of a number to another one
        target = self.storage(out)
        made = self._ufunc(function, args, target) if isinstance(function, np.ufunc) and not kwargs else None
        if made is None:
            made = self._made_for(target, function, args, kwargs)
        return self._write_to(out, target, made)

    def _made_for(self, target: Traced, function: Function, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        """What a call leaves in an array: of its dtype, and with its axes in the same order in memory."""
        given: list[Given] = []
        concrete, operands = self._apart(tuple(args), given)
        concrete_kwargs, operands_by_name = self._apart(kwargs, given)
        is_ufunc, dtype = isinstance(function, np.ufunc), None
        result = None if is_ufunc and "where" in kwargs else function(*concrete, **concrete_kwargs)
        if is_ufunc and result is not None and result.dtype != target.dtype:
            dtype, result = target.dtype, result.astype(target.dtype, casting="same_kind")
        if result is None or not _lies_as(result, target.array):
            # Reductions may compute in another way for another dtype of `out`.
            return self.call(overwritten, (function, *args), {**kwargs, "start": target})
        return self._record(Attempt(function, operands, operands_by_name, given, dtype), result)

    def _apart(self, tree: Any, given: list[Given]) -> tuple[Any, Any]:
        """Nested arguments with arrays, and with values, in the place of what stands for them; both also in `given`."""
        kind = type(tree)
        if kind in _ATOMS:
            return tree, tree
        if kind is Traced or isinstance(tree, np.ndarray):
            array, value = tree.array if kind is Traced else tree, self._operand(tree)
            given.append((array, value))
            return array, value
        if kind is tuple or kind is list:
            if kind is tuple and _ATOMS.issuperset(map(type, tree)):
                return tree, tree
            pairs = [self._apart(item, given) for item in tree]
            return kind([a for a, _ in pairs]), kind([b for _, b in pairs])
        if kind is slice:
            pairs = [self._apart(part, given) for part in (tree.start, tree.stop, tree.step)]
            return slice(*(a for a, _ in pairs)), slice(*(b for _, b in pairs))
        if isinstance(tree, dict):
            if kind is dict and _ATOMS.issuperset(map(type, tree.values())):
                return tree, dict(tree)
            items = {key: self._apart(item, given) for key, item in tree.items()}
            both = {key: a for key, (a, _) in items.items()}, {key: b for key, (_, b) in items.items()}
            return both if kind is dict else (refilled(tree, both[0]), refilled(tree, both[1]))
        if isinstance(tree, tuple | list):
            plain = self._apart(list(tree), given)
            return refilled(tree, plain[0]), refilled(tree, plain[1])
        return tree, tree

    def _write_to(self, array: Any, target: Traced, made: Traced) -> Traced:
        """Let what stands in for an array, which may be a plain one, have another content."""
        self.write(target, made)
        return target

    def _record(self, attempt: Attempt, result: Any) -> Any:
        if result is None and not attempt.effect:
            raise CaptureError(
                f"{function_name(attempt.function)} returned nothing: it was called for what it does, which a replay "
                "would not do: call it outside of the compiled function"
            )
        several = isinstance(result, _SEVERAL)
        made = [] if result is None else list(result) if several else [result]
        for array in made:
            if not isinstance(array, _ARRAYS):
                raise CaptureError(
                    f"{function_name(attempt.function)} returned {type(array).__name__}, not an array, while "
                    "tg.compile captured the function: call it outside"
                )
        call = self._written(attempt, made, several)
        self.program.calls.append(call)
        if result is None:
            return None
        if not several:
            return Traced(self, call.results[0], result)
        traced = [Traced(self, value, array) for value, array in zip(call.results, made, strict=True)]
        return type(result)._make(traced) if hasattr(result, "_make") else type(result)(traced)

    def _written(self, attempt: Attempt, made: list[Any], several: bool) -> Call:
        """The call, with values for its results."""
        function, args, kwargs, given, dtype, effect = attempt
        results = []
        for array in made:
            value = self._value("result", array)
            if type(function) is not np.ufunc and isinstance(array, np.ndarray):  # whose results are new arrays
                for concrete, operand in given:
                    # What has memory of its own is no view.
                    if (array.base is not None or array is concrete) and overlap(array, concrete):
                        value.owner = operand.root
            results.append(value)
        operands = [value for _, value in given]
        call = Call.known(function, args, kwargs, results, operands, is_flat(args, kwargs), dtype, effect, several)
        self._note_errors(call)
        return call

    def _note_errors(self, call: Call) -> None:
        """Note how NumPy handles errors at this point, if it is not as around the function."""
        now = token()
        if now is not self._settings:
            self._settings = now
            errors = handling()
            self.program.ignored |= {kind: setting for kind, setting in errors if setting == "ignore"}
            self._other_errors = {kind: setting for kind, setting in errors if setting != self._errors[kind]}
        call.errors = self._other_errors

    def _operand(self, leaf: Any) -> Any:
        if type(leaf) is Traced:
            if leaf.tape is not self:  # left over from another capture
                return self._operand(leaf.array)
            if self._stale and leaf.value.root in self._stale:
                raise CaptureError(
                    f"{described(leaf)} shares its memory with an array that the function has written to in place "
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
                f"the function writes into {described(target)} in place, which is an argument or a part of another "
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


def _checked_axis(axis: Any) -> Any:
    """An axis of np.size, whose result is a Python number: an array as one is refused."""
    return axis.__index__() if type(axis) is Traced else axis


# What a kind of array may have of its own and still compute as any other.
_OF_ITS_OWN = frozenset({"__new__", "__init__", "__array_finalize__", "__reduce__", "__setstate__", "__doc__"})


@functools.lru_cache(maxsize=256)
def _is_plain(kind: Any) -> bool:
    """Whether arrays of a kind do all that they do as an ndarray does it."""
    bases = kind.__mro__[: kind.__mro__.index(np.ndarray)]
    own = {name for base in bases for name in vars(base)} - _OF_ITS_OWN
    return kind is np.memmap or own.isdisjoint(vars(np.ndarray))


@functools.lru_cache(maxsize=4096)
def _is_ordinary(function: Function) -> bool:
    """Whether there is nothing about a function that a call of it must be looked at for."""
    special = _WRITING | _QUERIES | _OF_ANY_SHAPE | {np.where, table[getitem].function}
    name = getattr(function, "__name__", "")
    of_numpy = function_name(function).startswith("np.")
    if of_numpy and not _WRITING_OPTIONS.keys().isdisjoint(parameters_by_position(function)):
        return False
    return function not in special and name != "at" and not getattr(function, "traceable", False)


@functools.lru_cache(maxsize=4096)
def _first_to_name(function: Function) -> int:
    """From which argument on those of NumPy's functions are given their names, as one may be an array to write to."""
    names = parameters_by_position(function) if function_name(function).startswith("np.") else ()
    return min((i for i, name in enumerate(names) if name == "out" or name in _WRITING_OPTIONS), default=sys.maxsize)


def _lies_as(result: Any, target: Any) -> bool:
    """Whether both have the same dtype, shape and order of axes in memory."""
    alike: bool = result.dtype == target.dtype and result.shape == target.shape and result.strides == target.strides
    return alike


def _refuse(function: Function, args: Sequence[Any], kwargs: dict[str, Any]) -> None:
    """Raise for a call that a program cannot make."""
    for name, value in _WRITING_OPTIONS.items():
        if kwargs.get(name, not value) == value:
            raise CaptureError(
                f"{function_name(function)} with {name}={value} while tg.compile captured the function: it writes into "
                f"an array in place, which a replay could not follow. Leave out {name}={value}"
            )
    if function in _WRITING or getattr(function, "__name__", "") == "at":
        raise CaptureError(
            f"{function_name(function)} while tg.compile captured the function: it writes into an array in place. "
            "Call it on a tensor, which is given a new value, or write array[index] = v"
        )
    masked = function is table[getitem].function and _has_mask(kwargs["index"])
    if function in _OF_ANY_SHAPE or masked or (function is np.where and len(args) == 1):
        raise CaptureError(
            f"{function_name(function)} while tg.compile captured the function: the shape of its result depends on "
            "the elements, and a program's shapes are fixed. Use np.where, which keeps the shape, or do this "
            "outside of the compiled function"
        )


def _has_mask(index: Any) -> bool:
    parts = index if isinstance(index, tuple) else (index,)
    return any(isinstance(part, Traced) and part.dtype == bool for part in parts)


def overwritten(function: Function, *args: Any, start: Any, **kwargs: Any) -> Any:
    """What ``out=`` leaves in an array that has had the elements of `start`, and lies in memory as it does."""
    result = np.array(start, order="K")
    function(*args, out=result, **kwargs)
    return result


def copied(source: Any, *, shape: tuple[int, ...], dtype: Any, strides: tuple[int, ...]) -> Any:
    """What ``np.copyto`` leaves in an array of this shape and dtype, with its axes in the order of these strides."""
    like = Value(0, "result", shape, np.dtype(dtype), strides, True)
    result = laid_out(np.empty(like.nbytes, np.uint8), like)
    np.copyto(result, source, casting="same_kind")
    return result
