"""Numerical derivatives, their errors, and where there is no derivative."""

import numpy as np
import pytest

from tinygrad_np.testing import differentiate


@pytest.mark.parametrize(
    ("function", "slope"),
    [
        (np.sin, np.cos),
        (np.exp, np.exp),
        (lambda x: x**3, lambda x: 3 * x**2),
        (lambda x: 1 / x, lambda x: -1 / x**2),
        (np.sqrt, lambda x: 0.5 / np.sqrt(x)),
    ],
    ids=["sin", "exp", "cube", "inverse", "sqrt"],
)
@pytest.mark.parametrize("scale", [1e-8, 1e-3, 1.0, 10.0])
def test_the_error_is_small_and_bounds_the_true_one(function, slope, scale):
    x = scale * np.linspace(0.5, 2, 7)
    found = differentiate(lambda t: function(x + t * scale), farthest=1 / scale)
    expected = slope(x) * scale
    assert np.all(np.abs(found.value - expected) <= found.error)
    assert np.all(found.error <= 1e-6 * np.abs(expected))
    assert not np.any(found.kinked)


def test_features_far_smaller_than_the_step_are_found():
    found = differentiate(lambda t: np.cos([1e8 * (1 + t)]))
    assert abs(found.value[0] + 1e8 * np.sin(1e8)) <= found.error[0] <= 1e4


def test_each_element_gets_the_step_that_suits_it():
    found = differentiate(lambda t: np.array([1 / (1e-3 + t), 1e12 * np.sin(t), 1e-12 * t]))
    np.testing.assert_allclose(found.value, [-1e6, 1e12, 1e-12], rtol=1e-6)
    assert found.step[0] < found.step[1]


@pytest.mark.parametrize(
    ("function", "left", "right"),
    [
        (abs, -1, 1),
        (lambda t: max(t, 0.0), 0, 1),
        (lambda t: 1e-6 * min(t, 2 * t), 2e-6, 1e-6),
        (lambda t: np.exp(t) + 0.01 * abs(t), 0.99, 1.01),
    ],
    ids=["abs", "relu", "small", "weak"],
)
def test_a_kink_has_a_slope_to_each_side(function, left, right):
    found = differentiate(lambda t: np.array([function(t)]))
    assert found.kinked[0]
    np.testing.assert_allclose([found.left[0], found.right[0]], [left, right], rtol=1e-3, atol=1e-9)


@pytest.mark.parametrize("distance", [1e-2, 1e-4, 1e-6])
def test_a_kink_nearby_is_none(distance):
    found = differentiate(lambda t: np.array([abs(t - distance)]))
    assert not found.kinked[0]
    np.testing.assert_allclose(found.value, -1, rtol=1e-9)


def test_smooth_curves_have_no_kinks():
    curves = [lambda t: t**2, lambda t: abs(t) ** 1.5, lambda t: np.exp(20 * t), lambda t: abs(t) ** 3, lambda t: 5.0]
    assert not np.any(differentiate(lambda t: np.array([curve(t) for curve in curves])).kinked)


def test_noise_is_measured_and_bounds_the_error():
    rng = np.random.default_rng(0)
    found = differentiate(lambda t: np.array([np.sin(1 + t) + 1e-6 * rng.normal()]))
    assert 1e-7 < found.noise[0] < 1e-5
    assert abs(found.value[0] - np.cos(1)) <= found.error[0] < 1e-2


def test_rounding_to_single_precision_on_the_way_is_noise():
    found = differentiate(lambda t: np.sin(np.float32([1 + t])).astype(float))
    assert 1e-9 < found.noise[0] < 1e-6
    assert abs(found.value[0] - np.cos(1)) <= found.error[0] < 1e-3


def test_an_imaginary_step_loses_nothing_to_rounding():
    def curve(t):
        return np.array([1e6 + 1e-3 * np.sin(1 + t)])

    by_differences, exact = differentiate(curve), differentiate(curve, complex_step=True)
    assert exact.error[0] < 1e-15 < by_differences.error[0]
    np.testing.assert_allclose(exact.value, 1e-3 * np.cos(1), rtol=1e-14)


def test_an_imaginary_step_is_not_believed_against_differences():
    found = differentiate(lambda t: np.array([1e6 + 1e-2 * np.abs(1 + t)]), complex_step=True)
    np.testing.assert_allclose(found.value, 1e-2, rtol=1e-3)


def test_outside_of_the_domain_there_is_no_derivative():
    with np.errstate(invalid="ignore"):
        found = differentiate(lambda t: np.sqrt([t, 1 + t]))
    assert np.isinf(found.error[0])
    np.testing.assert_allclose(found.value[1], 0.5)


@pytest.mark.parametrize(
    ("function", "x", "slope"),
    [
        (lambda x: np.mod(x, 1.0), -333.33333, 1),
        (lambda x: np.mod(x, 1.0), -341.33333, 1),
        (lambda x: np.round(x, 3), 1.23456789, 0),
        (lambda x: np.sin(3e4 * x), 1.23456789, 3e4 * np.cos(3e4 * 1.23456789)),
    ],
    ids=["periods", "other periods", "stairs", "waves"],
)
def test_long_steps_that_agree_by_chance_are_not_believed(function, x, slope):
    found = differentiate(lambda t: function(np.array([x + t * abs(x)])))
    np.testing.assert_allclose(found.value, slope * abs(x), rtol=1e-5, atol=1e-12)


def test_the_slopes_of_a_kink_are_good_to_many_digits():
    found = differentiate(lambda t: np.array([np.expm1(t) if t < 0 else 3 * np.sin(t)]))
    assert found.kinked[0]
    np.testing.assert_allclose([found.left[0], found.right[0]], [1, 3], rtol=1e-7)
    assert found.error[0] < 1e-6


@pytest.mark.parametrize("function", [np.floor, np.ceil, lambda t: np.where(t > 0, np.log(t), 0)])
def test_a_jump_has_no_derivative(function):
    found = differentiate(lambda t: function(np.array([t])))
    assert np.isinf(found.error[0])
    assert not found.kinked[0]


def test_steps_forward_serve_where_a_curve_begins():
    found = differentiate(lambda t: np.array([t, 2 + t]) ** 1.5, forward=True)
    expected = [0, 1.5 * np.sqrt(2)]
    np.testing.assert_allclose(found.value, expected, atol=1e-6)
    assert np.all(np.abs(found.value - expected) <= found.error)
    assert np.all(found.error < 1e-5)
