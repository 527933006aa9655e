"""What a naive capture would silently get wrong: here it works as in the function itself, or is an error at capture."""

import collections
import copy
import enum
import io
import itertools
import logging
import queue
import random
import sys
import threading
import time
import types
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import pytest

import tinygrad_np as tg
from tinygrad_np import nn, optim
from tinygrad_np.errors import CaptureError, GradientError
from tinygrad_np.state import on_tape
from tinygrad_np.trees import leaves

X = np.arange(4.0)


def plain(x: Any) -> Any:
    return x.data if isinstance(x, tg.Tensor) else x


def refuses(function: Callable[..., Any], message: str) -> None:
    """Compiling the function fails on the first call, and leaves nothing changed: so does the second."""
    compiled = tg.compile(function)
    for _ in range(2):
        with pytest.raises(CaptureError, match=message):
            compiled(X)


class TestValuesThatBecomePythonNumbers:
    def test_a_branch_on_an_element(self) -> None:
        refuses(lambda x: x + 1 if x[0] > 0 else x - 1, r"bool\(\) of an array of bool\(\).*np\.where")

    def test_a_loop_until_an_element(self) -> None:
        def halve(x: Any) -> Any:
            while np.max(x) > 1:
                x = x / 2
            return x

        refuses(halve, r"bool\(\)")

    @pytest.mark.parametrize("convert", [float, int, complex, bool, "{:.3f}".format, str])
    def test_conversions(self, convert: Callable[[Any], Any]) -> None:
        refuses(lambda x: convert(np.sum(x)), "while tg.compile captured")
        refuses(lambda x: convert(np.sum(tg.tensor([1.0]) * x)), "while tg.compile captured")

    def test_item_and_tolist(self) -> None:
        refuses(lambda x: np.sum(x).item(), r"item\(\)")
        refuses(lambda x: x.tolist(), r"tolist\(\)")

    def test_conversions_of_a_parameter(self) -> None:
        scale = tg.tensor(2.0, requires_grad=True)
        refuses(lambda x: x * float(scale), r"float\(\)|item\(\)")
        refuses(lambda x: x * np.exp(scale.data).item(), r"item\(\)")

    def test_plain_arrays_made_of_traced_ones(self) -> None:
        refuses(lambda x: np.asarray(x) * 2, "plain array")
        refuses(lambda x: np.array([x[0], x[1]]), "plain array|float")

    def test_an_index_of_an_array_that_is_made_inside(self) -> None:
        def picked(read: Callable[[Any, Any], Any]) -> Callable[[Any], Any]:
            return lambda i: np.sum(read(np.linspace(0, 1, 3), i))

        for read in (lambda x, i: x[i], np.take):
            with pytest.raises(CaptureError, match=r"tg\.tensor\(x\)\[i\] rather than x\[i\] or np\.take\(x, i\)"):
                tg.compile(picked(read))(np.array([2]))
        compiled = tg.compile(picked(lambda x, i: tg.tensor(x)[i]))
        assert [compiled(np.array(i)).item() for i in ([2], [1], [0])] == [1, 0.5, 0]

    def test_an_element_as_an_index(self) -> None:
        refuses(lambda x: [1, 2, 3][np.argmax(x)], "Python integer")

    @pytest.mark.parametrize(
        "function",
        [lambda x: x[x > 1], lambda x: np.nonzero(x)[0], np.unique, lambda x: tg.tensor([1.0, 2.0, 3.0, 4.0])[x > 1]],
    )
    def test_shapes_that_depend_on_elements(self, function: Callable[[Any], Any]) -> None:
        refuses(function, "the shape of its result depends on the elements")

    # Each with an option in an array: for one value of that the result has the shape of the first, for another it has
    # not, or has it only by chance.
    OPTIONS: ClassVar[list[Callable[[Any, Any], Any]]] = [
        lambda x, i: x[:i],
        lambda x, i: x[i:],
        lambda x, i: x[i : i + 2],
        lambda x, i: x[:, i - 1 : 3],
        lambda x, i: x[..., :i:2],
        lambda x, i: x[i],
        lambda x, i: x.T[:i, 1:],
        lambda x, i: np.take(x, i, axis=0),
        lambda x, i: np.sum(x, axis=i),
        lambda x, i: np.sum(x, axis=(i,)),
        lambda x, i: np.max(x, axis=i),
        lambda x, i: np.mean(x, i),
        lambda x, i: np.cumsum(x, axis=i),
        lambda x, i: np.add.reduce(x, axis=i),
        lambda x, i: np.diagonal(x, i),
        lambda x, i: np.trace(x, i),
        lambda x, i: np.roll(x, i, axis=1),
        lambda x, i: np.expand_dims(x, i),
        lambda x, i: np.flip(x, i),
        lambda x, i: np.swapaxes(x, 0, i),
        lambda x, i: np.repeat(x, i, axis=0),
        lambda x, i: np.tril(x, i),
        lambda x, i: np.reshape(x, (-1, 2 * i)),
        lambda x, i: np.stack([x, x], axis=i),
        lambda x, i: np.concatenate([x[:i], x[i:]]),
        lambda x, i: np.sort(x, axis=i),
        lambda x, i: np.split(x, [i])[0],
        lambda x, i: np.split(x, i + 1, axis=1)[0],
        lambda x, i: np.unstack(x, axis=i)[0] if hasattr(np, "unstack") else x,
        lambda x, i: x * np.size(x, i),
        lambda x, i: x * np.size(x, axis=(i,)) if np.lib.NumpyVersion(np.__version__) >= "2.4.0" else x,
    ]

    @pytest.mark.parametrize("function", OPTIONS)
    @pytest.mark.parametrize("outside", [False, True], ids=["arguments", "outside"])
    def test_options_in_arrays_are_read_on_every_call_or_refused(
        self, function: Callable[[Any, Any], Any], outside: bool
    ) -> None:
        x, option = np.arange(12.0).reshape(3, 4), np.array(0)
        weight = tg.tensor(x, requires_grad=True)

        def of_arguments(x: Any, i: Any) -> Any:
            return np.sin(function(x, i)) * 2 if not outside else np.sin(function(weight, option)) * 2

        def both(call: Callable[..., Any], i: int) -> Any:
            option[...] = i
            return call(x, np.array(i))

        for start in (1, 0, 2):
            compiled = tg.compile(of_arguments)
            for i in (start, 0, 1, 2, start):
                try:
                    expected = both(of_arguments, i)
                except (ValueError, IndexError):
                    continue
                try:
                    result = both(compiled, i)
                except CaptureError:
                    continue  # for other elements, or at once
                np.testing.assert_array_equal(plain(result), plain(expected), strict=True)

    def test_a_window_that_moves(self) -> None:
        compiled = tg.compile(lambda x, i: np.sum(np.sin(x[i : i + 2])))
        for i in range(3):
            assert compiled(X, np.array(i)) == np.sum(np.sin(X[i : i + 2]))

    def test_a_slice_that_grows(self) -> None:
        compiled = tg.compile(lambda x, i: np.sum(np.sin(x[:i])))
        assert compiled(X, np.array(3)) == np.sum(np.sin(X[:3]))
        with pytest.raises(CaptureError, match=r"returned float64\(1,\) for other elements"):
            compiled(X, np.array(1))

    def test_loops_over_the_length_are_fine(self) -> None:
        compiled = tg.compile(lambda x: sum(row * i for i, row in enumerate(x)))
        np.testing.assert_array_equal(compiled(X), np.sum(X * np.arange(4)))


class TestPythonState:
    def test_a_counter(self) -> None:
        steps = 0

        def step(x: Any) -> Any:
            nonlocal steps
            steps += 1
            return x * steps

        refuses(step, "changes steps, which is Python state")

    def test_a_counter_in_an_object(self) -> None:
        class Schedule:
            steps = 0

            def __init__(self) -> None:
                self.steps = 0

            def __call__(self, x: Any) -> Any:
                self.steps += 1
                return x / self.steps

        schedule = Schedule()
        refuses(lambda x: schedule(x), r"changes schedule\.steps")

    def test_a_list_that_grows(self) -> None:
        history: list[Any] = []

        def log(x: Any) -> Any:
            history.append(1)
            return x

        refuses(log, r"changes len\(history\)")

    def test_printing(self) -> None:
        refuses(lambda x: print("hello") or x, "prints 'hello'")

    def test_a_flag_that_changes_between_calls(self) -> None:
        flags = {"double": False}
        compiled = tg.compile(lambda x: x * 2 if flags["double"] else x)
        np.testing.assert_array_equal(compiled(X), X)
        flags["double"] = True
        np.testing.assert_array_equal(compiled(X), X * 2)
        flags["double"] = False
        np.testing.assert_array_equal(compiled(X), X)

    def test_a_mode_that_is_what_it_was(self) -> None:
        model = nn.Sequential(nn.Dense(4, 2, dtype=np.float64))

        def step(x: Any) -> Any:
            model.train()
            return model(x)

        with tg.no_grad():
            np.testing.assert_array_equal(tg.compile(step)(X).data, step(X).data)
            model.eval()
            refuses(step, r"changes .*training")

    def test_what_another_thread_prints_to_stays(self) -> None:
        elsewhere, before = io.StringIO(), sys.stdout

        def redirects(x: Any) -> Any:
            sys.stdout = elsewhere
            return x * 2

        try:
            tg.compile(redirects)(X)
            assert sys.stdout is elsewhere
        finally:
            sys.stdout = before

    def test_an_output_that_it_has_kept_writes_afterwards(self, capsys: pytest.CaptureFixture[str]) -> None:
        kept: list[Any] = []
        keep = itertools.repeat(kept).__next__
        tg.compile(lambda x: keep().append(sys.stdout) or x)(X)
        kept[0].write("hello")
        assert capsys.readouterr().out == "hello"

    def test_training_mode(self) -> None:
        class Noisy(nn.Module):
            def forward(self, x: Any) -> Any:
                return x * 2 if self.training else x

        model = Noisy()
        compiled = tg.compile(model)
        np.testing.assert_array_equal(compiled(X), X * 2)
        model.eval()
        np.testing.assert_array_equal(compiled(X), X)


class TestRandomness:
    @pytest.mark.parametrize(
        "draw",
        [
            lambda: np.random.default_rng().random(4),
            lambda: np.array([random.random() for _ in range(4)]),
            lambda: np.array([float(time.perf_counter_ns())]),
            lambda: tg.random.generator().random(4),
            lambda: tg.tensor(np.random.default_rng().random(4)),
        ],
    )
    def test_draws_that_would_be_fixed(self, draw: Callable[[], np.ndarray]) -> None:
        refuses(lambda x: x + draw(), "did not do the same when it was run twice|draws (random numbers )?from")

    def test_draws_of_a_generator_outside(self) -> None:
        rng = np.random.default_rng(0)
        before = rng.bit_generator.state
        refuses(lambda x: x + rng.random(4), "draws random numbers from rng")
        refuses(lambda x: x * 1 if rng.random() < 0.01 else x, "draws random numbers from rng")
        assert rng.bit_generator.state == before

    @pytest.mark.parametrize("draw", [random.random, np.random.random])
    def test_draws_that_hardly_ever_show(self, draw: Callable[[], float]) -> None:
        refuses(lambda x: x * 1 if draw() < 1e-9 else x, "draws random numbers from draw")
        refuses(lambda x: x * 1 if random.random() < 1e-9 else x, "draws random numbers from random")
        refuses(lambda x: x * 1 if np.random.random() < 1e-9 else x, "draws random numbers from np.random")  # noqa: NPY002

    def test_decisions_by_our_own_generator(self) -> None:
        before = tg.random.generator().bit_generator.state
        refuses(lambda x: x * 2 if tg.random.generator().random() < 1e-9 else x, r"draws from tg\.random\.generator")
        assert tg.random.generator().bit_generator.state == before

    def test_another_thread_may_draw(self) -> None:
        asked, answered = queue.Queue(), queue.Queue()

        def draw() -> None:
            while asked.get():
                answered.put(np.random.rand())  # noqa: NPY002

        def noisy(x: Any) -> Any:
            asked.put(1)
            answered.get(timeout=10)
            return x + tg.random.uniform((4,))

        thread = threading.Thread(target=draw)
        thread.start()
        try:
            assert tg.compile(noisy)(X).shape == (4,)
        finally:
            asked.put(0)
            thread.join()

    def test_our_own_generator_may_be_at_hand(self) -> None:
        ours = tg.random.generator()
        compiled = tg.compile(lambda x: x + tg.random.uniform((4,)) * (ours is not None))
        assert compiled(X).tobytes() != compiled(X).tobytes()

    def test_shapes_that_are_drawn_are_refused(self) -> None:
        def repeated(x: Any) -> Any:
            return np.sum(np.repeat(x, (tg.random.uniform((4,)) * 9).astype(int)))

        refuses(repeated, "did not do the same when it was run twice")

    def test_our_own_draws_are_those_of_the_eager_function(self) -> None:
        def noisy(x: Any) -> Any:
            return x + tg.random.uniform((4,))

        compiled = tg.compile(noisy)
        tg.manual_seed(0)
        eager = [noisy(X) for _ in range(5)]
        tg.manual_seed(0)
        assert [compiled(X).tobytes() for _ in range(5)] == [e.tobytes() for e in eager]
        assert len({e.tobytes() for e in eager}) == 5


class TestParameters:
    def test_values_written_between_calls_are_seen(self) -> None:
        w = tg.tensor(np.ones(4), requires_grad=True)
        with tg.no_grad():
            compiled = tg.compile(lambda x: w * x)
            np.testing.assert_array_equal(compiled(X).data, X)
            w.data[...] = 5
            np.testing.assert_array_equal(compiled(X).data, 5 * X)
        assert compiled.captures == 1

    def test_a_replaced_parameter_is_seen(self) -> None:
        model = nn.Dense(4, 2, dtype=np.float64)
        compiled = tg.compile(model)
        with tg.no_grad():
            compiled(X)
            model.weight = tg.tensor(np.ones((4, 2)), requires_grad=True)
            np.testing.assert_array_equal(compiled(X).data, np.full(2, X.sum()))

    def test_a_replaced_layer_is_seen(self) -> None:
        model = nn.Sequential(nn.Dense(4, 2, dtype=np.float64))
        compiled = tg.compile(model)
        with tg.no_grad():
            compiled(X)
            model.layers[0] = nn.Dense(4, 3, dtype=np.float64)
            assert compiled(X).shape == (3,)

    def test_a_rebound_tensor_is_seen(self) -> None:
        t = tg.tensor(np.ones(4))
        compiled = tg.compile(lambda x: t * x)
        np.testing.assert_array_equal(compiled(X).data, X)
        t[0] = 7.0
        np.testing.assert_array_equal(compiled(X).data, t.data * X)

    def test_plain_arrays_outside_are_read_on_every_call(self) -> None:
        table = np.ones(4)
        compiled = tg.compile(lambda x: x + table * 2)
        np.testing.assert_array_equal(compiled(X), X + 2)
        table[:] = 10
        np.testing.assert_array_equal(compiled(X), X + 20)

    def test_plain_arrays_outside_of_a_function_that_it_uses(self) -> None:
        table = np.ones(4)

        def look_up(x: Any) -> Any:
            return np.take(table, x) + table[x]

        compiled = tg.compile(lambda x: look_up(x) * 2)
        index = np.array([0, 3])
        np.testing.assert_array_equal(compiled(index), [4, 4])
        table[3] = 10
        np.testing.assert_array_equal(compiled(index), [4, 40])

    def test_a_name_outside_that_is_given_to_another_array(self) -> None:
        state = np.ones(4)

        def step(x: Any) -> Any:
            nonlocal state
            state = state + x
            return state

        refuses(step, "gives the name state")
        np.testing.assert_array_equal(state, 1)

    def test_gradients_dropped_between_calls(self) -> None:
        w = tg.tensor(np.ones(4), requires_grad=True)
        compiled = tg.compile(lambda x: np.sum(w * x).backward())
        compiled(X)
        compiled(X)
        np.testing.assert_array_equal(w.grad, 2 * X)
        w.grad = None
        compiled(X)
        np.testing.assert_array_equal(w.grad, X)


class TestWritingInPlace:
    def test_into_an_argument(self) -> None:
        def increment(x: Any) -> Any:
            x += 1
            return x

        x = X.copy()
        compiled = tg.compile(increment)
        with pytest.raises(CaptureError, match="in place"):
            compiled(x)
        np.testing.assert_array_equal(x, X)

    def test_into_a_plain_array_outside(self) -> None:
        class Store:
            def __init__(self) -> None:
                self.array = np.zeros(4)

            def __call__(self, x: Any) -> Any:
                self.array += 1
                return x

        store = Store()
        compiled = tg.compile(lambda x: store(x))
        before = store.array
        for count in (1, 2, 3):
            compiled(X)
            assert store.array is before
            np.testing.assert_array_equal(before, count)

    @pytest.mark.parametrize(
        "write",
        [
            lambda y, x: np.put(y, [0], x[0]),
            lambda y, x: np.putmask(y, x > 0, x),
            lambda y, x: np.copyto(y, x, where=x > 0),
            lambda y, x: np.add.at(y, [0], x[0]),
            lambda y, x: np.fill_diagonal(np.stack([y, y]), x),
        ],
    )
    def test_by_functions_that_write(self, write: Callable[[Any, Any], Any]) -> None:
        def of_a_result(x: Any) -> Any:
            y = x * 2
            write(y, x)
            return y

        def of_a_new_array(x: Any) -> Any:
            y = np.zeros(4)
            write(y, x)
            return y + x

        refuses(of_a_result, "writes into an array in place")
        refuses(of_a_new_array, "writes into an array in place|plain array")

    def test_methods_that_write(self) -> None:
        def write(x: Any) -> Any:
            y = -x
            y.sort()
            y.fill(np.sum(y))
            return y

        compiled = tg.compile(write)
        for x in (X, X + 1):
            np.testing.assert_array_equal(compiled(x), write(x))

    def test_an_error_of_the_users_own_is_not_taken_for_it(self) -> None:
        def fails(x: Any) -> Any:
            raise ValueError("the data set is read-only")

        with pytest.raises(ValueError, match="the data set is read-only"):
            tg.compile(fails)(X)

    def test_an_array_that_lends_its_memory_elsewhere_can_be_written_to_afterwards(self) -> None:
        lent = np.from_dlpack(np.ones(4))
        before = lent.flags.writeable
        np.testing.assert_array_equal(tg.compile(lambda x: x * lent)(X), X)
        assert lent.flags.writeable == before

    @pytest.mark.parametrize("use", [lambda head: head, np.sin, lambda head: 1.0 + head, lambda head: np.sum(head)])
    def test_into_a_result_with_a_view(self, use: Any) -> None:
        def write(x: Any) -> Any:
            y = x * 2
            head = y[:2]
            y += 1
            return use(head)

        refuses(write, "shares its memory")

    @pytest.mark.parametrize("first", [lambda w: None, lambda w: np.multiply(w, 0.5, out=w)])
    def test_into_a_part_of_a_parameter(self, first: Any) -> None:
        class Partial(tg.optim.Optimizer):
            def _update(self, i: int, parameter: Any, gradient: Any) -> None:
                first(parameter)
                np.add(parameter[:2], 1, out=parameter[:2])

        w = tg.tensor(X, requires_grad=True)
        optimiser = Partial([w], lr=0.1)

        def step(x: Any) -> Any:
            w.grad = None
            loss = np.sum(w * x)
            loss.backward()
            optimiser.step()
            return loss

        refuses(step, "part of another array|shares its memory")
        np.testing.assert_array_equal(w.data, X)

    def test_into_a_result(self) -> None:
        def write(x: Any) -> Any:
            y = x * 2
            y += 1
            y[0] = 9
            return y

        compiled = tg.compile(write)
        np.testing.assert_array_equal(compiled(X), write(X))
        np.testing.assert_array_equal(compiled(X), [9, 3, 5, 7])


class TestResults:
    def test_kept_results_are_not_overwritten(self) -> None:
        compiled = tg.compile(lambda x: (x * 2, (x + 1)[1:], np.sum(x), x))
        kept = compiled(X)
        before = [np.array(k) for k in kept]
        compiled(X + 100)
        for k, b in zip(kept, before, strict=True):
            np.testing.assert_array_equal(k, b)

    def test_kept_gradients_are_not_overwritten(self) -> None:
        w = tg.tensor(np.ones(4), requires_grad=True)

        @tg.compile
        def step(x: Any) -> None:
            w.grad = None
            np.sum(w * x).backward()

        step(X)
        kept = w.grad
        step(X + 100)
        np.testing.assert_array_equal(kept, X)
        np.testing.assert_array_equal(w.grad, X + 100)

    def test_an_exception_in_the_function_is_raised_and_changes_nothing(self) -> None:
        w = tg.tensor(np.ones(4), requires_grad=True)

        def fails(x: Any) -> Any:
            np.sum(w * x).backward()
            raise KeyError("mine")

        compiled = tg.compile(fails)
        with pytest.raises(KeyError, match="mine"):
            compiled(X)
        assert w.grad is None
        assert (w * 1.0).requires_grad  # recording goes on

    def test_bad_elements_are_found_on_every_call(self) -> None:
        compiled = tg.compile(lambda z, labels: nn.cross_entropy(z, labels))
        z = np.zeros((2, 3))
        compiled(z, np.array([0, 2]))
        with pytest.raises(ValueError, match="labels must be from 0 to 2"):
            compiled(z, np.array([0, 3]))
        with pytest.raises(IndexError):
            tg.compile(lambda x, i: np.take(x, i, axis=0))(X[:, None], np.array([4]))

    @pytest.mark.parametrize("returned", [False, True])
    def test_state_is_as_it_was_if_a_check_fails(self, returned: bool) -> None:
        state = np.ones(3)

        @tg.compile
        def step(logits: Any, labels: Any) -> Any:
            s = on_tape(state)
            if not returned:
                nn.cross_entropy(logits, labels)
            np.add(s * 2, 1, out=s)
            return (nn.cross_entropy(logits, labels), s) if returned else None

        logits = np.zeros((2, 3))
        step(logits, np.array([0, 1]))
        with pytest.raises(ValueError, match="labels must be from 0 to 2"):
            step(logits, np.array([0, 7]))
        np.testing.assert_array_equal(state, 3)

    def test_state_is_as_it_was_if_arithmetic_raises(self) -> None:
        state = np.arange(1.0, 4)

        @tg.compile
        def step(x: Any) -> None:
            s, half = on_tape(state), x / 2
            np.add(s * 2.0 / half, 1, out=s)

        step(np.ones(3))
        before = state.copy()
        with np.errstate(divide="raise"):
            step(np.ones(3))
            expected = before * 4 + 1
            np.testing.assert_array_equal(state, expected)
            with pytest.raises(FloatingPointError):
                step(np.zeros(3))
        np.testing.assert_array_equal(state, expected)

    def test_a_gradient_that_a_failed_step_has_overwritten_is_an_error_to_read(self) -> None:
        w = tg.tensor(np.ones((3, 3)), requires_grad=True)

        @tg.compile
        def step(x: Any, labels: Any) -> None:
            loss = nn.cross_entropy(x @ w, labels)
            w.grad = None
            loss.backward()

        x = np.eye(3)
        step(x, np.array([0, 1, 2]))
        with pytest.raises(ValueError, match="labels must be from 0 to 2"):
            step(2 * x, np.array([0, 1, 3]))
        with pytest.raises(GradientError, match="overwritten this gradient of an earlier step"):
            _ = w.grad
        step(x, np.array([0, 1, 2]))
        assert w.grad is not None
        kept = w.grad
        with pytest.raises(ValueError, match="labels must be from 0 to 2"):
            step(2 * x, np.array([0, 1, 3]))
        assert w.grad is kept  # it was read, and so copied

    def test_an_index_out_of_range_is_found_on_replay(self) -> None:
        compiled = tg.compile(lambda x, i: np.sum(np.take(x, i, axis=0)))
        table = X[:, None]
        assert compiled(table, np.array([0, 3])) == 3
        assert compiled(table, np.array([-1, -2])) == 5
        with pytest.raises(IndexError):
            compiled(table, np.array([0, 4]))


class TestGraphs:
    def test_gradients_of_a_compiled_function(self) -> None:
        w = tg.tensor(np.ones(4), requires_grad=True)
        function = tg.compile(lambda x: np.sum(np.tanh(w * x)))
        loss = function(X)
        loss.backward()
        first = w.grad
        w.grad = None
        np.sum(np.tanh(w * X)).backward()
        np.testing.assert_array_equal(first, w.grad)

    def test_transforms_of_a_compiled_function(self) -> None:
        function = tg.compile(lambda x: np.sum(x**3))
        np.testing.assert_array_equal(tg.grad(function)(X), 3 * X**2)
        np.testing.assert_array_equal(tg.hessian(function)(X), np.diag(6 * X))

    def test_a_leaf_as_an_argument(self) -> None:
        function = tg.compile(lambda w, x: np.sum(w * x).backward())
        w = tg.tensor(np.ones(4), requires_grad=True)
        function(w, X)
        np.testing.assert_array_equal(w.grad, X)

    def test_compiled_functions_within_one_another(self) -> None:
        inner = tg.compile(lambda x: np.tanh(x))
        outer = tg.compile(lambda x: inner(x) * 2)
        np.testing.assert_array_equal(outer(X), np.tanh(X) * 2)
        np.testing.assert_array_equal(outer(X + 1), np.tanh(X + 1) * 2)
        assert inner.captures == 0


class TestThreads:
    def test_two_threads_share_a_compiled_function(self) -> None:
        compiled = tg.compile(lambda x: np.sum(np.tanh(x) * x))
        inputs = [X + i for i in range(50)]
        expected = [np.sum(np.tanh(x) * x) for x in inputs]
        found: dict[int, list[Any]] = {}

        def work(which: int) -> None:
            found[which] = [compiled(x) for x in inputs]

        threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert all(results == expected for results in found.values())
        assert len(found) == 4

    def test_other_threads_compute_as_usual_during_a_capture(self) -> None:
        w = tg.tensor(np.ones(4), requires_grad=True)
        inside, proceed = threading.Event(), threading.Event()

        def slow(x: Any) -> Any:
            inside.set()
            proceed.wait(10)
            return w * x

        def run() -> None:
            with tg.no_grad():
                tg.compile(slow)(X)

        thread = threading.Thread(target=run)
        thread.start()
        inside.wait(10)
        np.sum(w * 2).backward()
        proceed.set()
        thread.join()
        np.testing.assert_array_equal(w.grad, 2)


def test_a_diverged_optimiser_state_is_impossible() -> None:
    """The classic case: Adam's bias correction counts steps."""
    runs = []
    for compiled in (False, True):
        w = tg.tensor(np.ones(4), requires_grad=True)
        optimiser = optim.Adam([w], lr=0.1)

        def step(x: Any, w: tg.Tensor = w, optimiser: optim.Adam = optimiser) -> None:
            optimiser.zero_grad()
            np.sum((w * x) ** 2).backward()
            optimiser.step()

        run = tg.compile(step) if compiled else step
        for _ in range(10):
            run(X)
        step(X)  # an eager step may follow
        runs.append(w.data.tobytes())
    assert runs[0] == runs[1]


def test_a_graph_from_before_a_compiled_update_is_stale() -> None:
    w = tg.tensor(np.ones(3), requires_grad=True)
    optimiser = tg.optim.SGD([w], lr=0.1)

    @tg.compile
    def step() -> None:
        np.sum(w * w).backward()
        optimiser.step()
        optimiser.zero_grad()

    step()
    before = np.sum(w * w)
    step()
    with pytest.raises(tg.errors.StaleGraphError):
        before.backward()


def goes_on_as(function: Callable[..., Any], *calls: tuple[Any, ...]) -> tg.compiler.Compiled:
    """The compiled function gives what the function gives, call by call."""
    compiled = tg.compile(function)
    for arguments in calls:
        expected, found = function(*arguments), compiled(*arguments)
        assert type(found) is type(expected)
        for mine, theirs in zip(leaves(found), leaves(expected), strict=True):
            np.testing.assert_array_equal(plain(mine), plain(theirs), strict=isinstance(theirs, np.ndarray))
    return compiled


class TestWhatStandsInIsTakenForAnArray:
    def test_by_isinstance(self) -> None:
        def total(items: dict[str, Any]) -> Any:
            return sum(np.sum(v) for v in items.values() if isinstance(v, np.ndarray))

        goes_on_as(total, ({"a": X, "n": "text"},), ({"a": X + 1, "n": "text"},))

    def test_by_isscalar(self) -> None:
        goes_on_as(lambda x: x * 2 if np.isscalar(np.sum(x)) else x, (X,), (X + 1,))

    def test_in_its_memory_layout(self) -> None:
        goes_on_as(lambda x: x * x.strides[0] if x.flags.c_contiguous else x, (X,), (X[::2],))


class TestNumbersInPlace:
    def test_other_names_of_a_number_keep_it(self) -> None:
        def sums(x: Any) -> Any:
            total = x[0]
            found = [total]
            for i in range(1, 4):
                total += x[i]
                found.append(total)
            return found

        goes_on_as(sums, (X,), (X + 1,))

    def test_a_number_that_is_an_argument(self) -> None:
        def scaled(x: Any, s: Any) -> Any:
            s += 1
            return x * s

        goes_on_as(scaled, (X, np.float64(2)), (X, np.float64(3)))


class TestArraysOfItsOwn:
    def test_sums_that_start_from_zeros(self) -> None:
        def total(x: Any) -> Any:
            sums = np.zeros(4)
            for i in range(3):
                sums += x * i
            return sums

        goes_on_as(total, (X,), (X + 1,))

    @pytest.mark.parametrize(
        "fill",
        [
            lambda x, buffer: np.add(x, 1, out=buffer[0]),
            lambda x, buffer: np.copyto(buffer[0], x),
            lambda x, buffer: [row.__iadd__(x) for row in buffer],
        ],
    )
    def test_what_is_written_into_one_that_is_read_afterwards(self, fill: Callable[[Any, Any], Any]) -> None:
        def filled(x: Any) -> Any:
            buffer = np.zeros((2, 4))
            fill(x, buffer)
            return np.sqrt(buffer)

        refuses(filled, "np.zeros_like|writes into an array in place")

    def test_what_is_written_into_one_that_is_returned(self) -> None:
        def filled(x: Any) -> Any:
            buffer = np.zeros(4, dtype=bool)
            np.greater(x, 1, out=buffer)
            return buffer

        refuses(filled, "np.zeros_like")

    def test_what_another_name_of_it_stands_for(self) -> None:
        def total(x: Any) -> Any:
            y = np.zeros(4)
            kept = {"y": y}
            y += x
            return kept["y"]

        refuses(total, "np.zeros_like")


class TestWhatIsReturned:
    def test_equal_ones_are_arrays_of_their_own(self) -> None:
        compiled = goes_on_as(lambda x: (np.zeros_like(x), np.zeros_like(x), x * 2, x * 2), (X,))
        first, second, third, fourth = compiled(X)
        first += 1
        third += 1
        np.testing.assert_array_equal(second, 0)
        np.testing.assert_array_equal(fourth, X * 2)

    def test_plain_ones_are_new_on_every_call(self) -> None:
        compiled = tg.compile(lambda x: (x * 2, np.zeros(4)))
        compiled(X)[1][:] = 7
        np.testing.assert_array_equal(compiled(X)[1], 0)

    @pytest.mark.parametrize(
        "make",
        [
            lambda y: types.SimpleNamespace(y=y),
            lambda y: lambda: y,
            lambda y: iter([y]),
            lambda y: {len(y)},
            lambda y: (y, object()),
        ],
    )
    def test_objects_that_it_makes_are_refused(self, make: Callable[[Any], Any]) -> None:
        refuses(lambda x: make(x * 2), "returns a .* that it makes itself")

    def test_numbers_that_differ_are_refused(self) -> None:
        turns = itertools.count().__next__
        refuses(lambda x: (x * 2, turns()), r"it returned \d+ the first time, and \d+ the second")

    def test_a_leaf_is_returned_itself(self) -> None:
        w = tg.tensor(np.ones(4), requires_grad=True)
        compiled = tg.compile(lambda x: (np.sum(x), w))
        assert all(compiled(X)[1] is w for _ in range(3))

    def test_a_leaf_that_it_makes_is_refused(self) -> None:
        refuses(lambda x: tg.tensor(x * 2, requires_grad=True), "returns a leaf of shape")

    def test_their_containers_are_of_the_same_class(self) -> None:
        class Mode(str, enum.Enum):
            A = "a"

        class Axis(enum.IntEnum):
            ROWS = 0

        def results(x: Any) -> Any:
            y = np.sum(x, axis=Axis.ROWS)
            return collections.OrderedDict([(Mode.A, y), ("b", x[Axis.ROWS :] * Axis.ROWS)])

        compiled = goes_on_as(results, (np.eye(3),), (np.eye(3) + 1,))
        assert list(compiled(np.eye(3))) == [Mode.A, "b"]


class TestArgumentsThatItChanges:
    @pytest.mark.parametrize(
        ("change", "argument"),
        [
            (lambda items: items.pop("y"), {"x": X, "y": X}),
            (lambda items: items.update(z=items["x"]), {"x": X}),
            (lambda items: items.append(X), [X]),
            (lambda items: items.__setitem__(0, items[0] * 2), [X]),
            (lambda t: t.__iadd__(1), tg.tensor(X)),
            (lambda t: t.__setitem__(0, 1.0), tg.tensor(X)),
        ],
    )
    def test_are_refused(self, change: Callable[[Any], Any], argument: Any) -> None:
        def changes(argument: Any) -> Any:
            change(argument)
            return np.ones(3)

        with pytest.raises(CaptureError, match="changes a dict, a list or a tensor that it was given"):
            tg.compile(changes)(argument)

    def test_an_array_that_it_writes_to_by_another_name(self) -> None:
        table = np.ones(4)

        def adds(x: Any) -> Any:
            np.add(table, 1, out=table)
            return x * 2

        compiled = tg.compile(adds)
        for n in (2, 3, 4):
            np.testing.assert_array_equal(compiled(table), np.full(4, 2.0 * n))
            np.testing.assert_array_equal(compiled(table[:2]), np.full(2, 2.0 * n + 2))
            np.subtract(table, 1, out=table)
        np.testing.assert_array_equal(compiled(X), X * 2)

    def test_an_array_that_it_sorts_by_another_name(self) -> None:
        table = np.array([3.0, 1.0, 2.0])

        def sorts(x: Any) -> Any:
            table.sort()
            return x * 1

        compiled = tg.compile(sorts)
        for _ in range(3):
            np.testing.assert_array_equal(compiled(table), [1, 2, 3])
            table[:] = [3, 1, 2]


class TestErrorHandling:
    def test_a_call_that_ignores_is_not_one_that_does_not(self) -> None:
        def twice(x: Any) -> Any:
            with np.errstate(all="ignore"):
                first = np.log(x)
            return first + np.log(x)

        compiled = tg.compile(twice)
        with np.errstate(all="raise"):
            compiled(X + 1)
            with pytest.raises(FloatingPointError):
                compiled(X)

    def test_what_one_call_ignores_the_others_do_not(self) -> None:
        w = tg.tensor(np.ones(4), requires_grad=True)

        def step(x: Any) -> Any:
            w.grad = None
            loss = np.sum(w * np.log(x))
            loss.backward()
            return loss

        compiled = tg.compile(step)
        with np.errstate(all="raise"):
            compiled(X + 1)
            with pytest.raises(FloatingPointError):
                compiled(X * 0)
            with np.errstate(divide="ignore", invalid="ignore"):
                assert compiled(X * 0).data == -np.inf

    def test_what_it_has_raised_itself(self) -> None:
        def inverse(x: Any) -> Any:
            with np.errstate(divide="raise"):
                y = 1 / x
            with np.errstate(all="ignore"):
                return y, 1 / (x - 1)

        compiled = tg.compile(inverse)
        compiled(X + 2)
        assert compiled(X + 1)[1][0] == np.inf
        with pytest.raises(FloatingPointError):
            compiled(X)
        assert np.geterr()["divide"] == "warn"


class TestShapesAndDtypes:
    @pytest.mark.parametrize(
        "function",
        [
            lambda x: np.split(x, 1)[0] * 2,
            lambda x: np.exp(np.unstack(x[None])[0]),
            lambda x: np.meshgrid(x)[0] + 1,
            lambda x: np.broadcast_arrays(x)[0] + 1,
        ],
    )
    def test_one_result_in_a_tuple(self, function: Callable[[Any], Any]) -> None:
        goes_on_as(function, (X,), (X + 1,))

    @pytest.mark.parametrize(
        "function",
        [
            lambda x: x[np.where(x > 1)[0]],
            lambda x: np.bincount(x.astype(int)),
            lambda x: np.delete(x, x.astype(int)),
            lambda x: np.roots(x),
        ],
    )
    def test_that_depend_on_elements_are_refused(self, function: Callable[[Any], Any]) -> None:
        refuses(function, "the shape of its result depends on the elements")

    @pytest.mark.parametrize(
        ("function", "first", "second"),
        [
            (lambda x: np.repeat(X, x), np.array([1, 1, 1, 1]), np.array([1, 2, 1, 1])),
            (lambda x: np.sum(np.histogram(x, bins="auto")[0]), np.arange(100.0), np.ones(100)),
            (lambda x: np.copy(np.emath.sqrt(x)), np.ones(2), -np.ones(2)),
        ],
    )
    def test_that_turn_out_to_depend_on_elements_are_an_error(self, function: Any, first: Any, second: Any) -> None:
        compiled = tg.compile(function)
        np.testing.assert_array_equal(compiled(first), function(first))
        with pytest.raises(CaptureError, match="for other elements"):
            compiled(second)

    @pytest.mark.filterwarnings("ignore:the matrix subclass")
    @pytest.mark.parametrize("kind", [np.ma.masked_array, np.matrix])
    def test_other_kinds_of_arrays_are_refused(self, kind: Callable[[Any], Any]) -> None:
        with pytest.raises(CaptureError, match="would be taken for a plain array"):
            tg.compile(lambda x: x * 2)(kind(np.eye(2)))


class TestSideEffects:
    def test_a_recorded_result_has_them_once(self) -> None:
        found = []
        for wrap in (lambda function: function, tg.compile):
            layer, count = nn.BatchNorm(3, dtype=np.float64), np.zeros(())

            def forward(x: Any, layer: Any = layer, count: Any = count) -> Any:
                np.add(count, 1, out=count)
                return layer(x)

            called = wrap(forward)
            for _ in range(3):
                np.sum(np.square(called(np.arange(12.0).reshape(4, 3)))).backward()
            found.append([float(count), *(array.tobytes() for array in layer.state_dict().values())])
        assert found[0] == found[1]

    def test_logging_is_refused(self) -> None:
        before = logging.getLogRecordFactory(), sys.stdout
        refuses(lambda x: logging.getLogger("test").warning("hello") or x, "logs 'hello'")
        assert (logging.getLogRecordFactory(), sys.stdout) == before

    def test_the_seed_is_set_on_every_call(self) -> None:
        def drawn(x: Any) -> Any:
            tg.manual_seed(0)
            return x + tg.random.uniform((4,))

        goes_on_as(drawn, (X,), (X,), (X,))

    @pytest.mark.parametrize("change", [lambda g: g.fill(0), lambda g: np.clip(g, -1, 1, out=g)])
    def test_a_gradient_that_was_there_is_changed_in_place(self, change: Callable[[Any], Any]) -> None:
        w = tg.tensor(np.ones(4), requires_grad=True)
        changed = tg.compile(lambda: [change(w.grad)][:0])
        for _ in range(3):
            w.grad = X * 2
            expected = X * 2
            change(expected)
            changed()
            np.testing.assert_array_equal(w.grad, expected)


class TestKindsOfFunctions:
    def test_those_that_run_later_are_refused(self) -> None:
        def generated(x: Any) -> Any:
            yield x

        async def awaited(x: Any) -> Any:
            return x

        for function in (generated, awaited):
            with pytest.raises(CaptureError, match="nothing to capture when it is called"):
                tg.compile(function)

    @pytest.mark.parametrize("kind", [staticmethod, classmethod])
    def test_static_and_class_methods(self, kind: Any) -> None:
        with pytest.raises(CaptureError, match=f"write @{kind.__name__} above @tg.compile"):
            tg.compile(kind(lambda *args: args[-1] * 2))

        class Model:
            double = kind(tg.compile(lambda *args: args[-1] * 2))

        np.testing.assert_array_equal(Model.double(X), X * 2)
        np.testing.assert_array_equal(Model().double(X), X * 2)

    def test_a_copy_captures_for_itself(self) -> None:
        compiled = tg.compile(lambda x: x * 2)
        compiled(X)
        for again in (copy.copy(compiled), copy.deepcopy(compiled)):
            assert again.captures == 0
            np.testing.assert_array_equal(again(X), X * 2)
