"""Gradients kept from being too large, between backward and step."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import Any

import numpy as np

from tinygrad_np.arguments import checked
from tinygrad_np.core import Tensor
from tinygrad_np.errors import DtypeError, ShapeError
from tinygrad_np.rules.movement import as_dtype

__all__ = ["clip_grad_norm", "clip_grad_value"]


def clip_grad_norm(parameters: Iterable[Tensor], max_norm: float) -> Any:
    """Scale all gradients by one factor, so that their Euclidean norm, taken together, is at most `max_norm`.

    A gradient that is not a number makes the norm and all gradients so: look at the norm to find out.

    Parameters
    ----------
    parameters : iterable of Tensor
        Leaves; those without a gradient are left alone.
    max_norm : float
        Above zero.

    Returns
    -------
    NumPy scalar
        The norm before, in float64.

    Raises
    ------
    ShapeError
        If max_norm is not above zero, and finite.
    DtypeError
        If a parameter is not a Tensor, or max_norm no number.

    Examples
    --------
    >>> import numpy as np, tinygrad_np as tg
    >>> w = tg.tensor([3.0, 4.0], requires_grad=True)
    >>> np.sum(w * w / 2).backward()
    >>> tg.optim.clip_grad_norm([w], 1.0)
    np.float64(5.0)
    >>> w.grad
    array([0.6, 0.8])
    """
    limit = _limit("clip_grad_norm", "max_norm", max_norm)
    found = _with_gradients("clip_grad_norm", parameters)
    # In units of a power of two near the largest, which rounds nothing: neither do squares overflow nor does the factor
    # vanish, where both would do so in numbers of the gradients' own size. float16 has too few of them even so.
    sizes = [np.max(np.abs(p.grad), initial=0) for p in found]
    largest = functools.reduce(np.maximum, sizes, np.float64(0))
    _, exponent = np.frexp(np.where(np.isfinite(largest), largest, 1))
    unit = np.ldexp(1.0, exponent - 1)
    scaled = [np.divide(p.grad, unit, dtype=np.result_type(p.dtype, np.float32)) for p in found]
    squares = [np.sum(np.square(np.abs(gradient), dtype=np.float64)) for gradient in scaled]
    norm = np.sqrt(sum(squares, np.float64(0)))  # 0, or at least 1
    factor = np.minimum(limit / np.maximum(norm, 1), unit)
    for parameter, gradient in zip(found, scaled, strict=True):
        # A new array: two leaves may hold one and the same gradient, which would be scaled twice in place.
        parameter.grad = as_dtype(np.multiply(gradient, factor, dtype=gradient.dtype), parameter.dtype)
    return norm * unit


def clip_grad_value(parameters: Iterable[Tensor], max_value: float) -> None:
    """Limit each element of the gradients to between ``-max_value`` and ``max_value``.

    Parameters
    ----------
    parameters : iterable of Tensor
        Leaves; those without a gradient are left alone.
    max_value : float
        Above zero.

    Raises
    ------
    ShapeError
        If max_value is not above zero, and finite.
    DtypeError
        If a parameter is not a Tensor or is complex, or max_value no number.

    Examples
    --------
    >>> import numpy as np, tinygrad_np as tg
    >>> w = tg.tensor([3.0, -0.5], requires_grad=True)
    >>> np.sum(w * w / 2).backward()
    >>> tg.optim.clip_grad_value([w], 1.0)
    >>> w.grad
    array([ 1. , -0.5])
    """
    limit = _limit("clip_grad_value", "max_value", max_value)
    found = _with_gradients("clip_grad_value", parameters)
    for p in found:
        if p.dtype.kind == "c":
            raise DtypeError(
                f"clip_grad_value: a parameter is {p.dtype}{p.shape}, and complex numbers have no order: "
                "use clip_grad_norm"
            )
    for parameter in found:
        parameter.grad = np.clip(parameter.grad, -limit, limit)


def _limit(owner: str, name: str, value: float) -> float:
    limit = checked(owner, name, value)
    if not limit:
        raise ShapeError(f"{owner}: {name} must be above zero, not {value!r}")
    return limit


def _with_gradients(owner: str, parameters: Iterable[Tensor]) -> list[Any]:
    if isinstance(parameters, Tensor):
        raise DtypeError(f"{owner}: parameters must be a list of tensors, not one tensor: write [t]")
    found = list(parameters)
    for position, parameter in enumerate(found):
        if not isinstance(parameter, Tensor):
            raise DtypeError(f"{owner}: parameter {position} is a {type(parameter).__name__}, not a tensor")
    return [parameter for parameter in found if parameter.grad is not None]
