"""Polynomials, as arrays of their coefficients from the highest power down."""

from __future__ import annotations

import itertools
import operator
import warnings
from typing import Any

import numpy as np

from tinygrad_np.core import defvjp, updated
from tinygrad_np.rules.elementwise import over
from tinygrad_np.rules.handlers import composite, plain
from tinygrad_np.rules.indexing import arrayed
from tinygrad_np.rules.movement import as_dtype
from tinygrad_np.rules.reductions import real_dtype


def _coefficients(p: Any) -> Any:
    return p.coeffs if isinstance(p, np.poly1d) else np.atleast_1d(arrayed(p))


def _polynomial(coefficients: Any, *operands: Any) -> Any:
    """An np.poly1d, which may hold a tensor, if one of the operands is one."""
    return np.poly1d(coefficients) if any(isinstance(p, np.poly1d) for p in operands) else coefficients


# Values and roots


@composite(np.polyval)
def _polyval(p: Any, x: Any) -> Any:
    coefficients = _coefficients(p)
    if isinstance(x, np.poly1d):
        composed = coefficients[:1]
        for coefficient in coefficients[1:]:
            composed = np.polyadd(np.polymul(composed, x.coeffs), coefficient)
        return np.poly1d(composed)
    x = arrayed(x)
    y = np.zeros_like(x)
    for coefficient in coefficients:
        y = y * x + coefficient
    return y


@composite(np.vander)
def _vander(x: Any, N: int | None = None, increasing: bool = False) -> Any:
    x = arrayed(x)
    if x.ndim != 1:
        raise ValueError(f"np.vander: x must have one axis, not shape {x.shape}")
    x = as_dtype(x, np.promote_types(x.dtype, int))
    count = x.size if N is None else N
    # Multiplied one by one, so that the derivatives are exact at 0.
    powers = list(itertools.accumulate([np.ones_like(x), *[x] * (count - 1)], operator.mul))[:count]
    if not powers:
        return np.zeros((x.size, 0), x.dtype)
    return np.stack(powers if increasing else powers[::-1], axis=1)


@composite(np.poly)
def _poly(seq_of_zeros: Any) -> Any:
    """The derivatives are along changes that leave as many of the roots real as there are."""
    zeros = np.atleast_1d(arrayed(seq_of_zeros))
    if zeros.ndim == 2 and zeros.shape[0] == zeros.shape[1] != 0:
        zeros = np.linalg.eigvals(zeros)
    elif zeros.ndim != 1:
        raise ValueError(f"np.poly: roots must have one axis, and a matrix must be square, not shape {zeros.shape}")
    zeros = as_dtype(zeros, np.dtype(np.mintypecode(zeros.dtype.char)))
    one = np.ones(1, zeros.dtype)
    product = one
    for zero in zeros:
        product = np.convolve(product, np.concatenate([one, -zero[None]]))
    if zeros.dtype.kind == "c":
        found = plain(zeros)
        if np.all(np.sort(found) == np.sort(found.conjugate())):
            return product.real
    return product


def _roots_rule(g: Any, y: Any, p: Any) -> Any:
    """A root r stays one: ``dr * p'(r) + dp(r) = 0``. One that is there twice has no derivative, and gets none at 0."""
    coefficients = np.atleast_1d(p)
    exponents = np.arange(len(coefficients) - 1, -1, -1, dtype=real_dtype(p.dtype))
    powers = y[:, None] ** exponents
    slopes = powers[:, 1:] @ (coefficients * exponents)[:-1]
    return -(over(g, slopes.conjugate()) @ powers.conjugate()).reshape(p.shape)


defvjp(np.roots, _roots_rule)


# Arithmetic


@composite(np.polyadd)
def _polyadd(a1: Any, a2: Any) -> Any:
    left, right = _aligned(a1, a2)
    return _polynomial(left + right, a1, a2)


@composite(np.polysub)
def _polysub(a1: Any, a2: Any) -> Any:
    left, right = _aligned(a1, a2)
    return _polynomial(left - right, a1, a2)


def _aligned(*polynomials: Any) -> list[Any]:
    """The coefficients of polynomials, with zeros before those of lower degree."""
    coefficients = [_coefficients(p) for p in polynomials]
    length = max(map(len, coefficients))
    return [np.concatenate([np.zeros(length - len(c), c.dtype), c]) if len(c) < length else c for c in coefficients]


@composite(np.polymul)
def _polymul(a1: Any, a2: Any) -> Any:
    left, right = (_without_leading_zeros(_coefficients(p)) for p in (a1, a2))
    return _polynomial(np.convolve(left, right), a1, a2)


def _without_leading_zeros(coefficients: Any) -> Any:
    places = np.flatnonzero(plain(coefficients))
    return coefficients[places[0] if len(places) else -1 :]


@composite(np.polydiv)
def _polydiv(u: Any, v: Any) -> Any:
    dividend, divisor = _coefficients(u) + 0.0, _coefficients(v) + 0.0
    longest = len(divisor)
    dtype = np.result_type(dividend.dtype, divisor.dtype)
    scale = 1.0 / divisor[0]
    remainder, quotient = as_dtype(dividend, dtype), []
    for k in range(len(dividend) - longest + 1):
        quotient.append(scale * remainder[k])
        place = slice(k, k + longest)
        remainder = updated(remainder, remainder[place] - quotient[-1] * divisor, index=place)
    values = plain(remainder)
    start = 0
    while start < len(values) - 1 and np.allclose(values[start], 0, rtol=1e-14):
        start += 1
    return tuple(
        _polynomial(part, u, v)
        for part in (np.stack(quotient) if quotient else np.zeros(1, dtype), remainder[start:])
    )


# Calculus


@composite(np.polyder)
def _polyder(p: Any, m: int = 1) -> Any:
    if m < 0:
        raise ValueError(f"np.polyder: the order of the derivative must not be negative, and here is {m}")
    coefficients = _coefficients(p)
    for _ in range(int(m)):
        coefficients = coefficients[:-1] * np.arange(len(coefficients) - 1, 0, -1)
    return _polynomial(coefficients, p)


@composite(np.polyint)
def _polyint(p: Any, m: int = 1, k: Any = None) -> Any:
    if m < 0:
        raise ValueError(f"np.polyint: the order of the integral must not be negative, and here is {m}")
    constants = np.zeros(m) if k is None else np.atleast_1d(arrayed(k))
    if len(constants) == 1:
        constants = np.broadcast_to(constants, m)
    if len(constants) < m:
        raise ValueError(f"np.polyint: k must hold 1 number or {m}, not {len(constants)}")
    coefficients = _coefficients(p)
    for i in range(int(m)):
        integral = coefficients / np.arange(len(coefficients), 0, -1)
        coefficients = np.concatenate([integral, constants[i : i + 1]])
    return _polynomial(coefficients, p)


# Least squares


@composite(np.polyfit)
def _polyfit(
    x: Any, y: Any, deg: int, rcond: float | None = None, full: bool = False, w: Any = None, cov: Any = False
) -> Any:
    count = int(deg) + 1
    x, y = arrayed(x) + 0.0, arrayed(y) + 0.0
    if count < 1:
        raise ValueError(f"np.polyfit: deg must not be negative, and here is {deg}")
    if x.ndim != 1 or x.size == 0 or y.ndim not in (1, 2) or len(y) != len(x):
        raise TypeError(
            "np.polyfit: x must be a non-empty vector, and y a vector of its length or a matrix of as many rows, "
            f"not of shapes {x.shape} and {y.shape}"
        )
    if rcond is None:
        rcond = float(len(x) * np.finfo(x.dtype).eps)
    left, right = np.vander(x, count), y
    if w is not None:
        w = arrayed(w) + 0.0
        if w.shape != x.shape:
            raise TypeError(f"np.polyfit: weights must have shape {x.shape}, not {w.shape}")
        left = left * w[:, None]
        right = right * (w[:, None] if y.ndim == 2 else w)
    # Columns of length 1, which are better conditioned.
    scale = np.sqrt(np.sum(left * left, axis=0))
    left = left / scale
    solution, residuals, rank, singular = np.linalg.lstsq(left, right, rcond)
    solution = (solution.T / scale).T
    if full:
        return solution, residuals, rank, singular, rcond
    if rank != count:
        warnings.warn("Polyfit may be poorly conditioned", np.exceptions.RankWarning, stacklevel=5)
    if not cov:
        return solution
    covariance = np.linalg.inv(left.T @ left) / np.outer(scale, scale)
    if cov != "unscaled":
        if len(x) <= count:
            raise ValueError(f"np.polyfit: the covariance needs more than {count} points, not {len(x)}")
        factor = residuals / (len(x) - count)
    else:
        factor = 1
    return solution, covariance * factor if y.ndim == 1 else covariance[:, :, None] * factor
