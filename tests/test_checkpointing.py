"""checkpoint: the same values and gradients as without, at any order, with less memory."""

import tracemalloc
from collections import namedtuple
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from tensors import leaf

import tinygrad_np as tg
from tinygrad_np import checkpointing
from tinygrad_np.errors import FreedGraphError, GradientError, StaleGraphError

Function = Callable[..., Any]
Pair = namedtuple("Pair", ["first", "second"])

RNG = np.random.default_rng(0)
W1, W2, INPUT = RNG.standard_normal((3, 4)), RNG.standard_normal((4, 3)), RNG.standard_normal((2, 3))


def plain(function: Function) -> Function:
    return function


def assert_same(run: Callable[[Function], Any], tolerance: float = 1e-14) -> None:
    """Assert that `run` gives the same numbers with the functions that it wraps checkpointed and not."""
    for ours, theirs in zip(run(tg.checkpoint), run(plain), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance)


# --------------------------------------------------------------------------------------------- values and gradients


def test_of_a_function_that_updates_its_argument() -> None:
    def shifted(x: Any) -> Any:
        x += 1
        return np.sum(x * x)

    def run(wrap: Function) -> list[Any]:
        x = leaf(INPUT)
        wrap(shifted)(2 * x).backward()
        return [x.grad]

    assert_same(run)


def test_of_arguments_and_of_parameters_of_an_outer_scope() -> None:
    def run(wrap: Function) -> list[Any]:
        w, v, x = leaf(W1), leaf(W2), leaf(INPUT)
        block = wrap(lambda x: np.tanh(np.tanh(x @ w) @ v))
        y = block(block(x))
        np.sum(y * y).backward()
        return [y.data, w.grad, v.grad, x.grad]

    assert_same(run, 1e-12)


def test_of_intermediate_results_of_an_outer_scope() -> None:
    def run(wrap: Function) -> list[Any]:
        x = leaf(INPUT)
        scale = np.exp(x[0])
        y = np.sum(wrap(lambda x: np.sin(x * scale) + scale)(x) * scale)
        return [y.data, tg.gradients(y, x)]

    assert_same(run, 1e-12)


def test_several_calls_of_one_checkpointed_function() -> None:
    def run(wrap: Function) -> list[Any]:
        x, block = leaf(INPUT), wrap(lambda x, power=2.0: x**power)
        y = np.sum(block(x) * block(x + 1, power=3.0) + block(x=x))
        return [y.data, tg.gradients(y, x)]

    assert_same(run, 1e-12)


def test_nested_arguments_and_results() -> None:
    def block(p: Any, pair: Any, *, extra: Any) -> Any:
        return {
            "sum": p["w"][0] + pair.first,
            "products": [pair.first * pair.second, extra * p["w"][1]],
            "constant": np.ones(3),
            "untouched": extra,
            "name": "text",
        }

    def run(wrap: Function) -> list[Any]:
        a, b, c, d = (leaf(INPUT[0] + i) for i in range(4))
        found = wrap(block)({"w": (a, b)}, Pair(c, d), extra=a)
        assert list(found) == ["sum", "products", "constant", "untouched", "name"]
        assert (found["untouched"]._node, found["name"]) == (a._node, "text")
        total = np.sum(found["sum"] * found["products"][0] + found["products"][1] + found["untouched"])
        return [total.data, found["constant"], *tg.gradients(total, [a, b, c, d])]

    assert_same(run, 1e-12)


@pytest.mark.parametrize("used", [[0], [1], [0, 1], [1, 2], [0, 1, 2]], ids=str)
def test_results_that_are_not_used(used: list[int]) -> None:
    def run(wrap: Function) -> list[Any]:
        x, y = leaf(INPUT), leaf(INPUT + 1)
        results = wrap(lambda x, y: (np.sin(x), np.exp(y), x * y))(x, y)
        return tg.gradients([results[i] for i in used], [x, y], [np.ones((2, 3))] * len(used))

    assert_same(run)


def test_one_result_returned_twice() -> None:
    def run(wrap: Function) -> list[Any]:
        def block(x: Any) -> Any:
            y = np.sin(x)
            return y, y

        x = leaf(INPUT)
        first, second = wrap(block)(x)
        return [tg.gradients(np.sum(first * second**2), x)]

    assert_same(run, 1e-12)


def test_checkpoints_inside_of_checkpoints() -> None:
    def run(wrap: Function) -> list[Any]:
        w, x = leaf(W1 @ W2), leaf(INPUT)
        inner = wrap(lambda x: np.tanh(x @ w))
        middle = wrap(lambda x: inner(inner(x)) + x)
        outer = wrap(lambda x: middle(middle(x)) * inner(x))
        y = np.sum(outer(x))
        y.backward()
        return [y.data, w.grad, x.grad]

    assert_same(run, 1e-12)


def test_a_chain_of_a_thousand() -> None:
    def run(wrap: Function) -> list[Any]:
        x, block = leaf(np.full(2, 0.5)), wrap(lambda x: np.sin(x) + 0.5)
        y = x
        for _ in range(1000):
            y = block(y)
        return [y.data, tg.gradients(np.sum(y), x)]

    assert_same(run)


def test_the_function_is_called_once_for_each_backward() -> None:
    calls: list[int] = []

    def block(x: Any, y: Any) -> Any:
        calls.append(1)
        return x * y, x + y

    x, y = leaf(INPUT), leaf(INPUT)
    first, second = tg.checkpoint(block)(x, y)
    assert len(calls) == 1
    np.sum(first * second).backward()
    assert len(calls) == 2


def test_arguments_may_be_rebound_by_their_owner() -> None:
    def run(wrap: Function) -> list[Any]:
        x = leaf(INPUT)
        h = 2 * x
        y = wrap(np.square)(h)
        h += 1
        h[0] = 0.0
        return [tg.gradients(np.sum(y), x)]

    assert_same(run)


def test_float32_and_complex_numbers() -> None:
    def run(wrap: Function, dtype: Any) -> list[Any]:
        x = leaf(INPUT.astype(dtype) * dtype(1 + 1j if dtype is np.complex64 else 1))
        y = wrap(lambda x: np.exp(x) * np.abs(x))(x)
        gradient = tg.gradients([y], x, [np.ones(y.shape, dtype)])
        assert (y.dtype, gradient.dtype) == (dtype, dtype)
        return [y.data, gradient]

    for dtype in (np.float32, np.complex64):
        assert_same(lambda wrap, dtype=dtype: run(wrap, dtype), 1e-6)


def test_empty_arrays_and_constants() -> None:
    x = leaf(np.ones((0, 3)))
    assert tg.gradients(np.sum(tg.checkpoint(np.exp)(x)), x).shape == (0, 3)
    found = tg.checkpoint(lambda x: np.ones(3))(x)
    assert isinstance(found, np.ndarray)
    assert tg.checkpoint(np.exp)(np.zeros(2)).tolist() == [1, 1]


def test_under_no_grad_it_is_the_function_itself() -> None:
    x = leaf(INPUT)
    with tg.no_grad():
        y = tg.checkpoint(np.sin)(x)
    assert not y.requires_grad
    np.testing.assert_array_equal(y.data, np.sin(INPUT))


def test_no_grad_inside_stays_inside() -> None:
    def block(x: Any) -> Any:
        with tg.no_grad():
            scale = np.exp(x)
        return scale * x

    def run(wrap: Function) -> list[Any]:
        x = leaf(INPUT)
        return [tg.gradients(np.sum(wrap(block)(x)), x)]

    assert_same(run)


def test_backward_under_no_grad() -> None:
    x = leaf(INPUT)
    y = np.sum(tg.checkpoint(np.sin)(x))
    with tg.no_grad():
        y.backward()
    np.testing.assert_allclose(x.grad, np.cos(INPUT))


def test_elements_that_np_where_left_out_leave_no_trace() -> None:
    """Be the pole inside of the checkpoint or outside of it."""
    x, poles = np.array([0.0, 1.0, 4.0]), np.array([np.inf, 1.0, 2.0])

    def run(wrap: Function) -> list[Any]:
        pole_inside, where_inside = wrap(lambda x: x * poles), wrap(lambda y: np.where(x > 0, y, 0))
        return [
            tg.grad(lambda x: np.sum(np.where(x > 0, pole_inside(x), 0)))(x),
            tg.grad(lambda x: np.sum(where_inside(x * poles)))(x),
            tg.grad(lambda x: np.sum(where_inside(pole_inside(x))))(x),
            tg.grad(lambda x: np.sum(np.where(x > 0, wrap(np.sqrt)(x), 0)))(x),
        ]

    with np.errstate(invalid="ignore"):
        assert_same(run)
        assert [g[0] for g in run(tg.checkpoint)] == [0, 0, 0, 0]


def test_it_keeps_the_name_and_the_signature() -> None:
    def block(x: Any, *, scale: float = 1.0) -> Any:
        """What it does."""
        return x * scale

    wrapped = tg.checkpoint(block)
    assert (wrapped.__name__, wrapped.__doc__) == ("block", "What it does.")
    y = wrapped(leaf(INPUT), scale=2.0)
    assert "checkpoint(" in repr(y)
    assert "block)" in repr(y)


# ------------------------------------------------------------------------------------------------------ random draws


def test_random_draws_are_repeated_and_later_ones_go_on_as_if_nothing_had_happened() -> None:
    def noisy(x: Any) -> Any:
        return x * (tg.random.generator().random(x.shape) < 0.5) + tg.random.generator().standard_normal(x.shape)

    def run(wrap: Function) -> list[Any]:
        tg.manual_seed(3)
        x, block = leaf(INPUT), wrap(noisy)
        y = block(np.sin(block(x)))
        between = tg.random.generator().random()
        np.sum(y).backward()
        return [y.data, x.grad, between, tg.random.generator().random()]

    assert_same(run)


def test_random_draws_are_repeated_in_nested_checkpoints_too() -> None:
    def run(wrap: Function) -> list[Any]:
        tg.manual_seed(3)
        inner = wrap(lambda x: x * tg.random.generator().random(x.shape))
        outer = wrap(lambda x: inner(inner(x) * tg.random.generator().random(x.shape)))
        x = leaf(INPUT)
        y = outer(outer(x))
        return [y.data, tg.gradients(np.sum(y * y), x)]

    assert_same(run, 1e-12)


def test_the_generator_goes_on_from_where_it_was_when_the_function_fails_the_second_time() -> None:
    calls: list[int] = []

    def fails_later(x: Any) -> Any:
        calls.append(1)
        tg.random.generator().random()
        if len(calls) > 1:
            raise RuntimeError("no longer there")
        return x * 2

    y = tg.checkpoint(fails_later)(leaf(INPUT))
    expected = tg.random.generator().bit_generator.state
    with pytest.raises(RuntimeError, match="no longer there"):
        np.sum(y).backward()
    assert tg.random.generator().bit_generator.state == expected


# -------------------------------------------------------------------------------------------- transforms and orders

TRANSFORMS: dict[str, Callable[[Function], Any]] = {
    "gradient": lambda f: tg.grad(lambda x: np.sum(f(x)))(INPUT),
    "vjp": lambda f: tg.vjp(f, INPUT)[1](INPUT**2),
    "jvp": lambda f: tg.jvp(f, (INPUT,), (INPUT**2,))[1],
    "jacobian": lambda f: tg.jacobian(f)(INPUT),
    "jacobian by columns": lambda f: tg.jacobian(lambda s: f(s * INPUT))(1.0),
    "hessian": lambda f: tg.hessian(lambda x: np.sum(f(x) ** 2))(INPUT),
    "hvp": lambda f: tg.hvp(lambda x: np.sum(f(x) ** 2))(INPUT, INPUT**2),
    "third order": lambda f: tg.jacobian(tg.hessian(lambda x: np.sum(f(x) ** 2)))(INPUT[0]),
}


@pytest.mark.parametrize("name", TRANSFORMS)
def test_every_transform_of_a_checkpointed_function(name: str) -> None:
    def run(wrap: Function) -> list[Any]:
        first, second = wrap(lambda x: np.tanh(x) * x), wrap(lambda x: np.exp(first(x)) + np.sin(x))
        return [TRANSFORMS[name](second)]

    assert_same(run, 1e-10)


@pytest.mark.parametrize("name", TRANSFORMS)
def test_a_checkpoint_of_a_function_that_calls_a_transform(name: str) -> None:
    def run(wrap: Function) -> list[Any]:
        block = wrap(lambda scale: np.sum(TRANSFORMS[name](lambda x: np.tanh(scale * x)) ** 2))
        return [tg.grad(block)(1.5), tg.hessian(block)(1.5)]

    assert_same(run, 1e-9)


def test_second_order_reaches_the_parameters_of_an_outer_scope() -> None:
    def run(wrap: Function) -> list[Any]:
        w, x = leaf(W1), leaf(INPUT)
        block = wrap(lambda x: np.tanh(x @ w))
        (slope,) = tg.gradients(np.sum(block(x) ** 2), [x], create_graph=True)
        np.sum(slope**2).backward()
        return [slope.data, w.grad, x.grad]

    assert_same(run, 1e-12)


# ------------------------------------------------------------------------------------------------------------ errors


def test_a_second_backward_needs_a_retained_graph() -> None:
    x = leaf(INPUT)
    y = np.sum(tg.checkpoint(np.sin)(x))
    y.backward(retain_graph=True)
    y.backward()
    np.testing.assert_allclose(x.grad, 2 * np.cos(INPUT))
    with pytest.raises(FreedGraphError, match="retain_graph=True"):
        y.backward()


def test_a_parameter_that_was_updated_in_place_is_an_error() -> None:
    w = leaf(W1)
    y = np.sum(tg.checkpoint(lambda x: np.tanh(x @ w))(INPUT))
    w.data[...] -= 0.1
    w.mark_updated()
    with pytest.raises(StaleGraphError, match=r"float64\(3, 4\) was updated .* after checkpoint\(.*before updating"):
        y.backward()


def test_an_optimiser_step_before_backward_is_an_error() -> None:
    w = leaf(W1)
    optimiser = tg.optim.SGD([w], lr=0.1)
    y = np.sum(tg.checkpoint(lambda x: np.tanh(x @ w))(INPUT))
    w.grad = np.ones_like(W1)
    optimiser.step()
    with pytest.raises(StaleGraphError, match="updated in place"):
        y.backward()


@pytest.mark.parametrize(
    ("second_call", "message"),
    [
        (lambda x, w, n: x * w if n == 1 else x * 2, "used other tensors"),
        (lambda x, w, n: x * 2 if n == 1 else x * w, "used other tensors"),
        (lambda x, w, n: x * 2 if n == 1 else np.ones(3), "used other tensors"),
        (lambda x, w, n: x * n, "gave other values"),
        (lambda x, w, n: x * np.where(np.arange(3) == n, np.nan, 1), "gave other values"),
        (lambda x, w, n: x[:n], "gave other values"),
        (lambda x, w, n: np.sin(x) if n == 1 else np.sin(x)[None], "gave other values"),
        (lambda x, w, n: (x * 0 + 1).astype([None, np.float64, np.float32][n]), "gave other values"),
        (lambda x, w, n: x + 1e-6 * n, "gave other values"),
    ],
)
def test_a_function_that_does_something_else_the_second_time_is_an_error(second_call: Function, message: str) -> None:
    calls: list[int] = []
    w = leaf(2.0)

    def block(x: Any) -> Any:
        calls.append(1)
        return second_call(x, w, len(calls))

    y = np.sum(tg.checkpoint(block)(leaf(INPUT[0])))
    with pytest.raises(GradientError, match=rf"checkpoint\(.*block\) {message} when it was called again"):
        y.backward()


def test_an_array_that_was_written_to_in_between_is_an_error() -> None:
    buffer = INPUT.copy()
    w = leaf(2.0)
    y = np.sum(tg.checkpoint(lambda: np.sin(buffer * w))())
    buffer += 1
    with pytest.raises(GradientError, match="arrays that are not written to in between"):
        y.backward()


def test_what_threads_may_change_by_adding_up_in_another_order_is_no_error() -> None:
    calls: list[int] = []

    def block(x: Any) -> Any:
        calls.append(1)
        return x * (1 + len(calls) * 1e-15) * np.array([1.0, np.nan, np.inf])

    x = leaf(INPUT[0])
    np.sum(tg.checkpoint(block)(x)).backward()
    np.testing.assert_allclose(x.grad[0], 1)


def test_large_results_are_compared_by_a_sample() -> None:
    x = leaf(np.ones(100_000))
    call = tg.checkpoint(np.sin)(x)._node.parents[0].function
    (sample,) = call.samples.values()
    assert checkpointing._SAMPLE <= len(sample[2]) <= 2 * checkpointing._SAMPLE


# ------------------------------------------------------------------------------------------------------------ memory


def peak(wrap: Function, blocks: int, size: int = 20_000) -> float:
    """The peak of memory during forward and backward of a chain of blocks of five calls each, in arrays."""
    x = leaf(np.linspace(0.0, 1.0, size))
    block = wrap(lambda x: np.exp(-np.tanh(np.sin(np.cos(x * x)))))
    tracemalloc.start()
    try:
        y = x
        for _ in range(blocks):
            y = block(y)
        np.sum(y).backward()
        return tracemalloc.get_traced_memory()[1] / (8 * size)
    finally:
        tracemalloc.stop()


def test_a_checkpointed_chain_keeps_one_array_a_block() -> None:
    with_all, checkpointed = peak(plain, 40), peak(tg.checkpoint, 40)
    assert with_all > 40 * 4
    assert checkpointed < 40 + 20


def test_a_longer_chain_costs_one_array_more_a_block() -> None:
    assert peak(tg.checkpoint, 60) - peak(tg.checkpoint, 20) == pytest.approx(40, abs=2)


def test_checkpoints_of_checkpoints_keep_the_square_root() -> None:
    block = tg.checkpoint(lambda x: np.exp(-np.tanh(np.sin(np.cos(x * x)))))

    def eight(_: Function) -> Function:
        def chain(x: Any) -> Any:
            for _ in range(8):
                x = block(x)
            return x

        return tg.checkpoint(chain)

    assert peak(eight, 8) < 8 + 8 + 20  # of 64 blocks, which would keep 64 arrays


def test_nothing_is_left_when_the_result_is_gone() -> None:
    x, size = leaf(np.ones(20_000)), 8 * 20_000
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        y = tg.checkpoint(lambda x: np.sin(np.exp(x)))(x)
        assert tracemalloc.get_traced_memory()[0] - before < 1.5 * size
        del y
        assert tracemalloc.get_traced_memory()[0] - before < 0.1 * size
    finally:
        tracemalloc.stop()
