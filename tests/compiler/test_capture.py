"""What is written down of each call: the same bits come out as in the function itself, or it is an error."""

import copy
import pickle
import types
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygrad_np as tg
from tinygrad_np.errors import CaptureError
from tinygrad_np.trees import leaves

X = np.arange(1.0, 5.0)
WITH_ZEROS = np.array([0.0, 1.0, 0.0, 2.0])
NARROW = np.random.default_rng(0).random((50, 40), np.float32)
WIDE = np.random.default_rng(1).normal(size=(50, 40))

Program = Callable[..., Any]


def same_bits(program: Program, state: Sequence[np.ndarray], *calls: Sequence[np.ndarray]) -> None:
    """A program gets the arguments of each call and the arrays of its state, which it may write to."""

    def run(compiled: bool) -> list[bytes]:
        arrays = [np.array(array, order="K") for array in state]

        def function(*arguments: Any) -> Any:
            return program(*arguments, *arrays)

        called = tg.compile(function) if compiled else function
        seen = []
        for arguments in calls:
            result = called(*(np.array(a, order="K") for a in arguments))
            seen += [np.asarray(part).tobytes() for part in (result, *arrays)]
        return seen

    assert run(compiled=True) == run(compiled=False)


def refuses(program: Program, argument: np.ndarray, message: str) -> None:
    with pytest.raises(CaptureError, match=message):
        tg.compile(program)(argument)


@pytest.mark.filterwarnings("error")
class TestElementsThatAreLeftOut:
    def test_keep_what_a_new_array_has(self) -> None:
        def divided(a: Any, b: Any) -> Any:
            return np.divide(a, b, out=np.zeros_like(a), where=b != 0)

        same_bits(divided, [], (X, WITH_ZEROS), (X + 1, WITH_ZEROS[::-1]))
        same_bits(lambda x: np.log(x, out=np.full_like(x, -9.0), where=x > 0), [], (WITH_ZEROS,), (X,))

    def test_keep_what_the_state_has(self) -> None:
        same_bits(lambda x, s: np.add(s, x, out=s, where=x > 2) * 1, [np.ones(4)], (X,), (X,), (X[::-1],))

    def test_of_a_sum(self) -> None:
        same_bits(lambda x: np.sum(x, where=x > 2), [], (X,), (X + 3,))
        same_bits(lambda x, s: np.sum(x, where=x > 2, out=s) * 1, [np.zeros(())], (X,), (X + 3,))


class TestAnOutByItsPosition:
    @pytest.mark.parametrize(
        "write",
        [
            lambda y: np.clip(y, 3, 5, y),
            lambda y: y.clip(3, 5, y),
            lambda y: np.cumsum(y, 0, None, y),
            lambda y: np.round(y, 1, y),
            lambda y: np.dot(np.outer(y, y), y * 1, y),
            lambda y: np.take(y * 1, np.arange(4)[::-1], None, y),
            lambda y: np.add(y, 1, y),
            lambda y: np.add.accumulate(y, 0, None, y),
        ],
    )
    def test_is_written_to(self, write: Program) -> None:
        def function(x: Any) -> Any:
            y = x * 1.13
            write(y)
            return y

        same_bits(function, [], (X,), (X + 1,))

    def test_of_a_gradient_that_is_clipped(self) -> None:
        def trained(compiled: bool) -> Any:
            weight = tg.tensor(np.ones(4), requires_grad=True)

            def step(x: Any) -> None:
                weight.grad = None
                np.sum(np.square(weight * x)).backward()
                gradient = weight.grad * 1
                np.clip(gradient, -2, 2, gradient)
                weight.data[...] = weight.data - 0.1 * gradient

            for _ in range(4):
                (tg.compile(step) if compiled else step)(X)
            return weight.data

        np.testing.assert_array_equal(trained(compiled=True), trained(compiled=False))


@pytest.mark.parametrize(
    "write",
    [
        lambda y: np.nan_to_num(y, copy=False),
        lambda y: np.nan_to_num(y, False),
        lambda y: np.median(y, overwrite_input=True),
        lambda y: np.median(y, None, None, True),
        lambda y: np.percentile(y, 30, overwrite_input=True),
    ],
)
def test_what_may_write_to_its_operand_is_refused(write: Program) -> None:
    refuses(lambda x: write(x * 2), X, "writes into an array in place")


def test_what_returns_nothing_is_refused(tmp_path: Path) -> None:
    refuses(lambda x: np.save(tmp_path / "x.npy", x * 2), X, r"np\.save returned nothing")


class TestAnOutOfAnotherKind:
    @pytest.mark.parametrize(
        "reduce", [np.sum, np.mean, np.var, np.std, np.prod, np.cumsum, np.add.reduce, np.max, np.ptp]
    )
    def test_is_what_a_reduction_computes_in(self, reduce: Program) -> None:
        like = np.asarray(reduce(NARROW, axis=0))
        same_bits(lambda x, s: reduce(x, axis=0, out=s) * 1, [np.zeros(like.shape)], (NARROW,), (NARROW / 3,))

    def test_is_broadcast_to(self) -> None:
        same_bits(lambda x, s: np.add(s, x, out=s) * 1, [np.zeros((3, 4))], (X,), (X + 1,))

    def test_keeps_its_order_in_memory_so_that_later_sums_add_up_as_they_did(self) -> None:
        def summed(x: Any, s: Any) -> Any:
            np.add(s, x, out=s)
            return np.sum(s)

        calls = [(np.random.default_rng(i).normal(size=WIDE.shape),) for i in range(4)]
        same_bits(summed, [np.asfortranarray(WIDE)], *calls)

        def product(x: Any, s: Any) -> Any:
            np.matmul(x, x.T, out=s)
            return np.sum(s)

        same_bits(product, [np.zeros((50, 50), order="F")], *calls)

    def test_keeps_it_in_what_is_returned(self) -> None:
        def product(x: Any, y: Any, s: Any) -> Any:
            made = np.multiply(x, y, out=s) * 1
            return np.stack([np.sum(made), np.sum(made.T)]), made

        calls = [(np.random.default_rng(i).normal(size=WIDE.shape), WIDE) for i in range(4)]
        same_bits(lambda *given: product(*given)[0], [np.asfortranarray(WIDE)], *calls)
        same_bits(lambda *given: np.sum(product(*given)[1]), [np.asfortranarray(WIDE)], *calls)
        same_bits(lambda *given: product(*given)[1], [np.asfortranarray(WIDE)], *calls)
        kept = np.asfortranarray(WIDE)
        assert tg.compile(lambda x, y: product(x, y, kept))(WIDE, WIDE)[1].flags.f_contiguous

    def test_as_of_a_parameter_that_lies_by_columns(self) -> None:
        def trained(compiled: bool) -> list[float]:
            weight = tg.tensor(np.asfortranarray(WIDE), requires_grad=True)
            optimiser = tg.optim.SGD([weight], lr=0.01)

            def step(x: Any) -> Any:
                optimiser.zero_grad()
                np.sum(np.square(x @ weight)).backward()
                optimiser.step()
                return np.linalg.norm(weight.data)

            called = tg.compile(step) if compiled else step
            return [float(called(WIDE.T[:5])) for _ in range(6)]

        assert trained(compiled=True) == trained(compiled=False)


class Tripled(np.ndarray):
    def __mul__(self, other: Any) -> Any:
        return np.ndarray.__mul__(self, other) * 3


class TestArraysOfAnotherKind:
    @pytest.mark.parametrize(
        "array",
        [np.ma.masked_array(X, [1, 0, 0, 0]), X.view(np.matrix), X.view(Tripled), X.view(np.recarray)],
        ids=["masked", "matrix", "own", "record"],
    )
    def test_whose_operators_do_something_else_are_refused_on_every_call(self, array: Any) -> None:
        compiled = tg.compile(lambda x, n: np.sum(x * n))
        assert compiled(X, 2) == 20
        for arguments in ((array, 2), (array, array)):
            with pytest.raises(CaptureError, match=r"convert it with np\.asarray"):
                compiled(*arguments)
        assert compiled(X, 2) == 20

    def test_in_a_file_are_as_any_other(self, tmp_path: Path) -> None:
        mapped = np.memmap(tmp_path / "x", np.float64, "w+", shape=(4,))
        mapped[...] = X
        compiled = tg.compile(lambda x: np.sum(x * mapped))
        assert compiled(mapped) == 30
        mapped[...] = 1
        assert compiled(X) == 10


class TestCopies:
    def test_of_tensors(self) -> None:
        weight, leaf = tg.tensor(np.ones(4)), tg.tensor(np.ones(4), requires_grad=True)

        def step(x: Any) -> Any:
            mine = copy.deepcopy(leaf)
            np.sum(mine * mine * copy.deepcopy(weight) * x).backward()
            return mine.grad

        compiled = tg.compile(step)
        for value in (1.0, 2.0, 3.0):
            weight.data[...] = leaf.data[...] = value
            np.testing.assert_array_equal(compiled(X), step(X))

    def test_of_arrays_in_objects_and_of_arguments(self) -> None:
        kept, named = [np.ones(4)], types.SimpleNamespace(array=np.ones(4))

        def function(x: Any, parts: Any) -> Any:
            copies = copy.deepcopy(kept)[0] * copy.deepcopy(named).array + copy.copy(named.array)
            return copies * copy.deepcopy(x) + copy.copy(parts)["x"] * copy.deepcopy(parts)["x"] + copy.copy(np.sum(x))

        compiled = tg.compile(function)
        for value in (1.0, 2.0, 3.0):
            kept[0][...] = named.array[...] = value
            x = X * value
            np.testing.assert_array_equal(compiled(x, {"x": x}), function(x, {"x": x}))

    @pytest.mark.parametrize("of", ["array", "model"])
    def test_of_what_a_step_then_changes(self, of: str) -> None:
        def trained(compiled: bool) -> list[float]:
            tg.manual_seed(0)
            net = tg.nn.Dense(4, 2, dtype=np.float64)
            optimiser = tg.optim.SGD(net.parameters(), lr=0.1)

            def step(x: Any) -> Any:
                before = copy.deepcopy(net.weight.data) if of == "array" else copy.deepcopy(net).weight.data
                optimiser.zero_grad()
                np.mean(np.square(net(x))).backward()
                optimiser.step()
                return np.max(np.abs(net.weight.data - before))

            called = tg.compile(step) if compiled else step
            return [float(called(np.ones((3, 4)))) for _ in range(4)]

        assert trained(compiled=True) == trained(compiled=False)

    def test_by_pickling_are_refused(self) -> None:
        refuses(lambda x: pickle.loads(pickle.dumps(x)), X, "pickling of an array")


class TestResults:
    def test_keep_their_order_in_memory(self) -> None:
        x = WIDE[:, ::2]
        for function in (lambda x: x.T, lambda x: (x + 1).T, lambda x: np.copy(x.T, order="F")):
            result = tg.compile(function)(x)
            axes = sorted(range(2), key=lambda axis: -abs(function(x).strides[axis]))
            assert sorted(range(2), key=lambda axis: -abs(result.strides[axis])) == axes

    def test_are_arrays_where_the_function_returns_arrays(self) -> None:
        weight, state = tg.tensor(np.ones(4), requires_grad=True), np.array(2.0)
        loss = lambda x: np.sum(weight * x)  # noqa: E731
        functions = [
            lambda x: loss(x).data,
            lambda x: state,
            lambda x: np.sum(x),
            lambda x: x[0],
            lambda x: tg.value_and_grad(lambda y: np.sum(y * y))(x)[0],
            lambda x: tg.jvp(lambda y: np.sum(y * y), (x,), (x,))[0],
            lambda x: [state, state * 2, np.copy(state)],
        ]
        for function in functions:
            compiled = tg.compile(function)
            for _ in range(2):
                for mine, theirs in zip(leaves(compiled(X)), leaves(function(X)), strict=True):
                    assert type(mine) is type(theirs)
                    np.testing.assert_array_equal(mine, theirs, strict=True)
        state[...] = 5.0
        kept = tg.compile(lambda x: state)(X)
        state[...] = 6.0
        assert kept == 5


@pytest.mark.parametrize("indices", [[[0, 1, 1], [2, 2, 2], [-1, 3, 0]], [[1, 0, 0, 1], [0, 0, 0, 0], [1, 1, 1, 1]]])
def test_a_functional_write_where_an_argument_says(indices: list[list[int]]) -> None:
    is_mask = len(indices[0]) == 4
    weight, value = tg.tensor(X, requires_grad=True), tg.tensor(np.full(3, 2.0), requires_grad=True)

    def step(index: Any) -> Any:
        weight.grad = value.grad = None
        t = weight * X
        t[index] = 7.0 if is_mask else value
        np.sum(t * t * X).backward()
        return weight.grad if is_mask else (weight.grad, value.grad)

    compiled = tg.compile(step)
    for index in indices:
        where = np.array(index, bool if is_mask else int)
        for mine, theirs in zip(leaves(compiled(where)), leaves(step(where)), strict=True):
            np.testing.assert_array_equal(mine, theirs)
