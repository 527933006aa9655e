"""What code names, and to whom the modules and methods belong that it names."""

from __future__ import annotations

import dis
import functools
import re
import sys
import types
from collections.abc import Iterable, Iterator
from typing import Any

from tinygrad_np.trees import leaves

__all__ = [
    *("globals_in", "importable", "is_called", "is_library", "is_of_the_user", "is_ours", "is_standard", "named_in"),
]

# With these, a string may be a name, or code that has names in it.
_BY_STRING = frozenset({"globals", "locals", "import_module", "__import__", "__getattribute__", "eval", "exec"})
_WORD = re.compile(r"\w+")
# With these, the fields of a string may name attributes, as in "{0.name}".
_FORMATTING = frozenset({"format", "format_map"})
_ATTRIBUTE_OF_A_FIELD = re.compile(r"\.(\w+)")
_MATCH_CLASS = dis.opmap["MATCH_CLASS"]  # what it matches with is no name of the code either
# With these, f-strings and a % in a string, code has objects say what they are.
_SPELLING = _FORMATTING | {"str", "repr", "ascii"}
_F_STRING = frozenset(map(dis.opmap.get, ("FORMAT_VALUE", "CONVERT_VALUE", "FORMAT_SIMPLE", "FORMAT_WITH_SPEC")))
_CONSTRUCTORS = frozenset({"__init__", "__new__", "__post_init__"})
# Special methods that are not called in the course of a computation, unless it names them or spells objects out.
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
    found = dict[str, None]()
    for part in _codes_in(code):
        operations = part.co_code[::2]
        found.update(dict.fromkeys([*part.co_names, *_names_in_strings(part)]))
        if _MATCH_CLASS in operations:
            found["getattr"] = None
        formats = not _F_STRING.isdisjoint(operations) or any("%" in text for text in _strings_in(part))
        if formats or not _SPELLING.isdisjoint(part.co_names):
            found.update(__str__=None, __repr__=None)
    return list(found)


def globals_in(code: types.CodeType) -> set[str]:
    """Those of the names in a function's code that may be globals, rather than attributes."""
    found = set[str]()
    for part in _codes_in(code):
        lines = dis.get_instructions(part)
        found.update(line.argval for line in lines if "GLOBAL" in line.opname or line.opname == "LOAD_NAME")
        found.update(_names_in_strings(part))
    return found


def _codes_in(code: types.CodeType) -> Iterator[types.CodeType]:
    """A function's code, and that of functions defined in it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _codes_in(constant)


def _strings_in(code: types.CodeType) -> list[str]:
    return [constant for constant in leaves(code.co_consts) if isinstance(constant, str)]


def _names_in_strings(code: types.CodeType) -> list[str]:
    """What code names without naming it itself."""
    if not _BY_STRING.isdisjoint(code.co_names):
        return [name for text in _strings_in(code) for name in (text, *_WORD.findall(text))]
    if not _FORMATTING.isdisjoint(code.co_names):
        return [name for text in _strings_in(code) for name in _ATTRIBUTE_OF_A_FIELD.findall(text)]
    return []


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
