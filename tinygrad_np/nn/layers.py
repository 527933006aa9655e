"""Layers, and the stack of them."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from tinygrad_np import fused
from tinygrad_np.core import tensor
from tinygrad_np.errors import DtypeError, ShapeError
from tinygrad_np.nn.init import he_normal
from tinygrad_np.nn.module import Module

__all__ = ["Dense", "ReLU", "Sequential"]


class Dense(Module):
    """A fully connected layer: ``x @ weight + bias``.

    Parameters
    ----------
    in_features, out_features : int
        The length of a row of the input, and of the output.
    bias : bool
        Whether to add a bias, which starts at 0.
    dtype : dtype
        Of the parameters.

    Attributes
    ----------
    weight : Tensor, shape (in_features, out_features)
        Starts with `init.he_normal`.
    bias : Tensor, shape (out_features,), or None

    Raises
    ------
    ShapeError
        If there are no features, or an input does not have in_features of them.
    DtypeError
        If a number of features is no integer.

    Examples
    --------
    >>> import numpy as np, tinygrad_np as tg
    >>> layer = tg.nn.Dense(3, 2)
    >>> layer
    Dense(weight (3, 2), bias (2,)): 8 parameters
    >>> layer(np.ones((5, 3), np.float32)).shape
    (5, 2)
    """

    def __init__(
        self, in_features: int, out_features: int, *, bias: bool = True, dtype: DTypeLike = np.float32
    ) -> None:
        shape = _features("in_features", in_features), _features("out_features", out_features)
        self.weight = tensor(he_normal(shape, dtype), requires_grad=True)
        self.bias = tensor(np.zeros(shape[1], dtype), requires_grad=True) if bias else None

    def forward(self, x: Any) -> Any:
        try:
            return fused.dense(x, self.weight, self.bias)
        except ShapeError as error:
            raise ShapeError("Dense({}, {}): {}".format(*self.weight.shape, error)) from error


def _features(name: str, number: int) -> int:
    try:
        features = operator.index(number)
    except TypeError:
        raise DtypeError(f"Dense: {name} must be an integer, not {number!r}") from None
    if features < 1:
        raise ShapeError(f"Dense: {name} must be at least 1, not {features}")
    return features


class ReLU(Module):
    """``max(x, 0)``, element by element.

    Examples
    --------
    >>> import numpy as np, tinygrad_np as tg
    >>> tg.nn.ReLU()(np.array([-1.0, 2.0]))
    array([0., 2.])
    """

    def forward(self, x: Any) -> Any:
        return fused.relu(x)


class Sequential(Module):
    """Layers applied one after the other.

    Parameters
    ----------
    *layers : Module
        In the order in which the input passes them.

    Raises
    ------
    DtypeError
        If one of them is not a Module.
    ShapeError
        If an input does not fit the layer that it reaches, whose position is named.

    Examples
    --------
    >>> import numpy as np, tinygrad_np as tg
    >>> model = tg.nn.Sequential(tg.nn.Dense(784, 256), tg.nn.ReLU(), tg.nn.Dense(256, 10))
    >>> model
    Sequential(
      layers.0: Dense(weight (784, 256), bias (256,)): 200,960 parameters
      layers.1: ReLU()
      layers.2: Dense(weight (256, 10), bias (10,)): 2,570 parameters
    ): 203,530 parameters
    >>> model(np.ones((5, 784), np.float32)).shape
    (5, 10)
    """

    def __init__(self, *layers: Module) -> None:
        for i, layer in enumerate(layers):
            if not isinstance(layer, Module):
                raise DtypeError(f"Sequential: layer {i} must be a Module, not {layer!r}")
        self.layers = list(layers)

    def forward(self, x: Any) -> Any:
        for i, layer in enumerate(self.layers):
            try:
                x = layer(x)
            except ShapeError as error:
                raise ShapeError(f"layers.{i}: {error}") from error
        return x
