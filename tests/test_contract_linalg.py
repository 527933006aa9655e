"""The edge-case contract of linear algebra: zeros, ties, singular matrices, and equal eigenvalues."""

from collections.abc import Callable
from math import comb
from typing import Any

import numpy as np
import pytest
from kit import check_gradient

import tinygrad_np as tg

Array = np.ndarray
RNG = np.random.default_rng(0)
BASES = [np.linalg.qr(RNG.normal(size=(2, 4, 4)) + c * 1j * RNG.normal(size=(2, 4, 4)))[0] for c in (0, 1)]
KINDS = pytest.mark.parametrize("kind", ["real", "complex"])


def both_orders(loss: Callable[[Any], Any], x: Array) -> tuple[Array, Array, Array]:
    """Value, gradient, and the gradient of half the squared gradient, of a real loss of one array."""
    leaf = tg.tensor(x, requires_grad=True)
    with np.errstate(all="ignore"):  # NumPy's own warnings, such as that of 0 ** -1
        value = loss(leaf)
        if not value.requires_grad:
            return value.data, np.zeros_like(x), np.zeros_like(x)
        slope = tg.gradients(value, leaf, create_graph=True)
    second = tg.gradients(np.sum(np.real(slope.conj() * slope)) / 2, leaf) if slope.requires_grad else np.zeros_like(x)
    leaf = tg.tensor(x, requires_grad=True)
    with np.errstate(all="ignore"):
        loss(leaf).backward()
    np.testing.assert_allclose(leaf.grad, slope.data, rtol=1e-12, atol=1e-14)
    return value.data, slope.data, second


def with_values(values: Any, kind: str) -> Array:
    """A matrix with these singular values, up to rounding."""
    left, right = BASES[kind == "complex"]
    return left * np.array(values) @ right


# --------------------------------------------------------------------- norms at 0: gradient 0, the smallest subgradient

VECTOR_ORDERS = [None, 2, 1, 3, 2.5, 1.5, 0.5, np.inf, -np.inf, 0, -1, -2]
MATRIX_ORDERS = [None, "fro", "f", "nuc", 1, -1, 2, -2, np.inf, -np.inf]


@KINDS
@pytest.mark.parametrize("order", VECTOR_ORDERS)
def test_vector_norm_at_0_has_gradient_0(order: Any, kind: str) -> None:
    for found in both_orders(lambda x: np.linalg.norm(x, order), np.zeros(3, complex if kind == "complex" else float)):
        np.testing.assert_array_equal(found, 0)


@KINDS
@pytest.mark.parametrize("order", MATRIX_ORDERS)
def test_matrix_norm_at_0_has_gradient_0(order: Any, kind: str) -> None:
    zero = np.zeros((2, 3), complex if kind == "complex" else float)
    for found in both_orders(lambda x: np.linalg.norm(x, order), zero):
        np.testing.assert_array_equal(found, 0)


@pytest.mark.parametrize("order", VECTOR_ORDERS)
def test_vector_norms_of_rows_of_which_one_is_zero(order: Any) -> None:
    rows = np.array([[0, 0, 0], [1.0, -2, 4]])
    _, slope, second = both_orders(lambda x: np.sum(np.linalg.norm(x, order, axis=1)), rows)
    _, expected, expected_second = both_orders(lambda x: np.linalg.norm(x, order), rows[1])
    np.testing.assert_allclose(slope, [[0, 0, 0], expected], rtol=1e-14)
    np.testing.assert_allclose(second, [[0, 0, 0], expected_second], rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("order", MATRIX_ORDERS)
def test_matrix_norms_of_a_stack_of_which_one_is_zero(order: Any) -> None:
    stack = np.array([[[0, 0], [0, 0]], [[1.0, -2], [4, 3]]])
    _, slope, second = both_orders(lambda x: np.sum(np.linalg.norm(x, order, axis=(1, 2))), stack)
    _, expected, expected_second = both_orders(lambda x: np.linalg.norm(x, order), stack[1])
    np.testing.assert_allclose(slope, [np.zeros((2, 2)), expected], rtol=1e-13)
    np.testing.assert_allclose(second, [np.zeros((2, 2)), expected_second], rtol=1e-11, atol=1e-15)


@pytest.mark.parametrize("order", [2, 4.5, 6])
def test_an_element_that_is_0_in_a_vector_that_is_not(order: Any) -> None:
    """These are smooth there, so the numerical derivative decides; NaN would come from 0 times infinity."""
    for level in (1, 2):
        check_gradient(lambda x: np.linalg.norm(x, order), [np.array([0.0, 3, -4])], level)


@pytest.mark.parametrize(("order", "slope"), [(1, [0, 1, -1]), (3, None), (1.5, None), (0.5, None), (-1, [0, 0, 0])])
def test_an_element_that_is_0_at_a_kink_has_gradient_0(order: Any, slope: Any) -> None:
    _, found, second = both_orders(lambda x: np.linalg.norm(x, order), np.array([0.0, 3, -4]))
    rest = both_orders(lambda x: np.linalg.norm(x, order), np.array([3.0, -4])) if slope is None else None
    np.testing.assert_allclose(found, [0, *rest[1]] if rest else slope, rtol=1e-14)
    assert np.all(np.isfinite(second))


@pytest.mark.parametrize("order", VECTOR_ORDERS)
@pytest.mark.parametrize("left_out", [np.nan, np.inf])
def test_norms_of_rows_that_are_left_out_contribute_zero(left_out: float, order: Any) -> None:
    rows = np.array([[1.0, left_out, 2], [1, -2, 4]])
    mask = np.array([False, True])
    _, slope, second = both_orders(lambda x: np.sum(np.where(mask, np.linalg.norm(x, order, axis=1), 0)), rows)
    _, expected, expected_second = both_orders(lambda x: np.linalg.norm(x, order), rows[1])
    np.testing.assert_allclose(slope, [[0, 0, 0], expected], rtol=1e-14)
    np.testing.assert_allclose(second, [[0, 0, 0], expected_second], rtol=1e-12, atol=1e-15)


# ------------------------------------------------------------------------------------ norms with ties: split evenly


@pytest.mark.parametrize(
    ("order", "x", "slope"),
    [
        (np.inf, [2.0, -2, 1], [0.5, -0.5, 0]),
        (-np.inf, [2.0, -2, 3], [0.5, -0.5, 0]),
        (1, [[1.0, -2], [3, 2]], [[0.5, -0.5], [0.5, 0.5]]),
        (-1, [[1.0, -2], [3, 2]], [[0.5, -0.5], [0.5, 0.5]]),
        (np.inf, [[1.0, -3], [2, 2]], [[0.5, -0.5], [0.5, 0.5]]),
        (-np.inf, [[1.0, -3], [2, 2]], [[0.5, -0.5], [0.5, 0.5]]),
        (2, [[3.0, 0], [0, 3]], [[0.5, 0], [0, 0.5]]),
        (-2, [[3.0, 0], [0, 3]], [[0.5, 0], [0, 0.5]]),
        ("nuc", [[3.0, 0], [0, 3]], [[1, 0], [0, 1]]),
    ],
)
def test_ties_share_evenly(order: Any, x: Any, slope: Any) -> None:
    _, found, second = both_orders(lambda x: np.linalg.norm(x, order), np.array(x))
    np.testing.assert_allclose(found, slope, atol=1e-15)
    assert np.all(np.isfinite(second))


NUCLEAR_NORMS: dict[str, Callable[[Any], Any]] = {
    "norm": lambda a: np.linalg.norm(a, "nuc"),
    "svdvals": lambda a: np.sum(np.linalg.svdvals(a)),
    "svd": lambda a: np.sum(np.linalg.svd(a).S),
    "svd(full_matrices=False)": lambda a: np.sum(np.linalg.svd(a, full_matrices=False).S),
    "lstsq": lambda a: np.sum(np.linalg.lstsq(a, np.ones(3))[3]),
}


@KINDS
@pytest.mark.parametrize("spelling", NUCLEAR_NORMS)
def test_nuclear_norm_of_a_singular_matrix_has_the_smallest_subgradient(spelling: str, kind: str) -> None:
    """The sum of the outer products of the singular vectors that have a value, and nothing of the others."""
    x, y = RNG.normal(size=(2, 3)) + (1j * RNG.normal(size=(2, 3)) if kind == "complex" else 0)
    _, slope, _ = both_orders(NUCLEAR_NORMS[spelling], np.outer(x, y.conj()))
    np.testing.assert_allclose(slope, np.outer(x, y.conj()) / np.linalg.norm(x) / np.linalg.norm(y), atol=1e-14)


def test_smallest_singular_value_that_is_0_has_gradient_0() -> None:
    _, slope, second = both_orders(lambda a: np.linalg.norm(a, -2), np.outer([1.0, 2, 3], [4, 5, 6]))
    np.testing.assert_array_equal([slope, second], 0)


# -------------------------------------------------- det: exact to every order, at singular matrices of any rank


@KINDS
@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("nullity", [1, 2, 3, 4])
def test_det_of_singular_matrices_is_exact(nullity: int, order: int, kind: str) -> None:
    a = with_values([2, 1.5, 1, 0.5][: 4 - nullity] + [0] * nullity, kind)
    check_gradient(np.linalg.det, [a], order)


@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("small", [1e-3, 1e-5, 1e-8, 1e-12, 1e-15])
def test_det_of_nearly_singular_matrices_is_exact(small: float, order: int) -> None:
    check_gradient(np.linalg.det, [with_values([2, 1, small, small / 7], "real")], order)


@pytest.mark.parametrize("order", [1, 2])
def test_det_of_a_stack_of_matrices_of_every_rank(order: int) -> None:
    stack = [with_values([2, 1.5, 1, 0.5][:rank] + [0] * (4 - rank), "real") for rank in range(5)]
    check_gradient(np.linalg.det, [np.array(stack).reshape(5, 1, 4, 4)], order)


def test_det_of_integers_that_are_singular_only_before_rounding() -> None:
    cofactors = [[-3.0, 6, -3], [6, -12, 6], [-3, 6, -3]]
    _, slope, second = both_orders(np.linalg.det, np.arange(1.0, 10).reshape(3, 3))
    np.testing.assert_allclose(slope, cofactors, rtol=1e-13)
    # The gradient of |C|**2 / 2 for the cofactors C, by hand: each cofactor is linear in each element.
    leaf = tg.tensor(np.arange(1.0, 10).reshape(3, 3), requires_grad=True)
    rows = [leaf[[i for i in range(3) if i != r]] for r in range(3)]
    minors = [
        (-1) ** (r + c) * (rows[r][0, p] * rows[r][1, q] - rows[r][0, q] * rows[r][1, p])
        for r in range(3)
        for c, (p, q) in enumerate([(1, 2), (0, 2), (0, 1)])
    ]
    expected = tg.gradients(np.sum(np.square(np.stack(minors))) / 2, leaf)
    np.testing.assert_allclose(second, expected, rtol=1e-12, atol=1e-11)


def test_det_of_singular_matrices_in_float32() -> None:
    a = np.array([[1, 2, 3], [4, 5, 6], [7, 8, 9]], np.float32)
    _, slope, second = both_orders(np.linalg.det, a)
    _, exact, exact_second = both_orders(np.linalg.det, a.astype(float))
    assert slope.dtype == second.dtype == np.float32
    np.testing.assert_allclose(slope, exact, atol=1e-4)
    np.testing.assert_allclose(second, exact_second, atol=1e-3)


@pytest.mark.parametrize("size", [4, 6, 8, 10])  # condition numbers from 1e4 to 1e13
def test_det_of_matrices_of_ever_smaller_singular_values(size: int) -> None:
    """Hilbert matrices, whose cofactors are known: the elements of the inverse are whole numbers."""
    i = np.arange(1, size + 1)
    _, slope, _ = both_orders(np.linalg.det, 1 / (i[:, None] + i - 1))
    ratios = np.array(hilbert_inverse(size), float) / hilbert_inverse(size)[size // 2][size // 2]
    np.testing.assert_allclose(slope / slope[size // 2, size // 2], ratios, rtol=1e-3, atol=1e-3)


def hilbert_inverse(n: int) -> list[list[int]]:
    def element(i: int, j: int) -> int:
        ways = comb(n + i - 1, n - j) * comb(n + j - 1, n - i) * comb(i + j - 2, i - 1) ** 2
        return (-1) ** (i + j) * (i + j - 1) * ways

    return [[element(i, j) for j in range(1, n + 1)] for i in range(1, n + 1)]


def test_det_of_nan_is_nan_and_does_not_raise() -> None:
    _, slope, _ = both_orders(np.linalg.det, np.array([[np.nan, 1], [1, 2]]))
    assert np.all(np.isnan(slope))
    stack = np.array([[[np.nan, 1], [1, 2]], [[1, 2], [2, 4]]])
    _, slope, _ = both_orders(lambda a: np.sum(np.linalg.det(a)), stack)
    assert np.all(np.isnan(slope[0]))
    np.testing.assert_allclose(slope[1], [[4, -2], [-2, 1]])


def test_det_is_as_good_for_large_matrices() -> None:
    a = RNG.normal(size=(60, 60)) / 4
    det, slope, _ = both_orders(np.linalg.det, a)
    np.testing.assert_allclose(slope, det * np.linalg.inv(a).T, rtol=1e-9)
    a[:, 7] = a[:, 3]  # now the cofactors of all columns but these two are 0
    _, slope, _ = both_orders(np.linalg.det, a)
    np.testing.assert_allclose(np.sum(slope * a, axis=0), 0, atol=1e-9 * abs(slope).max())
    np.testing.assert_allclose(np.delete(slope, [3, 7], axis=1), 0, atol=1e-9 * abs(slope).max())
    np.testing.assert_allclose(slope[:, 7], -slope[:, 3], rtol=1e-6)
    b = a.copy()
    b[:, 7] = RNG.normal(size=60)  # a determinant is linear in each column
    np.testing.assert_allclose(np.sum(slope[:, 7] * b[:, 7]), np.linalg.det(b), rtol=1e-9)


@KINDS
def test_slogdet_of_a_singular_matrix_that_is_left_out_has_gradient_0(kind: str) -> None:
    stack = np.stack([with_values([2, 1, 0, 0], "real") * 0, with_values([2, 1.5, 1, 0.5], kind)])

    def loss(a: Any) -> Any:
        log = np.linalg.slogdet(a).logabsdet
        return np.sum(np.where(np.isfinite(log), log, 0))

    value, slope, second = both_orders(loss, stack)
    assert value == pytest.approx(np.log(1.5))
    np.testing.assert_array_equal([slope[0], second[0]], 0)
    np.testing.assert_allclose(slope[1], np.linalg.inv(stack[1]).conj().T, rtol=1e-12)
    assert np.all(np.isfinite(second))


def test_slogdet_of_a_singular_matrix_has_no_gradient() -> None:
    value, slope, _ = both_orders(lambda a: np.linalg.slogdet(a)[1], np.zeros((2, 2)))
    assert value == -np.inf
    assert np.all(np.isnan(slope))


# -------------------------------------------------------------- infinite condition numbers: constant, gradient 0


@pytest.mark.parametrize("p", [None, 2, "fro", 1, -1, np.inf, -np.inf])  # for "nuc" NumPy raises LinAlgError
def test_cond_of_a_singular_matrix_is_infinite_with_gradient_0(p: Any) -> None:
    stack = np.array([[[0, 0], [0, 0]], [[2.0, 1], [0, 3]]])
    value, slope, second = both_orders(lambda a: np.sum(np.linalg.cond(a, p)), stack)
    _, expected, expected_second = both_orders(lambda a: np.linalg.cond(a, p), stack[1])
    assert value == np.inf
    np.testing.assert_array_equal([slope[0], second[0]], 0)
    np.testing.assert_allclose([slope[1], second[1]], [expected, expected_second], rtol=1e-10, atol=1e-14)


# ------------------------------------- pinv, lstsq of matrices whose rank is not full: the derivative at constant rank


@KINDS
def test_pinv_of_a_zero_matrix_has_gradient_0(kind: str) -> None:
    zero = np.zeros((2, 3), complex if kind == "complex" else float)
    for found in both_orders(lambda a: np.sum(np.linalg.pinv(a)).real, zero):
        np.testing.assert_array_equal(found, 0)


def test_lstsq_of_a_singular_matrix_agrees_with_pinv() -> None:
    a, b = np.outer([1.0, 2, 3], [4, 5]), np.array([1.0, -1, 2])
    by_lstsq = both_orders(lambda a: np.sum(np.linalg.lstsq(a, b, rcond=1e-9)[0] ** 3), a)
    by_pinv = both_orders(lambda a: np.sum((np.linalg.pinv(a, 1e-9) @ b) ** 3), a)
    for found, expected in zip(by_lstsq, by_pinv, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-15)


# ---------------------- equal eigenvalues and singular values: exact for losses of the values, finite for all others

EQUAL = {"identity": np.eye(4), "two pairs": [2, 2, 5, 5], "three of four": [3, 3, 3, 1]}


def hermitian(name: str, kind: str) -> Array:
    if name == "identity":
        return np.eye(4, dtype=complex if kind == "complex" else float)
    v = BASES[kind == "complex"][0]
    return v * np.array(EQUAL[name]) @ v.conj().T


@KINDS
@pytest.mark.parametrize("name", EQUAL)
def test_gradient_of_equal_eigenvalues_is_exact(name: str, kind: str) -> None:
    a = hermitian(name, kind)
    below = np.tril(2 * a @ a * 3, -1) + np.diag(np.diag(3 * a @ a)).real
    for values in (np.linalg.eigvalsh, lambda a: np.linalg.eigh(a).eigenvalues):
        _, slope, second = both_orders(lambda a, values=values: np.sum(values(a) ** 3), a)
        np.testing.assert_allclose(slope, below, atol=1e-12)
        assert np.all(np.isfinite(second))


@KINDS
@pytest.mark.parametrize("name", EQUAL)
def test_gradient_of_equal_eigenvalues_of_any_matrix_is_exact(name: str, kind: str) -> None:
    a = hermitian(name, kind)
    for values in (np.linalg.eigvals, lambda a: np.linalg.eig(a).eigenvalues):
        _, slope, second = both_orders(lambda a, values=values: np.sum(values(a) ** 3).real, a)
        np.testing.assert_allclose(slope, 3 * (a @ a).conj().T, atol=1e-11)
        assert np.all(np.isfinite(second))


@KINDS
@pytest.mark.parametrize("name", EQUAL)
def test_gradient_of_equal_singular_values_is_exact(name: str, kind: str) -> None:
    a = hermitian(name, kind) @ BASES[kind == "complex"][1]
    for values in (np.linalg.svdvals, lambda a: np.linalg.svd(a).S, lambda a: np.linalg.svd(a, compute_uv=False)):
        _, slope, second = both_orders(lambda a, values=values: np.sum(values(a) ** 4), a)
        np.testing.assert_allclose(slope, 4 * a @ a.conj().T @ a, rtol=1e-11, atol=1e-11)
        assert np.all(np.isfinite(second))


@KINDS
@pytest.mark.parametrize("name", EQUAL)
def test_a_loss_that_does_not_depend_on_the_choice_of_vectors_has_finite_gradients(name: str, kind: str) -> None:
    a = hermitian(name, kind)

    def adjoint(x: Any) -> Any:
        return np.swapaxes(x, -1, -2).conj()

    def root(a: Any) -> Any:
        w, v = np.linalg.eigh(a)
        return np.sum(np.real((v * np.sqrt(w)) @ adjoint(v)))

    def polar(a: Any) -> Any:
        u, _, vh = np.linalg.svd(a)
        return np.sum(np.real(u @ vh))

    def again(a: Any) -> Any:
        w, v = np.linalg.eig(a)
        return np.sum(np.real((v * w) @ np.linalg.inv(v)))

    for loss in (root, polar, again):
        for found in both_orders(loss, a):
            assert np.all(np.isfinite(found))
            assert np.max(np.abs(found)) < 100


def test_qr_of_a_matrix_without_full_rank_that_is_left_out_has_gradient_0() -> None:
    stack = np.array([[[1.0, 1], [0, 0]], [[2.0, 1], [1, 3]]])

    def loss(a: Any) -> Any:
        r = np.abs(np.linalg.qr(a).R[:, 1, 1])
        return np.sum(np.where(r > 0, np.log(r), 0))

    _, slope, second = both_orders(loss, stack)
    np.testing.assert_array_equal([slope[0], second[0]], 0)
    assert np.all(np.isfinite([slope, second]))
    assert np.any(slope[1])
