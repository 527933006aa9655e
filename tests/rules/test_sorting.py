"""Ties, ends and missing values: what the order of the elements decides, it decides in NumPy's order."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from cases.sorting import METHODS
from hypothesis import given
from hypothesis import strategies as st
from kit import check_gradient

import tinygrad_np as tg
from tinygrad_np.errors import ShapeError, UnsupportedArgumentError

TIED = np.array([3.0, 1.0, 2.0, 1.0, 3.0, 1.0, 2.0])
few_numbers = st.lists(st.integers(-2, 2).map(float), min_size=1, max_size=12).map(np.array)
fractions = st.floats(0, 1)
both_orders = pytest.mark.parametrize("recorded", [False, True], ids=["arrays", "tensors"])


def gradient(function: Callable[..., Any], x: Any, cotangent: Any = None, *, recorded: bool = False) -> np.ndarray:
    """The gradient of a function of one array, by rules that run on arrays or are recorded themselves."""
    leaf = tg.tensor(x, requires_grad=True)
    return np.asarray(tg.gradients(function(leaf), leaf, cotangent, create_graph=recorded).data)


# ----------------------------------------------------------------------------------------- sort and partition with ties


@both_orders
@pytest.mark.parametrize("kind", ["quicksort", "stable", "heapsort"])
def test_sort_with_ties_follows_the_order_of_argsort(kind: Any, recorded: bool) -> None:
    numbers = np.arange(7.0)
    expected = np.empty(7)
    expected[np.argsort(TIED, kind=kind)] = numbers
    found = gradient(lambda t: np.sort(t, kind=kind), TIED, numbers, recorded=recorded)
    np.testing.assert_array_equal(found, expected)


def test_a_stable_sort_keeps_ties_in_their_order() -> None:
    found = gradient(lambda t: np.sort(t, stable=True), TIED, np.arange(7.0))
    np.testing.assert_array_equal(found, [5, 0, 3, 1, 6, 2, 4])


@given(few_numbers, st.data())
def test_partition_gives_each_cotangent_to_an_element_of_that_value(x: np.ndarray, data: Any) -> None:
    kth = data.draw(st.lists(st.integers(-len(x), len(x) - 1), min_size=1, max_size=3))
    numbers = np.arange(1.0, len(x) + 1)
    found = gradient(lambda t: np.partition(t, kth), x, numbers)
    for value in np.unique(x):
        np.testing.assert_array_equal(np.sort(found[x == value]), np.sort(numbers[np.partition(x, kth) == value]))


def test_the_second_derivative_of_sorting_is_zero_at_ties() -> None:
    x = tg.tensor(TIED, requires_grad=True)
    slope = tg.gradients(np.sum(np.sort(x) * np.arange(7.0)), x, create_graph=True)
    assert not slope.requires_grad


# -------------------------------------------------------------------------------------- medians and quantiles with ties

ESTIMATES: dict[str, Callable[..., Any]] = {
    "median": lambda x, q, method: np.median(x),
    "nanmedian": lambda x, q, method: np.nanmedian(x),
    "quantile": lambda x, q, method: np.quantile(x, q, method=method),
    "nanquantile": lambda x, q, method: np.nanquantile(x, q, method=method),
    "percentile": lambda x, q, method: np.percentile(x, 100 * q, method=method),
    "nanpercentile": lambda x, q, method: np.nanpercentile(x, 100 * q, method=method),
}


@pytest.mark.parametrize("name", ESTIMATES)
@given(x=few_numbers, q=fractions, method=st.sampled_from(METHODS), gaps=st.sets(st.integers(1, 14)))
def test_an_estimate_is_the_sum_of_the_elements_in_the_shares_of_the_gradient(
    name: str, x: np.ndarray, q: float, method: str, gaps: set[int]
) -> None:
    """That holds for any mean of order statistics, whatever ties; and the shares are positive and sum to 1."""
    estimate = ESTIMATES[name]
    if name.startswith("nan"):
        x = np.insert(x, [min(gap, len(x)) for gap in gaps], np.nan)
    shares = gradient(lambda t: estimate(t, q, method), x)
    assert (shares >= 0).all()
    assert not shares[np.isnan(x)].any()
    np.testing.assert_allclose(np.sum(shares), 1)
    np.testing.assert_allclose(shares @ np.nan_to_num(x), estimate(x, q, method), atol=1e-12)


@both_orders
def test_a_median_of_ties_is_one_or_two_of_them(recorded: bool) -> None:
    for x, places, shares in (
        ([1.0, 2.0, 2.0, 2.0, 3.0], slice(1, 4), [0, 0, 1]),
        ([1.0, 2.0, 2.0, 3.0], slice(1, 3), [0.5, 0.5]),
        ([2.0, 2.0], slice(0, 2), [0.5, 0.5]),
    ):
        found = gradient(np.median, x, recorded=recorded)
        np.testing.assert_array_equal(np.sort(found[places]), shares)
        assert found.sum() == 1


def test_shares_are_exact_among_many_elements_in_float32() -> None:
    x = np.arange(20_001, dtype=np.float32)
    shares = gradient(lambda t: np.quantile(t, 0.30003), x)
    np.testing.assert_allclose(shares[6000:6002], [1 - 0.6, 0.6], rtol=1e-6)


def test_a_zero_cotangent_beside_an_infinity_stays_zero() -> None:
    x = np.array([1.0, 2.0, np.inf])
    np.testing.assert_array_equal(gradient(np.median, x), [0, 1, 0])
    np.testing.assert_array_equal(gradient(lambda t: np.sort(t)[0], x), [1, 0, 0])


# ----------------------------------------------------------------------------- the derivative with respect to quantiles


def test_the_slope_along_q_at_an_element_is_that_to_the_right() -> None:
    q = tg.tensor(0.5, requires_grad=True)
    np.quantile(np.array([0.0, 1.0, 10.0]), q).backward()
    np.testing.assert_array_equal(q.grad, 2 * (10 - 1))


@pytest.mark.parametrize("end", [0.0, 1.0])
def test_the_slope_along_q_at_the_ends_is_zero(end: float) -> None:
    q = tg.tensor(end, requires_grad=True)
    np.quantile(np.array([0.0, 1.0, 10.0]), q).backward()
    assert q.grad == 0


@pytest.mark.parametrize("method", ["lower", "nearest", "midpoint", "inverted_cdf", "averaged_inverted_cdf"])
def test_methods_that_jump_have_no_slope_along_q(method: str) -> None:
    q = tg.tensor([0.3, 0.6], requires_grad=True)
    np.sum(np.quantile(np.arange(4.0) ** 2, q, method=method)).backward()
    np.testing.assert_array_equal(q.grad, [0, 0])


def test_the_mixed_derivative_by_data_and_quantile() -> None:
    x, q = np.array([0.0, 1.0, 4.0, 9.0, 16.0]), np.array(0.3)
    check_gradient(lambda x, q: np.quantile(x, q) * np.quantile(x * q, 0.6), [x, q], order=3)


def test_weights_only_choose_so_their_gradient_is_zero() -> None:
    weights = tg.tensor([1.0, 2.0, 3.0], requires_grad=True)
    chosen = np.quantile(tg.tensor([5.0, 6.0, 7.0], requires_grad=True), 0.5, method="inverted_cdf", weights=weights)
    np.testing.assert_array_equal(tg.gradients(chosen, weights), [0, 0, 0])


# ------------------------------------------------------------------------------------------------------- missing values


def test_a_median_with_a_nan_is_nan_as_in_numpy() -> None:
    x = tg.tensor([[1.0, np.nan, 3.0], [1.0, 2.0, 4.0]], requires_grad=True)
    np.testing.assert_array_equal(np.median(x, axis=1).data, [np.nan, 2.0])
    np.testing.assert_array_equal(tg.gradients(np.median(x, axis=1)[1], x), [[0, 0, 0], [0, 1, 0]])


@pytest.mark.parametrize("estimate", [np.nanmedian, lambda t, axis: np.nanquantile(t, 0.3, axis=axis)])
def test_a_row_of_nan_only_has_gradient_zero(estimate: Any) -> None:
    x = tg.tensor([[np.nan, np.nan], [1.0, np.nan]], requires_grad=True)
    with pytest.warns(RuntimeWarning, match="All-NaN slice"):
        y = estimate(x, axis=1)
    np.testing.assert_array_equal(y.data, [np.nan, 1.0])
    np.testing.assert_array_equal(tg.gradients(y, x, np.ones(2)), [[0, 0], [1, 0]])


# -------------------------------------------------------------------------------------------------------- unique values


def test_of_equal_elements_the_first_is_the_unique_one() -> None:
    found = gradient(np.unique, TIED, np.array([1.0, 2.0, 3.0]))
    np.testing.assert_array_equal(found, [3, 1, 2, 0, 0, 0, 0])


def test_of_two_sets_the_first_gives_the_elements_of_both() -> None:
    x, y = (tg.tensor(values, requires_grad=True) for values in ([1.0, 2.0, 2.0], [2.0, 3.0]))
    by_x, by_y = tg.gradients(np.union1d(x, y), [x, y], np.array([1.0, 2.0, 3.0]))
    np.testing.assert_array_equal(by_x, [1, 2, 0])
    np.testing.assert_array_equal(by_y, [0, 3])


def test_indices_and_counts_are_constant() -> None:
    x = tg.tensor(TIED, requires_grad=True)
    values, *others = np.unique(x, return_index=True, return_inverse=True, return_counts=True)
    assert values.requires_grad
    assert [other.requires_grad for other in others] == [False] * 3
    np.testing.assert_array_equal(others[2].data, [3, 2, 2])
    counted = np.unique_counts(x)
    assert counted.values.requires_grad
    assert not counted.counts.requires_grad


def test_orders_are_constant() -> None:
    x = tg.tensor(TIED, requires_grad=True)
    constants = (
        *(np.argsort(x), np.argpartition(x, 2), np.lexsort((x, -x))),
        *(np.searchsorted(np.sort(x), x), np.isin(x, [1.0, 2.0])),
    )
    assert [constant.requires_grad for constant in constants] == [False] * 5
    np.testing.assert_array_equal(constants[0].data, np.argsort(TIED))


# ------------------------------------------------------------------------------------------------------------ bad input


def test_a_tensor_is_a_value_so_its_input_is_not_overwritten() -> None:
    x = tg.tensor(TIED, requires_grad=True)
    np.median(x, overwrite_input=True)
    np.quantile(x, 0.3, overwrite_input=True)
    np.testing.assert_array_equal(x.data, TIED)


def test_errors_name_the_function_and_the_shapes() -> None:
    x = tg.tensor(TIED, requires_grad=True)
    with pytest.raises(ShapeError, match=r"np\.quantile\(float64\(7,\), 1\.5.*range"):
        np.quantile(x, 1.5)
    with pytest.raises(ShapeError, match=r"np\.nanpercentile.*method='best'"):
        np.nanpercentile(x, 50, method="best")
    with pytest.raises(np.exceptions.AxisError, match="axis 1 is out of bounds for array of dimension 1"):
        np.median(x, axis=1)
    with pytest.raises(ValueError, match=r"weights of shape \(2,\) fit neither data of shape \(7,\) nor its axis 0"):
        np.quantile(x, 0.5, axis=0, method="inverted_cdf", weights=np.ones(2))
    with pytest.raises(TypeError, match=r"weights of shape \(2,\) .* need an axis"):
        np.quantile(x, 0.5, method="inverted_cdf", weights=np.ones(2))


@pytest.mark.parametrize(
    "call",
    [
        lambda x, out: np.median(x, None, out),
        lambda x, out: np.quantile(x, 0.5, out=out),
        lambda x, out: np.ptp(x, None, out),
    ],
)
def test_out_is_refused_by_position_and_by_name(call: Any) -> None:
    with pytest.raises(UnsupportedArgumentError, match=r"as out= asks for"):
        call(tg.tensor(TIED, requires_grad=True), np.empty(()))
