"""Layers, and the stack of them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from tinygrad_np import fused, random
from tinygrad_np.arguments import checked, checked_integer
from tinygrad_np.core import Tensor, tensor
from tinygrad_np.errors import DtypeError, ShapeError
from tinygrad_np.functions import as_float, normalise, widened
from tinygrad_np.nn.init import Initialiser, he_normal, normal
from tinygrad_np.nn.module import Module
from tinygrad_np.rules.handlers import plain
from tinygrad_np.rules.indexing import arrayed
from tinygrad_np.rules.movement import as_dtype
from tinygrad_np.standins import check

__all__ = ["BatchNorm", "Dense", "Dropout", "Embedding", "Flatten", "LayerNorm", "Sequential"]


class Dense(Module):
    """A fully connected layer: ``x @ weight + bias``.

    Parameters
    ----------
    in_features, out_features : int
        The length of a row of the input, and of the output.
    bias : bool
        Whether to add a bias, which starts at 0.
    init : callable
        Makes the first weights: see `nn.init`.
    dtype : dtype
        Of the parameters.

    Attributes
    ----------
    weight : Tensor, shape (in_features, out_features)
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
        self,
        in_features: int,
        out_features: int,
        *,
        bias: bool = True,
        init: Initialiser = he_normal,
        dtype: DTypeLike = np.float32,
    ) -> None:
        inputs = checked_integer("Dense", "in_features", in_features)
        shape = inputs, checked_integer("Dense", "out_features", out_features)
        self.weight = _drawn("Dense", init, shape, dtype)
        self.bias = tensor(np.zeros(shape[1], dtype), requires_grad=True) if bias else None

    def forward(self, x: Any) -> Any:
        try:
            return fused.dense(x, self.weight, self.bias)
        except ShapeError as error:
            raise ShapeError("Dense({}, {}): {}".format(*self.weight.shape, error)) from error


class Flatten(Module):
    """Each example as one row: all axes but the first become one.

    Raises
    ------
    ShapeError
        If an input has no axis of examples.

    Examples
    --------
    >>> import numpy as np, tinygrad_np as tg
    >>> tg.nn.Flatten()(np.ones((5, 28, 28), np.float32)).shape
    (5, 784)
    """

    def forward(self, x: Any) -> Any:
        x = arrayed(x)
        if x.ndim == 0:
            raise ShapeError("Flatten: x of shape () has no axis of examples: it must be (examples, ...)")
        return x.reshape(x.shape[0], math.prod(x.shape[1:]))


class Dropout(Module):
    """Sets elements to 0 at random while training, and scales the others so that their sum is expected to stay.

    In `eval` mode it passes everything on as it is. The draws come from the library's generator: see
    `tinygrad_np.manual_seed`. Srivastava et al., "Dropout: a simple way to prevent neural networks from overfitting",
    JMLR 2014.

    Parameters
    ----------
    p : float
        The probability of an element to be set to 0; below 1.

    Raises
    ------
    ShapeError, DtypeError
        If p is out of its range, or no number.

    Examples
    --------
    >>> import numpy as np, tinygrad_np as tg
    >>> tg.manual_seed(0)
    >>> layer = tg.nn.Dropout(0.5)
    >>> layer(np.ones(6))
    array([2., 2., 2., 0., 0., 0.])
    >>> layer.eval()(np.ones(6))
    array([1., 1., 1., 1., 1., 1.])
    """

    def __init__(self, p: float = 0.5) -> None:
        self.p = checked("Dropout", "p", p, below=1)

    def forward(self, x: Any) -> Any:
        x = as_float(x)
        if not self.training or not self.p:
            return x
        # float32 draws in every dtype, so that one seed gives one mask.
        kept = random.uniform(x.shape, np.float32) >= self.p
        precise = widened(x)  # the scale may be infinite in float16
        return as_dtype(precise * np.multiply(kept, 1 / (1 - self.p), dtype=precise.dtype), x.dtype)


class BatchNorm(Module):
    """Gives each feature mean 0 and variance 1 over the batch, and then a scale and an offset that are trained.

    While training it uses the mean and variance of the batch, and keeps running ones, which it uses in `eval` mode.
    The features are the last axis; all others count as the batch. Ioffe and Szegedy, "Batch normalization", ICML 2015.

    Parameters
    ----------
    features : int
        The length of the last axis.
    momentum : float
        How much of the running mean and variance a batch replaces.
    eps : float
        Is added to the variance, which may be zero.
    dtype : dtype
        Of the parameters.

    Attributes
    ----------
    weight, bias : Tensor, shape (features,)
        The scale, which starts at 1, and the offset, which starts at 0.
    running_mean, running_var : Tensor, shape (features,)
        Not trained, but saved; the variance is the unbiased one. In float32, if the parameters are float16.

    Raises
    ------
    ShapeError
        If an input has another number of features, or while training a batch has fewer than two elements of each.

    Notes
    -----
    Under `tinygrad_np.checkpoint`, which calls a function again for backward, the running ones move twice.

    Examples
    --------
    >>> import numpy as np, tinygrad_np as tg
    >>> layer = tg.nn.BatchNorm(2)
    >>> layer(np.array([[1, 4], [3, 4]], np.float32)).data.round(3)
    array([[-1.,  0.],
           [ 1.,  0.]], dtype=float32)
    >>> layer.running_mean.data
    array([0.2, 0.4], dtype=float32)
    """

    def __init__(
        self, features: int, *, momentum: float = 0.1, eps: float = 1e-5, dtype: DTypeLike = np.float32
    ) -> None:
        shape = (checked_integer("BatchNorm", "features", features),)
        self.momentum = checked("BatchNorm", "momentum", momentum, below=1)
        self.eps = checked("BatchNorm", "eps", eps)
        self.weight = tensor(np.ones(shape, dtype), requires_grad=True)
        self.bias = tensor(np.zeros(shape, dtype), requires_grad=True)
        precise = np.result_type(dtype, np.float32)
        self.running_mean = tensor(np.zeros(shape, precise))
        self.running_var = tensor(np.ones(shape, precise))

    def forward(self, x: Any) -> Any:
        x = as_float(x)
        _check_trailing("BatchNorm", x, self.weight)
        centred, variance = self._centred(widened(x))
        result = _affine(centred / np.sqrt(variance + self.eps), self.weight, self.bias)
        return as_dtype(result, np.result_type(x.dtype, self.weight.dtype))

    def _centred(self, x: Any) -> tuple[Any, Any]:
        """``x`` less its mean, and its variance: those of the batch or, in `eval` mode, the running ones."""
        if not self.training:
            return x - self.running_mean, self.running_var
        axes = tuple(range(x.ndim - 1))
        count = math.prod(x.shape[:-1])
        if count < 2:
            raise ShapeError(
                f"BatchNorm({self.weight.size}): x of shape {x.shape} has {count} rows, and the variance of a batch "
                "needs two or more: use larger batches (drop_last), or model.eval()"
            )
        mean = np.mean(x, axis=axes)
        centred = x - mean
        variance = np.mean(np.square(centred), axis=axes)
        self._keep(self.running_mean, mean, 1)
        self._keep(self.running_var, variance, count / (count - 1))
        return centred, variance

    def _keep(self, running: Tensor, of_batch: Any, scale: float) -> None:
        kept, new = running.data, plain(of_batch)
        np.multiply(kept, 1 - self.momentum, out=kept)
        np.add(kept, new * (self.momentum * scale), out=kept, casting="same_kind")


class LayerNorm(Module):
    """Gives each example mean 0 and variance 1, and then each of its elements a scale and an offset that are trained.

    Ba, Kiros and Hinton, "Layer normalization", arXiv 1607.06450.

    Parameters
    ----------
    shape : int or tuple of int
        The last axes, over which the mean and variance are taken.
    eps : float
        Is added to the variance, which may be zero.
    dtype : dtype
        Of the parameters.

    Attributes
    ----------
    weight, bias : Tensor, of that shape
        The scale, which starts at 1, and the offset, which starts at 0.

    Raises
    ------
    ShapeError
        If the last axes of an input are of another shape.

    Examples
    --------
    >>> import numpy as np, tinygrad_np as tg
    >>> layer = tg.nn.LayerNorm(2)
    >>> layer(np.array([[1, 3], [0, 8]], np.float32)).data.round(3)
    array([[-1.,  1.],
           [-1.,  1.]], dtype=float32)
    """

    def __init__(self, shape: int | tuple[int, ...], *, eps: float = 1e-5, dtype: DTypeLike = np.float32) -> None:
        lengths = shape if isinstance(shape, tuple) else (shape,)
        lengths = tuple(checked_integer("LayerNorm", "shape", length) for length in lengths)
        if not lengths:
            raise ShapeError("LayerNorm: shape must have one axis or more, not ()")
        self.eps = checked("LayerNorm", "eps", eps)
        self.weight = tensor(np.ones(lengths, dtype), requires_grad=True)
        self.bias = tensor(np.zeros(lengths, dtype), requires_grad=True)

    def forward(self, x: Any) -> Any:
        x = as_float(x)
        _check_trailing("LayerNorm", x, self.weight)
        axes = tuple(range(-self.weight.ndim, 0))
        result = _affine(normalise(widened(x), axes, self.eps), self.weight, self.bias)
        return as_dtype(result, np.result_type(x.dtype, self.weight.dtype))


class Embedding(Module):
    """A table of vectors that are trained, one a number: words, users, categories.

    Parameters
    ----------
    count : int
        How many vectors; the numbers go from 0 to count - 1.
    features : int
        The length of a vector.
    init : callable
        Makes the table: see `nn.init`.
    dtype : dtype
        Of the table.

    Attributes
    ----------
    weight : Tensor, shape (count, features)

    Raises
    ------
    ShapeError
        If a number is out of range.
    DtypeError
        If the numbers are not integers.

    Examples
    --------
    >>> import numpy as np, tinygrad_np as tg
    >>> layer = tg.nn.Embedding(1000, 16)
    >>> layer(np.array([[1, 2, 3], [7, 0, 999]])).shape
    (2, 3, 16)
    """

    def __init__(
        self, count: int, features: int, *, init: Initialiser = normal, dtype: DTypeLike = np.float32
    ) -> None:
        shape = checked_integer("Embedding", "count", count), checked_integer("Embedding", "features", features)
        self.weight = _drawn("Embedding", init, shape, dtype)

    def forward(self, numbers: Any) -> Any:
        numbers = plain(arrayed(numbers))
        if numbers.dtype.kind not in "iu":
            raise DtypeError(
                f"Embedding{self.weight.shape}: numbers must be integers, not {numbers.dtype} (shape {numbers.shape})"
            )
        check(_check_range, numbers, self.weight.shape)
        return self.weight[numbers]


def _check_range(numbers: Any, shape: tuple[int, ...]) -> None:
    """Raise if a number has no row: as an index, -1 would silently mean the last."""
    if numbers.size and (numbers.min() < 0 or numbers.max() >= shape[0]):
        wrong = numbers[(numbers < 0) | (numbers >= shape[0])]
        raise ShapeError(
            f"Embedding{shape}: numbers must be from 0 to {shape[0] - 1}, but {wrong.size} of {numbers.size} are not, "
            f"the first of them {wrong.flat[0]}"
        )


def _check_trailing(owner: str, x: Any, weight: Tensor) -> None:
    if x.shape[max(x.ndim - weight.ndim, 0) :] != weight.shape:
        raise ShapeError(
            f"{owner}{weight.shape}: x of shape {x.shape} does not fit a weight of shape {weight.shape}: it must be "
            f"(..., {', '.join(map(str, weight.shape))})"
        )


def _affine(x: Any, weight: Tensor, bias: Tensor) -> Any:
    return x * widened(weight) + widened(bias)


def _drawn(owner: str, init: Initialiser, shape: tuple[int, ...], dtype: DTypeLike) -> Tensor:
    weight = tensor(init(shape, dtype=dtype), requires_grad=True, dtype=dtype)
    if weight.shape != shape:
        raise ShapeError(f"{owner}: init made an array of shape {weight.shape}, not {shape}")
    return weight


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
    ShapeError, DtypeError
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
            except (ShapeError, DtypeError) as error:
                raise type(error)(f"layers.{i}: {error}") from error
        return x
