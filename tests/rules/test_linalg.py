"""Linear algebra beyond the cases: errors, what is read and what is not, and what has no gradient."""

import gc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from kit import assert_as_numpy, check_gradient

import tinygrad_np as tg
from tinygrad_np.errors import GradientError, ShapeError, UnsupportedArgumentError

Array = np.ndarray
RNG = np.random.default_rng(0)
MATRIX = RNG.normal(size=(3, 3))
COMPLEX = MATRIX + 1j * RNG.normal(size=(3, 3))


def gradient(loss: Callable[[Any], Any], x: Any) -> Array:
    leaf = tg.tensor(x, requires_grad=True)
    loss(leaf).backward()
    assert leaf.grad is not None
    return leaf.grad


# ---------------------------------------------------------------------------------------------------------- errors

ILL_POSED: dict[str, tuple[Callable[..., Any], Any]] = {
    "inverse of a singular matrix": (np.linalg.inv, np.ones((2, 2))),
    "inverse of a stack of which one is singular": (np.linalg.inv, np.stack([np.ones((2, 2)), np.eye(2)])),
    "solution of a singular system": (lambda a: np.linalg.solve(a, np.ones(2)), np.ones((2, 2))),
    "cholesky of an indefinite matrix": (np.linalg.cholesky, -np.eye(2)),
    "negative power of a singular matrix": (lambda a: np.linalg.matrix_power(a, -2), np.ones((2, 2))),
    "singular tensor": (np.linalg.tensorinv, np.ones((2, 2, 4))),
    "system of singular tensors": (lambda a: np.linalg.tensorsolve(a, np.ones(4)), np.ones((4, 2, 2))),
    "tensor that is not square": (lambda a: np.linalg.tensorsolve(a, np.ones(2)), np.ones((2, 3))),
    "determinant of a matrix that is not square": (np.linalg.det, np.ones((2, 3))),
    "power of a matrix that is not square": (lambda a: np.linalg.matrix_power(a, 1), np.ones((2, 3))),
    "eigenvalues of a vector": (np.linalg.eigh, np.ones(3)),
    "eigenvalues of infinity": (np.linalg.eigvals, np.full((2, 2), np.inf)),
    "singular values of NaN": (np.linalg.svdvals, np.full((2, 2), np.nan)),
    "least squares of shapes that do not fit": (lambda a: np.linalg.lstsq(a, np.ones(3)), np.ones((2, 2))),
    "condition number of nothing": (np.linalg.cond, np.ones((0, 2))),
    "chain with a stack": (lambda a: np.linalg.multi_dot([a, a, a]), np.ones((2, 2, 2))),
    "two-dimensional cross product": (lambda a: np.linalg.cross(a, a), np.ones(2)),
    "outer product of matrices": (lambda a: np.linalg.outer(a, a), np.ones((2, 2))),
    "chain of one": (lambda a: np.linalg.multi_dot([a]), np.ones((2, 2))),
    "ind that is not positive": (lambda a: np.linalg.tensorinv(a, 0), np.ones((2, 2))),
    "unknown norm of a vector": (lambda a: np.linalg.norm(a, "nuc"), np.ones(2)),
    "unknown norm of a matrix": (lambda a: np.linalg.norm(a, 3), np.ones((2, 2))),
    "matrix norm of one axis twice": (lambda a: np.linalg.norm(a, 1, axis=(0, 0)), np.ones((2, 2))),
    "norm of three axes": (lambda a: np.linalg.norm(a, 2), np.ones((2, 2, 2))),
    "norm along an axis that is not there": (lambda a: np.linalg.norm(a, axis=2), np.ones((2, 2))),
    "rcond and rtol": (lambda a: np.linalg.pinv(a, 0.1, rtol=0.1), np.ones((2, 2))),
    "triangle that is neither": (lambda a: np.linalg.eigh(a, "M"), np.ones((2, 2))),
    "qr in an unknown mode": (lambda a: np.linalg.qr(a, "thin"), np.ones((2, 2))),
    "cross product of other lengths": (lambda a: np.cross(a, a), np.ones(4)),
    "power that is not whole": (lambda a: np.linalg.matrix_power(a, 0.5), np.ones((2, 2))),
}


@pytest.mark.parametrize("name", ILL_POSED)
def test_what_numpy_refuses_is_refused_with_the_same_exception(name: str) -> None:
    function, array = ILL_POSED[name]
    with pytest.raises(Exception) as numpys:
        function(array)
    with pytest.raises(numpys.type):
        function(tg.tensor(array, requires_grad=True))


@pytest.mark.parametrize("mode", ["raw", "economic"])
def test_qr_in_the_form_of_lapack_is_refused(mode: str) -> None:
    with pytest.raises(UnsupportedArgumentError, match="mode='reduced'"):
        np.linalg.qr(tg.tensor(MATRIX, requires_grad=True), mode)


def test_messages_name_the_call() -> None:
    t = tg.tensor(np.ones((2, 2)), requires_grad=True)
    with pytest.raises(ShapeError, match=r"np\.linalg\.outer takes vectors, not shapes \(2, 2\)"):
        np.linalg.outer(t, t)
    with pytest.raises(np.linalg.LinAlgError, match=r"np\.linalg\.tensorsolve: shape \(2, 2\) is not square"):
        np.linalg.tensorsolve(t, np.ones((2, 2)))


def test_qr_without_full_rank_has_no_gradient() -> None:
    slope = gradient(lambda a: np.sum(np.linalg.qr(a).Q ** 3), np.array([[1.0, 1], [0, 0]]))
    assert np.any(np.isnan(slope))


# ------------------------------------------------------------------------ losses that depend on LAPACK's choice


@pytest.mark.parametrize(
    ("loss", "x"),
    [
        (lambda a: np.sum(np.linalg.eigh(a).eigenvectors.real), COMPLEX),
        (lambda a: np.sum(np.linalg.svd(a).U.real), COMPLEX),
        (lambda a: np.sum(np.linalg.svd(a).Vh.imag), COMPLEX),
        (lambda a: np.sum(np.linalg.svd(a).U[:, 2:]), np.vstack([MATRIX[:, :2]] * 2)),
        (lambda a: np.sum(np.linalg.svd(a).Vh[2:] ** 3), np.hstack([MATRIX[:2]] * 2)),
    ],
)
def test_a_loss_that_depends_on_the_choice_of_vectors_has_no_gradient(loss: Any, x: Array) -> None:
    with pytest.raises(GradientError, match=r"depends on which (eigen|singular )vectors LAPACK happens to choose"):
        gradient(loss, x)


@pytest.mark.parametrize("order", [1, 2])
def test_a_loss_that_fixes_the_choice_has_a_gradient(order: int) -> None:
    def fixed(a: Any) -> Any:
        u, s, vh = np.linalg.svd(a)
        phases = np.exp(-1j * np.angle(u[:1]))
        return s, u * phases, vh / phases.reshape(-1, 1)

    check_gradient(fixed, [COMPLEX], order)


# --------------------------------------------------------------------- one triangle of a Hermitian matrix is read

ONE_TRIANGLE: dict[str, tuple[Callable[[Any], Any], bool]] = {
    "cholesky": (np.linalg.cholesky, True),
    "cholesky, upper": (lambda a: np.linalg.cholesky(a, upper=True), False),
    "eigvalsh": (np.linalg.eigvalsh, True),
    "eigvalsh, U": (lambda a: np.linalg.eigvalsh(a, "U"), False),
    "eigh, u": (lambda a: np.linalg.eigh(a, UPLO="u").eigenvalues, False),
    "pinv": (lambda a: np.linalg.pinv(a, hermitian=True), True),
    "svd": (lambda a: np.linalg.svd(a, hermitian=True).S, True),
    "singular values": (lambda a: np.linalg.svd(a, compute_uv=False, hermitian=True), True),
}


@pytest.mark.parametrize("name", ONE_TRIANGLE)
def test_the_gradient_is_in_the_triangle_that_is_read(name: str) -> None:
    function, lower = ONE_TRIANGLE[name]
    a = COMPLEX + 9 * np.eye(3) + np.diag([1, 2, 3])
    slope = gradient(lambda a: np.sum(np.abs(function(a)) ** 2), a)
    unread = np.tri(3, k=-1, dtype=bool).T if lower else np.tri(3, k=-1, dtype=bool)
    np.testing.assert_array_equal(slope[unread], 0)
    np.testing.assert_array_equal(np.diag(slope).imag, 0)
    assert np.all(slope[unread.T] != 0)
    changed = np.where(unread, 7, a) + 1j * np.eye(3)
    np.testing.assert_array_equal(gradient(lambda a: np.sum(np.abs(function(a)) ** 2), changed), slope)


# ----------------------------------------------------------------------------------------------------- what else holds


def test_matrix_rank_is_constant() -> None:
    rank = np.linalg.matrix_rank(tg.tensor(np.ones((2, 3)), requires_grad=True))
    assert not rank.requires_grad
    assert rank.item() == 1


@pytest.mark.parametrize("function", [np.linalg.eig, np.linalg.eigh, np.linalg.qr, np.linalg.slogdet, np.linalg.svd])
def test_results_have_names(function: Any) -> None:
    result = function(tg.tensor(MATRIX + 9 * np.eye(3), requires_grad=True))
    assert result._fields == function(MATRIX)._fields
    assert all(isinstance(part, tg.Tensor) for part in result)


def test_matrix_power_is_a_tensor_of_its_own() -> None:
    t = tg.tensor(MATRIX, requires_grad=True)
    first = np.linalg.matrix_power(t, 1)
    first += 1
    np.testing.assert_array_equal(t.data, MATRIX)
    np.testing.assert_array_equal(np.linalg.matrix_power(t, 0).data, np.eye(3))


def test_real_matrices_with_complex_eigenvalues_have_real_gradients() -> None:
    slope = gradient(lambda a: np.sum(np.abs(np.linalg.eigvals(a)) ** 2), np.array([[1.0, 2], [-2, 1]]))
    assert slope.dtype == np.float64
    np.testing.assert_allclose(slope, 2 * np.array([[1, 2], [-2, 1]]))  # |w|**2 is the determinant, for both


def test_solving_costs_no_more_than_the_shapes_say() -> None:
    """One matrix for many right sides: its gradient is summed over them."""
    a, b = tg.tensor(MATRIX, requires_grad=True), tg.tensor(RNG.normal(size=(5, 3, 2)), requires_grad=True)
    x = np.linalg.solve(a, b)
    x.backward(np.ones((5, 3, 2)))
    back = np.linalg.solve(MATRIX.T, np.ones((3, 2)))
    np.testing.assert_allclose(b.grad, np.broadcast_to(back, (5, 3, 2)))
    np.testing.assert_allclose(a.grad, -np.einsum("ik,njk->ij", back, x.data))


def test_residuals_and_singular_values_of_lstsq_have_gradients() -> None:
    a, b = RNG.normal(size=(5, 2)), RNG.normal(size=5)

    def residuals(a: Any, b: Any) -> Any:
        return np.linalg.lstsq(a, b, rcond=None)[1]

    def singular_values(a: Any) -> Any:
        return np.linalg.lstsq(a, b, rcond=None)[3]

    for order in (1, 2):
        check_gradient(residuals, [a, b], order)
        check_gradient(singular_values, [a], order)


def test_pinv_that_cuts_off_is_differentiated_as_it_cuts() -> None:
    """Not as if what was cut off were zero: the part that is kept turns with it."""
    a = MATRIX + np.diag([8.0, 4, 1])
    check_gradient(lambda a: np.linalg.pinv(a, rcond=0.3), [a], 1)
    as_if_zero = gradient(lambda a: np.sum(np.linalg.pinv(a, rcond=0.3)), _rank_one_or_two(a))
    as_it_is = gradient(lambda a: np.sum(np.linalg.pinv(a, rcond=0.3)), a)
    assert np.max(np.abs(as_if_zero - as_it_is)) > 1e-3


def _rank_one_or_two(a: Array) -> Array:
    u, s, vh = np.linalg.svd(a)
    kept = np.where(s > 0.3 * s[0], s, 0)
    assert 0 < np.count_nonzero(kept) < 3
    return (u * kept) @ vh


def test_a_component_of_a_cross_product_depends_on_the_other_components() -> None:
    a, b = RNG.normal(size=(2, 4, 3))
    slope = gradient(lambda t: np.sum(np.cross(t, b)[..., 2]), a)
    np.testing.assert_allclose(slope, np.stack([b[:, 1], -b[:, 0], 0 * b[:, 0]], axis=-1))


def test_cross_product_of_vectors_in_the_plane_warns_as_numpy_does() -> None:
    a, b = RNG.normal(size=(2, 4, 2))
    with pytest.warns(DeprecationWarning, match="2-dimensional vectors"):
        expected = np.cross(a, b)
    t = tg.tensor(a, requires_grad=True)
    with pytest.warns(DeprecationWarning, match="2-dimensional vectors"):
        product = np.cross(t, b)
    np.testing.assert_array_equal(product.data, expected)
    product.backward(np.ones(4))
    np.testing.assert_allclose(t.grad, np.stack([b[:, 1], -b[:, 0]], axis=-1))


def test_cross_product_of_a_vector_in_the_plane_with_one_in_space() -> None:
    a, b = RNG.normal(size=2), RNG.normal(size=3)
    t = tg.tensor(a, requires_grad=True)
    with pytest.warns(DeprecationWarning, match="2-dimensional vectors"):
        np.testing.assert_array_equal(np.cross(t, b).data, np.cross(a, b))
    with pytest.warns(DeprecationWarning, match="2-dimensional vectors"):
        np.sum(np.cross(t, b) * [1, 2, 3]).backward()
    np.testing.assert_allclose(t.grad, np.cross(b, [1, 2, 3])[:2])


def test_multi_dot_multiplies_in_the_cheapest_order() -> None:
    row, column = tg.tensor(np.ones((1, 200)), requires_grad=True), np.ones((200, 1))
    product = np.linalg.multi_dot([column, row, column, row.data])
    assert product._node is not None
    shapes = {parent.shape for parent in product._node.parents if parent is not None}
    assert (200, 200) not in shapes, "the middle product is a number, and comes first"


@pytest.mark.parametrize("loss", ["det", "pinv", "slogdet", "svd", "eigh", "lstsq", "cond", "norm"])
def test_compiled_steps_take_the_course_of_the_matrix_at_hand(loss: str) -> None:
    """What was regular when a step was captured may be singular in a replay."""
    functions: dict[str, Callable[[Any], Any]] = {
        "det": np.linalg.det,
        "pinv": lambda a: np.sum(np.linalg.pinv(a, 0.01) ** 2),
        "slogdet": lambda a: np.linalg.slogdet(a + 0.01 * np.eye(3))[1],
        "svd": lambda a: np.sum(np.linalg.svd(a).S ** 3),
        "eigh": lambda a: np.sum(np.linalg.eigh(a).eigenvalues ** 3),
        "lstsq": lambda a: np.sum(np.linalg.lstsq(a, np.ones(3), 0.01)[0] ** 2),
        "cond": lambda a: np.linalg.cond(a + 0.01 * np.eye(3)),
        "norm": np.linalg.norm,
    }
    step = tg.compile(lambda a: tg.value_and_grad(functions[loss])(a))
    for a in (MATRIX, MATRIX, np.outer([1.0, 2, 3], [4, 5, 6]), np.zeros((3, 3)), 2 * MATRIX):
        for compiled, eager in zip(step(a), tg.value_and_grad(functions[loss])(a), strict=True):
            np.testing.assert_array_equal(np.asarray(compiled), np.asarray(eager))


# --------------------------------------------------------------------------------------------------------- as in NumPy


@pytest.mark.parametrize("norm", [np.linalg.norm, np.linalg.vector_norm])
def test_axes_of_a_norm_are_no_list(norm: Any) -> None:
    assert_as_numpy(lambda x: norm(x, ord=1, axis=[0]), MATRIX)


@pytest.mark.parametrize("n", [0, 1, 2, 5])
def test_power_of_a_boolean_matrix(n: int) -> None:
    assert_as_numpy(lambda x: np.linalg.matrix_power(x, n), MATRIX > 0)


def test_multi_dot_leaves_no_cycle_of_references() -> None:
    gc.collect()
    gc.disable()
    try:
        np.linalg.multi_dot([tg.tensor(MATRIX, requires_grad=True)] * 4)
        assert gc.collect() == 0
    finally:
        gc.enable()
