"""Which operation is to blame: every recorded call is checked on its own, the first wrong one first."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np

from tinygrad_np.core import Differentiable, Tensor, table
from tinygrad_np.errors import RuleError, TinygradError
from tinygrad_np.graph import Leaf, capturing
from tinygrad_np.signatures import described_call, rule_name
from tinygrad_np.testing.problem import TensorProblem
from tinygrad_np.testing.report import Blame
from tinygrad_np.testing.search import Search

__all__ = ["find_blame"]

Array = np.ndarray[Any, Any]
SECONDS = 20.0  # how long to look


class _Log:
    """A tape, as `tinygrad_np.compile` uses one, that runs every call and remembers it."""

    def __init__(self) -> None:
        self.calls: list[tuple[Callable[..., Any], list[Any], dict[str, Any]]] = []

    def call(self, function: Any, values: Sequence[Any], static: dict[str, Any], *, effect: bool = False) -> Any:
        if not effect:
            self.calls.append((function, list(values), static))
        return function(*values, **static)

    def storage(self, array: Any, *, transient: bool = False) -> Any:
        return array

    def as_array(self, value: Any) -> Any:
        return np.asarray(value)

    def grad(self, leaf: Leaf) -> Any:
        return leaf.grad

    def set_grad(self, leaf: Leaf, gradient: Any) -> None:
        leaf.grad = gradient

    def mark_updated(self, leaf: Leaf) -> None: ...


@contextmanager
def _logged() -> Iterator[_Log]:
    log = _Log()
    token = capturing.set(log)
    try:
        yield log
    finally:
        capturing.reset(token)


def find_blame(problem: TensorProblem, arrays: Sequence[Array], order: int, rng: np.random.Generator) -> Blame | None:
    """The first call, in the order of computation, whose own derivative of this order or a lower one is wrong."""
    deadline = time.monotonic() + SECONDS
    handlers = {id(h.function): (f, h) for f, h in table.items() if isinstance(h, Differentiable)}
    seen = set()
    for function, values, static in _calls(problem, arrays):
        if id(function) not in handlers:
            continue
        key = (id(function), described_call("", values, static))
        if key in seen:
            continue
        seen.add(key)
        entry, handler = handlers[id(function)]
        for level in range(1, order + 1):
            if time.monotonic() > deadline:
                return None
            found = _wrong_argument(entry, handler, values, static, level, rng)
            if found is not None:
                rule = handler.rules[0 if handler.variadic else found]
                name = rule_name(rule) if rule is not None else "(none)"
                return Blame(described_call(handler.name, values, static), name, found, level)
    return None


def _calls(problem: TensorProblem, arrays: Sequence[Array]) -> list[Any]:
    """What is called on the way to the outputs, with all arrays as they are at that moment."""
    # A wrong rule may end the gradient of a gradient: the calls until then are there.
    with _logged() as log, suppress(TinygradError):
        problem.pullback(list(arrays))
    return log.calls


def _wrong_argument(
    entry: Any, handler: Differentiable, values: list[Any], static: dict[str, Any], level: int, rng: np.random.Generator
) -> int | None:
    """The first argument with a wrong rule, if any."""
    rules = handler.rules * len(values) if handler.variadic else handler.rules
    places = [
        i
        for i, (value, rule) in enumerate(zip(values, rules, strict=True))
        if rule is not None and getattr(value, "dtype", np.dtype(bool)).kind in "fc"
    ]

    def call(tensors: Sequence[Tensor]) -> list[Tensor]:
        given = list(values)
        for place, t in zip(places, tensors, strict=True):
            given[place] = t
        result = entry(*given, **static)
        results = result if isinstance(result, tuple) else (result,)
        return [y if isinstance(y, Tensor) else Tensor(y) for y in results if y.dtype.kind in "fc"]

    problem = TensorProblem(handler.name, [str(i) for i in places], [np.array(values[i]) for i in places], call)
    try:
        for _ in range(level - 1):
            problem = problem.derivative(rng)
        suspect = Search(problem, [x.copy() for x in problem.arrays], rng).first_suspect()
    except RuleError:
        return places[0]
    except (TinygradError, np.linalg.LinAlgError):
        return None
    # Of a derivative of higher order, only those with respect to the arguments themselves name one of them.
    return None if suspect is None else places[suspect] if suspect < len(places) else places[0]
