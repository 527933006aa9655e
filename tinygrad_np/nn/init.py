"""Initial values of parameters, drawn from the library's generator (see `tinygrad_np.manual_seed`).

Each takes a shape, (..., inputs, outputs), and a dtype, and returns an array; one seed gives the same numbers in every
dtype, up to rounding. They are what layers take as ``init=``::

    nn.Dense(784, 10, init=nn.init.xavier_uniform)
    nn.Dense(784, 10, init=functools.partial(nn.init.uniform, low=-0.5, high=0.5))
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from tinygrad_np.errors import ShapeError
from tinygrad_np.random import generator

__all__ = [
    "Initialiser",
    "fan_in",
    "fan_out",
    "he_normal",
    "he_uniform",
    "lecun_normal",
    "lecun_uniform",
    "normal",
    "orthogonal",
    "uniform",
    "xavier_normal",
    "xavier_uniform",
]

Initialiser = Callable[..., NDArray[Any]]
"""Called as ``init(shape, dtype=dtype)``."""


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


def fan_out(shape: tuple[int, ...]) -> int:
    """How many outputs each input of a weight of this shape, (..., inputs, outputs), is a part of.

    Raises
    ------
    ShapeError
        If the shape has fewer than two axes, or no outputs.

    Examples
    --------
    >>> import tinygrad_np as tg
    >>> tg.nn.init.fan_out((784, 256))
    256
    """
    outputs = math.prod(shape[:-2]) * math.prod(shape[-1:])
    if len(shape) < 2 or outputs < 1:
        raise ShapeError(f"a weight of shape {shape} has no fan-out: it must be (inputs, outputs), of one or more")
    return outputs


def uniform(
    shape: tuple[int, ...], low: float = 0.0, high: float = 1.0, dtype: DTypeLike = np.float32
) -> NDArray[Any]:
    """Uniformly distributed numbers from low to high.

    Examples
    --------
    >>> import tinygrad_np as tg
    >>> tg.manual_seed(0)
    >>> tg.nn.init.uniform((2,), low=-0.5, high=0.5)
    array([ 0.13696168, -0.23021328], dtype=float32)
    """
    return generator().uniform(low, high, shape).astype(dtype)


def normal(shape: tuple[int, ...], mean: float = 0.0, std: float = 1.0, dtype: DTypeLike = np.float32) -> NDArray[Any]:
    """Normally distributed numbers.

    Examples
    --------
    >>> import tinygrad_np as tg
    >>> tg.manual_seed(0)
    >>> tg.nn.init.normal((2,), std=0.1)
    array([ 0.01257302, -0.01321049], dtype=float32)
    """
    return generator().normal(mean, std, shape).astype(dtype)


def xavier_uniform(shape: tuple[int, ...], dtype: DTypeLike = np.float32) -> NDArray[Any]:
    """Uniformly distributed weights of variance ``2 / (fan_in + fan_out)``, for layers with tanh or sigmoid.

    Glorot and Bengio, "Understanding the difficulty of training deep feedforward neural networks", AISTATS 2010.

    Examples
    --------
    >>> import tinygrad_np as tg
    >>> tg.manual_seed(0)
    >>> w = tg.nn.init.xavier_uniform((200, 100))
    >>> round(float(abs(w).max()), 3)
    0.141
    """
    return _uniform(shape, 2 / (fan_in(shape) + fan_out(shape)), dtype)


def xavier_normal(shape: tuple[int, ...], dtype: DTypeLike = np.float32) -> NDArray[Any]:
    """Normally distributed weights of variance ``2 / (fan_in + fan_out)``: see `xavier_uniform`.

    Examples
    --------
    >>> import tinygrad_np as tg
    >>> tg.manual_seed(0)
    >>> w = tg.nn.init.xavier_normal((200, 100))
    >>> round(float(w.std()), 3)
    0.081
    """
    return _normal(shape, 2 / (fan_in(shape) + fan_out(shape)), dtype)


def he_uniform(shape: tuple[int, ...], dtype: DTypeLike = np.float32) -> NDArray[Any]:
    """Uniformly distributed weights of variance ``2 / fan_in``: see `he_normal`.

    Examples
    --------
    >>> import tinygrad_np as tg
    >>> tg.manual_seed(0)
    >>> w = tg.nn.init.he_uniform((200, 100))
    >>> round(float(w.std()), 2), round(float(abs(w).max()), 3)
    (0.1, 0.173)
    """
    return _uniform(shape, 2 / fan_in(shape), dtype)


def he_normal(shape: tuple[int, ...], dtype: DTypeLike = np.float32) -> NDArray[Any]:
    """Normally distributed weights of variance ``2 / fan_in``, which keep the scale of what passes through relu layers.

    He, Zhang, Ren and Sun, "Delving deep into rectifiers", ICCV 2015, equation 10.

    Examples
    --------
    >>> import tinygrad_np as tg
    >>> tg.manual_seed(0)
    >>> w = tg.nn.init.he_normal((200, 100))
    >>> w.dtype, round(float(w.std()), 2)
    (dtype('float32'), 0.1)
    """
    return _normal(shape, 2 / fan_in(shape), dtype)


def lecun_uniform(shape: tuple[int, ...], dtype: DTypeLike = np.float32) -> NDArray[Any]:
    """Uniformly distributed weights of variance ``1 / fan_in``: see `lecun_normal`.

    Examples
    --------
    >>> import tinygrad_np as tg
    >>> tg.manual_seed(0)
    >>> w = tg.nn.init.lecun_uniform((200, 100))
    >>> round(float(w.std()), 2), round(float(abs(w).max()), 3)
    (0.07, 0.122)
    """
    return _uniform(shape, 1 / fan_in(shape), dtype)


def lecun_normal(shape: tuple[int, ...], dtype: DTypeLike = np.float32) -> NDArray[Any]:
    """Normally distributed weights of variance ``1 / fan_in``, which keep the scale through linear layers.

    LeCun, Bottou, Orr and Mueller, "Efficient BackProp", 1998, section 4.6.

    Examples
    --------
    >>> import tinygrad_np as tg
    >>> tg.manual_seed(0)
    >>> w = tg.nn.init.lecun_normal((200, 100))
    >>> round(float(w.std()), 2)
    0.07
    """
    return _normal(shape, 1 / fan_in(shape), dtype)


def orthogonal(shape: tuple[int, ...], gain: float = 1.0, dtype: DTypeLike = np.float32) -> NDArray[Any]:
    """Weights whose columns, or rows if there are fewer of these, are orthogonal and of length `gain`.

    All axes but the last count as one. Saxe, McClelland and Ganguli, "Exact solutions to the nonlinear dynamics of
    learning in deep linear neural networks", ICLR 2014.

    Examples
    --------
    >>> import numpy as np, tinygrad_np as tg
    >>> w = tg.nn.init.orthogonal((4, 3), dtype=np.float64)
    >>> bool(np.allclose(w.T @ w, np.eye(3)))
    True
    """
    rows, columns = fan_in(shape), shape[-1]
    drawn = generator().normal(size=(max(rows, columns), min(rows, columns)))
    q, r = np.linalg.qr(drawn)
    # The signs of the diagonal make it uniform among all such matrices, whatever LAPACK chose (Mezzadri, 2007).
    q = q * np.copysign(gain, np.diagonal(r))
    weights: NDArray[Any] = (q if rows >= columns else q.T).reshape(shape)
    return weights.astype(dtype)


def _uniform(shape: tuple[int, ...], variance: float, dtype: DTypeLike) -> NDArray[Any]:
    limit = math.sqrt(3 * variance)
    return uniform(shape, -limit, limit, dtype)


def _normal(shape: tuple[int, ...], variance: float, dtype: DTypeLike) -> NDArray[Any]:
    return normal(shape, 0.0, math.sqrt(variance), dtype)
