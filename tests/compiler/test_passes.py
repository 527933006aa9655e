"""Each pass makes the program smaller and leaves its results alone."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from tinygrad_np.compiler.capture import Tape
from tinygrad_np.compiler.passes import (
    batch_products,
    drop_dead_calls,
    drop_identities,
    expand_broadcasts,
    fold_constants,
    optimised,
    share_common_calls,
)
from tinygrad_np.compiler.program import Program
from tinygrad_np.compiler.repetition import Repetition
from tinygrad_np.compiler.replay import Replay
from tinygrad_np.graph import capturing
from tinygrad_np.signatures import function_name

X = np.array([1.0, 2.0, 3.0])


PARTS = np.random.default_rng(0).normal(size=(6, 3, 4)).astype(np.float32)
POWERS = np.abs(PARTS)
POWERS[0] = -1  # an exponent for which NumPy divides, if it is the only one
WEIGHT = np.random.default_rng(1).normal(size=(4, 16)).astype(np.float32)


def captured(function: Callable[[Any], Any], x: np.ndarray = X, outside: Sequence[np.ndarray] = ()) -> Program:
    first = run(Tape(outside), function, x)
    return run(Repetition(first, "function", outside), function, x)


def run(tape: Tape, function: Callable[[Any], Any], x: np.ndarray) -> Program:
    token = capturing.set(tape)
    try:
        return tape.finish(function(tape.input(x, 0)))
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
        lambda x: (x * complex(0.0, 1.0), x * complex(-0.0, 1.0)),
        lambda x: (np.clip(x, min=1), np.clip(x, max=1)),
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
    assert len(drop_identities(program).calls) == 3
    assert names(drop_identities(captured(lambda x: x[::2] * 1))) == ["getitem", "np.multiply"]  # which has no gaps


def test_reshapes_to_the_same_shape_are_dropped() -> None:
    def function(x: Any) -> Any:
        same = np.ravel(np.reshape(x, (3,)))
        return [np.exp(same), np.reshape(x, (3, 1)), np.ravel(x[::2]), np.reshape(np.sum(x), ())]

    program = captured(function)
    before = names(program)
    after = names(drop_identities(program))
    assert len(before) - len(after) == 2
    assert "np.exp" in after
    results = Replay(drop_identities(program))([X])
    for mine, theirs in zip(results, function(X), strict=True):
        np.testing.assert_array_equal(mine, theirs, strict=True)


def test_storages_are_not_constants() -> None:
    outside = np.ones(3)
    program = captured(lambda x: x * np.exp(x.tape.storage(outside)), outside=[outside])
    assert names(fold_constants(program)) == ["np.exp", "np.multiply"]


def test_products_of_all_parts_of_an_array_are_one_call() -> None:
    def function(x: Any) -> Any:
        return sum(np.sum(np.tanh(x[i] @ WEIGHT)) for i in (5, 0, 1, 4, -3, 2))

    program = captured(function, PARTS)
    assert names(program).count("np.matmul") == 6
    assert names(batch_products(program))[:3] == ["getitem", "batched", "np.tanh"]
    assert "np.matmul" not in names(batch_products(program))


@pytest.mark.parametrize(
    "function",
    [
        lambda x: [x[i] @ WEIGHT for i in range(5)],  # not all parts
        lambda x: [x[i] @ (WEIGHT + i) for i in range(6)],  # not the same weight
        lambda x: [x[:, i] @ WEIGHT for i in range(3)],  # parts along another axis
        lambda x: [x[i] @ WEIGHT[:, 0] for i in range(6)],  # vectors
        lambda x: [WEIGHT.T @ x[i].T for i in range(6)],  # from the other side
        lambda x: [x[np.array(i)] @ WEIGHT for i in range(6)],  # copies
    ],
)
def test_other_products_are_left_alone(function: Callable[[Any], Any]) -> None:
    program = captured(function, PARTS)
    assert names(batch_products(program)) == names(program)


@pytest.mark.parametrize("row", [np.s_[0, :1], np.s_[0, 0], np.s_[0, :, :1]])
@pytest.mark.parametrize("constant", [False, True])
def test_what_is_broadcast_often_is_repeated_once(row: Any, constant: bool) -> None:
    def function(x: Any) -> Any:
        total, factor = x[0] * 0, PARTS[row].copy() if constant else x[row]
        for i in range(6):
            total = total + x[i] * factor
        return total

    program = share_common_calls(captured(function, PARTS))
    assert names(expand_broadcasts(program)).count("expanded") == (0 if constant else 1)
    calls = expand_broadcasts(program).calls
    assert all(v.shape == (3, 4) for call in calls if call.function is np.multiply for v in call.operands)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: [x[i] + WEIGHT[:, 0] for i in range(3)],  # not often enough
        lambda x: [x[i] + np.float32(1) for i in range(6)],  # a number
        lambda x: [np.zeros((300, 1)) + (x[0, 0, 0] + i) * np.ones(300) for i in range(6)],  # long rows
        lambda x: [x[i] @ WEIGHT[:, :1] for i in range(6)],  # nothing is broadcast
    ],
)
def test_other_operands_are_left_alone(function: Callable[[Any], Any]) -> None:
    program = captured(function, PARTS)
    assert names(expand_broadcasts(program)) == names(program)


def recurrent(x: Any) -> Any:
    h, states = np.zeros((3, 16), np.float32), []
    for i in range(6):
        h = np.tanh(x[i] @ WEIGHT + h * np.float32(0.5) + WEIGHT[0])
        states.append(h)
    return states


@pytest.mark.parametrize(
    ("function", "x"),
    [
        (lambda x: np.sum(np.tanh(x) * np.tanh(x)) + np.sum(np.tanh(x)), X),
        (lambda x: [x[::-1] * 2, np.concatenate([x, x * 2])], X),
        (lambda x: np.outer(x, x).reshape(-1) @ np.ones(9), X),
        (lambda x: [1 - x, 2.5 * x, x / 3, x**2, 1e300 - x], X),
        (lambda x: [np.sum(1 - x), np.sum(np.maximum(x, 0.1) > 0)], PARTS),
        (recurrent, PARTS),
        (lambda x: np.sum(recurrent(x)[-1] * recurrent(x)[2]), PARTS),
        (lambda x: [x[i] @ WEIGHT for i in range(6)], PARTS),
        (lambda x: [x[i] @ WEIGHT for i in range(6)], PARTS[:, ::-1]),
        (lambda x: sum(np.exp(x[i].T * x[0, 0, :1]) for i in range(6)), PARTS),
        (lambda x: [x[i] @ WEIGHT for i in range(4)], np.zeros((4, 0, 4), np.float32)),
        (lambda x: np.tanh(x[5] @ WEIGHT) + sum(x[i] @ WEIGHT for i in (4, 3, 2, 1, 0)) + x[-1] @ WEIGHT, PARTS),
        (lambda x: np.sum(np.matmul([[1.0, 2.0, 3.0]], x[0])), PARTS),
        (lambda x: [np.sum(np.multiply(x[0], [x[1, 0], x[i, 0], x[2, 2]])) for i in range(6)], PARTS),
        (lambda x: [f(x[0, :2], [x[0, 0]] * 2) for f in (np.add, np.subtract, np.multiply, np.divide)], PARTS),
        (lambda x: [np.sum(x[i] ** x[0, 0, :1]) for i in range(1, 6)], POWERS),
        (lambda x: [np.sum(np.ldexp(x, 3)), np.sum(np.copysign(x, -1)), np.sum(x > 2**24 + 1)], PARTS),
    ],
)
def test_all_passes_together_keep_every_bit(function: Callable[[Any], Any], x: np.ndarray) -> None:
    expected = _bits(function(x))
    for replay in (Replay(captured(function, x)), Replay(optimised(captured(function, x)))):
        assert _bits(replay([x])) == expected
        assert _bits(replay([x])) == expected


def test_a_number_that_is_not_in_the_dtype_is_what_it_is_in_eager() -> None:
    x = PARTS[0]
    with pytest.warns(RuntimeWarning, match="overflow"):
        replay = Replay(captured(lambda x: np.max(x * 1e300), x))
    with pytest.warns(RuntimeWarning, match="overflow"):
        assert replay([x]) == np.inf


def _bits(results: Any) -> list[bytes]:
    return [np.asarray(r).tobytes() for r in (results if isinstance(results, list) else [results])]
