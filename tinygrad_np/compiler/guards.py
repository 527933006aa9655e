"""What a captured function depends on besides its arguments, and whether that is still as it was at capture.

A program is right as long as the Python state that the function reads is the same: the parameters are the same arrays,
a layer is in training mode, a flag is set. `Watch` finds that state from the function itself (what it closes over, the
globals that it names, the attributes of the objects found there) and remembers it.
"""

from __future__ import annotations

import functools
import sys
import types
from collections.abc import Callable, Iterator
from operator import getitem, length_hint
from typing import Any

import numpy as np

from tinygrad_np.core import Tensor

__all__ = ["Watch", "is_library", "is_set", "named_globals"]

_PLAIN = (bool, int, float, complex, str, bytes, type(None))
_LARGEST = 1000  # longer lists and dicts are data: only that they are the same object is watched


class Watch:
    """The Python state that a function reads, as it was when this was made."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.arrays: list[np.ndarray[Any, Any]] = []
        # What to call with which two arguments, what it returned, and the name for that.
        self._entries: list[tuple[Callable[[Any, Any], Any], Any, Any, Any, str]] = []
        self._seen: set[int] = set()
        self._alive: list[Any] = []
        self._walk(function, getattr(function, "__name__", "the function"))

    def changed(self) -> str | None:
        """The name of something that is not as it was, or None."""
        for get, thing, key, known, name in self._entries:
            try:
                now = get(thing, key)
            except (KeyError, IndexError, AttributeError, ValueError):
                return name
            if now is not known and not (isinstance(known, _PLAIN) and type(now) is type(known) and now == known):
                return name
        return None

    def _watch(self, get: Callable[[Any, Any], Any], thing: Any, key: Any, name: str) -> None:
        value = get(thing, key)
        self._entries.append((get, thing, key, value, name))
        self._walk(value, name)

    def _watch_length(self, container: Any, name: str) -> None:
        self._entries.append((length_hint, container, 0, len(container), name))

    def _walk(self, thing: Any, name: str) -> None:
        if isinstance(thing, _PLAIN) or id(thing) in self._seen:
            return
        self._seen.add(id(thing))
        self._alive.append(thing)
        if isinstance(thing, np.ndarray):
            self.arrays.append(thing)
        elif isinstance(thing, Tensor):
            self._watch(getattr, thing, "_value", f"{name}.data")
        elif isinstance(thing, functools.partial):
            for part, label in ((thing.func, "func"), (thing.args, "args"), (thing.keywords, "keywords")):
                self._walk(part, f"{name}.{label}")
        elif isinstance(thing, types.MethodType):
            self._walk(thing.__self__, name)
            self._walk(thing.__func__, name)
        elif isinstance(thing, types.FunctionType):
            self._walk_function(thing, name)
        elif isinstance(thing, dict | list | tuple):
            self._walk_container(thing, name)
        elif not isinstance(thing, type | types.ModuleType | types.BuiltinFunctionType | np.ufunc | np.generic):
            self._walk_object(thing, name)

    def _walk_function(self, function: types.FunctionType, name: str) -> None:
        if is_library(function.__module__):
            return
        for variable, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
            if is_set(cell):
                self._watch(getattr, cell, "cell_contents", variable)
        for variable in named_globals(function):
            self._watch(getitem, function.__globals__, variable, variable)
        for default in (*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()):
            self._walk(default, f"a default of {name}")

    def _walk_container(self, container: Any, name: str) -> None:
        if len(container) > _LARGEST:
            return
        if isinstance(container, tuple):  # it cannot change itself, though what is in it can
            for i, item in enumerate(container):
                self._walk(item, f"{name}[{i}]")
            return
        self._watch_length(container, f"len({name})")
        keys = container if isinstance(container, dict) else range(len(container))
        for key in list(keys):
            self._watch(getitem, container, key, f"{name}[{key!r}]")

    def _walk_object(self, thing: Any, name: str) -> None:
        module = type(thing).__module__
        if module == "tinygrad_np.compiler.compile":  # its own state changes with every capture
            self._walk(thing.fn, name)
            return
        if is_library(module) and not module.startswith("tinygrad_np"):
            return
        call = vars(type(thing)).get("__call__")
        if isinstance(call, types.FunctionType):
            self._walk(call, name)
        attributes = getattr(thing, "__dict__", None)
        if isinstance(attributes, dict):
            self._watch_length(attributes, f"the attributes of {name}")
            for key in list(attributes):
                self._watch(getitem, attributes, key, f"{name}.{key}")


def named_globals(function: types.FunctionType) -> Iterator[str]:
    """The globals that a function's code, and the code of functions defined in it, names."""
    codes = [function.__code__]
    found: dict[str, None] = {}
    for code in codes:  # grows as it goes
        codes += [constant for constant in code.co_consts if isinstance(constant, types.CodeType)]
        found.update(dict.fromkeys(name for name in code.co_names if name in function.__globals__))
    return iter(found)


def is_library(module: str | None) -> bool:
    """Whether a function belongs to an installed library, whose state is not the user's."""
    top = (module or "").partition(".")[0]
    return top in ("tinygrad_np", "numpy") or top in sys.stdlib_module_names - {"__main__"}


def is_set(cell: Any) -> bool:
    """Whether a cell of a closure has contents yet."""
    try:
        cell.cell_contents  # noqa: B018
    except ValueError:
        return False
    return True
