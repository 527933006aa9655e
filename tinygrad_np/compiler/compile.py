"""`compile`: capture a function once for each kind of arguments, and replay it."""

from __future__ import annotations

import functools
import inspect
import sys
import threading
import types
import warnings
from collections.abc import Callable
from operator import is_
from typing import Any, TypeVar, overload

import numpy as np

from tinygrad_np.checkpointing import checkpoint
from tinygrad_np.compiler.capture import Tape
from tinygrad_np.compiler.dry_run import check_no_iterators, check_own_draws, no_draws, no_messages, read_only
from tinygrad_np.compiler.handling import handling
from tinygrad_np.compiler.inexact import prefers_one_thread, reordered
from tinygrad_np.compiler.names import is_of_the_user
from tinygrad_np.compiler.passes import optimised
from tinygrad_np.compiler.program import Program
from tinygrad_np.compiler.repetition import Repetition
from tinygrad_np.compiler.replay import Replay
from tinygrad_np.compiler.watch import Watch
from tinygrad_np.core import Tensor
from tinygrad_np.errors import CaptureError
from tinygrad_np.graph import Leaf, Pick, capturing, recording
from tinygrad_np.random import generator
from tinygrad_np.signatures import function_name
from tinygrad_np.trees import leaves, rebuild

__all__ = ["Compiled", "compile"]

F = TypeVar("F", bound=Callable[..., Any])

OFTEN = 32
"""After how many captures of one function its user is warned."""

KEPT = 2
"""How many programs are kept for arguments of one kind: for a flag that goes to and fro, such as ``training``."""

PATIENCE = 60
"""Seconds to wait for the capture of another function."""

_CAPTURES = threading.RLock()  # one at a time: what stands in for arrays is where other threads would find it too
_LATER = (inspect.iscoroutinefunction, inspect.isgeneratorfunction, inspect.isasyncgenfunction)
_BY_VALUE = (bool, int, float, complex, str, bytes, type(None), np.dtype, range, np.generic)
_BARE = frozenset({dict, list, tuple, bool, int, float, complex, str, bytes, type(None), range})  # hold nothing else
_SPELLED_OUT = (float, complex, range, np.generic)  # equal ones may differ: 0.0, -0.0; range(0, 3, 2), range(0, 4, 2)
_ARRAY = frozenset({np.ndarray})
_RAISING = frozenset({"raise", "call"})  # what NumPy may be told to do upon an overflow or the like


@overload
def compile(fn: Callable[..., Any], *, exact: bool = True) -> Compiled: ...


@overload
def compile(*, exact: bool = True) -> Callable[[Callable[..., Any]], Compiled]: ...


def compile(fn: Callable[..., Any] | None = None, *, exact: bool = True) -> Any:
    """Capture a function as a list of NumPy calls, and from then on make just those calls.

    The first call for each signature (structure, shapes, dtypes and memory layout of the arguments; the values of
    arguments that are not arrays) runs the function twice on stand-ins that write down what is called on them. Every
    call after that replays the list: without the engine, without making a graph, into buffers made once. Results,
    gradients and updated parameters are those of the function itself, bit for bit. A gradient that a call left behind
    lies in such a buffer until it is read: if a later call raises first, reading it is an error.

    Parameters
    ----------
    fn : callable
        Any function of Tensors and arrays: a forward pass, a gradient, a whole training step. What it reads besides its
        arguments (parameters, the state of layers and optimisers, attributes, globals) is watched: if it is not as it
        was, the function is captured anew. Arrays may be written to between calls.
    exact : bool
        False allows what changes the last bits of the results: BLAS adds a product to an array as it computes it, and
        multiples of two large arrays in one pass, the learning rate of a plain SGD step is multiplied into the factors
        of the gradient rather than into the gradient (which then is in no array: reading its ``.grad`` afterwards is an
        error), products that a recurrent net adds up over time become one, and those of a middling size take one
        thread. The same run still gives the same bits.

    Returns
    -------
    Compiled
        To be called like the function. ``print(step.program)`` shows what the last call replayed.

    Raises
    ------
    CaptureError
        On the first call, if a replay could not do what the function does: a decision that depends on an element's
        value, Python state or an argument that the function changes, random numbers from elsewhere than
        `tinygrad_np.random`, printing, a result that is neither array nor number. On a later call, if the shape or
        dtype of a result turns out to depend on elements.

    Notes
    -----
    What is not as in the function itself: results are arrays of their own, never the memory of an argument, a
    parameter or an attribute. If a call raises, the arrays that it writes to are as they were before it, unless it was
    a warning that is made an error; and no ``except`` inside of the function sees the error. Of NumPy's warnings about
    overflow and the like, those are missing that any of its calls has ignored, as rules do, and so are warnings that
    the function issues itself. An array that is passed twice is two arrays to the function. A function that returns
    what is to be differentiated outside of it cannot be replayed: it is called as through `checkpoint`, which computes
    it again for its gradient, and says what must not change in between.

    Not watched is what installed libraries keep for themselves, what is in the items of a list or dict of more than
    1000 items, an array that only a call hands out if it meets plain arrays first, the shape that an array is given in
    place, as in ``a.shape = 4, 2``, what is found by a name that no code has in it, as in ``eval(source)`` or
    ``template.format(x)``, whether an object is given another ``__dict__`` or a class a special method, memory behind a
    pointer, and the world outside of the process: files, the clock.

    Examples
    --------
    >>> import numpy as np, tinygrad_np as tg
    >>> model = tg.nn.Dense(3, 2)
    >>> optimiser = tg.optim.SGD(model.parameters(), lr=0.1)
    >>> @tg.compile
    ... def step(x, labels):
    ...     loss = tg.nn.cross_entropy(model(x), labels)
    ...     optimiser.zero_grad()
    ...     loss.backward()
    ...     optimiser.step()
    ...     return loss
    >>> x, labels = np.eye(3, dtype=np.float32), np.array([0, 1, 1])
    >>> first = float(step(x, labels))
    >>> float(step(x, labels)) < first
    True
    """
    return functools.partial(compile, exact=exact) if fn is None else Compiled(fn, exact)


class Compiled:
    """A function that is captured once and then replayed: see `compile`.

    Attributes
    ----------
    program : Replay or None
        What the last call replayed; it prints as one line a call.
    captures : int
        How often the function was captured.
    """

    def __init__(self, fn: Callable[..., Any], exact: bool = True) -> None:
        if isinstance(fn, staticmethod | classmethod):
            raise CaptureError(f"tg.compile: write @{type(fn).__name__} above @tg.compile, not below it")
        if any(is_one(fn) for is_one in _LATER):
            raise CaptureError(
                f"tg.compile: the body of {function_name(fn)} runs when what it returns is awaited or gone through, so "
                "there is nothing to capture when it is called: compile a function that it calls"
            )
        functools.update_wrapper(self, fn)
        self.fn = fn
        self.exact = exact
        self.program: Replay | None = None
        self.captures = 0
        self._entries: dict[Any, list[_Entry]] = {}
        self._lock = threading.RLock()

    def __reduce__(self) -> Any:
        return Compiled, (self.fn, self.exact)  # a copy captures for itself

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return self if instance is None else functools.partial(self, instance)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if capturing.get() is not None:  # within another compiled function: part of its program
            return self.fn(*args, **kwargs)
        errors = handling()
        if not kwargs and _ARRAY.issuperset(map(type, args)):  # the common case, told quickly
            given = list(args)
            key: Any = (*[(x.shape, x.dtype, x.strides) for x in args], recording.get(), errors)
        else:
            given = leaves((args, kwargs))
            if recording.get() and any(isinstance(x, Tensor) and not x.is_leaf for x in given):
                return self.fn(*args, **kwargs)  # the caller's own graph goes on through it
            key = (_structure((args, kwargs)), *map(_kind, given), recording.get(), errors)
        with self._lock:
            entries = self._entries.get(key)
            if entries is None:
                entries = self._entries[key] = []
            changed = entries[0].changed() if entries else "arguments of another kind"
            if changed is not None:
                self._find(entries, args, kwargs, given, changed)
            entry = entries[0]
            self.program = entry.replay
            if entry.replay is None:
                return entry.instead(*args, **kwargs)
            inputs = [_array(x) for x in given]
            if entry.replay.writes_to(inputs):
                return self.fn(*args, **kwargs)
            return entry.replay(inputs)

    def _find(self, entries: list[_Entry], args: Any, kwargs: Any, given: list[Any], changed: str) -> None:
        """Put an entry first that fits: one that was captured when all was as it is again now, or a new one."""
        for position, entry in enumerate(entries):
            if entry.changed() is None:
                entries.insert(0, entries.pop(position))
                return
        if not _CAPTURES.acquire(timeout=PATIENCE):
            raise CaptureError(
                f"tg.compile: another function has been captured for {PATIENCE} s. If it waits for a thread that calls "
                f"{function_name(self.fn)}, call that in one thread, or once before"
            )
        try:
            entries.insert(0, self._capture(args, kwargs, given))
        finally:
            _CAPTURES.release()
        del entries[KEPT:]
        if self.captures == OFTEN:
            warnings.warn(_captured_often(function_name(self.fn), changed), stacklevel=3)

    def _capture(self, args: Any, kwargs: Any, given: list[Any]) -> _Entry:
        self.captures += 1
        watch, modules = Watch(self.fn, (args, kwargs)), set(sys.modules)
        state = generator().bit_generator.state
        check_no_iterators(watch, function_name(self.fn))
        try:
            program, recorded = self._dry_run(args, kwargs, given, watch, Tape(watch.arrays))
            if is_of_the_user(sys.modules.keys() - modules):
                watch.restore()
                return self._capture(args, kwargs, given)  # now that what it imports is there to be watched
            changed = watch.changed()
            if changed is not None:
                raise CaptureError(
                    f"tg.compile: {function_name(self.fn)} changes {changed}, which is Python state, and a replay "
                    "would not: return it, change it outside of the function, or keep it in an array or a tensor that "
                    "is written to in place, as in t.data[...] = value"
                )
            check_own_draws(program, state)
            if recorded:
                once = program.stores or program.grads or program.updated  # what must not be done again by backward
                return _Entry(watch, None, {}, self.fn if once else checkpoint(self.fn))
            # Once more, with other random draws: whatever differs now would have been fixed for all replays.
            repetition = Repetition(program, function_name(self.fn), watch.arrays)
            self._dry_run(args, kwargs, given, watch, repetition)
        except BaseException:
            watch.restore()
            raise
        finally:
            generator().bit_generator.state = state
        grads_read = program.grads_read
        program = optimised(program) if self.exact else reordered(optimised(program))
        alone = not self.exact and prefers_one_thread(program)
        settings = [dict(handling()), *(call.errors for call in program.calls)]
        careful = any(not _RAISING.isdisjoint(errors.values()) for errors in settings)
        replay = Replay(program, one_thread=alone, careful=careful)
        return _Entry(watch, replay, grads_read, self.fn)

    def _dry_run(self, args: Any, kwargs: Any, given: list[Any], watch: Watch, tape: Tape) -> tuple[Program, bool]:
        """Run the function on stand-ins, which leaves everything outside of it as it was."""
        stand_ins = [_stand_in(tape, position, x) for position, x in enumerate(given)]
        args, kwargs = rebuild((args, kwargs), stand_ins)
        structure, values = _structure((args, kwargs)), [_array(x) for x in stand_ins]
        token = capturing.set(tape)
        try:
            with watch.replaced(tape.storage), read_only(watch.arrays), no_messages(), no_draws(watch):
                output = self.fn(*args, **kwargs)
                self._check_untouched(structure, stand_ins, values, (args, kwargs))
                recorded = any(_is_recorded(t) for t in leaves(output))
                program = tape.finish(output)
        finally:
            capturing.reset(token)
            tape.active = False
        return program, recorded

    def _check_untouched(self, structure: Any, stand_ins: list[Any], values: list[Any], given: Any) -> None:
        """Raise if the function has changed its arguments: a replay would not."""
        now = leaves(given)
        same = _structure(given) == structure and len(now) == len(stand_ins) and all(map(is_, now, stand_ins))
        if not same or any(_array(x) is not value for x, value in zip(stand_ins, values, strict=True)):
            raise CaptureError(
                f"tg.compile: {function_name(self.fn)} changes a dict, a list or a tensor that it was given, which a "
                "replay would not: work on a copy of it, such as dict(x), list(x) or +t, and return what is new"
            )


class _Entry:
    """A program with what it depends on."""

    def __init__(
        self, watch: Watch, replay: Replay | None, grads_read: dict[Leaf, bool], instead: Callable[..., Any]
    ) -> None:
        self.watch = watch
        self.replay = replay  # None if the result is part of a graph, which only the function itself can make
        self.grads_read = grads_read
        self.instead = instead  # what is called then

    def changed(self) -> str | None:
        """What is not as it was, or None."""
        for leaf, there in self.grads_read.items():
            if (leaf.grad is not None) != there:
                return f"whether a leaf of shape {leaf.shape} has a gradient"
        return self.watch.changed()


def _captured_often(name: str, changed: str | None) -> str:
    return (
        f"tg.compile: {name} was captured {OFTEN} times, and each takes longer than a call of the function itself. "
        f"This time the reason was: {changed}. Have numbers that change from call to call in arrays, as in "
        "np.asarray(x), and write to arrays and tensors in place"
    )


def _structure(tree: Any) -> Any:
    if isinstance(tree, dict):
        return (_class_of(tree), *((_key(key), _structure(item)) for key, item in tree.items()))
    if isinstance(tree, list | tuple):
        return (_class_of(tree), *map(_structure, tree))
    return None


def _key(key: Any) -> Any:
    """What must be equal for two keys to do the same: for those of a class of the user's, the keys themselves."""
    constant = _constant(key)
    return (type(key), key) if isinstance(constant, _Identity) else constant


def _class_of(thing: Any) -> Any:
    """The class of a container or constant, along with what else an instance of a class of the user's holds."""
    kind: Any = type(thing)
    if kind in _BARE:
        return kind
    if getattr(thing, "__dict__", None):
        return _Identity(thing)
    return (kind, *[_constant(getattr(thing, name, None)) for name in _slots(kind)])


@functools.cache
def _slots(kind: type) -> list[str]:
    owners = [vars(owner) for owner in kind.__mro__]
    return [name for owner in owners for name, slot in owner.items() if isinstance(slot, types.MemberDescriptorType)]


def _kind(leaf: Any) -> Any:
    """What must be equal for a program to fit an argument."""
    if isinstance(leaf, Tensor):
        if isinstance(leaf._node, Leaf):
            return ("leaf", _Identity(leaf))
        return ("tensor", _kind(leaf._value))
    if isinstance(leaf, np.ndarray):
        return (type(leaf), leaf.shape, leaf.dtype, leaf.strides)
    if isinstance(leaf, np.generic):
        return ((), leaf.dtype, type(leaf))
    return _constant(leaf)


def _constant(thing: Any) -> Any:
    """What must be equal for two things that are in programs as they are."""
    kind = type(thing)
    if kind is str:  # the common case
        return thing
    if kind is slice:
        return (kind, _constant(thing.start), _constant(thing.stop), _constant(thing.step))
    if kind is tuple:
        return (kind, *map(_constant, thing))
    if not isinstance(thing, _BY_VALUE):
        return _Identity(thing)
    # 1, 1.0 and True are equal, but not for what NumPy makes of them.
    return (_class_of(thing), thing, repr(thing) if isinstance(thing, _SPELLED_OUT) else None)


class _Identity:
    """An object as a key: equal to itself only, and alive as long as the key is."""

    __slots__ = ("thing",)

    def __init__(self, thing: Any) -> None:
        self.thing = thing

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Identity) and other.thing is self.thing

    def __hash__(self) -> int:
        return id(self.thing)


def _array(leaf: Any) -> Any:
    return leaf._value if isinstance(leaf, Tensor) else leaf


def _stand_in(tape: Tape, position: int, leaf: Any) -> Any:
    if isinstance(leaf, Tensor):
        return leaf if isinstance(leaf._node, Leaf) else Tensor(tape.input(leaf._value, position))
    return tape.input(leaf, position) if isinstance(leaf, np.ndarray | np.generic) else leaf


def _is_recorded(leaf: Any) -> bool:
    """Whether an output is part of a graph that backward has not gone through."""
    if not isinstance(leaf, Tensor) or leaf._node is None or isinstance(leaf._node, Leaf):
        return False
    call = leaf._node.parents[0] if isinstance(leaf._node, Pick) else leaf._node
    return call is not None and call.inputs is not None
