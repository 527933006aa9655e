"""What a captured function depends on besides its arguments, and whether that is still as it was at capture.

A program is right as long as the Python state that the function reads is the same: the parameters are the same arrays,
a layer is in training mode, a flag is set. `Watch` finds that state from the code, and remembers it. It starts from
what the function closes over, the globals that it names, and the objects among its arguments. Of the objects, classes
and modules found there it goes on to the attributes that are named in any of the code that it came by; of containers,
to the items. What belongs to an installed library is not followed.

The elements of plain arrays may change between runs. So while the function is captured, each such array is replaced,
where it was found, by what stands in for it.
"""

from __future__ import annotations

import copy
import functools
import gc
import io
import operator
import os
import random
import threading
import types
import weakref
from array import array
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Any, NamedTuple

import numpy as np

from tinygrad_np.compiler.names import importable, is_called, is_library, is_ours, is_standard, named_in
from tinygrad_np.core import Tensor
from tinygrad_np.errors import CaptureError
from tinygrad_np.trees import leaves, refilled

__all__ = ["Watch"]

_PLAIN = (bool, int, float, complex, str, bytes, type(None))
_CONTAINERS = (dict, list, tuple, deque)
_SETS = (set, frozenset)
_NOTHING: dict[Any, Any] = {}
_VIEWS = (types.MappingProxyType, type(_NOTHING.keys()), type(_NOTHING.values()), type(_NOTHING.items()))  # of a dict
_BUFFERS = (bytearray, array)
_PROXIES = (weakref.ProxyType, weakref.CallableProxyType)
_GENERATORS = (np.random.Generator, np.random.RandomState, random.Random)
_OPAQUE = (np.ufunc, np.generic)
# Classes of the standard library whose instances hold what the user gave them.
_OPEN = frozenset(
    {"types.SimpleNamespace", "argparse.Namespace", "functools._lru_cache_wrapper", "functools.cached_property"}
    | {"functools.partialmethod", "configparser.RawConfigParser"}
    | {"collections.UserDict", "collections.UserList", "collections.ChainMap"}
    | {"weakref.WeakKeyDictionary", "weakref.WeakValueDictionary", "_weakrefset.WeakSet"}
)
_LARGEST = 1000  # of longer lists and dicts the items are watched, but not what is in those

# With these, code gets at attributes that it does not name.
_BY_ANY_NAME = frozenset({"getattr", "setattr", "delattr", "vars", "__dict__", "attrgetter", "methodcaller"})
_ENVIRONMENT = frozenset({"environ", "getenv"})

_ITEM = (operator.getitem, operator.setitem)

_Get = Callable[[Any, Any], Any]
_Put = Callable[[Any, Any, Any], None]


class _Holder(NamedTuple):
    """Something with attributes, of which those are watched that the code names."""

    name: str
    attributes: Mapping[str, Any]
    thing: Any  # what get and put are called with
    get: _Get = operator.getitem
    put: _Put = operator.setitem
    always: frozenset[str] = frozenset()  # what is watched though nobody names it


class _Place(NamedTuple):
    """Where something was found, and how to put something else there."""

    get: _Get
    put: _Put
    thing: Any
    key: Any
    known: Any
    name: str

    def now(self) -> Any:
        """What is there."""
        return self.get(self.thing, self.key)

    def fill(self, value: Any) -> None:
        """Put something there."""
        self.put(self.thing, self.key, value)


class Watch:
    """The Python state that a function reads, as it was when this was made.

    Parameters
    ----------
    function : callable
        What will be captured.
    arguments : nested lists, tuples and dicts
        What it will be called with: the state of those that are no arrays is watched too.

    Attributes
    ----------
    arrays : list of ndarray
        All arrays that were found.
    generators : list
        All generators of random numbers that were found, with their names.
    iterators : list of str
        The names of all iterators that were found.
    """

    def __init__(self, function: Callable[..., Any], arguments: Any = ()) -> None:
        self.arrays: list[np.ndarray[Any, Any]] = []
        self.generators: list[tuple[Any, str]] = []
        self.iterators: list[str] = []
        # What to call with which two arguments, what it returned, and the name for that.
        self._entries: list[tuple[_Get, Any, Any, Any, str]] = []
        self._places: list[_Place] = []
        self._replaceable: list[_Place] = []  # those with plain arrays, or tuples of such
        self._contents: list[tuple[Any, Any]] = []  # dicts and lists, with a copy of each
        self._tensors: list[tuple[Tensor, Any, Any]] = []
        self._replaces = True  # whether arrays that are found are to be replaced
        self._seen: set[int] = set()
        self._alive: list[Any] = []
        self._named: set[str] = set()  # by the code of all functions that were found
        self._holders: list[_Holder] = []
        self._classes: set[tuple[int, bool]] = set()
        self._queue: deque[tuple[Any, str, bool]] = deque()
        self._walk(function, getattr(function, "__name__", "the function"))
        self._walk_arguments(arguments)
        self._walk_attributes()

    def changed(self) -> str | None:
        """The name of something that is not as it was, or None."""
        for get, thing, key, known, name in self._entries:
            try:
                now = get(thing, key)
            except (KeyError, IndexError, AttributeError, ValueError):
                return name
            if now is not known and not (type(now) is type(known) and isinstance(known, _PLAIN) and _equal(now, known)):
                return name
        return None

    @contextmanager
    def replaced(self, stand_in: Callable[[np.ndarray[Any, Any]], Any]) -> Iterator[None]:
        """Put something in the place of each plain array for a while.

        Raises
        ------
        CaptureError
            In the end, if another array is there by then.
        """
        placed = []
        try:
            for place in self._replaceable:
                standing = _with_stand_ins(place.known, stand_in)
                with suppress(Exception):  # what does not let itself be replaced is read where it is
                    place.fill(standing)
                    placed.append((place, standing))
            yield
            for place, standing in placed:
                if place.now() is not standing:
                    raise CaptureError(
                        f"the function gives the name {place.name}, which is outside of it, to another array: a replay "
                        "would not. Keep it in a tensor and update that, or return it"
                    )
        finally:
            for place, _ in reversed(placed):
                with suppress(Exception):
                    place.fill(place.known)

    def restore(self) -> None:
        """Undo what a function has changed of all this, as it leaves behind what stood in for arrays."""
        for place in self._places:
            with suppress(Exception):
                if place.now() is not place.known:
                    place.fill(place.known)
        for container, before in self._contents:
            if not _has_items(container, _items(before)):
                container.clear()
                (container.update if isinstance(container, dict) else container.extend)(before)
        for tensor, value, node in self._tensors:
            tensor._value, tensor._node = value, node

    def _watch(self, get: _Get, put: _Put, thing: Any, key: Any, name: str) -> None:
        value = get(thing, key)
        self._entries.append((get, thing, key, value, name))
        self._places.append(_Place(get, put, thing, key, value, name))
        if self._replaces and _holds_arrays(value):
            self._replaceable.append(self._places[-1])
        self._walk(value, name)

    def _watch_length(self, container: Any, name: str) -> None:
        if isinstance(container, (dict, list)):
            self._contents.append((container, [*container] if isinstance(container, list) else {**container}))
        self._entries.append((operator.length_hint, container, 0, len(container), name))

    def _walk(self, thing: Any, name: str) -> None:
        """Have this looked at, when its turn comes."""
        if type(thing) not in _PLAIN and id(thing) not in self._seen:
            self._seen.add(id(thing))
            self._alive.append(thing)
            self._queue.append((thing, name, self._replaces))

    def _look_at_all(self) -> None:
        while self._queue:
            thing, name, self._replaces = self._queue.popleft()
            self._look_at(thing, name)

    def _look_at(self, thing: Any, name: str) -> None:
        if type(thing) in _PROXIES:
            with suppress(ReferenceError):
                self._walk(thing.__init__.__self__, name)
        elif isinstance(thing, np.ndarray):
            self.arrays.append(thing)
        elif isinstance(thing, _GENERATORS):
            if not isinstance(thing, random.SystemRandom):  # which has no state
                self.generators.append((thing, name))
        elif isinstance(thing, Iterator) and not isinstance(thing, io.IOBase):
            self.iterators.append(name)
        elif isinstance(thing, Tensor):
            self._entries.append((getattr, thing, "_value", thing._value, f"{name}.data"))
            self._tensors.append((thing, thing._value, thing._node))
            self._walk(thing._value, name)
        elif isinstance(thing, functools.partial):
            self._walk(thing.func, name)
            self._watch(getattr, _put_arguments, thing, "args", f"the arguments of {name}")
            self._walk(thing.keywords, f"the arguments of {name}")
        elif isinstance(thing, types.MethodType):
            self._walk_all((thing.__self__, thing.__func__), name)
        elif isinstance(thing, types.FunctionType):
            self._walk_function(thing, name)
        elif isinstance(thing, (staticmethod, classmethod)):
            self._walk(thing.__func__, name)
        elif isinstance(thing, functools.singledispatchmethod):  # whose other attributes are a cache
            self._walk_all((thing.dispatcher, thing.func), name)
        elif isinstance(thing, property):
            self._walk_all((thing.fget, thing.fset), name)
        elif isinstance(thing, _CONTAINERS):
            self._walk_container(thing, name)
        elif isinstance(thing, _SETS + _BUFFERS):
            self._entries.append((operator.eq, thing, copy.copy(thing), True, name))
            self._walk_all(thing if isinstance(thing, _SETS) else (), name)
        elif isinstance(thing, (operator.attrgetter, operator.methodcaller)):
            self._named.update(name for text in thing.__reduce__()[1] for name in str(text).split("."))
        elif isinstance(thing, weakref.ref):
            self._watch(_call, _cannot_put, thing, None, f"what {name} refers to")
        elif isinstance(thing, ContextVar):
            self._watch(_value_of, _put_value, thing, None, name)
        elif isinstance(thing, threading.local):
            self._entries.append((_has_local_names, thing, set(vars(thing)), True, f"the attributes of {name}"))
            self._walk_class(type(thing))
            for key in vars(thing):
                self._watch(getattr, setattr, thing, key, f"{name}.{key}")
        elif isinstance(thing, _VIEWS):
            self._walk_all(gc.get_referents(thing), name)
        elif isinstance(thing, types.ModuleType):
            if thing.__name__ == "dataclasses":
                self._named.add("getattr")
            if not is_library(thing.__name__):
                self._holders.append(_Holder(thing.__name__, vars(thing), vars(thing)))
        elif isinstance(thing, type):
            self._walk_class(thing, made=True)
        elif isinstance(thing, types.BuiltinMethodType):
            if isinstance(thing.__self__, np.ndarray):
                raise CaptureError(
                    f"{name} is the method {thing.__name__} of an array, and tg.compile cannot see what it reads: keep "
                    "the array itself, and call its method in the function"
                )
            if not isinstance(thing.__self__, types.ModuleType):
                self._walk(thing.__self__, name)
        elif not isinstance(thing, _OPAQUE):
            self._walk_object(thing, name)

    def _walk_arguments(self, tree: Any) -> None:
        if isinstance(tree, (dict, list, tuple)):
            self._walk_object(tree, "an argument")  # of a class of the user's
            for item in tree.values() if isinstance(tree, dict) else tree:
                self._walk_arguments(item)
        elif not isinstance(tree, (np.ndarray, Tensor)):
            self._walk(tree, "an argument")

    def draws_at_large(self) -> bool:
        """Whether the code may draw from the global generators of Python and NumPy."""
        return "random" in self._named

    def goes_on(self) -> str | None:
        """The name of an iterator that the code may take the next item of, which every call does, but no replay."""
        return next(iter(self.iterators), None) if "next" in self._named else None

    def _walk_all(self, things: Iterable[Any], name: str) -> None:
        for thing in things:
            self._walk(thing, name)

    def _walk_function(self, function: types.FunctionType, name: str) -> None:
        cells = [(n, c) for n, c in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)]
        cells = [(variable, cell) for variable, cell in cells if _is_set(cell)]
        names = function.__globals__
        if function.__module__ == "dataclasses":  # which goes through all attributes
            self._named.add("getattr")
        if is_library(names.get("__name__")):  # such as what a decorator returns: only what it calls matters
            inside = [part for _, cell in cells for part in leaves(cell.cell_contents)]
            self._walk_all([part for part in inside if callable(part)], name)
            return
        for variable, cell in cells:
            self._watch(getattr, setattr, cell, "cell_contents", variable)
        for variable in named_in(function.__code__):
            self._named.add(variable)
            if variable in names:
                self._watch(operator.getitem, operator.setitem, names, variable, variable)
            else:
                self._walk_all(importable(variable, names.get("__package__")), variable)
        if function.__defaults__:
            self._watch(getattr, setattr, function, "__defaults__", f"the defaults of {name}")
        self._walk(function.__kwdefaults__, f"the defaults of {name}")
        self._walk(vars(function), f"the attributes of {name}")

    def _walk_container(self, container: Any, name: str) -> None:
        if isinstance(container, tuple):  # it cannot change itself, though what is in it can
            for i, item in enumerate(container):
                self._walk(item, f"{name}[{i}]")
        elif len(container) > _LARGEST:
            self._entries.append((_has_items, container, _items(container), True, f"the items of {name}"))
        elif isinstance(container, dict):
            self._watch_length(container, f"len({name})")
            if self._replaces:  # the user's: their order may matter, and what is done with the keys
                self._entries.append((_is_in_order, container, list(container), True, f"the order of {name}"))
                self._walk_all(container, name)
            for key in list(container):
                self._watch(dict.__getitem__, dict.__setitem__, container, key, f"{name}[{key!r}]")
        else:
            self._watch_length(container, f"len({name})")
            get, put = (list.__getitem__, list.__setitem__) if isinstance(container, list) else _ITEM
            for i in range(len(container)):
                self._watch(get, put, container, i, f"{name}[{i}]")
        self._walk_object(container, name)  # of a class of the user's

    def _walk_class(self, kind: type, *, made: bool = False) -> None:
        """Watch the attributes of a class, and of those that it inherits from; also how instances are made of it."""
        for owner in kind.__mro__:
            if is_library(owner.__module__) or (id(owner), made) in self._classes:
                continue
            self._classes.add((id(owner), made))
            self._alive.append(owner)
            names = (len(vars(owner)), _own_names(vars(owner)))
            self._entries.append((_has_names, vars(owner), names, True, f"the attributes of {owner.__name__}"))
            self._walk_class(type(owner))
            always = frozenset(name for name in vars(owner) if is_called(owner, name, made))
            self._holders.append(
                _Holder(owner.__name__, vars(owner), vars(owner), put=_put_on_class(owner), always=always)
            )

    def _walk_object(self, thing: Any, name: str) -> None:
        kind = type(thing)
        if kind.__module__ == "tinygrad_np.compiler.compile":  # its own state changes with every capture
            self._walk(thing.fn, name)
            return
        # The attributes of these are named by code that is not looked at.
        whole = any(f"{k.__module__}.{k.__qualname__}" in _OPEN or is_ours(k.__module__) for k in kind.__mro__)
        if is_standard(kind.__module__) and not whole:
            return
        self._walk_class(kind)
        if not whole and not is_library(kind.__module__):
            self._entries.append((getattr, thing, "__class__", kind, f"the class of {name}"))
        attributes = _slot(thing, "__dict__")
        if isinstance(attributes, dict):
            self._watch_length(attributes, f"the attributes of {name}")
            if whole:
                # Optimisers have something stand in for their arrays themselves.
                before, self._replaces = self._replaces, self._replaces and not hasattr(kind, "_on_tape")
                for key in list(attributes):
                    self._watch(operator.getitem, operator.setitem, attributes, key, f"{name}.{key}")
                self._replaces = before
            else:
                self._holders.append(_Holder(name, attributes, attributes))
        slots = {n: v for owner in kind.__mro__ for n, v in vars(owner).items() if isinstance(v, _SLOT)}
        if slots and not whole:
            self._holders.append(_Holder(name, slots, thing, _slot, object.__setattr__))

    def _walk_attributes(self) -> None:
        """Watch the attributes that are named, which leads to more code, which names others, and so on."""
        self._look_at_all()
        done: set[tuple[int, str]] = set()
        known = None
        while known != (known := (len(self._holders), len(self._named))):
            any_name = not self._named.isdisjoint(_BY_ANY_NAME)
            for number, holder in enumerate(list(self._holders)):
                for name in sorted(holder.attributes if any_name else self._named | holder.always):
                    if name in holder.attributes and (number, name) not in done:
                        done.add((number, name))
                        self._replaces = True
                        self._watch(holder.get, holder.put, holder.thing, name, f"{holder.name}.{name}")
            self._look_at_all()
        if not self._named.isdisjoint(_ENVIRONMENT):
            self._entries.append((operator.eq, os.environ, dict(os.environ), True, "os.environ"))


_SLOT = types.MemberDescriptorType
_UNSET = object()


def _slot(thing: Any, name: str) -> Any:
    try:
        return object.__getattribute__(thing, name)
    except AttributeError:
        return _UNSET


def _put_on_class(owner: type) -> _Put:
    return lambda _, key, value: type.__setattr__(owner, key, value)


def _put_arguments(partial: Any, _: str, args: tuple[Any, ...]) -> None:
    partial.__setstate__((partial.func, args, partial.keywords, vars(partial)))


def _own_names(attributes: Mapping[str, Any]) -> set[str]:
    """Those that Python does not add when it likes."""
    return {name for name in attributes if not name.startswith("__")}


def _has_names(attributes: Mapping[str, Any], known: tuple[int, set[str]]) -> bool:
    length, names = known
    return len(attributes) == length or _own_names(attributes) == names


def _call(reference: Any, _: None) -> Any:
    return reference()


def _has_local_names(local: threading.local, known: set[str]) -> bool:
    return set(vars(local)) == known


def _value_of(variable: ContextVar[Any], _: None) -> Any:
    try:
        return variable.get()
    except LookupError:
        return _UNSET


def _put_value(variable: ContextVar[Any], _: None, value: Any) -> None:
    variable.set(value)


def _cannot_put(reference: Any, _: None, value: Any) -> None:
    """What is referred to weakly stays."""


def _items(container: Any) -> list[Any]:
    return [*container.keys(), *container.values()] if isinstance(container, dict) else list(container)


def _has_items(container: Any, items: list[Any]) -> bool:
    now = _items(container)
    return len(now) == len(items) and all(map(operator.is_, now, items))


def _is_in_order(container: Any, keys: list[Any]) -> bool:
    return list(container) == keys


def _equal(now: Any, known: Any) -> bool:
    """Whether two plain values of one type are the same: 0.0 and -0.0 are equal, but not the same; NaN is."""
    return repr(now) == repr(known) if isinstance(now, (float, complex)) else bool(now == known)


def _holds_arrays(value: Any) -> bool:
    return isinstance(value, np.ndarray) or (isinstance(value, tuple) and any(map(_holds_arrays, value)))


def _with_stand_ins(value: Any, stand_in: Callable[[Any], Any]) -> Any:
    if isinstance(value, np.ndarray):
        return stand_in(value)
    if not _holds_arrays(value):
        return value
    return refilled(value, [_with_stand_ins(item, stand_in) for item in value])


def _is_set(cell: Any) -> bool:
    """Whether a cell of a closure has contents yet."""
    try:
        cell.cell_contents  # noqa: B018
    except ValueError:
        return False
    return True
