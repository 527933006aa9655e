"""What a Tensor can expect of every function in NumPy: ``python -m tinygrad_np.coverage``.

Every public callable of ``numpy``, ``numpy.linalg`` and ``numpy.fft``, every method of a ufunc, and every method,
attribute and operator of an array is in exactly one of three tables:

- *differentiable*: it has a rule, or is spelled in terms of functions that have one;
- *constant*: its derivative is zero, or it answers with a plain value, or no array of numbers goes into it;
- *refused*: it raises, with the reason and with what to write instead.

What is in none of them is *missing*, as whatever a new release of NumPy adds, until somebody looks at it.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinygrad_np.core import Differentiable, Handler, Tensor, converted, getitem, table, updated
from tinygrad_np.methods import REFUSED
from tinygrad_np.rules.handlers import Composite, Constant, Query, Refused, Unrelated
from tinygrad_np.rules.ufunc_methods import is_defined

__all__ = ["KINDS", "Entry", "entries", "main", "markdown"]

KINDS = ("differentiable", "constant", "refused", "missing")

_NAMESPACES = {"numpy": np, "numpy.linalg": np.linalg, "numpy.fft": np.fft}

# What an array's methods and operators do, where NumPy has no function of the same name. None is a plain value.

_METHODS: dict[str, Any] = {
    "T": np.transpose,
    "astype": converted,
    "fill": updated,
    "flatten": np.ravel,
    "mT": np.matrix_transpose,
    **dict.fromkeys(("data", "item", "itemsize", "nbytes", "tolist")),
}
_BINARY = {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "truediv": np.divide, "floordiv": np.floor_divide,
    "mod": np.remainder, "divmod": np.divmod, "pow": np.power, "matmul": np.matmul, "and": np.bitwise_and,
    "or": np.bitwise_or, "xor": np.bitwise_xor, "lshift": np.left_shift, "rshift": np.right_shift,
}  # fmt: skip
_OPERATORS: dict[str, Any] = {
    **{f"__{reflected}{name}__": ufunc for name, ufunc in _BINARY.items() for reflected in ("", "r", "i")},
    "__lt__": np.less, "__le__": np.less_equal, "__gt__": np.greater, "__ge__": np.greater_equal,
    "__eq__": np.equal, "__ne__": np.not_equal, "__contains__": np.equal,
    "__neg__": np.negative, "__pos__": np.positive, "__abs__": np.absolute, "__invert__": np.invert,
    "__getitem__": getitem, "__iter__": getitem, "__setitem__": updated,
    **dict.fromkeys(("__len__", "__bool__", "__int__", "__float__", "__complex__", "__index__")),
    **dict.fromkeys(("__repr__", "__str__", "__format__")),
}  # fmt: skip
_PROTOCOL = {
    *("__array__", "__array_finalize__", "__array_function__", "__array_interface__", "__array_namespace__"),
    *("__array_priority__", "__array_struct__", "__array_ufunc__", "__array_wrap__", "__buffer__", "__hash__"),
    *("__class_getitem__", "__copy__", "__deepcopy__", "__delitem__", "__doc__", "__new__", "__reduce__"),
    *("__reduce_ex__", "__release_buffer__", "__setstate__", "__sizeof__"),
}
"""What Python and NumPy call, and users do not."""


@dataclass(frozen=True)
class Entry:
    """One function, and what a Tensor can expect of it.

    Attributes
    ----------
    group : str
        ``numpy``, ``numpy.linalg``, ``numpy.fft``, ``ndarray``, or the ``ufunc methods``, of which there are some that
        NumPy itself refuses.
    name : str
        How users write it.
    kind : str
        One of `KINDS`.
    how : str
        What its derivative is made of, or the reason why it is refused.
    function : object
        The function itself; for an array's method, what stands for it in the derivative table.
    """

    group: str
    name: str
    kind: str
    how: str
    function: Any


def entries() -> list[Entry]:
    """Every function in NumPy, with the table that it is in.

    Examples
    --------
    >>> from tinygrad_np.coverage import entries
    >>> [(e.kind, e.how) for e in entries() if e.name == "np.linalg.svd"]
    [('differentiable', 'composed of functions that have rules')]
    """
    return [*_functions(), *_ufunc_methods(), *_array_methods()]


def _functions() -> Iterator[Entry]:
    for group, module in _NAMESPACES.items():
        for name in sorted(module.__all__):
            function = getattr(module, name)
            if callable(function) and not name.startswith("_"):
                yield Entry(group, f"{group.replace('numpy', 'np')}.{name}", *_place(table.get(function)), function)


def _ufunc_methods() -> Iterator[Entry]:
    ufuncs = {f.__name__: f for f in vars(np).values() if isinstance(f, np.ufunc)}
    methods = {
        f"np.{name}.{method}": getattr(ufunc, method)
        for name, ufunc in sorted(ufuncs.items())
        for method in dir(ufunc)
        if callable(getattr(ufunc, method)) and not method.startswith("_")
    }
    for group, defined in (("ufunc methods", True), ("ufunc methods that NumPy itself refuses", False)):
        for name, method in methods.items():
            if is_defined(method) is defined:
                yield Entry(group, name, *_place(table.get(method)), method)


def _array_methods() -> Iterator[Entry]:
    array = np.zeros((1, 1))  # a class still has the names that NumPy 2.0 took from its arrays
    operators = {name for name in vars(np.ndarray) if name.startswith("_")} - _PROTOCOL
    for name in sorted(operators | {name for name in dir(array) if not name.startswith("_") and hasattr(array, name)}):
        meaning = {**_METHODS, **_OPERATORS}
        function = meaning[name] if name in meaning else getattr(np, name, None)
        if name in REFUSED:
            place = "refused", REFUSED[name].format(name=name)
        elif not hasattr(Tensor, name):
            place = "missing", ""
        elif name in meaning and function is None:
            place = "constant", "a plain value"
        else:
            place = _place(table.get(function))
        yield Entry("ndarray", f"ndarray.{name}", *place, function)


def _place(handler: Handler | None) -> tuple[str, str]:
    """The table that a function is in, and why."""
    if isinstance(handler, Differentiable):
        return "differentiable", "has a rule"
    if isinstance(handler, Composite):
        return "differentiable", "composed of functions that have rules"
    if isinstance(handler, Unrelated):
        return "constant", "no array of numbers goes into it"
    if isinstance(handler, Query):
        return "constant", "a plain value"
    if isinstance(handler, Constant):
        return "constant", "no gradient"
    if isinstance(handler, Refused):
        return "refused", handler.reason
    return "missing", ""


def markdown(found: Iterable[Entry]) -> str:
    """How many functions of each group are in each table, as a table for the README."""
    counts = Counter((entry.group, entry.kind) for entry in found)
    groups = list(dict.fromkeys(group for group, _ in counts))
    kinds = [kind for kind in KINDS if kind != "missing" or any(counts[group, kind] for group in groups)]
    rows = [[group, *(str(counts[group, kind]) for kind in kinds)] for group in groups]
    rows.append(["all", *(str(sum(counts[group, kind] for group in groups)) for kind in kinds)])
    lines = [["", *kinds], ["---"] * (len(kinds) + 1), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the coverage table; the exit status tells whether anything is missing."""
    parser = argparse.ArgumentParser(prog="python -m tinygrad_np.coverage", description="What Tensors do in NumPy.")
    parser.add_argument("names", nargs="*", help="print only functions with one of these in their name")
    parser.add_argument("--missing", action="store_true", help="print only what is in none of the three tables")
    parser.add_argument("--markdown", action="store_true", help="print only how many functions are in each table")
    options = parser.parse_args(arguments)
    found = entries()
    missing = any(entry.kind == "missing" for entry in found)
    if options.markdown:
        print(markdown(found))
        return int(missing)
    for entry in found:
        wanted = not options.names or any(name in entry.name for name in options.names)
        if wanted and (entry.kind == "missing" or not options.missing):
            print(f"{entry.name:32} {entry.kind:14} {entry.how}".rstrip())
    return int(missing)


if __name__ == "__main__":
    sys.exit(main())
