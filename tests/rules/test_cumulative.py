"""Products with zeros, spacings, and the errors of the running and neighbouring functions."""

from typing import Any

import numpy as np
import pytest
from kit import check_gradient

import tinygrad_np as tg
from tinygrad_np.errors import ShapeError

# ---------------------------------------------------------- cumprod with zeros: exact, without dividing, to every order


@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("zeros", [0, 1, 2, 3])
def test_cumprod_with_zeros_is_exact(zeros: int, order: int) -> None:
    x = np.array([0.0] * zeros + [1.5, -0.7, 2.0, 0.6][zeros:])
    check_gradient(np.cumprod, [x[[2, 0, 3, 1]]], order)
    check_gradient(lambda a: np.cumprod(a, axis=0), [np.stack([x, x[::-1]], axis=1)], order)


@pytest.mark.parametrize("length", range(1, 10))
def test_cumprod_has_whole_numbers_where_it_should(length: int) -> None:
    """Each element's gradient is the sum, over the results from it onwards, of the products without it."""
    x = np.arange(length, dtype=float) - length // 2
    leaf = tg.tensor(x, requires_grad=True)
    np.sum(np.cumprod(leaf)).backward()
    expected = [sum(np.prod(np.delete(x[:stop], k)) for stop in range(k + 1, length + 1)) for k in range(length)]
    np.testing.assert_array_equal(leaf.grad, expected)


def test_cumprod_of_long_rows_costs_no_recursion_limit() -> None:
    x = tg.tensor(np.ones((2, 100_001)), requires_grad=True)
    np.sum(np.cumprod(x, axis=1)).backward()
    np.testing.assert_array_equal(x.grad, np.broadcast_to(np.arange(100_001, 0, -1.0), (2, 100_001)))


@pytest.mark.skipif(not hasattr(np, "cumulative_prod"), reason="since NumPy 2.1")
def test_cumulative_prod_with_zeros_is_exact() -> None:
    x = np.array([2.0, 0.0, 1.5, 0.0])
    check_gradient(lambda t: np.cumulative_prod(t, include_initial=True), [x], order=2)


# ------------------------------------------------------------------------------------------------------------- spacings


@pytest.mark.parametrize("edge_order", [1, 2])
def test_even_coordinates_of_a_tensor_each_have_a_gradient(edge_order: Any) -> None:
    """NumPy takes even spacing as one number; then only the first two coordinates would seem to matter."""
    f = np.array([0.5, 1.5, 1.0, 3.0])
    check_gradient(lambda f, x: np.gradient(f, x, edge_order=edge_order), [f, np.arange(4.0)], order=2)


def test_a_gradient_along_several_axes_is_a_tuple_of_tensors() -> None:
    x = tg.tensor(np.arange(3.0), requires_grad=True)
    along_rows, along_columns = np.gradient(np.ones((3, 3)), x, 2.0)
    assert along_rows.requires_grad
    assert isinstance(along_columns, tg.Tensor)


# ------------------------------------------------------------------------------------------------------------ bad input


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda t: np.diff(t, -1), ValueError, "n=-1"),
        (lambda t: np.diff(t, axis=2), np.exceptions.AxisError, "axis 2 is out of bounds"),
        (lambda t: np.gradient(t, edge_order=3), ValueError, "edge_order must be 1 or 2, not 3"),
        (lambda t: np.gradient(t, 1.0, 2.0, 3.0), TypeError, "3 spacings for 2 axes"),
        (lambda t: np.gradient(t, np.ones(5), axis=0), ValueError, r"\(5,\) coordinates along an axis of length 2"),
        (lambda t: np.gradient(t, axis=0, edge_order=2), ValueError, "needs at least 3 elements"),
        (lambda t: np.trapezoid(t, axis=2), np.exceptions.AxisError, "axis 2 is out of bounds"),
        (lambda t: np.cumprod(t, axis=2), np.exceptions.AxisError, "axis 2 is out of bounds"),
    ],
)
def test_errors_say_what_is_wrong(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call(tg.tensor(np.ones((2, 3)), requires_grad=True))


@pytest.mark.skipif(not hasattr(np, "cumulative_sum"), reason="since NumPy 2.1")
def test_a_cumulative_sum_of_a_matrix_needs_an_axis() -> None:
    with pytest.raises(ShapeError, match=r"np\.cumulative_sum\(float64\(2, 3\)\).*axis"):
        np.cumulative_sum(tg.tensor(np.ones((2, 3)), requires_grad=True))
