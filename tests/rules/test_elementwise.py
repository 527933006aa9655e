"""Angles of real numbers, and what is no number."""

from typing import Any

import numpy as np
import pytest
from kit import assert_as_numpy

import tinygrad_np as tg
from tinygrad_np.errors import DtypeError, UnsupportedArgumentError


@pytest.mark.parametrize("dtype", [bool, np.int8, np.float32])
def test_angles_have_numpys_dtype(dtype: Any) -> None:
    assert_as_numpy(np.angle, np.array([0, 1], dtype))


def test_a_duration_is_no_number() -> None:
    with pytest.raises(DtypeError, match="timedelta64"):
        tg.tensor([1.0]) * np.timedelta64(1, "s")


@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize(("dtype", "rtol"), [(np.float32, 1e-6), (np.float64, 1e-15)])
def test_derivatives_of_expm1_are_exact_where_it_is_rounded_to_minus_1(order: int, dtype: Any, rtol: float) -> None:
    x = np.array([-50, -10, -1e-9, 0, 1e-9, 10], dtype)
    derivative: Any = np.expm1
    for _ in range(order):
        derivative = tg.elementwise_grad(derivative)
    np.testing.assert_allclose(derivative(x), np.exp(x), rtol=rtol)


@pytest.mark.parametrize(("x", "divisor"), [(1.0, 0.1), (-1.0, 0.1), (5.3, 2.0), (1e20, 3.0), (7.0, np.inf)])
def test_the_slope_of_a_remainder_is_the_quotient_that_it_is_of(x: float, divisor: float) -> None:
    """That is 9 in 1.0 = 9 * 0.1 + 0.09999999999999995, although 1.0 / 0.1 rounds to 10."""
    for function in (np.fmod, np.remainder):
        if divisor < np.inf:
            quotient = (x - function(x, divisor)) / divisor
            assert abs(quotient - round(quotient)) < 1e-9
            assert tg.grad(function, 1)(x, divisor) == -round(quotient)
        else:
            assert tg.grad(function, 1)(x, divisor) == 0


@pytest.mark.parametrize("x", [np.array([-2.0, 0.5, 2.0]), np.array([-3, 0, 3])])
@pytest.mark.parametrize("options", [{"dtype": np.float32}, {"dtype": int, "casting": "unsafe"}, {"order": "C"}])
def test_clip_converts_as_numpy_does(x: np.ndarray, options: dict[str, Any]) -> None:
    assert_as_numpy(lambda x: np.clip(x, np.float32(-1), 1, **options), x)


@pytest.mark.parametrize("options", [{"dtype": int}, {"dtype": np.float32, "casting": "safe"}, {"casting": "no"}])
def test_clip_refuses_the_conversions_that_numpy_refuses(options: dict[str, Any]) -> None:
    x = np.array([1.0, 2.0], np.longdouble)
    for argument in (x, tg.tensor(x, requires_grad=True)):
        with pytest.raises(TypeError, match="Cannot cast ufunc 'clip' input"):
            np.clip(argument, np.float32(-1), 1, **options)


def test_clip_where_is_refused() -> None:
    with pytest.raises(UnsupportedArgumentError, match=r"write np\.where\(mask, np\.clip"):
        np.clip(tg.tensor([1.0, 2.0]), 0, 1, where=np.array([True, False]))
