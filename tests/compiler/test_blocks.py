"""Large arrays are gone through block by block, and nothing else changes by it."""

import math
from collections.abc import Callable
from itertools import count
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_np as tg
from tinygrad_np.compiler import blocks
from tinygrad_np.compiler.blocks import Sweep, loops
from tinygrad_np.state import on_tape

FUNCTIONS: dict[str, Callable[..., Any]] = {f.__name__: f for f in (np.add, np.subtract, np.multiply, np.sqrt)}


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "LARGE", 100)
    monkeypatch.setattr(blocks, "BLOCK", 64)


def sweeps(*calls: tuple[str, list[Any], np.ndarray], kept: tuple[np.ndarray, ...] = ()) -> list[Sweep]:
    """On lines that follow one another; what they write is needed afterwards if it is kept."""
    return [
        Sweep(i, FUNCTIONS[function], args, out, i, math.inf if any(out is x for x in kept) else len(calls) - 1)
        for i, (function, args, out) in enumerate(calls)
    ]


def run(found: list[blocks.Loop]) -> None:
    for loop in found:
        for step in loop.steps():
            step.function(*step.args)


@given(st.data())
def test_what_is_needed_afterwards_is_the_same(data: st.DataObject) -> None:
    shape = data.draw(st.sampled_from([(13, 2), (40,), (3, 3, 3)]))
    number = st.sampled_from([2.0, -0.5])
    which = st.integers(0, 3)
    calls = data.draw(st.lists(st.tuples(st.sampled_from(sorted(FUNCTIONS)), which, which | number, which), min_size=2))
    arrays = [np.random.default_rng(i).uniform(1, 2, shape).astype(np.float32) for i in range(4)]
    expected = [x.copy() for x in arrays]
    with np.errstate(all="ignore"):
        for function, a, b, out in calls:
            second = b if isinstance(b, float) else expected[b]
            FUNCTIONS[function](*([expected[a]] if function == "sqrt" else [expected[a], second]), out=expected[out])
        described = [
            (f, [arrays[a]] + ([] if f == "sqrt" else [b if isinstance(b, float) else arrays[b]]), arrays[out])
            for f, a, b, out in calls
        ]
        (loop,) = found = loops(sweeps(*described, kept=tuple(arrays[:2])))
        assert len(loop.blocks) == round(arrays[0].nbytes / 64)
        run(found)
    for mine, theirs in zip(arrays[:2], expected[:2], strict=True):
        assert mine.tobytes() == theirs.tobytes()


def test_an_array_for_in_between_stays_in_the_cache() -> None:
    w, g, change = (np.ones((20, 5), np.float32) for _ in range(3))
    start = change.ctypes.data
    (loop,) = loops(sweeps(("multiply", [g, 0.5], change), ("subtract", [w, change], w), kept=(w,)))
    assert len({block[start].ctypes.data for block in loop.blocks}) == 1
    run([loop])
    np.testing.assert_array_equal(w, 0.5)
    (loop,) = loops(sweeps(("multiply", [g, 0.5], change), ("subtract", [w, change], w), kept=(w, change)))
    assert len({block[start].ctypes.data for block in loop.blocks}) == len(loop.blocks) > 1


def test_what_is_read_before_it_is_written_is_not_in_between() -> None:
    w, old = np.ones(50, np.float32), np.arange(50, dtype=np.float32)
    (loop,) = loops(sweeps(("add", [w, old], w), ("multiply", [w, 2.0], old), kept=(w,)))
    run([loop])
    np.testing.assert_array_equal(w, 1 + np.arange(50))


def test_calls_with_another_between_them_or_of_another_size_are_apart() -> None:
    x, y, z = np.ones(100), np.ones(100), np.ones(200)
    calls = sweeps(("add", [x, 1.0], x), ("add", [y, 1.0], y), ("add", [z, 1.0], z), ("add", [x, 1.0], x))
    assert [len(loop.sweeps) for loop in loops(calls)] == [2]
    calls[1].line += 1
    assert loops(calls) == []


def test_arrays_that_overlap_are_apart_unless_they_start_together() -> None:
    whole = np.arange(200.0)
    first, second = whole[:199], whole[1:]
    assert loops(sweeps(("add", [first, 1.0], first), ("add", [second, 1.0], second), kept=(first, second))) == []
    (loop,) = loops(sweeps(("add", [whole, 1.0], whole), ("add", [whole[:], 1.0], whole[:]), kept=(whole,)))
    assert len(loop.blocks[0]) == 1


@pytest.mark.parametrize(
    ("argument", "out"),
    [
        (np.ones((10, 20)), np.ones((20, 10)).T),  # in another order
        (np.ones((10, 20), np.float32), np.ones((10, 20))),  # of another dtype
        (np.ones(20), np.ones((10, 20))),  # broadcast
        (np.ones(3), np.ones(3)),  # small
    ],
)
def test_what_does_not_fit(argument: np.ndarray, out: np.ndarray) -> None:
    assert not Sweep(0, np.negative, [argument], out, 0, 0).fits()


def test_the_first_error_is_that_of_the_first_call() -> None:
    x = tg.tensor(np.linspace(-1, 1, 200))

    def function() -> Any:
        y = np.exp(x) * 1e300  # too large at the end, once x is
        return y / (x + 1.0) + 1.0  # divided by zero at the beginning, once x is -1 there

    compiled = tg.compile(function)
    with np.errstate(over="raise", divide="raise"):
        x.data[...] = 0
        compiled()
        x.data[0], x.data[-1] = -1, 30
        for step in (function, compiled):
            with pytest.raises(FloatingPointError, match="overflow"):
                step()


def test_what_is_the_same_for_all_elements_must_not_be_one_of_those_that_are_written() -> None:
    @tg.compile
    def function(x: Any) -> Any:
        y = np.exp(x) + 1.0
        return np.sum(y * y[-1, ...])

    x = np.linspace(0, 1, 200)
    assert function(x) == np.sum((np.exp(x) + 1.0) * (np.exp(x) + 1.0)[-1])


def test_a_nested_list_is_not_the_same_for_all_elements() -> None:
    state = np.ones((100, 3))

    @tg.compile
    def function(x: Any) -> Any:
        s = on_tape(state)
        np.multiply(s, [1.0, 2.0, 3.0], out=s)
        np.add(s, 1, out=s)
        return x

    function(np.ones(1))
    np.testing.assert_array_equal(state, np.ones((100, 3)) * [2, 3, 4])


@pytest.mark.usefixtures("scratch_table")
def test_functions_may_have_the_names_of_variables() -> None:
    names = ["b0", "x1", "v1", "result"]
    primitives = [tg.primitive(lambda x, i=i: x + i, name=name) for i, name in enumerate(names)]
    for primitive, name in zip(primitives, names, strict=True):
        tg.core.table[primitive].function.__name__ = name
        tg.defvjp(primitive, lambda g, _y, _x: g)

    @tg.compile
    def function(x: Any) -> Any:
        y = (x * 2 + 1) * 3 - 1
        for primitive in primitives:
            y = primitive(y)
        return y

    x = tg.tensor(np.ones(200))
    for _ in range(2):
        np.testing.assert_array_equal(function(x).data, 3 * 3 - 1 + 6)


@pytest.mark.parametrize(
    "optimiser",
    [
        lambda parameters: tg.optim.SGD(parameters, lr=0.1),
        lambda parameters: tg.optim.SGD(parameters, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.01),
        lambda parameters: tg.optim.Adam(parameters, lr=0.1),
        lambda parameters: tg.optim.AdamW(parameters, lr=0.1),
        lambda parameters: tg.optim.RMSprop(parameters, lr=0.1, momentum=0.5, centered=True),
        lambda parameters: tg.optim.Adagrad(parameters, lr=0.1),
    ],
)
def test_training_in_blocks_is_bit_for_bit_that_of_the_eager_loop(optimiser: Callable[..., Any]) -> None:
    seeds = count(1)

    def training() -> tuple[Any, Callable[[Any, Any], Any]]:
        tg.manual_seed(0)
        model = tg.nn.Sequential(tg.nn.Dense(9, 7), tg.nn.ReLU(), tg.nn.Dense(7, 5))
        update = optimiser(model.parameters())

        def step(x: Any, labels: Any) -> Any:
            update.zero_grad()
            loss = tg.nn.cross_entropy(model(x), labels)
            loss.backward()
            update.step()
            return loss

        return model, step

    (eager_model, eager), (model, step) = training(), training()
    compiled = tg.compile(step)
    for _ in range(10):
        rng = np.random.default_rng(next(seeds))
        x, labels = rng.normal(size=(6, 9)).astype(np.float32), rng.integers(0, 5, 6)
        assert compiled(x, labels).data.tobytes() == eager(x, labels).data.tobytes()
        for mine, theirs in zip(model.parameters(), eager_model.parameters(), strict=True):
            assert mine.data.tobytes() == theirs.data.tobytes()
            assert mine.grad.tobytes() == theirs.grad.tobytes()
    largest = max(p.data.nbytes for p in model.parameters())
    written = [step.args[-1].nbytes for step in compiled.program.steps if step.function is np.subtract]
    assert 0 < max(written) < largest  # part by part
