"""Polynomials that NumPy shortens by value, np.poly1d, and what NumPy refuses or warns of."""

from typing import Any

import numpy as np
import pytest
from kit import assert_as_numpy

import tinygrad_np as tg

P = np.array([1.0, -3.0, 2.0])


def leaf(values: Any) -> tg.Tensor:
    return tg.tensor(values, requires_grad=True)


def test_roots_move_with_the_coefficients_as_the_roots_formula_says() -> None:
    p = leaf(P)  # (x - 2) (x - 1), where dx/dp = -x**power / p'(x)
    roots = np.roots(p)
    np.testing.assert_allclose(roots.data, [2, 1])
    np.testing.assert_allclose(tg.gradients(roots[0], p, retain_graph=True), [-4, -2, -1])
    np.testing.assert_allclose(tg.gradients(roots[1], p), [1, 1, 1])


@pytest.mark.parametrize("p", [[0.0, 0.0], [0.0, 2.0, 0.0], [3.0], [1.0, 2.0, 5.0], [0.0, 1.0, -1.0, 0.0, 0.0]])
def test_roots_are_numpys(p: list[float]) -> None:
    np.testing.assert_array_equal(np.roots(tg.tensor(p)).data, np.roots(p), strict=True)


@pytest.mark.parametrize("zeros", [[], [1.0, 2.0], [1, 2], [1j, -1j], [1j, 2.0], [[2, 1], [1, 2]], 1j * np.eye(2)])
def test_coefficients_of_roots_are_numpys(zeros: Any) -> None:
    found = np.poly(tg.tensor(zeros))
    expected = np.poly(zeros)
    np.testing.assert_allclose(getattr(found, "data", found), expected, rtol=1e-14)
    assert np.result_type(found) == np.result_type(expected)


@pytest.mark.parametrize(("a", "b"), [([0, 0], [1, 2]), ([0, 1], [0, 3]), ([1, 2, 1], [1, 1]), ([0], [2])])
def test_leading_zeros_leave_products_and_remainders_as_numpy_leaves_them(a: list[int], b: list[int]) -> None:
    np.testing.assert_array_equal(np.polymul(tg.tensor(a), b).data, np.polymul(a, b), strict=True)
    if b[0]:
        for ours, theirs in zip(np.polydiv(tg.tensor(a), b), np.polydiv(a, b), strict=True):
            np.testing.assert_array_equal(ours.data, theirs, strict=True)


def test_poly1d_holds_tensors() -> None:
    p, x = leaf(P), leaf(3.0)
    polynomial = np.poly1d(p)
    product = (polynomial * polynomial.deriv())(x)
    product.backward()
    assert product.item() == (P @ [9, 3, 1]) * (P @ [6, 1, 0])
    np.testing.assert_array_equal(p.grad, np.array([9, 3, 1]) * 3 + 2 * np.array([6, 1, 0]))
    assert x.grad == 3**2 + 2 * 2


@pytest.mark.parametrize("function", [np.polyadd, np.polysub, np.polymul, np.polydiv, np.polyval])
def test_a_poly1d_among_the_operands_makes_one(function: Any) -> None:
    other = np.poly1d([2.0, 1.0])
    ours, theirs = function(leaf(P), other), function(P, other)
    for a, b in zip(*((x if isinstance(x, tuple) else (x,)) for x in (ours, theirs)), strict=True):
        assert type(a) is type(b) is np.poly1d
        assert a.coeffs.requires_grad
        np.testing.assert_array_equal(a.coeffs.data, b.coeffs)


def test_a_poor_fit_is_warned_of() -> None:
    with pytest.warns(np.exceptions.RankWarning, match="poorly conditioned") as caught:
        np.polyfit(np.ones(3), tg.tensor([1.0, 2.0, 3.0]), 1)
    assert caught[0].filename == __file__


@pytest.mark.parametrize(
    "call",
    [
        lambda p: np.vander(p.reshape(1, 3)),
        lambda p: np.poly(p.reshape(1, 3)),
        lambda p: np.roots(p.reshape(1, 3)),
        lambda p: np.polyder(p, -1),
        lambda p: np.polyint(p, -1),
        lambda p: np.polyint(p, 3, k=[1.0, 2.0]),
        lambda p: np.polyfit(p, p, -1),
        lambda p: np.polyfit(p, p[:2], 1),
        lambda p: np.polyfit(p.reshape(1, 3), p, 1),
        lambda p: np.polyfit(p, p, 1, w=p[:2]),
        lambda p: np.polyfit(p, p, 2, cov=True),
    ],
)
def test_what_numpy_refuses_is_refused_with_the_same_kind_of_error(call: Any) -> None:
    with pytest.raises(Exception) as expected:
        call(P)
    with pytest.raises(expected.type):
        call(tg.tensor(P))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.int8])
def test_coefficients_have_numpys_dtype(dtype: Any) -> None:
    assert_as_numpy(np.poly, np.array([1, 2], dtype))
