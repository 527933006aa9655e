"""Cholesky, QR, eigenvalue and singular value decompositions of matrices, and of stacks of them.

The formulae, all for complex matrices too: Murray, "Differentiation of the Cholesky decomposition" (2016); Walter and
Lehmann, "Algorithmic differentiation of linear algebra functions" (2018) for QR; Giles, "An extended collection of
matrix derivative results" (2008) for eigenvalues; Townsend, "Differentiating the singular value decomposition" (2016)
and Wan and Zhang, "Automatic differentiation for complex valued SVD" (2019).

- Functions that read one triangle of a Hermitian matrix have their gradient in that triangle.
- Equal eigenvalues or singular values: their vectors are any basis of a subspace, and have no derivative. What they
  would contribute is 0, so gradients are finite, and exact where the loss is a function of the values alone. Second
  derivatives lack what the vectors would have contributed.
- Vectors that are determined only up to a factor, as those of complex matrices are, or up to a rotation, as those
  that ``full_matrices=True`` adds: a loss that depends on the choice that LAPACK makes has no gradient, and raises.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_np.core import defvjp, primitive, zero
from tinygrad_np.errors import GradientError, UnsupportedArgumentError
from tinygrad_np.rules.handlers import composite, plain
from tinygrad_np.rules.products import adjoint

# Matrices of which only one triangle is read


def mirrored(a: Any, lower: bool) -> Any:
    """The Hermitian matrix that one triangle of `a` stands for."""
    return np.where(_triangle(a, lower), a, np.where(_diagonal(a), np.real(a), adjoint(a)))


def folded(g: Any, lower: bool) -> Any:
    """The gradient of the triangle that a Hermitian matrix is read from, from that of the whole matrix."""
    return np.where(_triangle(g, lower), g + adjoint(g), np.where(_diagonal(g), np.real(g), 0))


def _triangle(a: Any, lower: bool) -> Any:
    below = np.tri(a.shape[-1], k=-1, dtype=bool)
    return below if lower else below.T


def _diagonal(a: Any) -> Any:
    return np.eye(a.shape[-1], dtype=bool)


# Cholesky


def _cholesky_rule(g: Any, y: Any, _a: Any, upper: bool = False) -> Any:
    if upper:
        g, y = adjoint(g), adjoint(y)
    inverse = np.linalg.inv(y)
    product = adjoint(y) @ g
    half = np.where(_triangle(y, lower=True), product, np.where(_diagonal(y), 0.5 * product, 0))
    return folded(adjoint(inverse) @ half @ inverse, lower=not upper)


defvjp(np.linalg.cholesky, _cholesky_rule)


# QR


@primitive
def orthogonalized(a: Any, *, mode: str) -> Any:
    return np.linalg.qr(a, mode)  # type: ignore[call-overload]


@composite(np.linalg.qr)
def _qr(a: Any, mode: str = "reduced") -> Any:
    if mode in ("raw", "e", "economic"):
        raise UnsupportedArgumentError(
            f"np.linalg.qr: there is no derivative for mode={mode!r}, LAPACK's own form of the result; "
            "write mode='reduced' or mode='r'"
        )
    return orthogonalized(a, mode=mode)


def _qr_rule(g: Any, y: Any, a: Any, mode: str) -> Any:
    (by_q, by_r), (q, r) = ((None, g), np.linalg.qr(a)) if mode == "r" else (g, y)
    by_q = np.zeros(q.shape, q.dtype) if by_q is None else by_q
    by_r = np.zeros(r.shape, r.dtype) if by_r is None else by_r
    size = min(a.shape[-2:])
    if q.shape[-1] > size:
        by_q, q = _by_first_columns(by_q, q, size), q[..., :size]
    # If there are more columns than rows, the other columns of R are adjoint(Q) @ A.
    rest, by_rest = a[..., size:], by_r[..., :size, size:]
    by_q = by_q + rest @ adjoint(by_rest)
    r, by_r = r[..., :size, :size], by_r[..., :size, :size]
    product = adjoint(q) @ by_q - by_r @ adjoint(r)
    below = np.where(_triangle(r, lower=True), product - adjoint(product), 0)
    if r.dtype.kind == "c":  # LAPACK makes the diagonal of R real
        below = below + np.where(_diagonal(r), 1j * np.imag(product), 0)
    # Where the rank is not full there is no derivative, but a zero cotangent contributes zero.
    used = np.any(by_q != 0, axis=(-2, -1)) | np.any(by_r != 0, axis=(-2, -1))
    full = np.all(np.diagonal(plain(r), axis1=-2, axis2=-1) != 0, axis=-1)
    r = np.where(full[..., None, None], r, np.eye(size, dtype=r.dtype))
    by_square = adjoint(np.linalg.solve(r, adjoint(by_q + q @ (below - product))))
    by_square = np.where((full | ~used)[..., None, None], by_square, np.nan)
    return np.concatenate([by_square, q @ by_rest], axis=-1)


def _by_first_columns(g: Any, q: Any, size: int) -> Any:
    """The gradient with respect to the first columns of a square Q, from which LAPACK's reflections make the others.

    The product of reflections that takes Q1, the first columns, to those of the identity, I1, is I - Y T adjoint(Y),
    in which Y T adjoint(Y1) = I1 - Q1 (Ballard et al., "Reconstructing Householder vectors from tall-skinny QR", 2014).
    That gives the other columns: with D = Q1 - I1, in blocks of rows, Q2 = I2 + D adjoint(D2 inv(D1)).
    """
    by_first, by_others = g[..., :size], g[..., size:]
    d = q[..., :size] - np.eye(q.shape[-1], size, dtype=q.dtype)
    upper, lower = d[..., :size, :], d[..., size:, :]
    ratio = adjoint(np.linalg.solve(adjoint(upper), adjoint(lower)))
    by_lower = adjoint(np.linalg.solve(upper, adjoint(d) @ by_others))
    by_upper = -adjoint(ratio) @ by_lower
    return by_first + by_others @ ratio + np.concatenate([by_upper, by_lower], axis=-2)


defvjp(orthogonalized, _qr_rule)


# What is shared by eigenvalues and singular values


def _uncertainty(values: Any) -> Any:
    """How far apart numbers, the values of one matrix each along the last axis, are if only rounding separates them."""
    size = np.max(np.absolute(plain(values)), axis=-1, keepdims=True, initial=0)
    return 32 * values.shape[-1] * float(np.finfo(values.dtype).eps) * size


def _reciprocal(x: Any, negligible: Any) -> Any:
    """``1 / x``, but 0 where x is no more than rounding."""
    return 1 / np.where(np.absolute(plain(x)) <= negligible, np.inf, x)


def _gaps(values: Any) -> Any:
    """The difference between every two values: element (i, j) is value j less value i."""
    return values[..., None, :] - values[..., :, None]


def _on_diagonal(values: Any) -> Any:
    return np.where(np.eye(values.shape[-1], dtype=bool), values[..., None, :], 0)


@primitive
def indifferent(g: Any, change: Any, *, vectors: str) -> Any:
    """The cotangent as it is, if the loss does not change (but for rounding) with an arbitrary choice of vectors."""
    rounding = float(np.finfo(g.dtype).eps ** 0.25)  # what is left of second derivatives at nearly equal values
    if np.any(np.absolute(change) > rounding * max(1, float(np.max(np.absolute(g), initial=0)))):
        raise GradientError(
            f"this loss depends on which {vectors} LAPACK happens to choose, so it has no gradient: they are "
            "determined only up to a factor of absolute value 1, or a rotation among those of equal value. Use them in "
            "a way that does not depend on it, such as np.abs(v) or (v * w) @ v.conj().T, or fix the factor yourself, "
            "as in v * np.exp(-1j * np.angle(v[0]))"
        )
    return +g


defvjp(indifferent, lambda g, _y, _g, _change, vectors: g, zero)


# Eigenvalues


def _eigh_rule(g: Any, y: Any, _a: Any, UPLO: str = "L") -> Any:
    by_values, by_vectors = g
    w, v = y
    core = 0 if by_values is None else _on_diagonal(by_values)
    if by_vectors is not None:
        turned = adjoint(v) @ by_vectors
        if v.dtype.kind == "c":
            turned = indifferent(turned, np.where(_diagonal(v), np.imag(turned), 0), vectors="eigenvectors")
        core = core + turned * _reciprocal(_gaps(w), _uncertainty(w)[..., None])
    return folded(v @ core @ adjoint(v), lower=UPLO.upper() == "L")


def _eigvalsh_rule(g: Any, _y: Any, a: Any, UPLO: Any = "L") -> Any:
    _, v = np.linalg.eigh(a, UPLO)
    return folded((v * g[..., None, :]) @ adjoint(v), lower=UPLO.upper() == "L")


defvjp(np.linalg.eigh, _eigh_rule)
defvjp(np.linalg.eigvalsh, _eigvalsh_rule)


def _eig_rule(g: Any, y: Any, _a: Any) -> Any:
    by_values, by_vectors = g
    w, v = y
    core = 0 if by_values is None else _on_diagonal(by_values)
    if by_vectors is not None:
        turned = adjoint(v) @ _by_unscaled(by_vectors, v)
        core = core + turned * _reciprocal(_gaps(w), _uncertainty(w)[..., None]).conjugate()
    return np.linalg.solve(adjoint(v), core @ adjoint(v))


def _by_unscaled(g: Any, v: Any) -> Any:
    """The gradient with respect to eigenvectors before LAPACK makes them unit vectors with a real largest element."""
    along = np.sum(v.conjugate() * g, axis=-2, keepdims=True)
    g = g - v * np.real(along)
    if v.dtype.kind != "c":
        return g
    sizes = np.absolute(plain(v))
    largest = np.arange(v.shape[-2])[:, None] == np.argmax(sizes, axis=-2, keepdims=True)
    pivots = np.sum(np.where(largest, v, 0), axis=-2, keepdims=True)
    return g - np.where(largest, 1j * np.imag(along) / pivots.conjugate(), 0)


def _eigvals_rule(g: Any, _y: Any, a: Any) -> Any:
    _, v = np.linalg.eig(a)
    return np.linalg.solve(adjoint(v), g[..., :, None] * adjoint(v))


defvjp(np.linalg.eig, _eig_rule)
defvjp(np.linalg.eigvals, _eigvals_rule)


# Singular values


@primitive
def decomposed(a: Any, *, full_matrices: bool, hermitian: bool) -> Any:
    return np.linalg.svd(a, full_matrices=full_matrices, hermitian=hermitian)


@primitive
def singular_values(a: Any, *, hermitian: bool) -> Any:
    return np.linalg.svd(a, compute_uv=False, hermitian=hermitian)


@composite(np.linalg.svd)
def _svd(a: Any, full_matrices: bool = True, compute_uv: bool = True, hermitian: bool = False) -> Any:
    if compute_uv:
        return decomposed(a, full_matrices=full_matrices, hermitian=hermitian)
    return singular_values(a, hermitian=hermitian)


@composite(np.linalg.svdvals)
def _svdvals(x: Any, /) -> Any:
    return singular_values(x, hermitian=False)


def _svd_rule(g: Any, y: Any, _a: Any, full_matrices: bool, hermitian: bool) -> Any:
    by_u, by_s, by_vh = g
    u, s, v = y[0], y[1], adjoint(y[2])
    negligible = _uncertainty(s)
    by_s = np.zeros(s.shape, s.dtype) if by_s is None else np.where(plain(s) <= negligible, 0, by_s)
    if by_u is None and by_vh is None and not hermitian:
        return (u[..., : s.shape[-1]] * by_s[..., None, :]) @ adjoint(v[..., : s.shape[-1]])
    by_u = np.zeros(u.shape, u.dtype) if by_u is None else by_u
    by_v = np.zeros(v.shape, v.dtype) if by_vh is None else adjoint(by_vh)
    if hermitian:
        # The eigenvalues, without their signs: those are in v.
        signs = np.sign(np.sum(plain(u).conjugate() * plain(v), axis=-2).real)
        return _eigh_rule((by_s * signs, by_u + by_v * signs[..., None, :]), (s * signs, u), _a)
    by_u, u = _by_singular_vectors(by_u, u, s.shape[-1])
    by_v, v = _by_singular_vectors(by_v, v, s.shape[-1])
    turned_u, turned_v = adjoint(u) @ by_u, adjoint(v) @ by_v
    inverse, row, column = _reciprocal(s, negligible), s[..., :, None], s[..., None, :]
    coupling = _reciprocal(_gaps(s), negligible[..., None]) * _reciprocal(row + column, negligible[..., None])
    core = coupling * ((turned_u - adjoint(turned_u)) * column + row * (turned_v - adjoint(turned_v)))
    core = core + _on_diagonal(by_s)
    if u.dtype.kind == "c":
        change = np.where(_diagonal(core), np.imag(turned_u + turned_v), 0)
        core = indifferent(core, change, vectors="singular vectors")
        core = core + np.where(_diagonal(core), 0.5j * np.imag(turned_u - turned_v) * inverse[..., None, :], 0)
    gradient = u @ core @ adjoint(v)
    if u.shape[-2] > s.shape[-1]:
        gradient = gradient + (by_u - u @ turned_u) * inverse[..., None, :] @ adjoint(v)
    if v.shape[-2] > s.shape[-1]:
        gradient = gradient + u * inverse[..., None, :] @ adjoint(by_v - v @ turned_v)
    return gradient


def _by_singular_vectors(g: Any, vectors: Any, count: int) -> tuple[Any, Any]:
    """The gradient with respect to the vectors that have a singular value, and these vectors.

    The others, which are there with ``full_matrices=True``, only stay orthogonal to them.
    """
    first, others, by_others = vectors[..., :count], vectors[..., count:], g[..., count:]
    if not others.shape[-1]:
        return g, vectors
    turned = adjoint(others) @ by_others
    by_others = indifferent(by_others, turned - adjoint(turned), vectors="singular vectors")
    return g[..., :count] - others @ adjoint(by_others) @ first, first


def by_singular_values(g: Any, a: Any, hermitian: bool = False) -> Any:
    """The gradient of a matrix, given that of its singular values."""
    u, s, vh = np.linalg.svd(a, full_matrices=False, hermitian=hermitian)
    gradient = (u * np.where(plain(s) <= _uncertainty(s), 0, g)[..., None, :]) @ vh
    return folded(gradient, lower=True) if hermitian else gradient


defvjp(decomposed, _svd_rule)
defvjp(singular_values, lambda g, _y, a, hermitian: by_singular_values(g, a, hermitian))
