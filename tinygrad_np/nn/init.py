"""Initial values of parameters, drawn from the library's generator (see `tinygrad_np.manual_seed`)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from tinygrad_np.errors import ShapeError
from tinygrad_np.random import generator

__all__ = ["fan_in", "he_normal"]


def fan_in(shape: tuple[int, ...]) -> int:
    """How many inputs each output of a weight of this shape, (..., outputs), is the sum of.

    Raises
    ------
    ShapeError
        If the shape has fewer than two axes, or no inputs.

    Examples
    --------
    >>> import tinygrad_np as tg
    >>> tg.nn.init.fan_in((784, 256))
    784
    """
    inputs = math.prod(shape[:-1])
    if len(shape) < 2 or inputs < 1:
        raise ShapeError(f"a weight of shape {shape} has no fan-in: it must be (inputs, outputs), of one input or more")
    return inputs


def he_normal(shape: tuple[int, ...], dtype: DTypeLike = np.float32) -> NDArray[Any]:
    """Normally distributed weights of variance ``2 / fan_in``, which keep the scale of what passes through relu layers.

    He, Zhang, Ren and Sun, "Delving deep into rectifiers", ICCV 2015, equation 10. One seed gives the same numbers in
    every dtype, up to rounding.

    Examples
    --------
    >>> import tinygrad_np as tg
    >>> tg.manual_seed(0)
    >>> w = tg.nn.init.he_normal((200, 100))
    >>> w.dtype, round(float(w.std()), 2)
    (dtype('float32'), 0.1)
    """
    return generator().normal(0, math.sqrt(2 / fan_in(shape)), shape).astype(dtype)
