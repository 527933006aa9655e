"""Reductions where the cases of ``tests/cases/reductions.py`` do not get to."""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from kit import check_gradient

import tinygrad_np as tg


@pytest.mark.parametrize("function", [np.mean, np.var, np.std, np.average])
def test_float16_divides_by_more_than_it_can_count(function: Callable[..., Any]) -> None:
    x = (np.arange(70_000) % 7 / 100).astype(np.float16)
    found, expected = tg.grad(function)(x), tg.grad(function)(x.astype(float))
    assert found.dtype == np.float16
    np.testing.assert_allclose(found, expected, rtol=0.05, atol=2e-7)


# In a wider dtype= what is in range for the result is in range for its gradient.

WIDE: dict[str, Callable[..., Any]] = {
    "prod": np.prod,
    "multiply.reduce": np.multiply.reduce,
    "nanprod": np.nanprod,
    "cumprod": np.cumprod,
    "multiply.accumulate": np.multiply.accumulate,
    "var": np.var,
    "std": np.std,
    "nanvar": np.nanvar,
    "square": np.square,
    "power": lambda x, dtype: np.power(x, 3, dtype=dtype),
    "power by both": lambda x, dtype: np.power(x, x / 100, dtype=dtype),
    "arctan": np.arctan,
    "multiply": lambda x, dtype: np.multiply(np.multiply(x, x, dtype=dtype), x, dtype=dtype),
    "signature": lambda x, dtype: np.square(x, signature=(None, dtype)),
    "signature as a text": lambda x, dtype: np.square(x, signature="f->f"),
    "float_power": lambda x, dtype: np.float_power(x, 3).astype(dtype),
}


@pytest.mark.parametrize("name", WIDE)
def test_a_wider_dtype_is_that_of_the_gradient_too(name: str) -> None:
    function, x = WIDE[name], np.array([300, 240, 330], np.float16)

    def loss(x: Any) -> Any:
        y = function(x, dtype=np.float32)
        return np.sum(y * (1 / np.max(np.abs(y.data))))

    found, expected = tg.grad(loss)(x), tg.grad(loss)(x.astype(np.float32))
    assert found.dtype == np.float16
    assert np.all(found)
    np.testing.assert_allclose(found, expected, rtol=0.01, atol=1e-7)


@pytest.mark.filterwarnings("ignore:Casting complex")
@pytest.mark.parametrize("dtype", [np.float64, np.complex128])
@pytest.mark.parametrize("function", [np.prod, np.cumprod, np.mean, np.var, np.std, np.nanvar, np.nanprod])
def test_complex_numbers_with_a_dtype(function: Callable[..., Any], dtype: Any) -> None:
    """NumPy drops the imaginary parts before it multiplies, and of a variance those of the mean."""
    z = np.array([1.2 + 2j, 0.7 - 1j, -0.4 + 0.3j])
    check_gradient(lambda z: np.real(function(z, dtype=dtype)), [z], order=2)
    check_gradient(lambda z: np.real(function(z, dtype=dtype)), [z.real], order=2)


@pytest.mark.filterwarnings("ignore:Degrees of freedom", "ignore:(divide by zero|invalid value)")
@pytest.mark.parametrize("function", [np.var, np.std, np.nanvar, np.nanstd])
@pytest.mark.parametrize("options", [{}, {"keepdims": True}, {"where": np.array([True, True, False, True])}])
@pytest.mark.parametrize("ddof", [1, 3, 4, 5])
def test_no_degrees_of_freedom(function: Callable[..., Any], options: dict[str, Any], ddof: int) -> None:
    x, mean = np.array([[1.0, 2, 3, 5], [4, 3, 3, 0.5]]), np.array([[2.0], [3]])
    call = functools.partial(function, axis=1, ddof=ddof, mean=mean, **options)
    np.testing.assert_allclose(call(tg.tensor(x, requires_grad=True)).data, call(x), strict=True)


@pytest.mark.filterwarnings("ignore:Degrees of freedom", "ignore:divide by zero")
@pytest.mark.parametrize("options", [{}, {"mean": 1.0}])
def test_no_degrees_of_freedom_have_no_finite_gradient(options: dict[str, Any]) -> None:
    slope = tg.grad(lambda x: np.var(x, ddof=4, **options))(np.array([0.5, 1.0, 2.0]))
    np.testing.assert_array_equal(slope[[0, 2]], [-np.inf, np.inf])
