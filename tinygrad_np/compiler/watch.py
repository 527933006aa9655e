"""Finding the Python state that a captured function depends on.

`Watch` finds it from the code. It starts from what the function closes over, the globals that it names, and the objects
among its arguments. Of the objects, classes and modules found there it goes on to the attributes that are named in any
of the code that it came by; of containers, to the items. What belongs to an installed library is not followed.
"""

from __future__ import annotations

import ctypes
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
from contextlib import suppress
from contextvars import ContextVar
from typing import Any, NamedTuple

import numpy as np

from tinygrad_np.compiler.guards import PLAIN, Get, Guards, Put
from tinygrad_np.compiler.names import globals_in, importable, is_called, is_library, is_ours, is_standard, named_in
from tinygrad_np.core import Tensor, redefined, table
from tinygrad_np.errors import CaptureError
from tinygrad_np.trees import leaves

__all__ = ["Watch"]

_CONTAINERS = (dict, list, tuple, deque)
_SETS = (set, frozenset)
_NOTHING: dict[Any, Any] = {}
_VIEWS = (types.MappingProxyType, type(_NOTHING.keys()), type(_NOTHING.values()), type(_NOTHING.items()))  # of a dict
# Whose content can be written to, though NumPy calls some of them scalars.
_BUFFERS = (bytearray, array, memoryview, np.void, ctypes._SimpleCData, ctypes.Array, ctypes.Structure, ctypes.Union)
_PROXIES = (weakref.ProxyType, weakref.CallableProxyType)
_GENERATORS = (np.random.Generator, np.random.RandomState, random.Random)
_OPAQUE = (np.ufunc, np.generic)
# Of these nothing matters but what they are made of.
_PARTS: dict[Any, Callable[[Any], Iterable[Any]]] = {
    types.MethodType: lambda method: (method.__self__, method.__func__),
    staticmethod: lambda method: (method.__func__,),
    classmethod: lambda method: (method.__func__,),
    functools.singledispatchmethod: lambda method: (method.dispatcher, method.func),
    property: lambda attribute: (attribute.fget, attribute.fset),
    **dict.fromkeys(_VIEWS, gc.get_referents),
}
# Classes of the standard library whose instances hold what the user gave them.
_OPEN = frozenset(
    {"types.SimpleNamespace", "argparse.Namespace", "functools._lru_cache_wrapper", "functools.cached_property"}
    | {"functools.partialmethod", "configparser.RawConfigParser"}
    | {"collections.UserDict", "collections.UserList", "collections.ChainMap"}
    | {"weakref.WeakKeyDictionary", "weakref.WeakValueDictionary", "_weakrefset.WeakSet"}
)
_LARGEST = 1000  # of longer lists and dicts the items are watched, but not what is in those

# With these, code gets at attributes that it does not name.
_BY_ANY_NAME = frozenset({"getattr", "hasattr", "setattr", "delattr", "vars", "__dict__", "attrgetter", "methodcaller"})
_ENVIRONMENT = frozenset({"environ", "getenv"})

_ITEM = (operator.getitem, operator.setitem)


class _Holder(NamedTuple):
    """Something with attributes, of which those are watched that the code names."""

    name: str
    attributes: Mapping[str, Any]
    thing: Any  # what get and put are called with
    get: Get = operator.getitem
    put: Put = operator.setitem
    always: frozenset[str] = frozenset()  # what is watched though nobody names it
    grows: bool = True  # whether attributes may be added, and nobody else looks after that


class Watch(Guards):
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
        super().__init__()
        self.arrays: list[np.ndarray[Any, Any]] = []
        self.generators: list[tuple[Any, str]] = []
        self.iterators: list[str] = []
        self._replaces = True  # whether arrays that are found are to be replaced
        self._seen: set[int] = set()
        self._alive: list[Any] = []
        self._named: set[str] = set()  # by the code of all functions that were found
        self._holders: list[_Holder] = []
        self._classes: set[tuple[int, bool]] = set()
        self._globals: dict[int, tuple[dict[str, Any], set[str]]] = {}  # of modules, with those that their code names
        self._queue: deque[tuple[Any, str, bool]] = deque()
        self._walk(function, getattr(function, "__name__", "the function"))
        self._walk_arguments(arguments)
        self._walk_attributes()
        self.expect(operator.length_hint, redefined, 0, len(redefined), "a rule that tg.defvjp has given anew")

    def _watch(self, get: Get, put: Put, thing: Any, key: Any, name: str) -> None:
        self._walk(self.expect_at(get, put, thing, key, name, replace=self._replaces), name)

    def _walk(self, thing: Any, name: str) -> None:
        """Have this looked at, when its turn comes."""
        if type(thing) not in PLAIN and id(thing) not in self._seen:
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
            self.expect_tensor(thing, name)
            self._walk(thing._value, name)
        elif isinstance(thing, types.FunctionType):
            self._walk_function(thing, name)
        elif (parts := _parts_of(thing)) is not None:
            self._walk_all(parts, name)
        elif isinstance(thing, functools.partial):
            self._walk(thing.func, name)
            self._watch(getattr, _put_arguments, thing, "args", f"the arguments of {name}")
            self._walk(thing.keywords, f"the arguments of {name}")
        elif isinstance(thing, _CONTAINERS):
            self._walk_container(thing, name)
        elif isinstance(thing, _SETS):
            self.expect_keys(thing, name)
            self._walk_all(thing, name)
        elif isinstance(thing, _BUFFERS):
            self.expect(_content, thing, None, _content(thing, None), name)
        elif isinstance(thing, (operator.attrgetter, operator.methodcaller)):
            self._named.update(name for text in thing.__reduce__()[1] for name in str(text).split("."))
        elif isinstance(thing, weakref.ref):
            self._watch(_call, _cannot_put, thing, None, f"what {name} refers to")
        elif isinstance(thing, ContextVar):
            self._watch(_value_of, _put_value, thing, None, name)
        elif isinstance(thing, threading.local):
            self._walk_local(thing, name)
        elif isinstance(thing, types.ModuleType):
            self._walk_module(thing)
        elif isinstance(thing, type):
            self._walk_class(thing, made=True)
        elif isinstance(thing, types.BuiltinMethodType):
            self._walk_builtin_method(thing, name)
        elif not isinstance(thing, _OPAQUE):
            self._walk_object(thing, name)

    def _walk_arguments(self, tree: Any) -> None:
        if isinstance(tree, (dict, list, tuple)):
            self._walk_object(tree, "an argument")  # of a class of the user's
            for item in tree.values() if isinstance(tree, dict) else tree:
                self._walk_arguments(item)
        elif not isinstance(tree, (np.ndarray, Tensor)):
            self._walk(tree, "an argument")

    def names(self, name: str) -> bool:
        """Whether any of the code has this name in it."""
        return name in self._named

    def _walk_all(self, things: Iterable[Any], name: str) -> None:
        for thing in things:
            self._walk(thing, name)

    def _walk_function(self, function: types.FunctionType, name: str) -> None:
        cells = [(n, c) for n, c in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)]
        for variable, cell in cells:
            if not _is_set(cell):
                self.expect(_is_set, cell, None, False, variable)
        cells = [(variable, cell) for variable, cell in cells if _is_set(cell)]
        names = function.__globals__
        if function.__module__ == "dataclasses":  # which goes through all attributes
            self._named.add("getattr")
        if is_library(names.get("__name__")):  # such as what a decorator returns: only what it calls matters
            inside = [part for _, cell in cells for part in leaves(cell.cell_contents)]
            self._walk_all([part for part in inside if callable(part)], name)
            self._walk(vars(function).get("registry"), f"the registry of {name}")  # of functools.singledispatch
            self._walk_all(getattr(table.get(function), "rules", ()), f"a rule of {name}")
            return
        self.expect(getattr, function, "__code__", function.__code__, f"the code of {name}")
        for variable, cell in cells:
            self._watch(getattr, setattr, cell, "cell_contents", variable)
        self._globals.setdefault(id(names), (names, set()))[1].update(globals_in(function.__code__))
        for variable in named_in(function.__code__):
            self._named.add(variable)
            if variable in names:
                self._watch(*_ITEM, names, variable, variable)
            else:
                self._walk_all(importable(variable, names.get("__package__")), variable)
        for defaults in ("__defaults__", "__kwdefaults__"):
            if getattr(function, defaults):
                self._watch(getattr, setattr, function, defaults, f"the defaults of {name}")
        self._walk(vars(function), f"the attributes of {name}")

    def _walk_container(self, container: Any, name: str) -> None:
        if isinstance(container, tuple):  # it cannot change itself, though what is in it can
            for i, item in enumerate(container):
                self._walk(item, f"{name}[{i}]")
        elif len(container) > _LARGEST:
            self.expect_items(container, f"the items of {name}")
        elif isinstance(container, dict):
            telling = len(container) > 1 or any(type(key) is not str for key in container)
            if telling and self._replaces:  # the user's: their order may matter, and what is done with the keys
                self.keep_items(container)
                self.expect_keys(container, f"the keys of {name}")
                self._walk_all(container, name)
            else:
                self.expect_length(container, f"len({name})")
            for key in list(container):
                self._watch(dict.__getitem__, dict.__setitem__, container, key, f"{name}[{key!r}]")
        else:
            self.expect_length(container, f"len({name})")
            get, put = (list.__getitem__, list.__setitem__) if isinstance(container, list) else _ITEM
            for i in range(len(container)):
                self._watch(get, put, container, i, f"{name}[{i}]")
        self._walk_object(container, name)  # of a class of the user's

    def _walk_builtin_method(self, method: types.BuiltinMethodType, name: str) -> None:
        if isinstance(method.__self__, np.ndarray):
            raise CaptureError(
                f"{name} is the method {method.__name__} of an array, and tg.compile cannot see what it reads: keep "
                "the array itself, and call its method in the function"
            )
        if not isinstance(method.__self__, types.ModuleType):
            self._walk(method.__self__, name)

    def _walk_module(self, module: types.ModuleType) -> None:
        if module.__name__ == "dataclasses":  # which goes through all attributes
            self._named.add("getattr")
        if not is_library(module.__name__):
            self._holders.append(_Holder(module.__name__, vars(module), vars(module)))

    def _walk_local(self, local: threading.local, name: str) -> None:
        self.expect(_has_local_names, local, set(vars(local)), True, f"the attributes of {name}")
        self._walk_class(type(local))
        for key in vars(local):
            self._watch(getattr, setattr, local, key, f"{name}.{key}")

    def _walk_class(self, kind: type, *, made: bool = False) -> None:
        """Watch the attributes of a class, and of those that it inherits from; also how instances are made of it."""
        for owner in kind.__mro__:
            if is_library(owner.__module__) or (id(owner), made) in self._classes:
                continue
            self._classes.add((id(owner), made))
            self._alive.append(owner)
            self._walk_class(type(owner))
            always = frozenset(name for name in vars(owner) if is_called(owner, name, made))
            grows = (id(owner), not made) not in self._classes
            self._holders.append(
                _Holder(owner.__name__, vars(owner), vars(owner), put=_put_on_class(owner), always=always, grows=grows)
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
            self.expect(getattr, thing, "__class__", kind, f"the class of {name}")
        attributes = _slot(thing, "__dict__")
        if isinstance(attributes, dict):
            if whole:
                self.expect_length(attributes, f"the attributes of {name}")
                # Optimisers have something stand in for their arrays themselves.
                before, self._replaces = self._replaces, self._replaces and not hasattr(kind, "_on_tape")
                for key in list(attributes):
                    self._watch(*_ITEM, attributes, key, f"{name}.{key}")
                self._replaces = before
            else:
                self.keep_items(attributes)
                self._holders.append(_Holder(name, attributes, attributes))
        slots = {n: v for owner in kind.__mro__ for n, v in vars(owner).items() if isinstance(v, _SLOT)}
        if slots and not whole:
            self._holders.append(_Holder(name, slots, thing, _slot, object.__setattr__, grows=False))

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
        for holder in self._holders:
            if holder.grows:
                self._expect_no_others(holder, any_name)
        for names, variables in self._globals.values():
            self.expect_absent(names, frozenset(variables - names.keys()), f"the globals of {names.get('__name__')}")
        if not self._named.isdisjoint(_ENVIRONMENT):
            self.expect(operator.eq, os.environ, dict(os.environ), True, "os.environ")

    def _expect_no_others(self, holder: _Holder, any_name: bool) -> None:
        """Watch that no attributes are added that the code may ask for."""
        attributes, name = holder.attributes, f"the attributes of {holder.name}"
        if any_name:  # all that are there are watched, so that counting them tells whether there are others
            self.expect(_has_names, attributes, (len(attributes), _own_names(attributes)), True, name)
        else:
            self.expect_absent(attributes, frozenset(self._named - attributes.keys()), name)


_SLOT = types.MemberDescriptorType
_UNSET = object()


def _slot(thing: Any, name: str) -> Any:
    try:
        return object.__getattribute__(thing, name)
    except AttributeError:
        return _UNSET


def _parts_of(thing: Any) -> Iterable[Any] | None:
    return next((parts(thing) for kind, parts in _PARTS.items() if isinstance(thing, kind)), None)


def _put_on_class(owner: type) -> Put:
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


def _content(buffer: Any, _: None) -> bytes:
    """A copy of what is in memory."""
    return buffer.tobytes() if hasattr(buffer, "tobytes") else bytes(buffer)


def _is_set(cell: Any, _: None = None) -> bool:
    """Whether a cell of a closure has contents yet."""
    try:
        cell.cell_contents  # noqa: B018
    except ValueError:
        return False
    return True
