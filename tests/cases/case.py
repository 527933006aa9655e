"""One line per meaningfully different form of a call: what a `Case` is, and what its arguments are drawn from.

    case(np.sum, A(2, 3, 4), axis=(0, -1), keepdims=True)
    case(np.concatenate, [A(2, 3), A(1, 3)], axis=0)
    case(np.log, positive(3, 4), complex=True)

``A(3, 4)`` and its relatives stand for a differentiable argument of that shape; everything else is passed as it is.
A case's random numbers come from its text, so they are the same on every run.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tinygrad_np.core import table
from tinygrad_np.signatures import function_name

PROPERTIES = frozenset({"value", "second order", "float32", "layout", "stretched", "one at a time", "mixed"})
"""The properties that a case can be exempt from: each is a test of ``test_rules.py``."""


# ----------------------------------------------------------------------------------------------------- the arguments


@dataclass(frozen=True)
class Argument:
    """A differentiable argument: its shape, and where its values come from."""

    shape: tuple[int, ...]
    domain: str = "A"
    values: tuple[float, ...] | None = None

    def __repr__(self) -> str:
        return f"{self.domain}({','.join(map(str, self.shape if self.values is None else self.values))})"

    def draw(self, rng: np.random.Generator, position: int, complex: bool) -> np.ndarray:
        values = _DOMAINS[self.domain](rng, self.shape, position) if self.values is None else np.array(self.values)
        if complex:
            return values + 0.5j * _DOMAINS["A"](rng, self.shape, position)
        # float32 values, so that the float32 properties see the same numbers
        return values.astype(np.float32).astype(np.float64)


_Draw = Callable[[np.random.Generator, tuple[int, ...], int], np.ndarray]


def _signed(rng: np.random.Generator, shape: tuple[int, ...], _position: int) -> np.ndarray:
    return rng.uniform(0.3, 1.7, shape) * rng.choice([-1.0, 1.0], shape)


def _between(low: float, high: float) -> _Draw:
    return lambda rng, shape, _position: rng.uniform(low, high, shape)


def _distinct(rng: np.random.Generator, shape: tuple[int, ...], position: int) -> np.ndarray:
    size = int(np.prod(shape))
    return 0.2 * (rng.permutation(size).reshape(shape) - size / 2) + 0.07 * (position + 1)


def _gappy(rng: np.random.Generator, shape: tuple[int, ...], position: int) -> np.ndarray:
    values = _distinct(rng, shape, position)
    gaps = np.arange(values.size).reshape(shape) % 3 == 1
    if shape:
        gaps[..., 0] = False  # no row is empty
    return np.where(gaps, np.nan, values)


_DOMAINS: dict[str, _Draw] = {
    "A": _signed,
    "positive": _between(0.4, 2.0),
    "inside": _between(-0.8, 0.8),
    "above_one": _between(1.2, 3.0),
    "distinct": _distinct,
    "gappy": _gappy,
}


def A(*shape: int) -> Argument:
    """Numbers of both signs, some way from zero."""
    return Argument(shape)


def positive(*shape: int) -> Argument:
    """Numbers above zero."""
    return Argument(shape, "positive")


def inside(*shape: int) -> Argument:
    """Numbers between -1 and 1."""
    return Argument(shape, "inside")


def above_one(*shape: int) -> Argument:
    """Numbers above 1."""
    return Argument(shape, "above_one")


def distinct(*shape: int) -> Argument:
    """Numbers well apart from one another, and from those of every other `distinct` argument."""
    return Argument(shape, "distinct")


def gappy(*shape: int) -> Argument:
    """Distinct numbers with NaN among them, but in no row only NaN."""
    return Argument(shape, "gappy")


def at(*values: float) -> Argument:
    """These numbers, in one axis: for functions with a kink at every other step."""
    return Argument((len(values),), "at", values)


# ---------------------------------------------------------------------------------------------------------- the case


@dataclass(frozen=True)
class Case:
    """One form of call. Called with arrays or Tensors, one for each `Argument`, it makes that call.

    Attributes
    ----------
    function : callable
        The entry of the derivative table that the case is about.
    spelling : callable
        How users reach it: the function itself, or for instance ``x[index]``.
    complex : bool
        Whether the rule is checked with complex input as well.
    third : bool
        Whether it is checked at third order as well.
    exempt : dict
        The properties that the case does not have, each with the reason.
    """

    function: Any
    spelling: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any] = field(default_factory=dict)
    complex: bool = False
    third: bool = False
    exempt: dict[str, str] = field(default_factory=dict)

    @property
    def id(self) -> str:
        given = [_brief(arg) for arg in self.args] + [f"{k}={_brief(v)}" for k, v in self.kwargs.items()]
        return f"{function_name(self.function)}({', '.join(given)})"

    @property
    def arguments(self) -> list[Argument]:
        return list(_arguments(self.args)) + list(_arguments(tuple(self.kwargs.values())))

    def draw(self, *, complex: bool | Sequence[bool] = False) -> list[np.ndarray]:
        """The same values on every call: float64, or complex128 for the arguments that `complex` says."""
        arguments = self.arguments
        kinds = [complex] * len(arguments) if isinstance(complex, bool) else complex
        rng = np.random.default_rng(zlib.crc32(self.id.encode()))
        return [a.draw(rng, i, kind) for i, (a, kind) in enumerate(zip(arguments, kinds, strict=True))]

    def __call__(self, *arrays: Any) -> Any:
        values = iter(arrays)
        args = [_filled(arg, values) for arg in self.args]
        return self.spelling(*args, **{name: _filled(arg, values) for name, arg in self.kwargs.items()})

    def __repr__(self) -> str:
        return self.id


def case(
    function: Any,
    *args: Any,
    spelling: Callable[..., Any] | None = None,
    complex: bool = False,
    third: bool = False,
    exempt: dict[str, str] | None = None,
    **kwargs: Any,
) -> Case:
    """One line of the table: see `Case`."""
    found = Case(function, spelling or function, args, kwargs, complex, third, exempt or {})
    assert found.arguments, f"{found}: no argument to differentiate"
    assert found.exempt.keys() <= PROPERTIES, f"{found}: exempt from unknown properties {found.exempt.keys()}"
    return found


def _arguments(tree: Any) -> Iterator[Argument]:
    if isinstance(tree, Argument):
        yield tree
    elif isinstance(tree, list | tuple):
        for item in tree:
            yield from _arguments(item)


def _filled(tree: Any, values: Iterator[Any]) -> Any:
    if isinstance(tree, Argument):
        return next(values)
    if isinstance(tree, list | tuple):
        return type(tree)(_filled(item, values) for item in tree)
    return tree


def _brief(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"{value.dtype}{value.tolist()}".replace(" ", "")
    if isinstance(value, slice):
        return ":".join("" if v is None else str(v) for v in ([value.start, value.stop, value.step]))
    if isinstance(value, tuple):
        return f"({','.join(map(_brief, value))}{',' * (len(value) == 1)})"
    if isinstance(value, list):
        return f"[{','.join(map(_brief, value))}]"
    if isinstance(value, type) or callable(value):
        return getattr(value, "__name__", type(value).__name__)  # no addresses: all workers must agree on the names
    return repr(value)


def missing(cases: Sequence[Case], wanted: Sequence[Any]) -> list[str]:
    """The functions without a case, by name."""
    have = {id(table.get(c.function)) for c in cases}
    return sorted(table[f].name for f in wanted if id(table[f]) not in have)
