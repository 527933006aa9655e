"""The Python function that a replay consists of, while it is being written."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import groupby
from typing import Any, NamedTuple

from tinygrad_np.compiler.program import Value, spelled

__all__ = ["Code", "Step"]

_WRITTEN_OUT = (bool, int, str, type(None))


class Step(NamedTuple):
    """A call that is made with the same objects on every run.

    Most calls are such. The function goes through them in loops: Python takes longer to compile a line than to run it
    a hundred times, and a loop is as fast.
    """

    function: Callable[..., Any]
    args: tuple[Any, ...]


class Code:
    """Lines of Python, and the names of what is in them.

    Attributes
    ----------
    lines : list of str or Step
        The body of the function.
    fixed : dict of Value to array
        Values that are the same array on every run.
    local : dict of Value to str
        Values that are not, and the variables that hold them.
    """

    def __init__(self) -> None:
        self.lines: list[str | Step] = []
        self.fixed: dict[Value, Any] = {}
        self.local: dict[Value, str] = {}
        self._things: dict[str, Any] = {}
        self._names: dict[int, str] = {}  # of things by their ids, which _things keeps alive

    def add(self, *lines: str) -> None:
        """Write lines at the end."""
        self.lines += lines

    def step(self, function: Callable[..., Any], *args: Any) -> None:
        """Have a call made that is the same on every run."""
        self.lines.append(Step(function, args))

    def name(self, thing: Any, kind: str = "") -> str:
        """What the function calls a thing; `kind` is for things that have no name of their own."""
        if type(thing) in _WRITTEN_OUT:
            return repr(thing)
        known = self._names.get(id(thing))
        if known is None:
            base = kind or getattr(thing, "__name__", "constant")
            base = base if base.isidentifier() else "".join(c if c.isalnum() else "_" for c in base)
            base += "_" * (base[1:].isdigit() or base in ("result", "call", "given"))  # a variable's name
            known = self._names[id(thing)] = base if base not in self._things else f"{base}_{len(self._things)}"
            self._things[known] = thing
        return known

    def array(self, array: Any) -> str:
        """What the function calls an array."""
        return self.name(array, "array")

    def argument(self, tree: Any) -> str:
        """Nested arguments of a call as one writes them."""
        return spelled(tree, self._leaf)

    def _leaf(self, leaf: Any) -> str:
        if isinstance(leaf, Value):
            return self.local[leaf] if leaf in self.local else self.array(self.fixed[leaf])
        if isinstance(leaf, slice):
            return f"slice({', '.join(self.argument(part) for part in (leaf.start, leaf.stop, leaf.step))})"
        return self.name(leaf)

    def arguments(self, args: Any, kwargs: dict[str, Any]) -> str:
        """What stands between the parentheses of a call."""
        return ", ".join([*map(self.argument, args), *(f"{k}={self.argument(v)}" for k, v in kwargs.items())])

    def function(self, parameters: list[str]) -> tuple[str, Callable[..., Any]]:
        """The source, and the function that it defines."""
        body = "\n    ".join(self._written()) or "pass"
        source = f"def replay({', '.join(parameters)}):\n    {body}\n"
        namespace = dict(self._things)
        exec(compile(source, "<tinygrad_np program>", "exec"), namespace)
        return source, namespace["replay"]

    def _written(self) -> Iterator[str]:
        for kind, group in groupby(self.lines, type):
            if kind is Step:
                plain = tuple(map(tuple, group))  # which Python unpacks sooner than tuples of a class
                yield f"for call, given in {self.name(plain, 'steps')}:"
                yield "    call(*given)"
            else:
                yield from group  # type: ignore[misc]
