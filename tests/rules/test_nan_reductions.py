"""Slices without a number, ties, poles behind a NaN, and averages that do not exist."""

from typing import Any

import numpy as np
import pytest

import tinygrad_np as tg
from tinygrad_np.errors import ShapeError

EMPTY_ROW = np.array([[np.nan, np.nan], [3.0, np.nan]])


@pytest.mark.parametrize(
    ("reduce", "value", "slope", "warning"),
    [
        (np.nansum, [0, 3], 1, None),
        (np.nanprod, [1, 3], 1, None),
        (np.nanmean, [np.nan, 3], 1, "Mean of empty slice"),
        (np.nanmax, [np.nan, 3], 1, "All-NaN slice"),
        (np.nanmin, [np.nan, 3], 1, "All-NaN slice"),
        (np.nanvar, [np.nan, 0], 0, "Degrees of freedom"),
        (np.nanstd, [np.nan, 0], 0, "Degrees of freedom"),
    ],
)
def test_a_row_of_nan_only_has_gradient_zero(reduce: Any, value: Any, slope: float, warning: str | None) -> None:
    x = tg.tensor(EMPTY_ROW, requires_grad=True)
    if warning is None:
        y = reduce(x, axis=1)
    else:
        with pytest.warns(RuntimeWarning, match=warning):
            y = reduce(x, axis=1)
    np.testing.assert_array_equal(y.data, value)
    for create_graph in (False, True):
        found = tg.gradients(y, x, np.ones(2), create_graph=create_graph, retain_graph=True)
        np.testing.assert_array_equal(found.data if create_graph else found, [[0, 0], [slope, 0]])
    if found.requires_grad:
        np.testing.assert_array_equal(np.isfinite(tg.gradients(found, x, np.ones((2, 2)))), True)


@pytest.mark.parametrize("reduce", [np.nanmax, np.nanmin])
def test_ties_share_evenly_and_nan_has_no_share(reduce: Any) -> None:
    x = tg.tensor([2.0, np.nan, 2.0, np.nan], requires_grad=True)
    reduce(x).backward()
    np.testing.assert_array_equal(x.grad, [0.5, 0, 0.5, 0])


def test_an_infinity_does_not_tie_with_nan() -> None:
    x = tg.tensor([-np.inf, np.nan], requires_grad=True)
    np.nanmax(x).backward()
    np.testing.assert_array_equal(x.grad, [1, 0])


@pytest.mark.parametrize("reduce", [np.nansum, np.nanmean, np.nanvar, np.nanmax, np.nanprod, np.nanmedian])
def test_a_nan_that_is_ignored_has_a_clean_gradient_behind_it(reduce: Any) -> None:
    x = tg.tensor([4.0, -1.0, 9.0], requires_grad=True)
    with np.errstate(invalid="ignore"):
        y = reduce(np.sqrt(x))
    found = tg.gradients(y, x)
    expected = tg.gradients(reduce(np.sqrt(x[::2])), x)
    np.testing.assert_array_equal(found, expected)
    assert np.isfinite(found).all()


def test_what_nan_to_num_replaces_has_a_clean_gradient_behind_it() -> None:
    x = tg.tensor([4.0, -1.0, 0.0], requires_grad=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        y = np.nan_to_num(np.log(x), neginf=0.0)
    np.testing.assert_array_equal(tg.gradients(np.sum(y), x), [0.25, 0, 0])


def test_nan_to_num_replaces_complex_parts_one_by_one() -> None:
    x = tg.tensor([complex(np.nan, 2), complex(1, np.inf), 3 + 4j], requires_grad=True)
    y = np.nan_to_num(x)
    np.testing.assert_array_equal(tg.gradients(y, x, np.full(3, 5 + 6j)), [6j, 5, 5 + 6j])


def test_a_tensor_is_a_value_so_nan_to_num_copies_it() -> None:
    x = tg.tensor([1.0, np.nan], requires_grad=True)
    np.testing.assert_array_equal(np.nan_to_num(x, copy=False).data, [1, 0])
    np.testing.assert_array_equal(x.data, [1, np.nan])


# ------------------------------------------------------------------------------------------------------------- averages


def test_weights_that_sum_to_zero_have_no_average() -> None:
    x = tg.tensor([1.0, 2.0], requires_grad=True)
    with pytest.raises(ZeroDivisionError, match=r"weights of shape \(2,\) sum to zero"):
        np.average(x, weights=[1.0, -1.0])


@pytest.mark.parametrize(
    ("axis", "weights", "error", "message"),
    [
        (None, np.ones(3), TypeError, r"weights of shape \(3,\) for data of shape \(2, 3\) need an axis"),
        (0, np.ones(3), ValueError, r"weights of shape \(3,\) fit neither data of shape \(2, 3\) nor its axis 0"),
    ],
)
def test_weights_of_another_shape(axis: Any, weights: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        np.average(tg.tensor(np.ones((2, 3)), requires_grad=True), axis=axis, weights=weights)


def test_an_average_of_no_elements_has_a_zero_size_gradient() -> None:
    x = tg.tensor(np.zeros((0, 3)), requires_grad=True)
    np.sum(np.average(x, axis=1)).backward()
    assert x.grad is not None
    assert x.grad.shape == (0, 3)


def test_ddof_and_correction_exclude_each_other() -> None:
    with pytest.raises(ShapeError, match=r"np\.nanvar.*correction"):
        np.nanvar(tg.tensor([1.0, 2.0], requires_grad=True), ddof=1, correction=1)
