"""The public kit for property tests."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_np as tg
from tinygrad_np.testing import GradcheckError
from tinygrad_np.testing import strategies as ts

pytestmark = pytest.mark.usefixtures("scratch_table")


@given(ts.broadcastable_arrays(3))
def test_broadcastable_arrays_broadcast(arrays):
    assert len(arrays) == 3
    np.broadcast_shapes(*(x.shape for x in arrays))


@given(ts.arrays(dtype=ts.dtypes(complex=True)))
def test_arrays_keep_away_from_zero(x):
    assert x.dtype.char in "fdFD"
    assert np.all(np.abs(x) > 0.3)


@given(ts.arrays((2, 3), elements=ts.distinct))
def test_distinct_numbers_are(x):
    assert np.all(np.diff(np.sort(x.ravel())) > 0.1)


@given(st.data())
def test_axes_are_valid(data):
    shape = data.draw(ts.shapes())
    np.sum(np.ones(shape), axis=data.draw(ts.axes(len(shape))))


@given(ts.matmul_shapes(), ts.subscripts())
def test_shapes_fit_their_functions(shapes, einsum):
    np.matmul(*(np.ones(shape) for shape in shapes))
    subscripts, operands = einsum
    np.einsum(subscripts, *(np.ones(shape) for shape in operands))


@given(ts.well_conditioned(3), ts.positive_definite())
def test_matrices_are_far_from_singular(matrix, definite):
    assert np.linalg.cond(matrix) < 4.01
    np.testing.assert_array_equal(definite, definite.T)
    assert np.all(np.linalg.eigvalsh(definite) > 0.49)


def test_every_layout_keeps_the_values_and_changes_the_memory():
    x = np.arange(6.0).reshape(2, 3)
    for layout in ts.LAYOUTS.values():
        np.testing.assert_array_equal(layout(x), x)
        assert layout(x).strides != x.strides


@ts.for_all(ts.broadcastable_arrays(2), order=2)
def test_for_all_makes_a_test(x, y):
    return np.hypot(x, y)


@ts.for_all(ts.positive_definite(), ts.arrays(dtype=ts.dtypes()))
def test_for_all_takes_several_strategies(matrix, x):
    return np.linalg.cholesky(matrix), np.exp(x)


def test_what_fails_is_the_smallest_array_with_its_report():
    def forgetful(g, _y, x, _w):
        return g * (2 if x.ndim == 2 else 1)  # wrong for matrices only

    product = tg.defvjp(lambda x, w: x + w, forgetful, lambda g, _y, _x, _w: g, elementwise=True)

    # Of 200 examples one run in a hundred has no matrix.
    @ts.for_all(ts.broadcastable_arrays(2), max_examples=2000)
    def property_test(x, w):
        return product(x, w)

    with pytest.raises(GradcheckError) as failure:
        property_test()
    report = failure.value.report
    assert report.mistakes[0].input == "x[0, 0]"
    assert "x = np.array([[0.4]])" in report.snippet or "x = np.array([[-1.6]])" in report.snippet
    assert property_test.__name__ == "property_test"


def test_without_hypothesis_the_error_names_the_extra():
    program = """
import sys
sys.modules["hypothesis"] = None
import tinygrad_np as tg
assert tg.testing.gradcheck
try:
    import tinygrad_np.testing.strategies
except ImportError as error:
    print(error)
"""
    found = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert 'needs hypothesis: pip install "tinygrad_np[testing]", or in a clone' in found.stdout
