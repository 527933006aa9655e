"""Activations, the dense layer and losses, each spelled in NumPy: they need no rule, and any derivative follows.

They take and return Tensors or arrays alike, keep float32 as float32, and stay finite for finite input of any size, as
far as the result is a finite number. `tinygrad_np.fused` has some of them with the gradient derived by hand.

Sources of the formulae:

- sums of exponentials: Blanchard, Higham and Higham, "Accurately computing the log-sum-exp and softmax functions",
  IMA Journal of Numerical Analysis 41(4), 2021;
- sigmoid, softplus and the losses: Goodfellow, Bengio and Courville, "Deep Learning", 2016, sections 3.10 and 6.2.2;
- rectifiers: Nair and Hinton, "Rectified linear units improve restricted Boltzmann machines", ICML 2010; leaky: Maas,
  Hannun and Ng, "Rectifier nonlinearities improve neural network acoustic models", ICML 2013; elu: Clevert, Unterthiner
  and Hochreiter, ICLR 2016; gelu: Hendrycks and Gimpel, arXiv 1606.08415, which names silu too.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinygrad_np.core import no_grad
from tinygrad_np.errors import DtypeError, ShapeError
from tinygrad_np.rules.handlers import plain
from tinygrad_np.rules.indexing import arrayed, reads_outside
from tinygrad_np.rules.movement import as_dtype
from tinygrad_np.rules.reductions import divisor
from tinygrad_np.special import erfc
from tinygrad_np.standins import check

__all__ = [
    "binary_cross_entropy",
    "cross_entropy",
    "dense",
    "elu",
    "gelu",
    "leaky_relu",
    "log_softmax",
    "logsumexp",
    "mse_loss",
    "normalise",
    "relu",
    "sigmoid",
    "silu",
    "softmax",
    "softplus",
    "tanh",
]

# The distance between the largest floats of either sign overflows to infinity, which is right: its exp is zero.
_overflow_is_right = np.errstate(over="ignore")


# ------------------------------------------------------------------------------------------------------- activations


def relu(x: Any) -> Any:
    """``max(x, 0)``, with derivative 0 at 0.

    Examples
    --------
    >>> import numpy as np, tinygrad_np as tg
    >>> tg.functions.relu(np.array([-1.0, 0.0, 2.0]))
    array([0., 0., 2.])
    """
    x = arrayed(x)
    return np.where(x <= 0, 0, x)  # np.maximum would split the gradient at the tie; NaN passes


def leaky_relu(x: Any, slope: float = 0.01) -> Any:
    """``x`` where it is positive and ``slope * x`` elsewhere, with derivative `slope` at 0.

    Examples
    --------
    >>> import numpy as np, tinygrad_np as tg
    >>> tg.functions.leaky_relu(np.array([-1.0, 0.0, 2.0]))
    array([-0.01,  0.  ,  2.  ])
    """
    x = as_float(x)
    return np.where(x > 0, x, slope * x)


def elu(x: Any, alpha: float = 1.0) -> Any:
    """``x`` where it is positive and ``alpha * (exp(x) - 1)`` elsewhere.

    Examples
    --------
    >>> import numpy as np, tinygrad_np as tg
    >>> tg.functions.elu(np.array([-1e4, 0.0, 1e4]))
    array([-1.e+00,  0.e+00,  1.e+04])
    """
    x = as_float(x)
    return np.where(x > 0, x, alpha * np.expm1(np.where(x > 0, 0, x)))


def gelu(x: Any) -> Any:
    """``x`` times the probability that a standard normal number is below it; exact, not the tanh approximation.

    Examples
    --------
    >>> import numpy as np, tinygrad_np as tg
    >>> tg.functions.gelu(np.array([-1.0, 0.0, 1.0])).round(4)
    array([-0.1587,  0.    ,  0.8413])
    """
    x = as_float(x)
    return x * (erfc(x * -math.sqrt(0.5)) / 2)


def silu(x: Any) -> Any:
    """``x * sigmoid(x)``, also called swish.

    Examples
    --------
    >>> import numpy as np, tinygrad_np as tg
    >>> tg.functions.silu(np.array([-1.0, 0.0, 1.0])).round(4)
    array([-0.2689,  0.    ,  0.7311])
    """
    x = as_float(x)
    return x * sigmoid(x)


def tanh(x: Any) -> Any:
    """``np.tanh``, under the name that activations are looked for.

    Examples
    --------
    >>> import numpy as np, tinygrad_np as tg
    >>> tg.functions.tanh(np.array([-1e4, 0.0, 1e4]))
    array([-1.,  0.,  1.])
    """
    return np.tanh(as_float(x))


def sigmoid(x: Any) -> Any:
    """``1 / (1 + exp(-x))``, to full relative precision in both tails.

    Examples
    --------
    >>> import numpy as np, tinygrad_np as tg
    >>> tg.functions.sigmoid(np.array([-1e4, 0.0, 1e4]))
    array([0. , 0.5, 1. ])
    """
    return np.exp(-softplus(-as_float(x)))


def softplus(x: Any) -> Any:
    """``log(1 + exp(x))``, a smooth `relu`.

    Examples
    --------
    >>> import numpy as np, tinygrad_np as tg
    >>> tg.functions.softplus(np.array([-1e4, 1e4]))
    array([    0., 10000.])
    """
    return np.logaddexp(as_float(x), 0)


@_overflow_is_right
def logsumexp(x: Any, axis: int | tuple[int, ...] | None = None, *, keepdims: bool = False) -> Any:
    """``log(sum(exp(x)))`` along an axis, by default over all elements.

    Where all of them are -inf, and where there are none, the value is -inf and the gradient 0.

    Examples
    --------
    >>> import numpy as np, tinygrad_np as tg
    >>> tg.functions.logsumexp(np.array([[1e4, -1e4], [-np.inf, -np.inf]]), axis=1)
    array([10000.,   -inf])
    """
    shifted, top = _shifted(as_float(x), axis)
    total = np.sum(np.exp(shifted), axis=axis, keepdims=True)
    result = np.where(total == 0, -np.inf, np.log(_nonzero(total)) + top)
    return result if keepdims else np.squeeze(result, axis)


@_overflow_is_right
def softmax(x: Any, axis: int | tuple[int, ...] | None = -1) -> Any:
    """``exp(x) / sum(exp(x))`` along an axis: positive numbers that sum to 1.

    Where all elements are -inf, as where all are masked out, the result is 0.

    Examples
    --------
    >>> import numpy as np, tinygrad_np as tg
    >>> tg.functions.softmax(np.array([[1e4, 1e4], [-1e4, 1e4]]))
    array([[0.5, 0.5],
           [0. , 1. ]])
    """
    weights = np.exp(_shifted(as_float(x), axis)[0])
    return weights / _nonzero(np.sum(weights, axis=axis, keepdims=True))


@_overflow_is_right
def log_softmax(x: Any, axis: int | tuple[int, ...] | None = -1) -> Any:
    """``log(softmax(x))``, without the underflow of the softmax.

    Examples
    --------
    >>> import numpy as np, tinygrad_np as tg
    >>> tg.functions.log_softmax(np.array([-1e4, 1e4]))
    array([-20000.,      0.])
    """
    shifted, _ = _shifted(as_float(x), axis)
    return shifted - np.log(_nonzero(np.sum(np.exp(shifted), axis=axis, keepdims=True)))


def _shifted(x: Any, axis: Any) -> tuple[Any, Any]:
    """``x`` less its largest element, and that; it cancels in the result, so its derivative is left out."""
    with no_grad():
        top = np.max(x, axis=axis, keepdims=True, initial=-np.inf)
        top = np.where(np.isfinite(top), top, 0)
    return x - top, top


def _nonzero(total: Any) -> Any:
    """A sum of exponentials of which the largest is 1; of none, or of all -inf, 1 as well, to divide by."""
    return np.where(total == 0, 1, total)


# ------------------------------------------------------------------------------------------------------------- layers


def dense(x: Any, weight: Any, bias: Any = None) -> Any:
    """``x @ weight + bias``.

    Parameters
    ----------
    x : Tensor or array_like, shape (..., inputs)
        Any number of rows, or one.
    weight : Tensor or array_like, shape (inputs, outputs)
    bias : Tensor or array_like, shape (outputs,), optional

    Raises
    ------
    ShapeError
        If the shapes do not fit.

    Examples
    --------
    >>> import numpy as np, tinygrad_np as tg
    >>> tg.functions.dense(np.ones((2, 3)), np.ones((3, 2)), np.array([0.0, 1.0]))
    array([[3., 4.],
           [3., 4.]])
    """
    x, weight, bias = checked_dense(x, weight, bias)
    return x @ weight if bias is None else x @ weight + bias


def normalise(x: Any, axis: int | tuple[int, ...] = -1, eps: float = 1e-5) -> Any:
    """``(x - mean) / sqrt(variance + eps)`` along one or several axes, as LayerNorm has it.

    Examples
    --------
    >>> import numpy as np, tinygrad_np as tg
    >>> tg.functions.normalise(np.array([[1.0, 3.0], [5.0, 5.0]]), eps=0.01).round(3)
    array([[-0.995,  0.995],
           [ 0.   ,  0.   ]])
    """
    x = as_float(x)
    precise = widened(x)
    centred = precise - np.mean(precise, axis=axis, keepdims=True)
    result = centred / np.sqrt(np.mean(np.square(centred), axis=axis, keepdims=True) + eps)
    return as_dtype(result, x.dtype)


def checked_dense(x: Any, weight: Any, bias: Any) -> tuple[Any, Any, Any]:
    """The arguments of `dense` as arrays or Tensors whose shapes fit together."""
    x, weight = arrayed(x), arrayed(weight)
    bias = None if bias is None else arrayed(bias)
    if weight.ndim != 2 or x.ndim == 0 or x.shape[-1] != weight.shape[0]:
        raise ShapeError(
            f"dense: x of shape {x.shape} does not fit a weight of shape {weight.shape}: "
            "they must be (..., inputs) and (inputs, outputs)"
        )
    if bias is not None and bias.shape != weight.shape[1:]:
        raise ShapeError(
            f"dense: a bias of shape {bias.shape} does not fit a weight of shape {weight.shape}: "
            f"it must be {weight.shape[1:]}"
        )
    return x, weight, bias


# ------------------------------------------------------------------------------------------------------------- losses


def mse_loss(prediction: Any, target: Any) -> Any:
    """Mean-squared error: ``mean((prediction - target) ** 2)`` over all elements.

    Parameters
    ----------
    prediction, target : Tensor or array_like
        Of one shape. The target is converted to the prediction's dtype.

    Raises
    ------
    ShapeError
        If the shapes differ: broadcasting (n, 1) against (n,) would compare all with all.

    Examples
    --------
    >>> import numpy as np, tinygrad_np as tg
    >>> float(tg.functions.mse_loss(np.array([1.0, 2.0]), np.array([1.0, 4.0])))
    2.0
    """
    prediction, target = alike("mse_loss", "prediction", prediction, "target", target)
    return mean(np.square(prediction - target), prediction.size)


def binary_cross_entropy(logits: Any, labels: Any) -> Any:
    """The mean cross-entropy of yes-or-no labels, from logits: ``-log(sigmoid(z))`` where the label is 1.

    Like `cross_entropy` it takes logits, not probabilities; PyTorch calls it ``binary_cross_entropy_with_logits``.

    Parameters
    ----------
    logits : Tensor or array_like
        Of any size; positive for yes.
    labels : Tensor or array_like
        In the same shape: 0, 1, or probabilities between them.

    Raises
    ------
    ShapeError
        If the shapes differ, or a label is not from 0 to 1.

    Examples
    --------
    >>> import numpy as np, tinygrad_np as tg
    >>> float(tg.functions.binary_cross_entropy(np.array([1e4, -1e4]), np.array([1, 1])))
    5000.0
    """
    logits, labels = alike("binary_cross_entropy", "logits", logits, "labels", labels)
    check(check_probabilities, "binary_cross_entropy", plain(labels))
    # Not softplus(z) - label * z, which loses what is left of the loss once z is large and right.
    return mean(labels * softplus(-logits) + (1 - labels) * softplus(logits), logits.size)


def cross_entropy(logits: Any, labels: Any) -> Any:
    """The mean cross-entropy of labels under ``softmax(logits)``: ``-log(softmax(z)[label])``, averaged over the rows.

    Parameters
    ----------
    logits : Tensor or array_like, shape (..., classes)
        Of any size.
    labels : Tensor or array_like, shape (...) or (..., classes)
        Class numbers from 0, in an integer dtype; or one-hot rows, or other probabilities.

    Returns
    -------
    Tensor or NumPy scalar
        A scalar in the dtype of the logits; 0 if there are no rows.

    Raises
    ------
    ShapeError
        If the shapes do not fit, or a label is out of range.
    DtypeError
        If class numbers are not integers.

    Examples
    --------
    >>> import numpy as np, tinygrad_np as tg
    >>> float(tg.functions.cross_entropy(np.array([[1e4, 0.0], [0.0, 1e4]]), np.array([0, 0])))
    5000.0
    """
    logits, labels = checked_labels(logits, labels)
    log_probabilities = log_softmax(logits)
    if labels.ndim == logits.ndim:
        check(check_probabilities, "cross_entropy", plain(labels))
        losses = labels * np.where(labels == 0, 0, log_probabilities)  # no 0 * -inf
    else:
        check(check_classes, plain(labels), logits.shape)
        losses = np.take_along_axis(log_probabilities, labels[..., None], axis=-1)
    return -mean(losses, rows(logits))


def mean(losses: Any, number: int) -> Any:
    """The mean; over nothing it is 0, not NaN, so that an empty batch changes nothing. The sum might overflow."""
    return as_dtype(np.sum(losses / divisor(max(number, 1), losses.dtype)), losses.dtype)


def rows(logits: Any) -> Any:
    """How many classifications an array of logits holds; 1 for none, to divide by."""
    return divisor(max(math.prod(logits.shape[:-1]), 1), logits.dtype)


def as_float(x: Any) -> Any:
    """An array or Tensor of real or complex numbers: integers become float64, not NumPy's float16 for uint8."""
    x = arrayed(x)
    return x if x.dtype.kind in "fc" else x.astype(np.float64)


def widened(x: Any) -> Any:
    """In float32 what is float16, in which the square of 256 is infinite and long sums are wrong; all else as it is."""
    return as_dtype(x, np.dtype(np.float32)) if x.dtype.type is np.float16 else x


def alike(caller: str, first: str, x: Any, second: str, y: Any) -> tuple[Any, Any]:
    """Two arrays or Tensors of one shape, in the dtype of the first."""
    x, y = as_float(x), arrayed(y)
    if x.shape != y.shape:
        raise ShapeError(f"{caller}: {first} of shape {x.shape} and {second} of shape {y.shape} must have one shape")
    return x, as_dtype(y, x.dtype)


def checked_labels(logits: Any, labels: Any) -> tuple[Any, Any]:
    """Logits, and labels that fit them: class numbers as they are, one-hot rows in the dtype of the logits."""
    logits, labels = as_float(logits), arrayed(labels)
    shape, kind = logits.shape, labels.dtype.kind
    if not (shape and shape[-1]):
        raise ShapeError(f"cross_entropy: logits of shape {shape} must have a last axis, of a number a class")
    if labels.shape == shape[:-1]:
        if kind in "iu":
            return logits, labels
        raise DtypeError(
            f"cross_entropy: labels of shape {labels.shape} are class numbers, which must be integers, not "
            f"{labels.dtype}: write labels.astype(int)"
        )
    if labels.shape == shape and kind in "biuf":
        return logits, as_dtype(labels, logits.dtype)
    raise ShapeError(
        f"cross_entropy: logits of shape {shape} need labels of shape {shape[:-1]} (class numbers) or {shape} "
        f"(one-hot), not {labels.shape}"
    )


def check_classes(labels: np.ndarray[Any, Any], shape: tuple[int, ...]) -> None:
    """Raise if a class number does not exist in logits of a shape: as an index, -1 would silently mean the last."""
    if reads_outside(labels, shape[-1]):
        wrong = labels[(labels < 0) | (labels >= shape[-1])]
        raise ShapeError(
            f"cross_entropy: labels must be from 0 to {shape[-1] - 1} for logits of shape {shape}, "
            f"but {wrong.size} of {labels.size} are not, the first of them {wrong.flat[0]}"
        )


def check_probabilities(caller: str, labels: np.ndarray[Any, Any]) -> None:
    """Raise if a label is not from 0 to 1; NaN is not."""
    if labels.size and not (labels.min() >= 0 and labels.max() <= 1):
        wrong = labels[~((labels >= 0) & (labels <= 1))]
        raise ShapeError(
            f"{caller}: labels of shape {labels.shape} must be from 0 to 1, "
            f"but {wrong.size} of {labels.size} are not, the first of them {wrong.flat[0]}"
        )
