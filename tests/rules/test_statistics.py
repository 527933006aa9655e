"""Histograms depend on their weights and edges, correlations stay in bounds, and what NumPy warns of is warned of."""

from typing import Any

import numpy as np
import pytest
from kit import assert_as_numpy

import tinygrad_np as tg

DATA = np.array([0.0, 0.3, 0.45, 1.2, 2.0])


def leaf(values: Any) -> tg.Tensor:
    return tg.tensor(values, requires_grad=True)


def test_counts_do_not_depend_on_the_data_and_edges_do() -> None:
    data = leaf(DATA)
    counts, edges = np.histogram(data, 4)
    assert not counts.requires_grad
    assert counts.dtype == np.histogram(DATA, 4)[0].dtype
    edges[1].backward()
    np.testing.assert_array_equal(data.grad, [0.75, 0, 0, 0, 0.25])


def test_edges_about_equal_data_move_with_all_of_them() -> None:
    data = leaf([2.0, 2.0])
    edges = np.histogram_bin_edges(data, 2)
    np.testing.assert_array_equal(edges.data, [1.5, 2, 2.5])
    np.testing.assert_array_equal(tg.gradients(edges[1], data), [0.5, 0.5])


def test_a_weight_counts_in_its_bin_and_outside_it_does_not() -> None:
    weights = leaf(np.ones(6))
    counts, _ = np.histogram([-1.0, 0.0, 1.0, 1.5, 2.0, 3.0], [0.0, 1.0, 2.0], weights=weights)
    np.testing.assert_array_equal(counts.data, [1, 3])
    np.testing.assert_array_equal(tg.gradients(counts @ [10.0, 1.0], weights), [0, 10, 1, 1, 1, 0])


def test_weights_of_integers_and_bins_without_data_are_numpys() -> None:
    weights = np.array([1, 2, 3, 4, 5])
    counts, edges = np.histogram(tg.tensor(DATA), "auto", weights=None)
    np.testing.assert_array_equal(counts.data, np.histogram(DATA, "auto")[0])
    np.testing.assert_array_equal(edges.data, np.histogram(DATA, "auto")[1])
    ours, theirs = np.histogram(tg.tensor(DATA), 9, weights=weights)[0], np.histogram(DATA, 9, weights=weights)[0]
    np.testing.assert_array_equal(ours.data, theirs, strict=True)
    found = np.bincount(tg.tensor([1, 3, 1]), minlength=6)
    np.testing.assert_array_equal(found.data, [0, 2, 0, 1, 0, 0])


def test_perfect_correlation_is_one_and_stays() -> None:
    x = leaf([0.1, 0.7, -0.3])
    c = np.corrcoef(x, 3 * x)
    assert np.all(np.abs(c.data) <= 1)
    np.testing.assert_allclose(tg.gradients(np.sum(c), x), 0, atol=1e-15)


def test_too_few_observations_are_warned_of() -> None:
    with pytest.warns(RuntimeWarning, match="Degrees of freedom <= 0") as caught, np.errstate(all="ignore"):
        assert np.all(np.isnan(np.cov(tg.tensor([[1.0], [2.0]])).data))
    assert caught[0].filename == __file__


@pytest.mark.parametrize(
    "call",
    [
        lambda x: np.cov(x.reshape(1, 1, 5)),
        lambda x: np.cov(x, x.reshape(1, 1, 5)),
        lambda x: np.cov(x, ddof=0.5),
        lambda x: np.cov(x, fweights=[1.5] * 5),
        lambda x: np.cov(x, fweights=[1] * 4),
        lambda x: np.cov(x, aweights=[-1.0] * 5),
        lambda x: np.cov(x, x[:3]),
        lambda x: np.bincount([0, 1], x),
        lambda x: np.bincount([-1, 1], x[:2]),
        lambda x: np.histogram(x, 0),
        lambda x: np.histogram(x, 2.5),
        lambda x: np.histogram(x, [1.0, 0.0]),
        lambda x: np.histogram(x, 3, (1, 0)),
        lambda x: np.histogram(x, 3, weights=x[:2]),
        lambda x: np.histogram(x, "auto", weights=x),
        lambda x: np.histogram(x / 0, 3),
        lambda x: np.histogram2d(x, x[:2]),
        lambda x: np.histogramdd([x, x], [1, 2, 3]),
        lambda x: np.histogramdd([x, x], 3, [(0, 1)]),
    ],
)
def test_what_numpy_refuses_is_refused_with_the_same_kind_of_error(call: Any) -> None:
    with np.errstate(all="ignore"):
        with pytest.raises(Exception) as expected:
            call(DATA)
        with pytest.raises(expected.type):
            call(tg.tensor(DATA))


def test_booleans_are_counted_as_numbers() -> None:
    with pytest.warns(RuntimeWarning, match="Converting input from bool"):
        assert_as_numpy(lambda x: np.histogram(x, 2)[0], [True, False, True])


@pytest.mark.parametrize("dtype", [np.float32, np.complex64, np.float64])
@pytest.mark.parametrize("options", [{}, {"fweights": [1, 2, 1]}, {"aweights": [0.5, 2, 1]}, {"ddof": 0}])
def test_a_covariance_has_numpys_dtype(options: dict[str, Any], dtype: Any) -> None:
    x = np.array([[1.0, 4, 2], [0, -1, 5]])
    found, expected = (np.cov(x, dtype=dtype, **options) for x in (leaf(x), x))
    np.testing.assert_allclose(found.data, expected, rtol=1e-6, strict=True)
    found, expected = (np.corrcoef(x, dtype=dtype) for x in (leaf(x), x))
    np.testing.assert_allclose(found.data, expected, rtol=1e-6, strict=True)
