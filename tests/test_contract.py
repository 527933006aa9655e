"""The edge-case contract, row by row: value, gradient and second derivative where others give NaN or disagree.

Each section is one row of the contract. The suite turns warnings into errors, so none of this warns either, but for
what NumPy itself warns of on the way forward.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from kit import check_gradient

import tinygrad_np as tg
from tinygrad_np import functions, fused

Array = np.ndarray
INF, NAN = np.inf, np.nan


def derivatives(function: Callable[..., Any], *points: Any) -> tuple[Array, list[Array], list[list[Array]]]:
    """Value, gradients and second derivatives of an elementwise function, or of one with a scalar result.

    Returns
    -------
    value : ndarray
    first : list of ndarray
        One for each argument.
    second : list of list of ndarray
        ``second[i][j]`` is the gradient of the sum of ``first[i]`` with respect to argument j.
    """
    leaves = [tg.tensor(point, requires_grad=True) for point in points]
    with np.errstate(all="ignore"):  # NumPy's own warnings, such as that of np.log(0)
        value = function(*leaves)
    ones = np.ones(value.shape, value.dtype)
    first = tg.gradients(value, leaves, ones, retain_graph=True)
    recorded = tg.gradients(value, leaves, ones, create_graph=True)
    for plain, tensor in zip(first, recorded, strict=True):
        np.testing.assert_array_equal(plain, tensor.data, strict=True)
    second = [
        tg.gradients(slope, leaves, np.ones_like(slope.data), retain_graph=True)
        if slope.requires_grad
        else [np.zeros_like(leaf.data) for leaf in leaves]
        for slope in recorded
    ]
    return value.data, first, second


def assert_derivatives(function: Callable[..., Any], at: Any, value: Any, first: Any, second: Any) -> None:
    """Assert value, slope and curvature of an elementwise function of one array."""
    found, (slope,), ((curvature,),) = derivatives(function, np.asarray(at, float))
    np.testing.assert_allclose(found, value, rtol=1e-12)
    np.testing.assert_allclose(slope, first, rtol=1e-12)
    np.testing.assert_allclose(curvature, second, rtol=1e-12)


# ------------------------------------------- A zero cotangent contributes exactly zero, whatever the local derivative


# A formula, points where it or its derivative is not finite, and points where all is well.
POLES = {
    "sqrt": (np.sqrt, [0, -1], [4, 0.25]),
    "cbrt": (np.cbrt, [0], [8, -8]),
    "log": (np.log, [0, -1], [2, 0.5]),
    "log2": (np.log2, [0, -1], [2, 0.5]),
    "log10": (np.log10, [0, -1], [2, 0.5]),
    "log1p": (np.log1p, [-1, -2], [2, -0.5]),
    "x log x": (lambda x: x * np.log(x), [0, -1], [2, 0.5]),
    "1 / x": (lambda x: 1 / x, [0], [2, -4]),
    "reciprocal": (np.reciprocal, [0], [2, -4]),
    "sin x / x": (lambda x: np.sin(x) / x, [0], [1, -2]),
    "x ** 0.5": (lambda x: x**0.5, [0, -1], [4, 0.25]),
    "x ** -2": (lambda x: x**-2, [0], [4, -0.25]),
    "x ** x": (lambda x: x**x, [0, -1.5], [4, 0.25]),
    "arcsin": (np.arcsin, [1, -1, 2], [0.5, -0.25]),
    "arccos": (np.arccos, [1, -1, 2], [0.5, -0.25]),
    "arctanh": (np.arctanh, [1, -1, 2], [0.5, -0.25]),
    "arccosh": (np.arccosh, [1, 0], [1.5, 3]),
    "exp": (np.exp, [1e4], [1, -1]),
    "exp2": (np.exp2, [1e4], [1, -1]),
    "expm1": (np.expm1, [1e4], [1, -1]),
    "sinh": (np.sinh, [1e4, -1e4], [1, -1]),
    "cosh": (np.cosh, [1e4, -1e4], [1, -1]),
    "tan": (np.tan, [INF], [1, -1]),
    "remainder": (lambda x: np.remainder(7.5, x), [0], [2, -4]),
    "fmod": (lambda x: np.fmod(7.5, x), [0], [2, -4]),
    "square of NaN": (np.square, [NAN, INF], [1, -2]),
    "sine of infinity": (np.sin, [NAN, INF], [1, -2]),
    "product with NaN": (lambda x: x * x * x, [NAN, INF], [1, -2]),
    "difference of infinities": (lambda x: np.exp(x) - np.exp(x) ** 2, [1e4], [1, -1]),
    "chain of poles": (lambda x: np.exp(3 * np.log(np.sqrt(x) * 2)) / x, [0, -1], [4, 0.25]),
    "cbrt of infinity": (np.cbrt, [NAN, INF], [8, -8]),
    "arctan of infinity": (np.arctan, [NAN, INF, -INF], [1, -2]),
    "arctan2 of infinity": (lambda x: np.arctan2(1, x), [NAN, INF, -INF], [1, -2]),
    "arcsinh of infinity": (np.arcsinh, [NAN, INF, -INF], [1, -2]),
    "arccosh of infinity": (np.arccosh, [NAN, INF, -INF], [1.5, 3]),
    "arctanh of infinity": (np.arctanh, [NAN, INF, -INF], [0.5, -0.25]),
    "sinc of NaN": (np.sinc, [NAN, INF], [0.3, -2.2]),
    "i0 of NaN": (np.i0, [NAN, INF], [0.3, -2.2]),
    "erfc of NaN": (tg.special.erfc, [NAN, INF, -INF], [1, -2]),
    "gelu of NaN": (functions.gelu, [NAN, INF, -INF], [1, -2]),
    "logaddexp of NaN": (lambda x: np.logaddexp(x, -x), [NAN], [1, -2]),
    "hypot of NaN": (lambda x: np.hypot(x, 2 * x), [NAN, INF], [1, -2]),
}

# Ways to leave elements out; `good` is the slice of the others.
WAYS = {
    "where": lambda y, mask: np.where(mask, y, 0),
    "where, the other way": lambda y, mask: np.where(~mask, 0, y),
    "mask": lambda y, mask: y[mask],
    "indices": lambda y, mask: y[np.flatnonzero(mask)],
    "slice": lambda y, mask: y[np.argmax(mask) :],
    "take": lambda y, mask: np.take(y, np.flatnonzero(mask)),
    "sum(where=)": lambda y, mask: np.sum(y, where=mask),
    "mean(where=)": lambda y, mask: np.mean(y, where=mask) * np.sum(mask),
    "assignment": lambda y, mask: _assigned(y, ~mask),
}


def _assigned(y: Any, mask: Array) -> Any:
    y = np.copy(y)
    y[mask] = 0
    return y


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("formula", POLES)
def test_zero_cotangent_contributes_zero(formula: str, way: str) -> None:
    function, bad, good = POLES[formula]
    points, mask = np.array([*bad, *good], float), np.array([False] * len(bad) + [True] * len(good))
    _, (first,), ((second,),) = derivatives(lambda x: WAYS[way](function(x), mask), points)
    _, (slopes,), ((curvatures,),) = derivatives(function, np.array(good, float))
    np.testing.assert_array_equal(first[~mask], 0)
    np.testing.assert_array_equal(second[~mask], 0)
    np.testing.assert_allclose(first[mask], slopes, rtol=1e-12)
    np.testing.assert_allclose(second[mask], curvatures, rtol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex128])
def test_zero_cotangent_contributes_zero_in_every_dtype(dtype: Any) -> None:
    x = tg.tensor([0, 4], dtype=dtype, requires_grad=True)
    np.sum(np.where(x.data != 0, np.sqrt(x), 0).real).backward()
    np.testing.assert_allclose(x.grad, [0, 0.25], rtol=1e-6)


def test_zero_cotangent_of_a_product_with_zero() -> None:
    assert_derivatives(lambda x: 0 * np.sqrt(x), [0, 4], [0, 0], [0, 0], [0, 0])


def test_zero_cotangent_contributes_zero_at_third_order() -> None:
    x = tg.tensor([0.0, 4.0], requires_grad=True)
    y = np.sum(np.where(x > 0, x * np.sqrt(x), 0))
    for expected in ([0, 3], [0, 3 / 8], [0, -3 / 64]):
        slope = tg.gradients(y, x, create_graph=True)
        np.testing.assert_allclose(slope.data, expected)
        y = np.sum(slope)


def test_what_an_extremum_or_a_choice_passes_over_may_be_infinite() -> None:
    for function in (
        lambda x: np.maximum(np.log(x), -1),
        lambda x: np.clip(np.log(x), -1, 9),
        lambda x: np.fmax(np.log(x), -1),
    ):
        assert_derivatives(function, [0, 2], [-1, np.log(2)], [0, 0.5], [0, -0.25])
    assert_derivatives(lambda x: np.max(np.log(x) - 1 / x), [0, 2], np.log(2) - 0.5, [0, 0.75], [0, -0.5])


ROW_BY_ROW = {
    "var": lambda x: np.var(x, axis=1),
    "std": lambda x: np.std(x, axis=1),
    "prod": lambda x: np.prod(x, axis=1),
    "cumprod": lambda x: np.cumprod(x, axis=1),
    "hypot.reduce": lambda x: np.hypot.reduce(x, axis=1),
    "logaddexp.reduce": lambda x: np.logaddexp.reduce(x, axis=1),
}


@pytest.mark.parametrize("bad", [NAN, INF])
@pytest.mark.parametrize("function", ROW_BY_ROW.values(), ids=ROW_BY_ROW)
def test_a_row_that_is_left_out_contributes_zero(function: Any, bad: float) -> None:
    good = np.array([[1.0, 2, -4]])
    _, (first,), ((second,),) = derivatives(lambda x: function(x)[0], np.array([*good, [1, bad, 3]]))
    _, (slopes,), ((curvatures,),) = derivatives(lambda x: function(x)[0], good)
    np.testing.assert_allclose(first, [*slopes, [0, 0, 0]], rtol=1e-12)
    np.testing.assert_allclose(second, [*curvatures, [0, 0, 0]], rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("function", [np.var, np.std])
def test_what_a_moment_leaves_out_contributes_zero(function: Any) -> None:
    points, mask = np.array([1.0, NAN, 2, -4]), np.array([True, False, True, True])
    _, (first,), ((second,),) = derivatives(lambda x: function(x, where=mask), points)
    _, (slopes,), ((curvatures,),) = derivatives(function, points[mask])
    assert first[1] == second[1] == 0
    np.testing.assert_allclose(first[mask], slopes, rtol=1e-12)
    np.testing.assert_allclose(second[mask], curvatures, rtol=1e-12, atol=1e-15)


def test_what_comes_after_a_running_product_may_be_infinite() -> None:
    assert_derivatives(lambda x: np.cumprod(x)[1] ** 2 / 2, [1, 3, INF, 2], 4.5, [9, 3, 0, 0], [15, 7, 0, 0])


@pytest.mark.parametrize(
    "function", [np.nanmedian, lambda x: np.nanquantile(x, 0.5), lambda x: np.nanpercentile(x, 50)]
)
def test_what_a_quantile_passes_over_may_be_nan(function: Any) -> None:
    assert_derivatives(lambda x: function(x * x * x), [NAN, 1, 2, 4], 8, [0, 0, 12, 0], [0, 0, 12, 0])


def test_what_a_median_passes_over_may_be_infinite() -> None:
    assert_derivatives(lambda x: np.median(x * x * x), [INF, 1, -2], 1, [0, 3, 0], [0, 6, 0])


# ------------------------------------------------- hypot(0, 0), std of equal values: 0, the smallest subgradient


def test_hypot_at_0_has_gradient_0() -> None:
    value, first, second = derivatives(np.hypot, np.zeros(2), np.zeros(2))
    np.testing.assert_array_equal([value, *first, *np.concatenate(second)], 0)


def test_hypot_with_one_zero() -> None:
    value, first, second = derivatives(np.hypot, np.array([0.0, 3]), np.array([2.0, 0]))
    np.testing.assert_array_equal(value, [2, 3])
    np.testing.assert_array_equal(first, [[0, 1], [1, 0]])
    np.testing.assert_allclose(second, [[[1 / 2, 0], [0, 0]], [[0, 0], [0, 1 / 3]]])


@pytest.mark.parametrize("size", [1e-170, 1e200])
def test_arctan2_of_numbers_whose_squares_are_out_of_range(size: float) -> None:
    _, first, _ = derivatives(np.arctan2, np.array(size), np.array(size))
    np.testing.assert_allclose(first, [0.5 / size, -0.5 / size], rtol=1e-12)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize(
    ("function", "slope"),
    [
        (np.arcsinh, lambda x: 1 / x),
        (np.arccosh, lambda x: 1 / x),
        (np.arctan, lambda x: 1 / x / x),
        (np.arctanh, lambda x: -1 / x / x),
        (np.log10, lambda x: 1 / x / math.log(10)),
    ],
    ids=lambda f: getattr(f, "__name__", None),
)
def test_slope_at_numbers_whose_squares_are_out_of_range(function: Any, slope: Any, dtype: Any) -> None:
    x = tg.tensor(np.sqrt(np.finfo(dtype).max) * dtype(1.5), requires_grad=True)
    if function is np.log10:
        x = tg.tensor(np.finfo(dtype).max, requires_grad=True)
    with np.errstate(all="ignore"):  # arctanh is NaN there
        function(x).backward()
    np.testing.assert_allclose(x.grad, slope(x.data), rtol=0.01)


@pytest.mark.parametrize("function", [np.arcsinh, np.arccosh, np.arctan, np.arctanh])
def test_slope_at_complex_numbers_whose_squares_are_out_of_range(function: Any) -> None:
    z = 3e200 + 4e200j
    x = tg.tensor(z, requires_grad=True)
    function(x).real.backward()
    expected = np.conj(1 / z) if function in (np.arcsinh, np.arccosh) else 0
    np.testing.assert_allclose(x.grad, expected, rtol=1e-12)


def test_arctan2_at_0_has_gradient_0() -> None:
    value, first, second = derivatives(np.arctan2, np.zeros(2), np.zeros(2))
    np.testing.assert_array_equal([value, *first, *np.concatenate(second)], 0)


@pytest.mark.parametrize(
    "options", [{}, {"axis": 0}, {"ddof": 1}, {"where": np.array([[True] * 3, [False] * 3])}, {"keepdims": True}]
)
def test_std_of_equal_values_has_gradient_0(options: dict[str, Any]) -> None:
    value, (first,), ((second,),) = derivatives(lambda x: np.std(x, **options), np.full((2, 3), 0.5))
    for found in (value, first, second):
        np.testing.assert_array_equal(found, 0)


def test_std_of_rows_of_which_one_is_constant() -> None:
    _, (first,), ((second,),) = derivatives(lambda x: np.std(x, axis=1), np.array([[1.0, 1, 1], [1, 2, 3]]))
    np.testing.assert_allclose(first, [[0, 0, 0], np.array([-1, 0, 1]) / 6**0.5])
    np.testing.assert_allclose(second, np.zeros((2, 3)), atol=1e-15)  # the slopes add up to a constant


# ---------------------------------------------------------------------------------------------------- abs, relu at 0: 0


@pytest.mark.parametrize(
    "function", [np.absolute, np.fabs, functions.relu, fused.relu], ids=["absolute", "fabs", "relu", "fused relu"]
)
@pytest.mark.parametrize("zero", [0.0, -0.0])
def test_abs_and_relu_at_0_have_gradient_0(function: Any, zero: float) -> None:
    assert_derivatives(function, [zero, 2], [0, 2], [0, 1], [0, 0])


def test_abs_of_a_complex_0_has_gradient_0() -> None:
    _, first, second = derivatives(np.absolute, np.array([0j, 3 + 4j]))
    np.testing.assert_allclose(first, [[0, 0.6 + 0.8j]])
    assert second[0][0][0] == 0


def test_sign_is_constant() -> None:
    assert_derivatives(np.sign, [-2, 0, 3], [-1, 0, 1], [0, 0, 0], [0, 0, 0])


# ------------------------------------------------------------------------ maximum, minimum at a tie: half to each side


@pytest.mark.parametrize("ufunc", [np.maximum, np.minimum, np.fmax, np.fmin])
def test_maximum_and_minimum_at_a_tie_give_half_to_each_side(ufunc: np.ufunc) -> None:
    _, first, second = derivatives(ufunc, np.array([2.0, -0.0]), np.array([2.0, 0.0]))
    np.testing.assert_array_equal(first, np.full((2, 2), 0.5))
    np.testing.assert_array_equal(second, np.zeros((2, 2, 2)))
    _, _, second = derivatives(lambda x, z: ufunc(x, z) ** 2 / 2, np.array([2.0]), np.array([2.0]))
    np.testing.assert_array_equal(second, np.full((2, 2, 1), 0.25))


@pytest.mark.parametrize("ufunc", [np.maximum, np.minimum, np.fmax, np.fmin])
def test_maximum_of_one_array_with_itself_has_slope_1(ufunc: np.ufunc) -> None:
    assert_derivatives(lambda x: ufunc(x, x), [2, -1], [2, -1], [1, 1], [0, 0])


@pytest.mark.parametrize("ufunc", [np.fmax, np.fmin])
def test_fmax_and_fmin_give_all_to_the_number_beside_a_nan(ufunc: np.ufunc) -> None:
    value, first, _ = derivatives(ufunc, np.array([NAN, 2.0]), np.array([3.0, NAN]))
    np.testing.assert_array_equal(value, [3, 2])
    np.testing.assert_array_equal(first, [[0, 1], [1, 0]])


def test_maximum_of_infinities_ties() -> None:
    _, first, _ = derivatives(np.maximum, np.array([INF, -INF]), np.array([INF, -INF]))
    np.testing.assert_array_equal(first, np.full((2, 2), 0.5))


# ---------------------------------------------------- max, min reductions with ties: split evenly; the shares sum to 1


@pytest.mark.parametrize("function", [np.max, np.min, np.amax, np.amin])
def test_ties_of_max_and_min_share_evenly(function: Any) -> None:
    _, (first,), _ = derivatives(lambda x: function(x, axis=1), np.array([[2.0, 2, 2], [5, 5, 5], [1, 1, 1]]))
    np.testing.assert_array_equal(first, np.full((3, 3), 1 / 3))
    _, (first,), _ = derivatives(lambda x: function(x * [1, 1, -1]), np.array([2.0, 2, -2]))
    np.testing.assert_array_equal(first, [1 / 3, 1 / 3, -1 / 3])


def test_ties_of_max_at_second_order() -> None:
    value, (first,), ((second,),) = derivatives(lambda x: np.max(x) ** 2 / 2, np.array([1.0, 3, 3]))
    assert value == 4.5
    np.testing.assert_array_equal(first, [0, 1.5, 1.5])
    np.testing.assert_array_equal(second, [0, 0.5, 0.5])


@pytest.mark.parametrize("count", [3, 7, 100_000])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_shares_of_ties_sum_to_1_in_every_dtype(dtype: Any, count: int) -> None:
    x = tg.tensor(np.ones(count, dtype), requires_grad=True)
    np.max(x).backward()
    assert x.grad.dtype == dtype
    rounding = count * float(np.spacing(dtype(1 / count))) / 2  # each share is the nearest that the dtype has
    assert abs(math.fsum(x.grad.astype(float)) - 1) <= rounding


def test_initial_counts_among_the_ties_and_where_leaves_out() -> None:
    _, (first,), _ = derivatives(lambda x: np.max(x, initial=2), np.array([2.0, 2, 1]))
    np.testing.assert_array_equal(first, [1 / 3, 1 / 3, 0])
    _, (first,), _ = derivatives(lambda x: np.max(x, initial=9), np.array([2.0, 2, 1]))
    np.testing.assert_array_equal(first, [0, 0, 0])
    mask = np.array([True, False, True])
    _, (first,), _ = derivatives(lambda x: np.max(x, initial=0, where=mask), np.array([2.0, 2, 2]))
    np.testing.assert_array_equal(first, [0.5, 0, 0.5])


# ------------------------------------------------------------ clip at a bound: 1 inside the closed interval, 0 outside

CLIPS = [np.clip, lambda x, low, high: x.clip(low, high), lambda x, low, high: np.clip(x, min=low, max=high)]


@pytest.mark.parametrize("clip", CLIPS, ids=["np.clip", "method", "keywords"])
def test_clip_has_slope_1_in_the_closed_interval(clip: Callable[..., Any]) -> None:
    points = [-2, -1, 0, 1, 2]
    assert_derivatives(lambda x: clip(x, -1, 1), points, [-1, -1, 0, 1, 1], [0, 1, 1, 1, 0], [0] * 5)
    assert_derivatives(lambda x: clip(x, None, 1), points, [-2, -1, 0, 1, 1], [1, 1, 1, 1, 0], [0] * 5)
    assert_derivatives(lambda x: clip(x, -1, None), points, [-1, -1, 0, 1, 2], [0, 1, 1, 1, 1], [0] * 5)


@pytest.mark.parametrize(
    ("x", "low", "high", "shares"),
    [
        (0.0, -1.0, 1.0, (1, 0, 0)),
        (-1.0, -1.0, 1.0, (1, 0, 0)),
        (1.0, -1.0, 1.0, (1, 0, 0)),
        (1.0, 1.0, 1.0, (1, 0, 0)),
        (-2.0, -1.0, 1.0, (0, 1, 0)),
        (2.0, -1.0, 1.0, (0, 0, 1)),
        (0.0, 1.0, -1.0, (0, 0, 1)),  # NumPy lets the upper of two crossed bounds win,
        (-3.0, 1.0, -1.0, (0, 0, 1)),
        (3.0, 1.0, -1.0, (0, 0, 1)),
        (0.0, 2.0, 2.0, (0, 1, 0)),  # and the lower of two equal ones is met first
    ],
)
def test_clip_passes_the_cotangent_to_what_it_returns(x: float, low: float, high: float, shares: Any) -> None:
    value, first, second = derivatives(np.clip, x, low, high)
    assert value == np.clip(x, low, high)
    np.testing.assert_array_equal(first, shares)
    np.testing.assert_array_equal(second, np.zeros((3, 3)))


# ------------------------------------------------------------- prod with zeros: exact, without dividing, to every order


@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("zeros", [0, 1, 2, 3])
def test_prod_with_zeros_is_exact(zeros: int, order: int) -> None:
    x = np.array([0.0] * zeros + [1.5, -0.7, 2.0, 0.6][zeros:])
    check_gradient(np.prod, [x[[2, 0, 3, 1]]], order)
    check_gradient(lambda a: np.prod(a, axis=0), [np.stack([x, x[::-1]], axis=1)], order)


def test_prod_has_whole_numbers_where_it_should() -> None:
    for x, first in (
        ([2, 3, 4], [12, 8, 6]),
        ([0, 3, 4], [12, 0, 0]),
        ([0, 3, 0], [0, 0, 0]),
        ([INF, 0, 2], [0, INF, NAN]),
    ):
        _, (found,), _ = derivatives(np.prod, np.array(x, float))
        np.testing.assert_array_equal(found, first)
    hessian = np.array([[0, 4, 3], [4, 0, 0], [3, 0, 0]])
    x = tg.tensor([0.0, 3, 4], requires_grad=True)
    slopes = tg.gradients(np.prod(x), x, create_graph=True)
    np.testing.assert_array_equal([tg.gradients(s, x, retain_graph=True) for s in slopes], hessian)


# ------------------------------------- x ** y at x = 0: d/dx exact for y >= 1 and for y == 0 (0); d/dy is 0 where y > 0


@pytest.mark.parametrize("power", [np.power, np.float_power, lambda x, y: x**y], ids=["power", "float_power", "**"])
@pytest.mark.parametrize(
    ("exponent", "value", "first", "second"),
    [(0, 1, 0, 0), (1, 0, 1, 0), (2, 0, 0, 2), (3, 0, 0, 0), (1.5, 0, 0, INF), (2.5, 0, 0, 0), (0.5, 0, INF, -INF)],
)
def test_power_at_base_0_by_base(power: Any, exponent: float, value: float, first: float, second: float) -> None:
    assert_derivatives(lambda x: power(x, exponent), 0.0, value, first, second)
    assert_derivatives(lambda x: power(x, np.array([exponent, 2.0])), [0.0, 3], [value, 9], [first, 6], [second, 2])


@pytest.mark.parametrize("exponent", [2.0, 3.0, 2.5])
def test_power_at_base_0_by_both(exponent: float) -> None:
    value, first, second = derivatives(np.power, 0.0, exponent)
    assert value == 0
    np.testing.assert_array_equal(first, [0, 0])
    np.testing.assert_array_equal(second, [[2 if exponent == 2 else 0, 0], [0, 0]])


@pytest.mark.parametrize("power", [np.power, np.float_power, lambda x, y: x**y], ids=["power", "float_power", "**"])
def test_power_to_the_exponent_0_by_both(power: Any) -> None:
    """By the exponent, the slope ``y * x**(y - 1)`` has the slope ``1 / x`` there."""
    _, first, second = derivatives(power, np.array([2.0, 0.5, 1e-300, INF]), np.zeros(4))
    np.testing.assert_array_equal(first[0], 0)
    np.testing.assert_allclose(second[0], [[0] * 4, [0.5, 2, 1e300, 0]], rtol=1e-12)
    np.testing.assert_allclose(second[1][0][:3], [0.5, 2, 1e300], rtol=1e-12)


@pytest.mark.parametrize("base", [0.0, -0.0, 1e-310])
def test_power_of_a_base_near_0_to_the_exponent_0_by_base(base: float) -> None:
    value, first, second = derivatives(np.power, np.array([base]), np.zeros(1))
    np.testing.assert_array_equal([value, first[0], second[0][0]], [[1], [0], [0]])


@pytest.mark.parametrize("base", [0, 0.0, np.zeros(1)])
def test_power_at_base_0_by_exponent(base: Any) -> None:
    assert_derivatives(lambda y: base**y, [0.5, 1, 2], [0, 0, 0], [0, 0, 0], [0, 0, 0])


def test_power_of_a_negative_base_to_whole_exponents() -> None:
    assert_derivatives(lambda x: x**3, [-2], [-8], [12], [-12])
    assert_derivatives(lambda x: x**0, [-2, 0], [1, 1], [0, 0], [0, 0])
    assert_derivatives(lambda x: x**-1, [-2], [-0.5], [-0.25], [-0.25])


# ----------------------------------- logsumexp, softmax, cross-entropy: finite for logits of any finite size


HUGE = [[1e4, -1e4, 0.0], [1e300, 1e300, -1e300], [-1e4, -1e4, -1e4]]


@pytest.mark.parametrize("name", ["logsumexp", "softmax", "log_softmax"])
def test_logsumexp_and_softmax_are_finite_for_logits_of_any_size(name: str) -> None:
    value, (first,), ((second,),) = derivatives(lambda z: getattr(functions, name)(z, axis=-1), np.array(HUGE))
    for found in (value, first, second):
        assert np.all(np.isfinite(found))


@pytest.mark.parametrize("module", [functions, fused], ids=["composed", "fused"])
def test_cross_entropy_is_finite_for_logits_of_any_size(module: Any) -> None:
    value, (first,), ((second,),) = derivatives(lambda z: module.cross_entropy(z, np.array([0, 2, 1])), np.array(HUGE))
    for found in (value, first, second):
        assert np.all(np.isfinite(found))


def test_logsumexp_of_minus_infinities() -> None:
    assert_derivatives(lambda z: functions.logsumexp(z, axis=-1), [[-INF, -INF]], [-INF], [[0, 0]], [[0, 0]])


# ------------------------- sigmoid, softplus, logaddexp, tanh: no overflow warning, no NaN, at any finite input


def extremes(dtype: Any) -> Array:
    largest, smallest = np.finfo(dtype).max, np.finfo(dtype).tiny
    return np.array([-largest, -1e4, -100, -1, -smallest, 0, smallest, 1, 100, 1e4, largest], dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "function",
    [functions.sigmoid, functions.softplus, np.tanh, lambda x: np.logaddexp(x, 0), lambda x: np.logaddexp2(0, x)],
    ids=["sigmoid", "softplus", "tanh", "logaddexp", "logaddexp2"],
)
def test_saturating_functions_are_finite_at_any_finite_input(function: Any, dtype: Any) -> None:
    leaf = tg.tensor(extremes(dtype), requires_grad=True)
    value = function(leaf)
    slope = tg.gradients(np.sum(value), leaf, create_graph=True)
    curvature = tg.gradients(np.sum(slope), leaf)
    for found in (value.data, slope.data, curvature):
        assert found.dtype == dtype
        assert np.all(np.isfinite(found))


@pytest.mark.parametrize("ufunc", [np.logaddexp, np.logaddexp2])
def test_logaddexp_of_any_finite_pair(ufunc: np.ufunc) -> None:
    x = np.array([-1e300, -1e4, -1, 0, 1, 1e4, 1e300])
    value, first, second = derivatives(ufunc, x[:, None], x)
    for found in (value, *first, *second[0], *second[1]):
        assert np.all(np.isfinite(found))
    assert np.sum(first[0]) + np.sum(first[1]) == pytest.approx(x.size**2)  # the two shares of each pair sum to 1


def test_logaddexp_shares_are_exact_in_float32_too() -> None:
    _, first, _ = derivatives(np.logaddexp, np.array([1e6, -1e6], np.float32), np.array([1e6 - 1, -1e6], np.float32))
    np.testing.assert_allclose(first[0], [1 / (1 + np.exp(-1)), 0.5], rtol=1e-6)
    np.testing.assert_allclose(first[1], [1 / (1 + np.exp(1)), 0.5], rtol=1e-6)


def test_logaddexp_of_infinities() -> None:
    value, first, second = derivatives(np.logaddexp, np.array([-INF, -INF, 2, INF]), np.array([-INF, 0, -INF, 0]))
    np.testing.assert_array_equal(value, [-INF, 0, 2, INF])
    np.testing.assert_array_equal(first, [[0, 0, 1, 1], [0, 1, 0, 0]])
    np.testing.assert_array_equal(second, np.zeros((2, 2, 4)))


# ------------------------------------------------- Integer and boolean inputs: asking for a gradient is an error


@pytest.mark.parametrize("dtype", [np.int64, np.uint8, np.bool_])
def test_integer_and_boolean_tensors_cannot_require_a_gradient(dtype: Any) -> None:
    with pytest.raises(TypeError, match=f"dtype {np.dtype(dtype)} .*cannot require a gradient"):
        tg.tensor(np.ones(3, dtype), requires_grad=True)


def test_integer_and_boolean_arguments_have_no_gradient() -> None:
    x = tg.tensor([1.0, 2.0], requires_grad=True)
    np.sum(np.where(tg.tensor([True, False]), x * tg.tensor([3, 4]), x ** tg.tensor([2, 2]))).backward()
    np.testing.assert_array_equal(x.grad, [3, 4])


# ------------------------------------------------------------------ Zero-size arrays: zero-size gradients, no error


OF_NOTHING = {
    "exp": np.exp,
    "arithmetic": lambda x: x * x + 1,
    "sum": np.sum,
    "prod": np.prod,
    "max": lambda x: np.max(x, initial=0),
    "concatenate": lambda x: np.concatenate([x, x], axis=-1),
    "slice": lambda x: x.reshape(-1)[:2],
    "matmul": lambda x: x @ np.swapaxes(x, -1, -2) if x.ndim > 1 else x @ x,
    "einsum": lambda x: np.einsum("...i,...i->...", x, x),
    "where": lambda x: np.where(x > 0, x, 0),
    "clip": lambda x: np.clip(x, 0, 1),
    "logsumexp": lambda x: functions.logsumexp(x, axis=-1),
    "softmax": functions.softmax,
}


@pytest.mark.parametrize("shape", [(0,), (0, 3), (3, 0), (2, 0, 4)])
@pytest.mark.parametrize("name", OF_NOTHING)
def test_zero_size_arrays_have_zero_size_gradients(name: str, shape: tuple[int, ...]) -> None:
    _, (first,), ((second,),) = derivatives(OF_NOTHING[name], np.zeros(shape))
    assert first.shape == second.shape == shape
