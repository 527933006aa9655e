"""Inverses, solutions, determinants, powers and products of matrices; each but the last works on stacks too.

The formulae are those of Giles, "An extended collection of matrix derivative results" (2008), and for pseudo-inverses
of Golub and Pereyra, "The differentiation of pseudo-inverses and nonlinear least squares problems" (1973), for complex
matrices. A gradient refers to the elements that NumPy reads: where that is one triangle of a Hermitian matrix, so
does the gradient, and the elements that are not read have none.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np

from tinygrad_np.backward import summed_to
from tinygrad_np.core import Tensor, defvjp, primitive
from tinygrad_np.errors import ShapeError
from tinygrad_np.rules.decompositions import by_singular_values, folded, mirrored
from tinygrad_np.rules.handlers import composite, constant, plain
from tinygrad_np.rules.indexing import arrayed, scattered
from tinygrad_np.rules.products import adjoint

F = TypeVar("F", bound=Callable[..., Any])

constant(np.linalg.matrix_rank)


def deciding(function: F) -> F:
    """Make a function that decides by values one call on arrays, which `tinygrad_np.compiler` can repeat as a whole.

    On Tensors its own calls are recorded, in the way that it decides on.
    """
    whole = primitive(function)
    composite(whole)(function)
    return whole


# Inverses and solutions

defvjp(np.linalg.inv, lambda g, y, _a: -adjoint(y) @ g @ adjoint(y))


def _solve_by_matrix(g: Any, y: Any, a: Any, _b: Any) -> Any:
    if _b.ndim == 1:
        g, y = g[..., None], y[..., None]
    return summed_to(-np.linalg.solve(adjoint(a), g) @ adjoint(y), a.shape)


def _solve_by_right_side(g: Any, _y: Any, a: Any, _b: Any) -> Any:
    if _b.ndim == 1:
        return summed_to(np.linalg.solve(adjoint(a), g[..., None])[..., 0], _b.shape)
    return summed_to(np.linalg.solve(adjoint(a), g), _b.shape)


defvjp(np.linalg.solve, _solve_by_matrix, _solve_by_right_side)


@composite(np.linalg.tensorinv)
def _tensorinv(a: Any, ind: int = 2) -> Any:
    if ind <= 0:
        raise ShapeError(f"np.linalg.tensorinv: ind={ind} must be positive")
    rows, columns = a.shape[:ind], a.shape[ind:]
    return np.linalg.inv(a.reshape(int(np.prod(columns)), -1)).reshape(columns + rows)


@composite(np.linalg.tensorsolve)
def _tensorsolve(a: Any, b: Any, axes: Any = None) -> Any:
    a, b = arrayed(a), arrayed(b)
    if axes is not None:
        order = list(range(a.ndim))
        for axis in axes:
            order.remove(axis)
            order.append(axis)
        a = np.transpose(a, order)
    shape = a.shape[b.ndim :]
    size = int(np.prod(shape))
    if a.size != size**2:
        raise np.linalg.LinAlgError(
            f"np.linalg.tensorsolve: shape {a.shape} is not square when it is cut after {b.ndim} axes"
        )
    return np.linalg.solve(a.reshape(size, size), np.ravel(b)).reshape(shape)


@composite(np.linalg.matrix_power)
def _matrix_power(a: Any, n: Any) -> Any:
    exponent = operator.index(n)
    eye = np.linalg.matrix_power(plain(a), 0)  # raises if the matrix is not square
    if exponent == 0:
        return Tensor(eye)
    base = np.linalg.inv(a) if exponent < 0 else np.copy(a)
    if abs(exponent) == 3:
        return (base @ base) @ base
    power, bits = None, abs(exponent)
    while True:
        if bits % 2:
            power = base if power is None else power @ base
        bits //= 2
        if not bits:
            return power
        base = base @ base


# Pseudo-inverses. Where singular values are cut off, the pseudo-inverse is that of the part of the matrix that is kept.


def _pinv_rule(g: Any, y: Any, a: Any, rcond: Any = None, hermitian: bool = False, rtol: Any = None) -> Any:
    if not hermitian:
        return by_kept_part(_constant_rank_rule(g, y, a), y, a)
    a = mirrored(a, lower=True)
    return folded(by_kept_part(_constant_rank_rule(g, y, a), y, a), lower=True)


def _constant_rank_rule(g: Any, y: Any, a: Any) -> Any:
    """The gradient of a pseudo-inverse with respect to a matrix whose rank does not change."""
    outer, inner = adjoint(y), adjoint(g)
    within = outer @ g @ outer
    return (inner - a @ (y @ inner)) @ (y @ outer) + (outer @ y) @ (inner - (inner @ y) @ a) - within


@deciding
def by_kept_part(g: Any, y: Any, a: Any) -> Any:
    """The gradient with respect to a matrix, from that with respect to the part that its pseudo-inverse `y` keeps.

    The two differ if singular values other than zero have been cut off: the part that is kept then turns with the
    part that is not. It is a function of the singular values, whose derivative is that of Daleckii and Krein.
    """
    rank = np.rint(np.trace(plain(a) @ plain(y), axis1=-2, axis2=-1).real)
    if np.all(rank == min(a.shape[-2:])):
        return +g
    u, s, vh = np.linalg.svd(a, full_matrices=False)
    kept = np.arange(s.shape[-1]) < rank[..., None]
    row, column = s[..., :, None], s[..., None, :]
    small, gap = np.minimum(row, column), np.absolute((row - column) * (row + column))
    inner = adjoint(u) @ g @ adjoint(vh)
    turned = small * small * inner + row * column * adjoint(inner)
    return g + u @ (turned / np.where(kept[..., :, None] == kept[..., None, :], np.inf, gap)) @ vh


defvjp(np.linalg.pinv, _pinv_rule)


def _lstsq_by_matrix(g: Any, y: Any, a: Any, b: Any, rcond: Any = None) -> Any:
    by_x, by_residuals, _, by_s = g
    x = y[0]
    if b.ndim == 1:
        x, b = x[:, None], b[:, None]
        by_x = None if by_x is None else by_x[:, None]
    gradient = np.zeros(a.shape, a.dtype)
    if by_x is not None:
        inverse = _kept_inverse(a, b, rcond)
        gradient = gradient + by_kept_part(_constant_rank_rule(by_x @ adjoint(b), inverse, a), inverse, a)
    if by_residuals is not None and by_residuals.size:
        gradient = gradient - 2 * by_residuals * (b - a @ x) @ adjoint(x)
    if by_s is not None:
        gradient = gradient + by_singular_values(by_s, a)
    return gradient


def _lstsq_by_right_side(g: Any, y: Any, a: Any, b: Any, rcond: Any = None) -> Any:
    by_x, by_residuals, _, _ = g
    gradient = np.zeros(b.shape, b.dtype)
    if by_x is not None:
        gradient = gradient + adjoint(_kept_inverse(a, b, rcond)) @ by_x
    if by_residuals is not None and by_residuals.size:
        gradient = gradient + 2 * by_residuals * (b - a @ y[0])
    return gradient


def _kept_inverse(a: Any, b: Any, rcond: Any) -> Any:
    """The pseudo-inverse that cuts off the singular values that lstsq cuts off."""
    eps = float(np.finfo(np.float64).eps)  # NumPy solves in double precision, whatever the dtype
    return np.linalg.pinv(a, max(a.shape) * eps if rcond is None else eps if rcond < 0 else rcond)


defvjp(np.linalg.lstsq, _lstsq_by_matrix, _lstsq_by_right_side)


# Determinants are polynomials, so their derivatives exist at singular matrices too.


def _det_rule(g: Any, y: Any, a: Any) -> Any:
    return g[..., None, None] * adjoint(adjugate(a, y))


@deciding
def adjugate(a: Any, det: Any) -> Any:
    """``det(a) inv(a)``, whose elements are polynomials: exact, with its derivatives, where there is no inverse."""
    negligible = float(np.finfo(a.dtype).eps ** 0.5)  # a compromise between second derivatives above and below it
    if np.all(plain(det) != 0):
        inverse = np.linalg.inv(a)
        if not np.any(_largest(a) * _largest(inverse) > 1 / negligible):  # NaN is neither
            return det[..., None, None] * inverse
    u, s, vh = np.linalg.svd(np.nan_to_num(plain(a), posinf=0, neginf=0))  # NaN would stop the whole stack
    nullity = np.sum(s <= negligible * s[..., :1], axis=-1)
    parts = []
    for k in np.unique(nullity):
        which, last = nullity == k, slice(a.shape[-1] - k, None)
        part = _lifted_adjugate(a[which], (u * s[..., None, :1])[which][..., last], vh[which][..., last, :])
        parts.append(scattered(part, index=which, shape=a.shape))
    return sum(parts)


def _lifted_adjugate(a: Any, left: Any, right: Any) -> Any:
    """The adjugate of ``a = p - left @ right`` by way of ``p``, which has an inverse.

    With c = I - right inv(p) left, det(a) = det(p) det(c) is the matrix determinant lemma, and Woodbury's formula is
    inv(a) = inv(p) + inv(p) left inv(c) right inv(p). Their product divides by nothing that may be zero.
    """
    k = left.shape[-1]
    if k == a.shape[-1]:
        return _adjugate_by_powers(a)
    p = a + left @ right
    # Products with inv(p) would lose the digits that solutions keep.
    from_left, from_right = np.linalg.solve(p, left), adjoint(np.linalg.solve(adjoint(p), adjoint(right)))
    c = np.eye(k, dtype=a.dtype) - right @ from_left
    adjugate_c = _adjugate_by_powers(c)
    det_c = np.trace(c @ adjugate_c, axis1=-2, axis2=-1)[..., None, None] / k if k else 1
    return np.linalg.det(p)[..., None, None] * (det_c * np.linalg.inv(p) + from_left @ adjugate_c @ from_right)


def _adjugate_by_powers(a: Any) -> Any:
    """The adjugate by the method of Faddeev and LeVerrier, which divides by nothing.

    It loses digits with the size, but not for matrices that are almost zero, where all that counts is the degree.
    """
    eye = np.eye(a.shape[-1], dtype=a.dtype)
    adjugate = np.broadcast_to(eye, a.shape)
    for k in range(1, a.shape[-1]):
        product = a @ adjugate
        adjugate = eye * (np.trace(product, axis1=-2, axis2=-1) / k)[..., None, None] - product
    return adjugate


def _largest(a: Any) -> Any:
    return np.max(np.absolute(plain(a)), axis=(-2, -1), initial=0)


def _slogdet_rule(g: Any, y: Any, a: Any) -> Any:
    by_sign, by_log = g
    sign, log = y
    weight = np.zeros(log.shape, log.dtype) if by_log is None else by_log
    if by_sign is not None and a.dtype.kind == "c":
        weight = weight + 1j * np.imag(sign.conjugate() * by_sign)
    singular = plain(sign) == 0
    weight = np.where(singular & (weight != 0), np.nan, weight)  # the logarithm of 0 has no derivative
    a = np.where(singular[..., None, None], np.eye(a.shape[-1], dtype=a.dtype), a)
    return weight[..., None, None] * adjoint(np.linalg.inv(a))


defvjp(np.linalg.det, _det_rule)
defvjp(np.linalg.slogdet, _slogdet_rule)


# Chains of products


@composite(np.linalg.multi_dot)
def _multi_dot(arrays: Sequence[Any], *, out: Any = None) -> Any:
    matrices = [arrayed(a) for a in arrays]
    if len(matrices) < 2:
        raise ShapeError(f"np.linalg.multi_dot takes at least two arrays, not {len(matrices)}")
    first, last = matrices[0].ndim, matrices[-1].ndim
    matrices[0] = matrices[0][None, :] if first == 1 else matrices[0]
    matrices[-1] = matrices[-1][:, None] if last == 1 else matrices[-1]
    if any(a.ndim != 2 for a in matrices):
        raise np.linalg.LinAlgError(f"np.linalg.multi_dot: shapes {[np.shape(a) for a in arrays]} are not all matrices")
    product = _chained(matrices)
    return product if first == last == 2 else product[0, 0] if first == last else np.ravel(product)


def _chained(matrices: Sequence[Any]) -> Any:
    """The product of matrices in the order that takes the fewest multiplications (of the best, the one NumPy takes)."""
    sizes = [a.shape[0] for a in matrices] + [matrices[-1].shape[1]]

    # The cost of multiplying the matrices from one to another, and after which to cut.
    cheapest = {(i, i): (0, i) for i in range(len(matrices))}
    for more in range(1, len(matrices)):
        for start in range(len(matrices) - more):
            end = start + more
            costs = []
            for cut in range(start, end):
                last = sizes[start] * sizes[cut + 1] * sizes[end + 1]
                costs.append((cheapest[start, cut][0] + cheapest[cut + 1, end][0] + last, cut))
            cheapest[start, end] = min(costs)
    return _product(matrices, cheapest, 0, len(matrices) - 1)


def _product(matrices: Sequence[Any], cheapest: dict[tuple[int, int], tuple[int, int]], start: int, end: int) -> Any:
    if start == end:
        return matrices[start]
    cut = cheapest[start, end][1]
    return _product(matrices, cheapest, start, cut) @ _product(matrices, cheapest, cut + 1, end)


# What NumPy has under other names too


@composite(np.linalg.matmul)
def _linalg_matmul(x1: Any, x2: Any, /) -> Any:
    return np.matmul(x1, x2)


@composite(np.linalg.tensordot)
def _linalg_tensordot(x1: Any, x2: Any, /, *, axes: Any = 2) -> Any:
    return np.tensordot(x1, x2, axes)


@composite(np.linalg.vecdot)
def _linalg_vecdot(x1: Any, x2: Any, /, *, axis: int = -1) -> Any:
    return np.vecdot(x1, x2, axis=axis)  # type: ignore[call-overload]


@composite(np.linalg.outer)
def _linalg_outer(x1: Any, x2: Any, /) -> Any:
    if np.ndim(x1) != 1 or np.ndim(x2) != 1:
        raise ShapeError(f"np.linalg.outer takes vectors, not shapes {np.shape(x1)} and {np.shape(x2)}")
    return np.outer(x1, x2)


@composite(np.linalg.cross)
def _linalg_cross(x1: Any, x2: Any, /, *, axis: int = -1) -> Any:
    x1, x2 = arrayed(x1), arrayed(x2)
    if x1.shape[axis] != 3 or x2.shape[axis] != 3:
        raise ShapeError(f"np.linalg.cross takes vectors of length 3, not shapes {x1.shape} and {x2.shape}")
    return np.cross(x1, x2, axis=axis)


@composite(np.linalg.matrix_transpose)
def _linalg_matrix_transpose(x: Any, /) -> Any:
    return np.matrix_transpose(x)


@composite(np.linalg.diagonal)
def _linalg_diagonal(x: Any, /, *, offset: int = 0) -> Any:
    return np.diagonal(x, offset, axis1=-2, axis2=-1)


@composite(np.linalg.trace)
def _linalg_trace(x: Any, /, *, offset: int = 0, dtype: Any = None) -> Any:
    return np.trace(x, offset, axis1=-2, axis2=-1, dtype=dtype)
