"""Norms of vectors and matrices, and condition numbers.

A norm has a kink wherever it is a tip of a cone, or where one maximum takes over from another. There the gradient is
the smallest subgradient: 0 at zero, and shared evenly among the tied.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tinygrad_np.core import defvjp, primitive
from tinygrad_np.rules.elementwise import over
from tinygrad_np.rules.handlers import composite, plain
from tinygrad_np.rules.reductions import axes_of, restored

power_norm = primitive(np.linalg.norm)


def _power_norm_rule(g: Any, y: Any, x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    """The gradient of ``sum(abs(x)**p)**(1/p)``, which is the Frobenius norm of a matrix if p is 2."""
    g, y = restored(g, x.shape, axis), restored(y, x.shape, axis)
    if ord in (None, 2, "fro", "f"):
        slope = over(x, y)
    else:
        flat = (x == 0) | (y == 0)
        ratio = np.where(flat, 1, np.absolute(x)) / np.where(y == 0, 1, y)
        slope = np.where(flat, 0, np.sign(x) * ratio ** (ord - 1))
    # A zero cotangent contributes zero, whatever the slope.
    return g * np.where((g != 0) | np.isfinite(slope), slope, 0)


defvjp(power_norm, _power_norm_rule)


@composite(np.linalg.norm)
def _norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    if isinstance(axis, list):
        raise TypeError(f"axis must be None, an integer or a tuple of integers, not {axis}")
    x = x if x.dtype.kind in "fc" else x.astype(float)
    axes = axes_of(axis, x.ndim)
    if len(axes) == 1 and ord in _VECTOR_NORMS:
        return _VECTOR_NORMS[ord](x, axes, keepdims)
    if len(axes) == 2 and axes[0] != axes[1] and ord in _MATRIX_NORMS:
        norm = _MATRIX_NORMS[ord](x, *axes)
        return norm.reshape(tuple(1 if i in axes else length for i, length in enumerate(x.shape))) if keepdims else norm
    return power_norm(x, ord, axis, keepdims)


def _nonzero(x: Any, axes: tuple[int, ...], keepdims: bool) -> Any:
    return np.sum((x != 0).astype(x.real.dtype), axis=axes, keepdims=keepdims)


_VECTOR_NORMS: dict[Any, Callable[..., Any]] = {
    0: _nonzero,
    1: lambda x, axes, keepdims: np.sum(np.absolute(x), axis=axes, keepdims=keepdims),
    np.inf: lambda x, axes, keepdims: np.max(np.absolute(x), axis=axes, keepdims=keepdims, initial=0),
    -np.inf: lambda x, axes, keepdims: np.min(np.absolute(x), axis=axes, keepdims=keepdims),
}


def _sums(x: Any, summed: int, other: int) -> Any:
    """The absolute sums along one axis, along the last axis of what is left."""
    return np.moveaxis(np.sum(np.absolute(x), axis=summed), other - (other > summed), -1)


def _singular_values(x: Any, row: int, column: int) -> Any:
    return np.linalg.svd(np.moveaxis(x, (row, column), (-2, -1)), compute_uv=False)


_MATRIX_NORMS: dict[Any, Callable[..., Any]] = {
    1: lambda x, row, column: np.max(_sums(x, row, column), axis=-1, initial=0),
    -1: lambda x, row, column: np.min(_sums(x, row, column), axis=-1),
    np.inf: lambda x, row, column: np.max(_sums(x, column, row), axis=-1, initial=0),
    -np.inf: lambda x, row, column: np.min(_sums(x, column, row), axis=-1),
    2: lambda x, row, column: np.max(_singular_values(x, row, column), axis=-1, initial=0),
    -2: lambda x, row, column: np.min(_singular_values(x, row, column), axis=-1),
    "nuc": lambda x, row, column: np.sum(_singular_values(x, row, column), axis=-1),
}


@composite(np.linalg.matrix_norm)
def _matrix_norm(x: Any, /, *, keepdims: bool = False, ord: Any = "fro") -> Any:
    return np.linalg.norm(x, ord, axis=(-2, -1), keepdims=keepdims)


@composite(np.linalg.vector_norm)
def _vector_norm(x: Any, /, *, axis: Any = None, keepdims: bool = False, ord: Any = 2) -> Any:
    if axis is not None and not isinstance(axis, tuple):
        return np.linalg.norm(x, ord, axis=axis, keepdims=keepdims)
    axes = axes_of(axis, x.ndim)
    rest = [i for i in range(x.ndim) if i not in axes]
    vectors = np.transpose(x, [*axes, *rest]).reshape(-1, *(x.shape[i] for i in rest))
    norm = np.linalg.norm(vectors, ord, axis=0)
    return restored(norm, x.shape, axis) if keepdims else norm


@composite(np.linalg.cond)
def _cond(x: Any, p: Any = None) -> Any:
    """Where the condition number is infinite, as that of a singular matrix is, it counts as constant."""
    value = np.linalg.cond(plain(x), p)
    finite = np.isfinite(value)
    x = np.where(finite[..., None, None], x, np.eye(*x.shape[-2:], dtype=x.dtype))
    if p in (None, 2, -2):
        s = np.linalg.svdvals(x)
        largest, smallest = s[..., 0], s[..., -1]
        ratio = smallest / largest if p == -2 else largest / smallest
    else:
        ratio = np.linalg.norm(x, p, axis=(-2, -1)) * np.linalg.norm(np.linalg.inv(x), p, axis=(-2, -1))
    return np.where(finite, ratio, value)
