"""Each pass makes the program smaller and leaves its results alone."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tinygrad_np.compiler.capture import Tape
from tinygrad_np.compiler.passes import (
    drop_dead_calls,
    drop_multiplications_by_one,
    fold_constants,
    optimised,
    share_common_calls,
)
from tinygrad_np.compiler.program import Program
from tinygrad_np.compiler.replay import Replay
from tinygrad_np.graph import capturing
from tinygrad_np.signatures import function_name

X = np.array([1.0, 2.0, 3.0])


def captured(function: Callable[[Any], Any]) -> Program:
    tape = Tape()
    token = capturing.set(tape)
    try:
        return tape.finish(function(tape.input(X, 0)))
    finally:
        capturing.reset(token)


def names(program: Program) -> list[str]:
    return [function_name(call.function) for call in program.calls]


def test_dead_calls_are_dropped() -> None:
    def function(x: Any) -> Any:
        np.exp(np.sin(x))
        return np.cos(x)

    program = captured(function)
    assert names(program) == ["np.sin", "np.exp", "np.cos"]
    assert names(drop_dead_calls(program)) == ["np.cos"]


def test_calls_made_for_their_effect_are_not_dead() -> None:
    def function(x: Any) -> Any:
        x.tape.call(np.copy, (x,), {}, effect=True)
        return x

    assert names(drop_dead_calls(captured(function))) == ["np.copy"]


def test_common_calls_are_shared() -> None:
    program = captured(lambda x: np.exp(x) + np.exp(x) * np.sum(x, axis=0) + np.sum(x, axis=0))
    assert names(share_common_calls(program)) == ["np.exp", "np.sum", "np.multiply", "np.add", "np.add"]


@pytest.mark.parametrize(
    "function",
    [
        lambda x: (x * 1, x * 1.0),
        lambda x: (x * 0.0, x * -0.0),
        lambda x: (np.sum(x, axis=0), np.sum(x, axis=None)),
        lambda x: (np.sum(x, keepdims=True), np.sum(x)),
        lambda x: (x[1:], x[:1]),
        lambda x: (np.stack([x, x * 2]), np.stack([x * 2, x])),
        lambda x: (x.astype(np.float32), x.astype(np.float16)),
    ],
)
def test_calls_that_only_look_alike_are_not_shared(function: Callable[[Any], Any]) -> None:
    first, second = share_common_calls(captured(function)).outputs
    assert first is not second


def test_work_on_constants_is_done_once() -> None:
    table = np.arange(3.0)
    program = captured(lambda x: x + np.exp(np.asarray(table)) * x)
    assert names(program) == ["np.multiply", "np.add"]  # plain NumPy on plain arrays is never seen

    def function(x: Any) -> Any:
        ones = x.tape.call(np.multiply, (np.ones(3), 2.0), {})
        return x * np.exp(ones)

    program = captured(function)
    assert names(program) == ["np.multiply", "np.exp", "np.multiply"]
    assert names(drop_dead_calls(fold_constants(program))) == ["np.multiply"]


def test_products_with_one_are_dropped() -> None:
    def function(x: Any) -> Any:
        return [x * np.ones(3), x * 1, 1.0 * x, x * np.ones((2, 3)), x * 2, x * np.array([1.0, 1.0, 2.0])]

    program = captured(function)
    assert names(program) == ["np.multiply"] * 6
    assert len(drop_multiplications_by_one(program).calls) == 3


def test_storages_are_not_constants() -> None:
    outside = np.ones(3)
    tape = Tape([outside])
    x = tape.input(X, 0)
    program = fold_constants(tape.finish(x * np.exp(tape.storage(outside))))
    assert names(program) == ["np.exp", "np.multiply"]


@pytest.mark.parametrize(
    "function",
    [
        lambda x: np.sum(np.tanh(x) * np.tanh(x)) + np.sum(np.tanh(x)),
        lambda x: [x[::-1] * 2, np.concatenate([x, x * 2])],
        lambda x: np.outer(x, x).reshape(-1) @ np.ones(9),
    ],
)
def test_all_passes_together_keep_every_bit(function: Callable[[Any], Any]) -> None:
    expected = _bits(function(X))
    for replay in (Replay(captured(function)), Replay(optimised(captured(function)))):
        assert _bits(replay([X])) == expected
        assert _bits(replay([X])) == expected


def _bits(results: Any) -> list[bytes]:
    return [np.asarray(r).tobytes() for r in (results if isinstance(results, list) else [results])]
