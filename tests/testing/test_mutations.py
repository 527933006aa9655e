"""Is a wrong rule found? The library's own rules, made wrong in every way that rules are wrong in, one at a time.

A mutation counts if it changes the gradient that the library computes for a case: the gradient of the right rule, no
numerical one, says whether it does. CI takes a sample of the cases; HYPOTHESIS_PROFILE=long takes all of them, and
prints what is missed.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from cases import CASES, Case
from kit import floating

import tinygrad_np as tg
from tinygrad_np.core import Differentiable, Tensor, table, zero
from tinygrad_np.errors import RuleError
from tinygrad_np.testing import gradcheck

Rule = Callable[..., Any]

ALL = os.environ.get("HYPOTHESIS_PROFILE") == "long"
EVERY = 1 if ALL else 12  # one in how many cases a kind of mutation is tried on
DIFFERENT = 1e-6  # how much a gradient has to change, relative to its size, for a rule to be wrong

# ---------------------------------------------------------------------------------------------------------- mutations


def sign(gradient: Any) -> Any:
    return -gradient


def factor(gradient: Any) -> Any:
    return gradient * 1.1


def missing_keepdims(gradient: Any) -> Any:
    return np.sum(gradient, axis=-1) if gradient.ndim else gradient


def wrong_axis(gradient: Any) -> Any:
    return np.swapaxes(gradient, 0, -1).reshape(gradient.shape) if gradient.ndim > 1 else gradient


def off_by_one(gradient: Any) -> Any:
    return np.roll(gradient, 1)


def forgotten_conjugate(gradient: Any) -> Any:
    return np.conjugate(gradient)


def one_element(gradient: Any) -> Any:
    factors = np.ones(gradient.shape, gradient.real.dtype)
    factors.flat[factors.size // 2 : factors.size // 2 + 1] = 0.9
    return gradient * factors


def one_sign(gradient: Any) -> Any:
    factors = np.ones(gradient.shape, gradient.real.dtype)
    factors.flat[-1:] = -1
    return gradient * factors


def second_order(gradient: Any) -> Any:
    return 2 * gradient - gradient.detach() if isinstance(gradient, Tensor) else gradient


def second_order_lost(gradient: Any) -> Any:
    return gradient.detach() if isinstance(gradient, Tensor) else gradient


def of_result(change: Callable[[Any], Any]) -> Callable[[Rule], Rule]:
    """A mutation of what the rule returns."""
    return lambda rule: lambda *args, **static: change(rule(*args, **static))


def of_cotangent(change: Callable[[Any], Any]) -> Callable[[Rule], Rule]:
    """A mutation of what the rule is given."""

    def changed(g: Any) -> Any:
        return tuple(map(changed, g)) if isinstance(g, tuple) else None if g is None else change(g)

    return lambda rule: lambda g, *args, **static: rule(changed(g), *args, **static)


def dropped_term(rule: Rule) -> Rule:
    """One element of each output does not count."""

    def without_last(g: Any) -> Any:
        if g is None:
            return None
        mask = np.ones(g.shape, g.real.dtype)
        mask.flat[-1:] = 0
        return g * mask

    def dropped(g: Any, *args: Any, **static: Any) -> Any:
        return rule(tuple(map(without_last, g)) if isinstance(g, tuple) else without_last(g), *args, **static)

    return dropped


def swapped_inputs(rule: Rule) -> Rule:
    """The rule takes its inputs for one another."""
    return lambda g, y, *inputs, **static: rule(g, y, *inputs[::-1], **static)


def wrong_when_broadcast(rule: Rule) -> Rule:
    """Right unless the output is larger than the input."""

    def broadcast(g: Any, y: Any, *inputs: Any, **static: Any) -> Any:
        gradient = rule(g, y, *inputs, **static)
        stretched = not isinstance(g, tuple) and any(np.ndim(x) and x.shape != g.shape for x in inputs)
        return gradient * 2 if stretched else gradient

    return broadcast


OF_THE_TABLE: dict[str, Callable[[Rule], Rule]] = {
    "sign": of_result(sign),
    "factor": of_result(factor),
    "dropped term": dropped_term,
    "swapped inputs": swapped_inputs,
    "missing keepdims": of_result(missing_keepdims),
    "wrong axis": of_result(wrong_axis),
    "off by one": of_result(off_by_one),
    "forgotten conjugate": of_result(forgotten_conjugate),
    "wrong when broadcast": wrong_when_broadcast,
    "one element": of_result(one_element),
    "one sign": of_result(one_sign),
    "forgotten cotangent": of_cotangent(np.ones_like),
    "squared cotangent": of_cotangent(lambda g: g * np.abs(g)),
    "shifted cotangent": of_cotangent(lambda g: g + 1e-3),
    "clipped cotangent": of_cotangent(lambda g: np.clip(g, -0.3, 0.3)),
    "second order": of_result(second_order),
    "second order lost": of_result(second_order_lost),
}

# -------------------------------------------------------------------------------------------------------- the harness


def own_rules(case: Case) -> tuple[Differentiable, list[int]] | None:
    """The handler of the case's function, and which of its rules can be made wrong."""
    handler = table.get(case.function)
    if not isinstance(handler, Differentiable):
        return None
    return handler, [i for i, rule in enumerate(handler.rules) if rule is not None and rule is not zero]


@contextmanager
def mutated(handler: Differentiable, which: int, mutation: Callable[[Rule], Rule]) -> Iterator[None]:
    rules = handler.rules
    handler.rules = tuple(mutation(rule) if i == which else rule for i, rule in enumerate(rules))
    try:
        yield
    finally:
        handler.rules = rules


def derivatives(case: Case, arrays: list[np.ndarray], order: int) -> list[np.ndarray] | None:
    """Gradients of the order asked for, of random combinations of the outputs; None if a rule cannot be right."""
    rng = np.random.default_rng(3)
    leaves = [tg.tensor(x, requires_grad=True) for x in arrays]
    found: Any = case(*leaves)
    try:
        for level in range(order):
            ends = floating(found)
            starts = [tg.tensor(rng.uniform(0.5, 1.5, y.shape).astype(y.dtype), requires_grad=True) for y in ends]
            tracked = [(y, g) for y, g in zip(ends, starts, strict=True) if y.requires_grad]
            if not tracked:
                return [np.zeros_like(leaf.data) for leaf in leaves]
            ends, weights = zip(*tracked, strict=True)
            found = tg.gradients(ends, leaves, weights, create_graph=level + 1 < order, retain_graph=True)
            leaves = [*leaves, *starts]
    except (RuleError, ValueError, TypeError, IndexError, AttributeError):
        return None
    return found


def differ(a: list[np.ndarray] | None, b: list[np.ndarray] | None) -> bool:
    if a is None or b is None:
        return True
    size = max((float(np.max(np.abs(x[np.isfinite(x)]), initial=0)) for x in a), default=0)
    return any(np.any(np.abs(x - y) > DIFFERENT * size) for x, y in zip(a, b, strict=True))


def is_found(case: Case, arrays: list[np.ndarray], order: int) -> bool:
    try:
        return not gradcheck(case, *arrays, order=order, layouts=False, raise_on_failure=False)
    except (ValueError, TypeError, IndexError, AttributeError):
        return True  # the wrong rule does not even run


def examined(kind: str, cases: list[Case]) -> tuple[int, list[str]]:
    """How many wrong rules there were, and which of them went unnoticed."""
    order = 2 if kind.startswith("second") else 1
    complex = kind == "forgotten conjugate"
    wrong, missed = 0, []
    for case in cases:
        own = own_rules(case)
        if own is None or (complex and not case.complex) or (order == 2 and "second order" in case.exempt):
            continue
        arrays = case.draw(complex=complex)
        right = derivatives(case, arrays, order)
        for which in own[1]:
            with mutated(own[0], which, OF_THE_TABLE[kind]):
                if differ(right, derivatives(case, arrays, order)):
                    wrong += 1
                    if not is_found(case, arrays, order):
                        missed.append(f"{case}, rule {which}")
    return wrong, missed


@pytest.mark.parametrize("kind", OF_THE_TABLE)
def test_wrong_rules_are_found(kind: str) -> None:
    offset = list(OF_THE_TABLE).index(kind)  # other cases for each kind
    pool = [case for case in CASES if own_rules(case) is not None and (kind != "forgotten conjugate" or case.complex)]
    wrong, missed = examined(kind, pool[offset % EVERY :: EVERY])
    if ALL:
        print(f"{kind}: {wrong - len(missed)} of {wrong} found", *missed, sep="\n  ")  # pytest -s shows it
    assert wrong >= len(pool) / EVERY / 20, "hardly anything was tried"
    assert len(missed) <= wrong // 100, missed


def test_swapped_rules_are_found() -> None:
    """The rules of two arguments in each other's place."""
    wrong, missed = 0, []
    for case in CASES[:: max(1, EVERY // 4)]:
        own = own_rules(case)
        if own is None or len(own[1]) < 2:
            continue
        arrays = case.draw()
        right = derivatives(case, arrays, 1)
        handler, rules = own[0], own[0].rules
        handler.rules = (rules[1], rules[0], *rules[2:])
        try:
            if differ(right, derivatives(case, arrays, 1)):
                wrong += 1
                if not is_found(case, arrays, 1):
                    missed.append(str(case))
        finally:
            handler.rules = rules
    assert wrong >= 5
    assert len(missed) <= wrong // 100, missed
