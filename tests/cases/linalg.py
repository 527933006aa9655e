"""Cases of ``rules/linalg.py``, ``rules/decompositions.py``, ``rules/norms.py`` and ``rules/vector_products.py``."""

from collections.abc import Callable
from typing import Any

import numpy as np

from cases.case import A, Case, case, distinct, positive
from tinygrad_np.rules import decompositions, linalg, norms, vector_products

DOUBLE = "NumPy makes a float64 array of what is no array"
SINGULAR = "equal columns make the matrix singular: see test_contract_linalg.py"
TIES = "equal columns are tied: see test_contract_linalg.py"
MATRIX = np.array([[3, 1, 0], [-1, 2, 1], [0, 1, 4]], np.float32)
SLOPE = np.array([1.5, -0.7, 0.4, 1.1], np.float32)


def regular(function: Callable[..., Any], by: float = 4) -> Callable[..., Any]:
    """The same function of ``a + by * I``, which has an inverse and singular values well apart from zero."""

    def spelling(a: Any, *rest: Any, **options: Any) -> Any:
        return function(a + by * np.eye(*a.shape[-2:], dtype=np.float32), *rest, **options)

    return spelling


def spread(function: Callable[..., Any], sign: float = 1) -> Callable[..., Any]:
    """The same function of ``a`` plus a diagonal that keeps eigenvalues and singular values well apart.

    With sign -1, every other eigenvalue is negative.
    """

    def spelling(a: Any, *rest: Any, **options: Any) -> Any:
        rows, columns = a.shape[-2:]
        steps = np.array([(4 + 5 * i) * sign**i for i in range(rows)], np.float32)
        return function(a + steps[:, None] * np.eye(rows, columns, dtype=np.float32), *rest, **options)

    return spelling


def low_rank(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same function of the product of two matrices, whose rank is less than its size, and does not change."""
    return lambda a, b, *rest, **options: function(a @ b, *rest, **options)


def kept_part(g: Any, a: Any) -> Any:
    return linalg.by_kept_part(g, np.linalg.pinv(a, 0.4), a)


def adjoint(x: Any) -> Any:
    return np.swapaxes(x, -1, -2).conj()


# A loss of eigenvectors or singular vectors has a gradient only if it does not depend on what is arbitrary in them, so
# where that is more than a sign, cases see them through these.


def projected(vectors: Any) -> Any:
    """A matrix in which a factor of absolute value 1 before each vector cancels, but which is not unitary."""
    return (vectors * SLOPE[: vectors.shape[-1]].astype(vectors.real.dtype)) @ adjoint(vectors)


def eigh_projected(a: Any, **options: Any) -> Any:
    w, v = np.linalg.eigh(a, **options)
    return w, projected(v)


def svd_projected(a: Any, **options: Any) -> Any:
    """Both kinds of vectors by themselves, and together, but for those that are arbitrary but for their subspace."""
    u, s, vh = np.linalg.svd(a, **options)
    k = s.shape[-1]
    weights = SLOPE[:k].astype(s.dtype)
    others = [x @ adjoint(x) for x in (u[..., k:], adjoint(vh)[..., k:]) if x.shape[-1]]
    return [
        *(s, projected(u[..., :k]), projected(adjoint(vh)[..., :k])),
        *((u[..., :k] * weights) @ vh[..., :k, :], *others),
    ]


def fixed_phase(v: Any) -> Any:
    """Eigenvectors of which the first element is real."""
    return v * np.exp(-1j * np.angle(v[..., :1, :]))


INVERSES = [
    case(np.linalg.inv, A(3, 3), spelling=regular(np.linalg.inv), complex=True, third=True),
    case(np.linalg.inv, A(2, 2, 2), spelling=regular(np.linalg.inv), complex=True),
    case(np.linalg.inv, A(1, 1), complex=True),
    case(np.linalg.inv, A(0, 0)),
    case(np.linalg.inv, A(0, 2, 2)),
    case(np.linalg.solve, A(3, 3), A(3), spelling=regular(np.linalg.solve), complex=True),
    case(np.linalg.solve, A(3, 3), A(3, 2), spelling=regular(np.linalg.solve), complex=True, third=True),
    case(np.linalg.solve, A(2, 2, 2), A(2), spelling=regular(np.linalg.solve), complex=True),
    case(np.linalg.solve, A(2, 2, 2), A(2, 2, 1), spelling=regular(np.linalg.solve), complex=True),
    case(np.linalg.solve, A(2, 2, 2), A(2, 2), spelling=regular(np.linalg.solve)),
    case(np.linalg.solve, A(2, 2), A(3, 2, 1), spelling=regular(np.linalg.solve)),
    case(np.linalg.solve, A(3, 1, 2, 2), A(2, 2, 2), spelling=regular(np.linalg.solve)),
    case(np.linalg.solve, MATRIX, A(3)),
    case(np.linalg.solve, A(3, 3), MATRIX, spelling=regular(np.linalg.solve)),
    case(np.linalg.solve, A(2, 2), [1, 2], spelling=regular(np.linalg.solve), exempt={"float32": DOUBLE}),
    case(np.linalg.solve, A(0, 0), A(0, 2)),
    case(np.linalg.tensorinv, A(2, 2, 4), spelling=lambda a: np.linalg.tensorinv(a + EYE_TENSOR), complex=True),
    case(np.linalg.tensorinv, A(4, 2, 2), 1, spelling=lambda a, ind: np.linalg.tensorinv(a + EYE_TENSOR.T, ind=ind)),
    case(np.linalg.tensorsolve, A(2, 2, 4), A(2, 2), spelling=lambda a, b: np.linalg.tensorsolve(a + EYE_TENSOR, b)),
    case(
        np.linalg.tensorsolve,
        A(4, 2, 2),
        A(2, 2),
        axes=(0,),
        spelling=lambda a, b, axes: np.linalg.tensorsolve(a + EYE_TENSOR.T, b, axes),
        complex=True,
    ),
    case(np.linalg.matrix_power, A(2, 2), 0),
    case(np.linalg.matrix_power, A(2, 2), 1),
    case(np.linalg.matrix_power, A(2, 2), 2, complex=True),
    case(np.linalg.matrix_power, A(2, 2), 3),
    case(np.linalg.matrix_power, A(2, 2, 2), 5, complex=True),
    case(np.linalg.matrix_power, A(2, 2), n=6),
    case(np.linalg.matrix_power, A(2, 2), -1, spelling=regular(np.linalg.matrix_power)),
    case(np.linalg.matrix_power, A(2, 2), -3, spelling=regular(np.linalg.matrix_power), complex=True),
]
EYE_TENSOR = 4 * np.eye(4, dtype=np.float32).reshape(2, 2, 4)

PSEUDO_INVERSES = [
    case(np.linalg.pinv, A(2, 3), complex=True, third=True, exempt={"stretched": SINGULAR}),
    case(np.linalg.pinv, A(3, 2), complex=True, exempt={"stretched": SINGULAR}),
    case(np.linalg.pinv, A(3, 3), spelling=regular(np.linalg.pinv)),
    case(np.linalg.pinv, A(2, 3, 2), spelling=regular(np.linalg.pinv), rtol=None, complex=True),
    case(np.linalg.pinv, A(3, 1), A(1, 3), spelling=low_rank(np.linalg.pinv), rcond=1e-6, complex=True),
    case(
        np.linalg.pinv, A(4, 2), A(2, 3), spelling=low_rank(np.linalg.pinv), rtol=1e-6, exempt={"stretched": SINGULAR}
    ),
    case(np.linalg.pinv, A(3, 3), spelling=spread(np.linalg.pinv), rcond=0.6, complex=True),
    case(np.linalg.pinv, A(2, 4, 3), spelling=spread(np.linalg.pinv), rcond=np.array([0.45, 0.75])),
    case(np.linalg.pinv, A(3, 3), spelling=spread(np.linalg.pinv, -1), hermitian=True, complex=True),
    case(np.linalg.pinv, A(3, 3), spelling=spread(np.linalg.pinv), hermitian=True, rcond=0.45, complex=True),
    case(np.linalg.pinv, A(0, 3)),
    case(linalg.by_kept_part, A(3, 3), A(3, 3), spelling=lambda g, a: kept_part(g, a + np.diag(SLOPE[:3]))),
    case(np.linalg.lstsq, A(4, 2), A(4), complex=True, exempt={"stretched": SINGULAR}),
    case(np.linalg.lstsq, A(4, 2), A(4, 2), complex=True, exempt={"stretched": SINGULAR}),
    case(np.linalg.lstsq, A(3, 3), A(3), spelling=regular(np.linalg.lstsq)),
    case(np.linalg.lstsq, A(2, 3), A(2, 2), complex=True, exempt={"stretched": SINGULAR}),
    case(np.linalg.lstsq, A(2, 3), A(2), rcond=-1, exempt={"stretched": SINGULAR}),
    case(np.linalg.lstsq, A(4, 3), A(4), spelling=spread(np.linalg.lstsq), rcond=0.45, complex=True),
    case(np.linalg.lstsq, A(3, 2), A(3, 0), exempt={"stretched": SINGULAR}),
]

DETERMINANTS = [
    case(np.linalg.det, A(3, 3), complex=True, third=True),
    case(np.linalg.det, A(2, 2, 2), complex=True),
    case(np.linalg.det, A(1, 1)),
    case(np.linalg.det, A(0, 0)),
    case(np.linalg.det, A(0, 2, 2)),
    case(linalg.adjugate, A(3, 3), spelling=lambda a: linalg.adjugate(a, np.linalg.det(a)), complex=True),
    case(np.linalg.slogdet, A(3, 3), complex=True, third=True, exempt={"stretched": SINGULAR}),
    case(np.linalg.slogdet, A(2, 2, 2), complex=True, exempt={"stretched": SINGULAR}),
    case(np.linalg.slogdet, A(0, 0)),
]

DECOMPOSITIONS = [
    case(np.linalg.cholesky, A(3, 3), spelling=regular(np.linalg.cholesky, 6), complex=True, third=True),
    case(np.linalg.cholesky, A(3, 3), spelling=regular(np.linalg.cholesky, 6), upper=True, complex=True),
    case(np.linalg.cholesky, A(2, 2, 2), spelling=regular(np.linalg.cholesky), complex=True),
    case(np.linalg.cholesky, A(0, 0)),
    case(np.linalg.qr, A(3, 3), complex=True, third=True, exempt={"stretched": SINGULAR}),
    case(np.linalg.qr, A(4, 2), complex=True, exempt={"stretched": SINGULAR}),
    case(np.linalg.qr, A(2, 4), spelling=regular(np.linalg.qr), complex=True),
    case(np.linalg.qr, A(2, 3, 2), mode="reduced", exempt={"stretched": SINGULAR}),
    case(np.linalg.qr, A(3, 2), "r", complex=True, exempt={"stretched": SINGULAR}),
    case(np.linalg.qr, A(2, 2, 3), mode="r", exempt={"stretched": SINGULAR}),
    case(np.linalg.qr, A(4, 2), mode="complete", complex=True, exempt={"stretched": SINGULAR}),
    case(np.linalg.qr, A(2, 3, 2), mode="complete", exempt={"stretched": SINGULAR}),
    case(np.linalg.qr, A(2, 3), mode="complete", exempt={"stretched": SINGULAR}),
    case(np.linalg.qr, A(3, 0)),
    # Real eigenvectors are determined up to a sign, and
    case(np.linalg.eigh, A(3, 3), spelling=spread(np.linalg.eigh), third=True),
    case(np.linalg.eigh, A(3, 3), "U", spelling=spread(np.linalg.eigh)),
    case(np.linalg.eigh, A(2, 2, 2), spelling=spread(np.linalg.eigh)),
    case(np.linalg.eigh, A(0, 0)),
    # complex ones of Hermitian matrices up to a factor of absolute value 1.
    case(np.linalg.eigh, A(3, 3), spelling=spread(eigh_projected), complex=True),
    case(np.linalg.eigh, A(3, 3), spelling=spread(eigh_projected), UPLO="u", complex=True),
    case(
        np.linalg.eigh,
        A(2, 2, 2),
        spelling=spread(lambda a: fixed_phase(np.linalg.eigh(a).eigenvectors + 0j)),
        complex=True,
        exempt={"float32": "the spelling makes complex numbers"},
    ),
    case(np.linalg.eigvalsh, A(3, 3), spelling=spread(np.linalg.eigvalsh), complex=True, third=True),
    case(np.linalg.eigvalsh, A(2, 2, 2), UPLO="U", spelling=spread(np.linalg.eigvalsh), complex=True),
    # LAPACK scales the eigenvectors of other matrices in a way that has a derivative.
    case(np.linalg.eig, A(3, 3), spelling=spread(np.linalg.eig), complex=True, third=True),
    case(np.linalg.eig, A(2, 2, 2), spelling=spread(np.linalg.eig), complex=True),
    case(np.linalg.eig, positive(2, 2), spelling=lambda a: np.linalg.eig(a * ROTATION)),
    case(np.linalg.eig, positive(3, 3), spelling=lambda a: np.linalg.eig(a + 3 * TURN)),
    case(np.linalg.eigvals, A(3, 3), spelling=spread(np.linalg.eigvals), complex=True, third=True),
    case(np.linalg.eigvals, positive(2, 2, 2), spelling=lambda a: np.linalg.eigvals(a * ROTATION)),
    # So do the singular vectors of real matrices, but for those that full_matrices=True adds.
    case(np.linalg.svd, A(3, 3), spelling=spread(np.linalg.svd), third=True),
    case(np.linalg.svd, A(4, 2), full_matrices=False, spelling=spread(np.linalg.svd)),
    case(np.linalg.svd, A(2, 2, 3), full_matrices=False, spelling=spread(np.linalg.svd)),
    case(np.linalg.svd, A(3, 3), spelling=spread(svd_projected), complex=True),
    case(np.linalg.svd, A(4, 2), spelling=spread(svd_projected), complex=True),
    case(np.linalg.svd, A(2, 4), spelling=spread(svd_projected), complex=True),
    case(np.linalg.svd, A(2, 3, 2), spelling=spread(svd_projected), full_matrices=False, complex=True),
    case(np.linalg.svd, A(2, 3), spelling=spread(svd_projected), full_matrices=False, complex=True),
    case(np.linalg.svd, A(3, 3), spelling=spread(svd_projected, -1), hermitian=True, complex=True),
    case(np.linalg.svd, A(2, 3), compute_uv=False, spelling=spread(np.linalg.svd), complex=True),
    case(np.linalg.svd, A(3, 3), compute_uv=False, hermitian=True, spelling=spread(np.linalg.svd, -1), complex=True),
    case(np.linalg.svd, A(0, 2), False),
    case(np.linalg.svdvals, A(2, 3, 2), spelling=spread(np.linalg.svdvals), complex=True, third=True),
    case(decompositions.decomposed, A(2, 2), full_matrices=False, hermitian=False, exempt={"stretched": SINGULAR}),
    case(decompositions.singular_values, A(2, 2), hermitian=False, exempt={"stretched": SINGULAR}),
    case(decompositions.orthogonalized, A(2, 2), mode="reduced", exempt={"stretched": SINGULAR}),
    case(decompositions.indifferent, A(2, 2), np.zeros(2, np.float32), vectors="vectors"),
]
ROTATION = np.array([[1, 2], [-2, 1]], np.float32)
TURN = np.array([[0, 1, 0], [-1, 0, 0], [0, 0, 2]], np.float32)

NORMS = [
    case(np.linalg.norm, A(3), complex=True, third=True),
    case(np.linalg.norm, A(2, 3), complex=True),
    case(np.linalg.norm, A(2, 3, 2), keepdims=True),
    case(np.linalg.norm, A()),
    case(np.linalg.norm, A(2, 3), axis=-1, complex=True),
    case(np.linalg.norm, A(2, 3), 2, 0, True),
    *(case(np.linalg.norm, A(3), p, complex=True) for p in (2, 1, 3, 2.5, 0.5, -1, -2, 0)),
    *(case(np.linalg.norm, distinct(3), p, complex=True) for p in (np.inf, -np.inf)),
    *(case(np.linalg.norm, A(2, 3), p, axis=1, complex=True) for p in (1, 3, -2, 0)),
    *(case(np.linalg.norm, distinct(2, 3), p, axis=-2, keepdims=True) for p in (np.inf, -np.inf)),
    *(case(np.linalg.norm, A(2, 3), p, complex=True) for p in ("fro", "f")),
    *(case(np.linalg.norm, A(3, 2), p, complex=True, exempt={"stretched": TIES}) for p in (1, -1, np.inf, -np.inf)),
    *(case(np.linalg.norm, A(3, 2), p, spelling=spread(np.linalg.norm), complex=True) for p in (2, -2, "nuc")),
    *(
        case(np.linalg.norm, A(2, 3, 2), p, (2, 0), spelling=spread(np.linalg.norm), exempt={"stretched": TIES})
        for p in (1, -1, np.inf, -np.inf, 2, -2, "nuc", "fro")
    ),
    *(
        case(np.linalg.norm, A(2, 3, 2), p, (0, -1), True, spelling=spread(np.linalg.norm), exempt={"stretched": TIES})
        for p in (1, -np.inf, 2, "nuc", "fro")
    ),
    case(np.linalg.norm, A(0)),
    case(np.linalg.norm, A(0, 3), axis=1),
    case(np.linalg.matrix_norm, A(2, 3, 2), complex=True),
    case(np.linalg.matrix_norm, A(2, 3, 2), ord=1, keepdims=True, exempt={"stretched": TIES}),
    case(np.linalg.matrix_norm, A(2, 2), ord="nuc", spelling=spread(np.linalg.matrix_norm), complex=True),
    case(np.linalg.vector_norm, A(2, 3), complex=True),
    case(np.linalg.vector_norm, A(2, 3, 2), ord=3, axis=1),
    case(np.linalg.vector_norm, A(2, 3, 2), ord=1, axis=(2, 0), keepdims=True),
    case(np.linalg.vector_norm, distinct(2, 3), ord=np.inf, keepdims=True),
    case(np.linalg.vector_norm, A(2, 3), axis=-1, keepdims=True),
    case(norms.power_norm, A(3), 3),
    case(np.linalg.cond, A(3, 3), spelling=spread(np.linalg.cond), complex=True, third=True),
    *(case(np.linalg.cond, A(2, 3), p, spelling=spread(np.linalg.cond)) for p in (2, -2)),
    *(
        case(np.linalg.cond, A(2, 2, 2), p, spelling=spread(np.linalg.cond), complex=True)
        for p in ("fro", "nuc", 1, -1, np.inf, -np.inf)
    ),
]

PRODUCTS = [
    case(np.linalg.multi_dot, [A(2, 3), A(3, 2)], complex=True),
    case(np.linalg.multi_dot, [A(2, 3), A(3, 1), A(1, 3)], complex=True, third=True),
    case(np.linalg.multi_dot, [A(3), A(3, 2), A(2, 3), A(3)]),
    case(np.linalg.multi_dot, (A(3), A(3, 2), A(2, 3)), complex=True),
    case(np.linalg.multi_dot, [A(2, 3), A(3, 3), A(3)]),
    case(np.linalg.multi_dot, [A(2, 3), A(3, 1), MATRIX[:1], A(3, 2)]),
    case(np.linalg.matmul, A(2, 3), A(3, 2)),
    case(np.linalg.tensordot, A(2, 3), A(3, 2), axes=1),
    case(np.linalg.outer, A(2), A(3), complex=True),
    case(np.linalg.matrix_transpose, A(2, 3, 2)),
    case(np.linalg.diagonal, A(2, 3, 3), complex=True),
    case(np.linalg.diagonal, A(2, 3), offset=1),
    case(np.linalg.trace, A(2, 3, 3), complex=True),
    case(np.linalg.trace, A(2, 3), offset=-1),
    case(np.linalg.trace, A(2, 2), dtype=np.complex128, exempt={"float32": "the call asks for a wider dtype"}),
    case(np.linalg.cross, A(2, 3), A(2, 3), complex=True),
    case(np.linalg.cross, A(3, 2), A(3, 1), axis=0),
    case(np.linalg.vecdot, A(2, 3), A(3), complex=True),
    case(np.linalg.vecdot, A(3, 2), A(3, 1), axis=0, complex=True),
    case(np.kron, A(2), A(3), complex=True, third=True),
    case(np.kron, A(2, 1), A(2, 3), complex=True),
    case(np.kron, A(2), A(1, 2, 2)),
    case(np.kron, A(2, 1, 2), MATRIX),
    case(np.kron, A(), A(2, 2)),
    case(np.kron, A(0), A(2)),
    case(np.cross, A(3), A(3), complex=True, third=True),
    case(np.cross, A(2, 3), A(3), complex=True),
    case(np.cross, A(2, 1, 3), A(4, 3)),
    case(np.cross, A(3, 2), A(2, 3), axisa=0, axisc=0),
    case(np.cross, A(3, 2), A(3, 1), axis=0, complex=True),
    case(np.cross, A(2, 3), MATRIX[:2], 1, -1, 0),
    case(np.cross, A(0, 3), A(3)),
    case(vector_products.crossed, A(3), A(3)),
    case(np.vecdot, A(3), A(3), complex=True, third=True),
    case(np.vecdot, A(2, 3), A(3), complex=True),
    case(np.vecdot, A(2, 1, 3), A(2, 3), complex=True),
    case(np.vecdot, A(3, 2), A(3, 1), axis=0),
    case(np.vecdot, A(2, 3), A(2, 3), axis=0, keepdims=True),
    case(np.vecdot, A(3, 2), A(2, 3), axes=[(0,), (1,), ()], complex=True),
    case(np.vecdot, A(3, 2), A(2, 3), axes=[0, 1]),
    case(np.vecdot, A(2, 3), MATRIX[:2]),
    case(np.vecdot, A(2, 0), A(0)),
    case(vector_products.vecdot, A(3), A(3)),
]

MATRIX_AND_VECTOR: list[Case] = []
if hasattr(np, "matvec"):  # new in NumPy 2.2
    MATRIX_AND_VECTOR = [
        case(np.matvec, A(2, 3), A(3), complex=True, third=True),
        case(np.matvec, A(2, 3, 2), A(2), complex=True),
        case(np.matvec, A(3, 2), A(2, 2)),
        case(np.matvec, A(2, 1, 3, 2), A(2, 2), complex=True),
        case(np.matvec, A(3, 2), A(3, 2), axes=[(1, 0), (0,), (0,)]),
        case(np.matvec, MATRIX, A(3)),
        case(vector_products.matvec, A(2, 3), A(3)),
        case(np.vecmat, A(3), A(3, 2), complex=True, third=True),
        case(np.vecmat, A(2), A(3, 2, 2), complex=True),
        case(np.vecmat, A(2, 3), A(3, 2)),
        case(np.vecmat, A(2, 2), A(2, 1, 2, 3), complex=True),
        case(np.vecmat, A(3, 2), A(2, 3), axes=[0, (1, 0), -1]),
        case(vector_products.vecmat, A(3), A(3, 2)),
    ]

CASES = [
    *INVERSES,
    *PSEUDO_INVERSES,
    *DETERMINANTS,
    *DECOMPOSITIONS,
    *NORMS,
    *PRODUCTS,
    *MATRIX_AND_VECTOR,
]
