"""``tg.compile(fn, exact=False)``: the same but for rounding, and what it did is there to see."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_np as tg
from tinygrad_np import nn, optim
from tinygrad_np.compiler import blas, blocks, inexact
from tinygrad_np.compiler.inexact import LONG, accumulated, combined, stacked
from tinygrad_np.trees import leaves

CLOSE = {"rtol": 1e-9, "atol": 1e-12}
Training = tuple[nn.Module, optim.Optimizer, Callable[..., Any]]


def calls(step: Any, function: Any) -> int:
    return sum(call.function is function for call in step.program.program.calls)


def plain_descent(parameters: Any) -> optim.Optimizer:
    return optim.SGD(parameters, lr=0.1)


def two_layers() -> list[nn.Module]:
    return [nn.Dense(6, 5, dtype=np.float64), nn.ReLU(), nn.Dense(5, 3, dtype=np.float64)]


def one_weight() -> list[nn.Module]:
    return [nn.Dense(6, 3, bias=False, dtype=np.float64)]


def training(
    make: Callable[[Any], optim.Optimizer] = plain_descent, loss_of: Any = None, layers: Any = two_layers
) -> Training:
    tg.manual_seed(0)
    model = nn.Sequential(*layers())
    optimiser = make(model.parameters())

    def step(x: Any, labels: Any) -> Any:
        loss = nn.cross_entropy(model(x), labels) if loss_of is None else loss_of(model, x, labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        return loss

    return model, optimiser, step


def scheduled(make: Callable[[Any], optim.Optimizer] = plain_descent) -> Training:
    model, optimiser, step = training(make)
    schedule = optim.CosineDecay(optimiser, 20)

    def both(x: Any, labels: Any) -> Any:
        loss = step(x, labels)
        schedule.step()
        return loss

    return model, optimiser, both


def assert_same_training(training: Callable[[], Training], steps: int = 20) -> Any:
    rng = np.random.default_rng(0)
    (model, _, step), (eager, _, eager_step) = training(), training()
    compiled = tg.compile(step, exact=False)
    for _ in range(steps):
        x, labels = rng.normal(size=(8, 6)), rng.integers(0, 3, 8)
        np.testing.assert_allclose(compiled(x, labels).data, eager_step(x, labels).data, **CLOSE)
    for ours, theirs in zip(model.parameters(), eager.parameters(), strict=True):
        np.testing.assert_allclose(ours.data, theirs.data, **CLOSE)
    assert compiled.captures == 1
    return compiled, model


class TestLearningRates:
    @pytest.fixture(autouse=True)
    def all_weights(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(inexact, "SMALL", 0)

    def test_are_left_where_the_weight_is_small(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(inexact, "SMALL", 6 * 5 * 8)
        step, _ = assert_same_training(training)
        assert calls(step, accumulated) == 1

    def test_are_folded_into_the_products(self) -> None:
        step, _ = assert_same_training(training)
        assert calls(step, accumulated) == 4  # two weights, two biases
        assert "accumulated" in str(step.program)

    @pytest.mark.parametrize(
        "make",
        [
            lambda p: optim.SGD(p, lr=0.1, momentum=0.9),
            lambda p: optim.SGD(p, lr=0.1, weight_decay=0.1),
            lambda p: optim.Adam(p, lr=0.01),
            lambda p: optim.RMSprop(p, lr=0.01),
        ],
    )
    def test_are_left_where_the_update_is_another(self, make: Callable[[Any], optim.Optimizer]) -> None:
        step, _ = assert_same_training(lambda: training(make))
        assert calls(step, accumulated) == 0

    def test_follow_a_schedule(self) -> None:
        step, _ = assert_same_training(scheduled)
        assert calls(step, accumulated) == 4

    def test_a_weight_may_be_read_after_its_gradient_was_made(self) -> None:
        def tied(model: Any, x: Any, labels: Any) -> Any:
            first = model.layers[0]
            return nn.cross_entropy(model(x), labels) + np.sum(np.square(x @ first.weight @ first.weight.T - x)) / 100

        def after() -> Training:
            model, optimiser, step = training(loss_of=tied)

            def both(x: Any, labels: Any) -> Any:
                before = np.sum(model.layers[2].weight.data)
                loss = step(x, labels)
                return loss.detach() + before + np.sum(model(x).detach())

            return model, optimiser, both

        assert_same_training(after)

    def test_gradients_that_are_nowhere_say_so(self) -> None:
        _, model = assert_same_training(training)
        weight = model.layers[0].weight
        with pytest.raises(tg.errors.GradientError, match="exact=True"):
            weight.grad  # noqa: B018
        weight.grad = None
        assert weight.grad is None
        np.sum(weight).backward()
        np.testing.assert_array_equal(weight.grad, np.ones((6, 5)))

    def test_gradients_that_are_used_are_kept(self) -> None:
        def using() -> Training:
            model, optimiser, step = training()

            def both(x: Any, labels: Any) -> Any:
                loss = step(x, labels)
                return loss.detach() + sum(np.sum(p.grad) for p in model.parameters())

            return model, optimiser, both

        step, model = assert_same_training(using)
        assert calls(step, accumulated) == 0
        assert model.layers[0].weight.grad.shape == (6, 5)

    def test_gradients_that_are_returned_are_kept(self) -> None:
        (model, _, step), (eager, _, eager_step) = training(), training()

        @tg.compile(exact=False)
        def returning(x: Any, labels: Any) -> Any:
            step(x, labels)
            return model.layers[0].weight.grad

        args = np.ones((8, 6)), np.arange(8) % 3
        found = returning(*args)
        eager_step(*args)
        np.testing.assert_allclose(found, eager.layers[0].weight.grad, **CLOSE)
        np.testing.assert_allclose(model.layers[0].weight.grad, found, **CLOSE)
        assert calls(returning, accumulated) == 3


class TestProducts:
    X, A, B = (np.random.default_rng(i).normal(size=(4, 4)) for i in range(3))

    @pytest.mark.parametrize(
        ("function", "count"),
        [
            (lambda x, a, b: np.tanh(x @ a + x @ b), 1),
            (lambda x, a, b: np.tanh(np.exp(x) + (x.T @ a)), 1),
            (lambda x, a, b: np.tanh((x.T @ a.T) + np.exp(x)), 1),
            (lambda x, a, b: np.tanh(x + x @ a), 0),  # x is the caller's
            (lambda x, a, b: (p := x @ a) + np.exp(x) + p, 0),  # the product is needed again
            (lambda x, a, b: ((s := np.exp(x)) + x @ a) * s, 0),  # what it is added to is needed again
            (lambda x, a, b: np.exp(x[0]) + x @ a, 0),  # broadcast
            (lambda x, a, b: np.exp(x[0]) + x[1] @ a + x[2] @ b, 2),
            (lambda x, a, b: np.tanh(np.exp(x)[::-1] + x @ a), 0),  # part of another array
            (lambda x, a, b: np.exp(x.astype(np.float32)) + x @ a, 0),
        ],
    )
    def test_are_added_where_nobody_sees_it(self, function: Callable[..., Any], count: int) -> None:
        compiled = tg.compile(function, exact=False)
        for scale in (1, 2):
            args = scale * self.X, self.A, self.B
            np.testing.assert_allclose(compiled(*args), function(*args), **CLOSE)
        assert calls(compiled, accumulated) == count

    @pytest.mark.parametrize("series", [(6, 5, 3), (2, 5, 3), (6, 1, 3), (6, 5, 1)])
    @pytest.mark.parametrize("keeps", ["the last state", "all states", "a gradient before"])
    def test_of_recurrent_nets_are_stacked(self, keeps: str, series: tuple[int, int, int]) -> None:
        rng = np.random.default_rng(0)
        shapes = (series[2], 4), (4, 4), (4,)
        weights = [tg.tensor(rng.normal(size=shape), requires_grad=True) for shape in shapes]

        def slopes(series: Any, start: Any) -> Any:
            h, states = start, []
            for i in range(len(series)):
                h = np.tanh(series[i] @ weights[0] + h @ weights[1] + weights[2])
                states.append(h)
            found = tg.gradients(np.sum(h * h), weights)
            if keeps == "a gradient before":
                return [weights[0].data * 0.5 + found[0], *found[1:]]
            return found, [s.detach() for s in states] if keeps == "all states" else h.detach()

        compiled = tg.compile(slopes, exact=False)
        for scale in (1, 0.1):
            args = scale * rng.normal(size=series), rng.normal(size=(series[1], 4))
            for ours, theirs in zip(leaves(compiled(*args)), leaves(slopes(*args)), strict=True):
                np.testing.assert_allclose(getattr(ours, "data", ours), getattr(theirs, "data", theirs), **CLOSE)
        assert calls(compiled, stacked) == (3 if series[0] >= LONG else 0)
        if series == (6, 5, 3) and keeps == "the last state":
            by_blas = sum(not step.args for step in compiled.program.steps)  # which has its arguments beforehand
            of_arguments = compiled.program.source.count("accumulate(")
            assert by_blas + of_arguments == 6 + 1  # forward, and the state that came from outside

    @pytest.mark.parametrize("order", [(0, 1, 2, 3, 4), (2, 0, 3, 1, 4), (4, 3, 2, 1, 0), (0, 1, 1, 1, 2)])
    def test_of_a_series_with_gaps_or_in_another_order_are_right_too(self, order: tuple[int, ...]) -> None:
        weight = tg.tensor(self.A, requires_grad=True)

        def slope(series: Any) -> Any:
            return tg.gradients(sum(np.sum(np.sin(series[i] @ weight) * (n + 1)) for n, i in enumerate(order)), weight)

        compiled = tg.compile(slope, exact=False)
        layouts = np.ones((5, 4, 4)), np.ones((10, 4, 4))[::2], np.ones((5, 4, 8))[..., ::2], np.ones((4, 4, 5)).T
        for series in layouts:
            values = np.random.default_rng(0).normal(size=series.shape)
            series[...] = values
            np.testing.assert_allclose(compiled(series), slope(values), **CLOSE)
            assert calls(compiled, stacked) == 1

    @pytest.mark.parametrize(
        ("rows", "inputs", "outputs", "alone"),
        [(0, 784, 64, False), (32, 784, 10, False), (32, 784, 64, True), (32, 784, 256, False)],
    )
    def test_one_thread_is_for_products_that_are_neither_small_nor_large(
        self, rows: int, inputs: int, outputs: int, alone: bool
    ) -> None:
        compiled = tg.compile(lambda a, b: a @ b, exact=False)
        compiled(np.ones((rows, inputs), np.float32), np.ones((inputs, outputs), np.float32))
        assert inexact.prefers_one_thread(compiled.program.program) is alone

    def test_products_of_a_whole_series_count_one_by_one_when_threads_are_chosen(self) -> None:
        compiled = tg.compile(lambda x, w: [x[i] @ w for i in range(5)], exact=False)
        compiled(np.ones((5, 32, 784), np.float32), np.ones((784, 64), np.float32))
        assert inexact.prefers_one_thread(compiled.program.program)

    def test_small_products_next_to_a_large_one_do_not_decide_about_threads(self) -> None:
        @tg.compile(exact=False)
        def both(large: Any, small: Any) -> Any:
            return large @ large, [small @ (small + i) for i in range(20)]

        both(np.ones((200, 200)), np.ones((20, 20)))
        assert not inexact.prefers_one_thread(both.program.program)

    def test_those_that_are_stacked_count_as_one_when_threads_are_chosen(self) -> None:
        weight = tg.tensor(np.eye(64), requires_grad=True)

        @tg.compile(exact=False)
        def slope(series: Any) -> Any:
            return tg.gradients(sum(np.sum(np.sin(series[i] @ weight)) for i in range(20)), weight)

        slope(np.ones((20, 32, 64)))
        assert inexact.prefers_one_thread(slope.program.program)

    def test_every_run_gives_the_same_bits(self) -> None:
        found = []
        for _ in range(2):
            model, _, step = training()
            compiled = tg.compile(step, exact=False)
            for i in range(10):
                compiled(self.X.repeat(2, 0)[:, [0, 1, 2, 3, 0, 1]] * i, np.arange(8) % 3)
            found.append([p.data.tobytes() for p in model.parameters()])
        assert found[0] == found[1]


class Written(optim.Optimizer):
    """Each update is a function of parameter, gradient, rate, an array to compute in, and one that stays."""

    def __init__(self, parameters: Any, update: Any) -> None:
        super().__init__(parameters, lr=0.01)
        self.update = update

    @classmethod
    def _fresh(cls, parameter: Any, options: Any) -> Any:
        return {"last": np.zeros_like(parameter)}

    def _update(self, i: int, parameter: Any, gradient: Any) -> None:
        self.update(parameter, gradient, self._rates[i], self._scratch[i][0], self._state[i]["last"])


def minus_rate(w: Any, g: Any, rate: Any, t: Any, _: Any) -> None:
    np.multiply(np.tanh(g, out=t), rate, out=t)
    np.subtract(w, t, out=w)


def plus_multiple(w: Any, g: Any, _r: Any, t: Any, _: Any) -> None:
    np.multiply(0.25, g, out=t)
    np.add(t, w, out=w)


def two_multiples(w: Any, g: Any, _r: Any, t: Any, _: Any) -> None:
    np.multiply(g, 0.25, out=t)
    np.multiply(w, 0.5, out=w)
    np.subtract(w, t, out=w)


def other_side(w: Any, g: Any, rate: Any, t: Any, _: Any) -> None:
    np.multiply(g, rate, out=t)
    np.multiply(w, -0.5, out=w)
    np.subtract(t, w, out=w)


def average(w: Any, g: Any, _r: Any, _t: Any, _: Any) -> None:
    np.subtract(w, g, out=w)
    np.multiply(w, 0.75, out=w)
    np.add(w, g, out=w)


def in_scratch(w: Any, g: Any, _r: Any, t: Any, last: Any) -> None:
    np.add(np.multiply(np.tanh(g, out=t), 3.0, out=t), w, out=last)
    np.subtract(w, last, out=w)


def in_the_parameter(w: Any, g: Any, _r: Any, t: Any, _: Any) -> None:
    np.add(np.multiply(np.tanh(g, out=t), 3.0, out=t), w, out=w)


def beside_the_parameter(w: Any, g: Any, rate: Any, t: Any, _: Any) -> None:
    np.multiply(np.tanh(g), 0.5, out=t)
    np.multiply(w, rate, out=w)
    np.add(w, t, out=w)


def a_product_with_the_parameter(w: Any, g: Any, _r: Any, t: Any, _: Any) -> None:
    np.matmul(w, np.ones((w.shape[1],) * 2) / 4, out=t)
    np.add(np.tanh(g), t, out=w)


def kept(w: Any, g: Any, rate: Any, t: Any, last: Any) -> None:
    np.multiply(g, rate, out=t)
    np.subtract(w, t, out=w)
    np.copyto(last, t)


def average_kept(w: Any, g: Any, _r: Any, _t: Any, last: Any) -> None:
    np.subtract(w, g, out=last)
    np.multiply(last, 0.75, out=w)
    np.add(w, g, out=w)


def almost_an_average(w: Any, g: Any, _r: Any, t: Any, _: Any) -> None:
    np.subtract(w, g, out=w)
    np.multiply(w, 0.75, out=w)
    np.add(w, np.tanh(g, out=t), out=w)


def uneven_average(w: Any, g: Any, _r: Any, t: Any, _: Any) -> None:
    np.subtract(w, g, out=w)
    np.multiply(w, 0.75, out=w)
    np.add(w, np.multiply(g, 0.5, out=t), out=w)


def average_of_a_sum(w: Any, g: Any, _r: Any, t: Any, _: Any) -> None:
    np.multiply(np.tanh(w, out=t), 0.5, out=t)
    np.subtract(t, g, out=t)
    np.multiply(t, 0.75, out=t)
    np.add(t, g, out=w)


def with_itself(w: Any, g: Any, _r: Any, t: Any, _: Any) -> None:
    np.multiply(w, 0.25, out=t)
    np.subtract(w, t, out=w)


def with_a_number(w: Any, g: Any, _r: Any, _t: Any, _: Any) -> None:
    np.multiply(w, 0.5, out=w)
    np.add(w, 0.125, out=w)


def with_a_row(w: Any, g: Any, _r: Any, _t: Any, _: Any) -> None:
    np.multiply(w, 0.5, out=w)
    np.add(w, g[0], out=w)


class TestMultiples:
    @pytest.fixture(autouse=True)
    def all_arrays(self, monkeypatch: pytest.MonkeyPatch, request: Any) -> None:
        monkeypatch.setattr(inexact, "SMALL", 0)

    @pytest.fixture(params=["whole", "in blocks"])
    def sizes(self, request: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        if request.param == "in blocks":
            monkeypatch.setattr(blocks, "LARGE", 1)
            monkeypatch.setattr(blocks, "BLOCK", 64)

    @pytest.mark.parametrize(
        ("make", "number"),
        [
            (lambda p: optim.SGD(p, lr=0.1, momentum=0.9), 2),
            (lambda p: optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True), 2),
            (lambda p: optim.SGD(p, lr=0.1, weight_decay=0.1), 1),
            (lambda p: optim.Adam(p, lr=0.01), 3),
            (lambda p: optim.Adam(p, lr=0.01, weight_decay=0.1), 3),
            (lambda p: optim.AdamW(p, lr=0.01), 2),
            (lambda p: optim.RMSprop(p, lr=0.01), 2),
            (lambda p: optim.Adagrad(p, lr=0.01), 1),
        ],
    )
    @pytest.mark.usefixtures("sizes")
    def test_are_added_in_one_call(self, make: Callable[[Any], optim.Optimizer], number: int) -> None:
        step, _ = assert_same_training(lambda: training(make))
        assert calls(step, combined) == number * 4  # two weights, two biases
        assert "combined" in str(step.program)

    @pytest.mark.parametrize(
        ("update", "number"),
        [
            (minus_rate, 1),
            (plus_multiple, 1),
            (two_multiples, 1),
            (other_side, 1),
            (average, 1),
            (in_scratch, 1),  # takes the place of the gradient's tanh
            (in_the_parameter, 1),
            (beside_the_parameter, 1),  # which BLAS still reads while it writes the sum
            (a_product_with_the_parameter, 0),
            (kept, 0),
            (average_kept, 0),
            (almost_an_average, 1),
            (uneven_average, 1),
            (average_of_a_sum, 2),
            (with_itself, 0),
            (with_a_number, 0),
            (with_a_row, 0),
        ],
    )
    @pytest.mark.usefixtures("sizes")
    def test_are_found_in_any_update(self, update: Any, number: int) -> None:
        step, _ = assert_same_training(lambda: training(lambda p: Written(p, update), layers=one_weight))
        assert calls(step, combined) == number

    def test_follow_a_schedule(self) -> None:
        step, _ = assert_same_training(lambda: scheduled(lambda p: optim.Adam(p, lr=0.01)))
        assert calls(step, combined) == 12

    def test_of_an_argument_are_added_by_numpy(self) -> None:
        def average() -> Any:
            total = np.zeros((4, 3))

            def step(x: Any) -> Any:
                np.multiply(total, 0.75, out=total)
                np.add(total, x, out=total)
                return np.sum(total)

            return step

        compiled, eager = tg.compile(average(), exact=False), average()
        for x in np.random.default_rng(0).normal(size=(5, 4, 3)):
            np.testing.assert_allclose(compiled(x), eager(x), **CLOSE)
        assert calls(compiled, combined) == 1

    def test_are_left_to_numpy_where_the_arrays_are_small_or_blas_has_no_such_call(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(inexact, "SMALL", 6 * 5 * 8)
        step, _ = assert_same_training(lambda: training(lambda p: optim.Adam(p, lr=0.01)))
        assert calls(step, combined) == 3
        monkeypatch.setattr(blas, "_library", lambda: None)
        step, _ = assert_same_training(lambda: training(lambda p: optim.Adam(p, lr=0.01)))
        assert calls(step, combined) == 0
