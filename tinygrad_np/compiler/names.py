"""What code names, and to whom the modules and methods belong that it names."""

from __future__ import annotations

import dis
import functools
import sys
import types
from collections.abc import Iterable
from typing import Any

__all__ = ["importable", "is_called", "is_library", "is_of_the_user", "is_ours", "is_standard", "named_in"]

_BY_STRING = frozenset({"globals", "locals", "import_module", "__import__"})  # with these, a string may be a name
_MATCH_CLASS = dis.opmap["MATCH_CLASS"]  # what it matches with is no name of the code either
_CONSTRUCTORS = frozenset({"__init__", "__new__", "__post_init__"})
# Special methods that are not called in the course of a computation.
_ASIDE = _CONSTRUCTORS | {"__init_subclass__", "__del__", "__repr__", "__str__", "__reduce__", "__getstate__"}


def is_called(owner: type, name: str, made: bool) -> bool:
    """Whether Python or a library calls this method, though nobody names it."""
    if not isinstance(vars(owner)[name], types.FunctionType) or name in _ASIDE:
        return made and name in _CONSTRUCTORS
    if name.startswith("__"):
        return True
    inherited = [base for base in owner.__mro__[1:] if is_library(base.__module__) and base is not object]
    return any(hasattr(base, name) or name in _names_in_class(base) for base in inherited)


@functools.cache
def _names_in_class(kind: type) -> frozenset[str]:
    functions = [value for value in vars(kind).values() if isinstance(value, types.FunctionType)]
    return frozenset(name for function in functions for name in named_in(function.__code__))


def importable(name: str, package: str | None) -> list[Any]:
    """The modules that ``import name`` may mean in a function of this package."""
    parents = (package or "").split(".")
    names = [name, *(f"{'.'.join(parents[: i + 1])}.{name}" for i in range(len(parents)))]
    return [module for module in map(sys.modules.get, names) if module is not None]


def named_in(code: types.CodeType) -> list[str]:
    """The globals and attributes that a function's code, and the code of functions defined in it, names."""
    codes, found = [code], dict[str, None]()
    for part in codes:  # grows as it goes
        codes += [constant for constant in part.co_consts if isinstance(constant, types.CodeType)]
        found.update(dict.fromkeys(part.co_names))
        if not _BY_STRING.isdisjoint(part.co_names):
            found.update(dict.fromkeys(constant for constant in part.co_consts if isinstance(constant, str)))
        if _MATCH_CLASS in part.co_code[::2]:
            found["getattr"] = None
    return list(found)


def is_ours(module: Any) -> bool:
    """Whether this is the name of a module of this package."""
    return isinstance(module, str) and module.startswith("tinygrad_np.")


@functools.cache
def is_standard(module: Any) -> bool:
    """Whether this is the name of a module of Python, of NumPy or of ours; of compiled classes it may be no name."""
    if not isinstance(module, str | None):
        return True
    top = (module or "").partition(".")[0]
    return top in ("tinygrad_np", "numpy") or top in sys.stdlib_module_names - {"__main__"}


@functools.cache
def is_library(module: Any) -> bool:
    """Whether a module is of Python or installed, so that its state is not the user's."""
    if is_standard(module):
        return True
    file = getattr(sys.modules.get((module or "").partition(".")[0]), "__file__", None) or ""
    return "site-packages" in file or "dist-packages" in file


def is_of_the_user(modules: Iterable[str]) -> bool:
    """Whether one of these modules is neither of Python nor installed."""
    return not all(map(is_library, modules))
