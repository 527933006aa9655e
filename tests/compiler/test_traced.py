"""Operators on what stands in for an array do what they do on that array, to the last bit."""

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_np as tg

DTYPES = [np.float16, np.float32, np.float64, np.longdouble, np.complex64, np.complex128]
BINARY = [operator.add, operator.sub, operator.mul, operator.truediv, operator.pow]
INPLACE = [operator.iadd, operator.isub, operator.imul, operator.itruediv, operator.ipow]
EXPONENTS = [2, 3, 0.5, -1, 1, 0, 1.7, 1 / 3]


def numbers(dtype: Any, shape: tuple[int, ...], seed: int) -> Any:
    rng = np.random.default_rng(seed)
    real = np.abs(rng.normal(size=shape)) + 0.1
    return (real + 1j * rng.normal(size=shape) if np.dtype(dtype).kind == "c" else real).astype(dtype)


def same_bits(function: Callable[..., Any], *calls: tuple[Any, ...]) -> None:
    compiled = tg.compile(function)
    for arguments in calls:
        expected, found = np.asarray(function(*arguments)), np.asarray(compiled(*arguments))
        np.testing.assert_array_equal(found, expected, strict=True)
        np.testing.assert_array_equal(np.signbit(found.real), np.signbit(expected.real))  # of zeros


@pytest.mark.parametrize("dtype", DTYPES)
class TestOperators:
    @pytest.mark.parametrize("of", BINARY)
    def test_on_arrays(self, dtype: Any, of: Callable[..., Any]) -> None:
        same_bits(of, *((numbers(dtype, (50,), i), numbers(dtype, (50,), i + 9)) for i in range(5)))

    @pytest.mark.parametrize("of", BINARY)
    def test_on_scalars(self, dtype: Any, of: Callable[..., Any]) -> None:
        def folded(x: Any) -> Any:
            return np.stack([of(np.sum(row), row[1]) for row in x])

        same_bits(folded, *((numbers(dtype, (40, 3), i),) for i in range(5)))

    @pytest.mark.parametrize("of", INPLACE)
    def test_in_place(self, dtype: Any, of: Callable[..., Any]) -> None:
        def changed(x: Any) -> Any:
            array, scalar = x * 1, x[0]
            array = of(array, 2)
            scalar = of(scalar, x[1])
            return array + scalar

        same_bits(changed, *((numbers(dtype, (7,), i),) for i in range(50)))

    @pytest.mark.parametrize("exponent", EXPONENTS)
    def test_powers(self, dtype: Any, exponent: float) -> None:
        def powers(x: Any) -> Any:
            return np.stack([x**exponent, np.sum(x) ** exponent + x * 0, np.power(x, exponent)])

        same_bits(powers, *((numbers(dtype, (7,), i),) for i in range(50)))

    def test_absolute(self, dtype: Any) -> None:
        same_bits(lambda x: np.stack([abs(np.sum(row)) for row in x]), (numbers(dtype, (200, 3), 0),))

    def test_a_product_with_one_is_left_out_only_where_it_changes_nothing(self, dtype: Any) -> None:
        x = np.array([-0.0, np.inf, 1, -np.inf, np.nan]).astype(dtype)
        with np.errstate(invalid="ignore"):
            same_bits(lambda x: x * 1, (x,), (-x,))


def test_a_negative_number_to_a_power() -> None:
    same_bits(lambda x: x * ((-2.0) ** np.sum(x)) - 3 ** -np.sum(x), (np.ones(3),), (np.ones(4),))


def same_gradients(loss: Callable[[Any], Any], dtype: Any, size: int, runs: int) -> None:
    t = tg.tensor(np.ones(size, dtype), requires_grad=True)

    def step() -> Any:
        t.grad = None
        loss(t).backward()
        return t.grad

    compiled = tg.compile(step)
    for i in range(runs):
        t.data[...] = numbers(dtype, (size,), i)
        expected = step()
        compiled()
        np.testing.assert_array_equal(t.grad, expected)


@pytest.mark.parametrize("exponent", [0.5, -1, 1.7, 2.5])
def test_gradients_of_powers_of_sums(exponent: float) -> None:
    same_gradients(lambda t: np.sum(t) ** exponent * np.var(t) + t[0] ** 3 * t[1] ** exponent, np.float64, 6, 100)


def test_gradients_of_complex_numbers() -> None:
    same_gradients(lambda t: np.real(np.tanh(np.sum(t)) + np.sum(t**3)), np.complex128, 4, 50)


def test_a_training_step_whose_loss_is_a_root() -> None:
    def trained(compiled: bool) -> Any:
        rng = np.random.default_rng(0)
        weight, x = tg.tensor(rng.normal(size=(6, 5)), requires_grad=True), rng.normal(size=(7, 6))
        optimiser = tg.optim.Adam([weight], lr=0.01)

        def step() -> Any:
            loss = np.sum(np.square(x @ weight)) ** 0.5
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            return loss

        called = tg.compile(step) if compiled else step
        return [float(called()) for _ in range(100)]

    assert trained(compiled=True) == trained(compiled=False)
