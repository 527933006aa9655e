"""Knots, ties, values outside, and what the parts that are not chosen may hold."""

import itertools
import math
from typing import Any

import numpy as np
import pytest
from kit import assert_as_numpy

import tinygrad_np as tg
from tinygrad_np.errors import EscapeError

SINGLE = np.array([1.5, 2.5], np.float32)
KNOTS, VALUES = np.array([0.0, 1.0, 3.0]), np.array([1.0, 3.0, -1.0])


def gradient(function: Any, *arrays: Any) -> Any:
    """The gradient of the sum of a function's values."""
    leaves = [tg.tensor(x, requires_grad=True) for x in arrays]
    found = tg.gradients(np.sum(function(*leaves)), leaves)
    return found[0] if len(found) == 1 else found


# Interpolation

INF, NAN = math.inf, math.nan


@pytest.mark.parametrize("options", [{}, {"left": 7.0, "right": 8.0}])
@pytest.mark.parametrize(
    "knots", [[0, 1, 2], [-INF, 0, INF], [0, 1, INF], [-INF, 1, 2], [0, 0, 1], [0, INF, INF], [1], [INF], [NAN]]
)
def test_interpolation_between_infinite_points_is_numpys(knots: list[float], options: dict[str, float]) -> None:
    x = np.array([-INF, -1, 0, 0.5, 1, 1.5, 2, 3, INF, NAN])
    for values in itertools.product([0, 1.5, INF, -INF, NAN], repeat=len(knots)):
        found = np.interp(x, knots, tg.tensor(values, dtype=float, requires_grad=True), **options)
        np.testing.assert_array_equal(found.data, np.interp(x, knots, values, **options))


def test_an_infinite_value_leaves_the_slopes_elsewhere_alone() -> None:
    x, values = np.array([0.0, 2.0, 2.5]), np.array([0.0, INF, 2.0, 4.0])
    by_x, by_values = gradient(lambda x, values: np.interp(x, [0.0, 1.0, 2.0, 3.0], values), x, values)
    np.testing.assert_array_equal(by_x[1:], [2, 2])
    np.testing.assert_array_equal(by_values, [1, 0, 1.5, 0.5])


def test_interpolation_at_a_knot_has_the_slope_on_its_right() -> None:
    x = np.array([-1.0, 0.0, 1.0, 2.0, 3.0, 4.0])
    np.testing.assert_array_equal(gradient(lambda x: np.interp(x, KNOTS, VALUES), x), [0, 2, -2, -2, 0, 0])


def test_interpolation_at_a_knot_reads_its_value_alone() -> None:
    found = gradient(lambda fp: np.interp([0.0, 1.0, 3.0, 3.0], KNOTS, fp), VALUES)
    np.testing.assert_array_equal(found, [1, 1, 2])


def test_interpolation_outside_reads_the_ends_or_what_was_given_for_them() -> None:
    x = np.array([-1.0, 5.0, 6.0])
    np.testing.assert_array_equal(gradient(lambda fp: np.interp(x, KNOTS, fp), VALUES), [1, 0, 2])
    left, right = gradient(lambda a, b: np.interp(tg.tensor(x), KNOTS, VALUES, a, b), 7.0, 8.0)
    assert (left, right) == (1, 2)


@pytest.mark.parametrize("xp", [[0.0, 1.0, 1.0, 2.0], [1.0, 1.0, 1.0, 1.0]])
def test_interpolation_between_equal_knots_is_numpys_and_has_a_gradient(xp: list[float]) -> None:
    x, fp = np.array([-0.5, 0.5, 1.0, 1.5, 2.5]), np.array([1.0, 2.0, 4.0, 8.0])
    y = np.interp(tg.tensor(x), xp, fp)
    np.testing.assert_array_equal(y.data, np.interp(x, xp, fp))
    for found in gradient(np.interp, x, xp, fp):
        assert np.all(np.isfinite(found))


def test_interpolation_of_nan_is_nan() -> None:
    y = np.interp(tg.tensor([math.nan, 0.5]), KNOTS, VALUES)
    np.testing.assert_array_equal(y.data, [math.nan, 2.0])


def test_interpolation_with_a_period_wraps_around() -> None:
    x = np.array([-0.5, 3.5, 7.5])
    found = gradient(lambda fp: np.interp(x, KNOTS, fp, period=4.0), VALUES)
    np.testing.assert_allclose(found, [1.5, 0, 1.5])


# Choices


@pytest.mark.parametrize(
    "choose",
    [
        lambda x: np.select([x > 0], [np.log(x)]),
        lambda x: np.choose(x > 0, [0.0, np.log(x)]),
        lambda x: np.piecewise(x, [x > 0], [np.log, 0]),
    ],
    ids=["select", "choose", "piecewise"],
)
def test_what_is_not_chosen_has_no_gradient_even_where_it_is_infinite(choose: Any) -> None:
    with np.errstate(divide="ignore"):
        np.testing.assert_array_equal(gradient(choose, np.array([0.0, 2.0])), [0, 0.5])


def test_the_first_true_condition_chooses() -> None:
    first, second = gradient(lambda a, b: np.select([[True, False], [True, True]], [a, b]), *np.ones((2, 2)))
    np.testing.assert_array_equal([first, second], [[1, 0], [0, 1]])


def test_a_value_for_a_piece_of_an_array_never_loses_its_gradient() -> None:
    with pytest.raises(EscapeError):
        np.piecewise(KNOTS, [KNOTS > 1], [tg.tensor(1.0, requires_grad=True)])


def test_pieces_without_elements_are_not_called() -> None:
    y = np.piecewise(tg.tensor(KNOTS), [KNOTS > 9], [lambda x: x[0], np.square])
    np.testing.assert_array_equal(y.data, KNOTS**2)


@pytest.mark.parametrize("tol", [100, 1e-3])
def test_imaginary_parts_that_are_large_stay(tol: float) -> None:
    x = tg.tensor([1 + 1e-2j])
    assert np.real_if_close(x, tol).dtype == np.complex128
    assert np.real_if_close(x.real + 1e-20j, tol).dtype == np.float64


# Special functions


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_sinc_has_all_derivatives_at_zero(dtype: Any) -> None:
    sinc = np.sinc
    found = [float(sinc(tg.tensor(0.0, dtype=dtype)))]
    for _ in range(4):
        sinc = tg.grad(sinc)
        found.append(float(sinc(np.zeros((), dtype))))
    np.testing.assert_allclose(found, [1, 0, -(math.pi**2) / 3, 0, math.pi**4 / 5], rtol=1e-6)


def test_sinc_is_smooth_where_its_series_takes_over() -> None:
    second = tg.elementwise_grad(tg.elementwise_grad(np.sinc))
    x = 3 / math.pi * np.array([1 - 1e-12, 1 + 1e-12])
    below, above = second(x)
    assert below == pytest.approx(above, rel=1e-10)


def test_the_derivatives_of_i0_are_bessel_functions() -> None:
    x = np.array([0.0, 1e-8, 1.0, 7.9, 8.1, 100.0, 700.0])
    first = tg.elementwise_grad(np.i0)
    second = tg.elementwise_grad(first)
    # I0'' = I0 - I0' / x, and I0'(1) from a table
    np.testing.assert_allclose(second(x)[2:] + first(x)[2:] / x[2:], np.i0(x)[2:], rtol=1e-13)
    np.testing.assert_allclose(first(x)[:3], [0, 5e-9, 0.5651591039924851], rtol=1e-14)
    np.testing.assert_allclose(second(x)[:2], [0.5, 0.5], rtol=1e-14)


# Functions applied along axes, and errors


def test_a_function_along_an_axis_may_return_constants() -> None:
    x = tg.tensor(np.eye(2), requires_grad=True)
    y = np.apply_along_axis(lambda row: [row[0], 1.0, 2], 1, x)
    np.testing.assert_array_equal(y.data, [[1, 1, 2], [0, 1, 2]])
    assert isinstance(np.apply_along_axis(len, 0, x), tg.Tensor)


@pytest.mark.parametrize(
    "call",
    [
        lambda x: np.interp(x, KNOTS, VALUES[:2]),
        lambda x: np.interp(x, [], []),
        lambda x: np.interp(x, KNOTS, VALUES, period=0),
        lambda x: np.convolve(x, []),
        lambda x: np.correlate(x, np.eye(2)),
        lambda x: np.convolve(x, x, mode="x"),
        lambda x: np.select([x > 0], [x, x]),
        lambda x: np.select([x], [x]),
        lambda x: np.choose([2], [x, x]),
        lambda x: np.choose([-1], [x, x]),
        lambda x: np.piecewise(x, [x > 0, x > 1], [np.sin]),
        lambda x: np.apply_along_axis(np.sum, 1, x),
        lambda x: np.apply_along_axis(np.sum, 1, x[:0].reshape(0, 3)),
        lambda x: np.apply_over_axes(lambda a, axis: np.sum(a), x.reshape(1, 1, -1), 0),
        lambda x: np.i0(x * 1j),
    ],
)
def test_what_numpy_refuses_is_refused_with_the_same_kind_of_error(call: Any) -> None:
    with pytest.raises(Exception) as expected:
        call(VALUES)
    with pytest.raises(expected.type):
        call(tg.tensor(VALUES))


@pytest.mark.parametrize("other", [0.5, 300, np.int64(3), np.float64(0.5), 1j])
def test_a_choice_widens_the_others_as_in_numpy(other: Any) -> None:
    assert_as_numpy(lambda x: np.select([SINGLE > 2], [x], other), SINGLE)
    assert_as_numpy(lambda x: np.select([SINGLE > 2, SINGLE > 1], [x, other], 0), SINGLE)
    assert_as_numpy(lambda x: np.choose([2, 1], [other, 2, x]), SINGLE)


def test_interpolation_between_complex_points_is_refused() -> None:
    assert_as_numpy(lambda x: np.interp(x, KNOTS, VALUES), 1j)
    assert_as_numpy(lambda x: np.interp(1.0, x, VALUES), KNOTS + 0j)


def test_slope_of_i0_takes_no_longer_for_huge_numbers() -> None:
    with np.errstate(over="ignore"):
        slopes = gradient(np.i0, np.array([1e300, 2.0, -1e300]))
    np.testing.assert_allclose(slopes, [np.inf, 1.590636854637329, -np.inf])
