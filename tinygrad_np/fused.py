"""Dense, relu and softmax cross-entropy as one recorded call each, with gradients derived by hand, for speed.

They are called as their namesakes in `tinygrad_np.functions`, and the tests prove them equal. The rules are plain NumPy
too, so these functions can be differentiated to any order like all others.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from tinygrad_np.backward import summed_to
from tinygrad_np.core import defvjp, primitive, zero
from tinygrad_np.functions import (
    check_classes,
    check_probabilities,
    checked_dense,
    checked_labels,
    log_softmax,
    rows,
    softmax,
)
from tinygrad_np.memory import row_of
from tinygrad_np.rules.indexing import arrayed
from tinygrad_np.rules.movement import as_dtype
from tinygrad_np.standins import check, traceable

__all__ = ["cross_entropy", "dense", "relu"]


# ------------------------------------------------------------------------------------------------------------- dense


@primitive
@traceable
def dense(x: Any, weight: Any, bias: Any = None) -> Any:
    """``x @ weight + bias`` in one call; arguments and errors are those of `functions.dense`.

    Notes
    -----
    With ``y[n, j] = sum_i x[n, i] w[i, j] + b[j]``, a loss whose gradient with respect to y is g has

    - ``dL/dx[n, i] = sum_j g[n, j] w[i, j]``, that is ``g @ w.T``;
    - ``dL/dw[i, j] = sum_n x[n, i] g[n, j]``, that is ``x.T @ g``;
    - ``dL/db[j] = sum_n g[n, j]``, the sum over the rows.

    Examples
    --------
    >>> import numpy as np, tinygrad_np as tg
    >>> w = tg.tensor([[1.0], [2.0]], requires_grad=True)
    >>> y = tg.fused.dense(np.array([[3.0, 4.0]]), w, np.array([0.5]))
    >>> np.sum(y).backward()
    >>> y.data, w.grad
    (array([[11.5]]), array([[3.],
           [4.]]))
    """
    x, weight, bias = checked_dense(x, weight, bias)
    y = x @ weight
    if bias is None:
        return y
    # The product is nobody else's yet, so the bias needs no array of its own, unless it widens the dtype.
    return np.add(y, bias, out=y) if bias.dtype == y.dtype else y + bias


def _as_rows(x: Any) -> Any:
    return x if x.ndim == 2 else x.reshape(math.prod(x.shape[:-1]), x.shape[-1])


defvjp(
    dense,
    lambda g, _y, _x, weight, _bias: g @ weight.T.conjugate(),
    lambda g, _y, x, _weight, _bias: _as_rows(x).T.conjugate() @ _as_rows(g),
    lambda g, _y, _x, _weight, _bias: summed_to(g, _bias.shape),
    quiet=True,
)


# -------------------------------------------------------------------------------------------------------------- relu


@primitive
@traceable
def relu(x: Any) -> Any:
    """``max(x, 0)`` in one call.

    Notes
    -----
    The derivative is 1 where x > 0 and 0 elsewhere, at 0 by convention. The output tells the two apart, and the layer
    that follows keeps it anyway, so that nothing else is kept.

    Examples
    --------
    >>> import numpy as np, tinygrad_np as tg
    >>> x = tg.tensor([-1.0, 0.0, 2.0], requires_grad=True)
    >>> np.sum(tg.fused.relu(x)).backward()
    >>> x.grad
    array([0., 0., 1.])
    """
    x = arrayed(x)
    # NumPy compares with a single number one element at a time, and with a row of zeros as many as fit a register.
    in_rows = x.ndim and x.shape[-1] >= ROW and x.dtype.kind == "f"
    return np.maximum(x, row_of(0, x.shape[-1], x.dtype) if in_rows else 0)


ROW = 32
"""From how many elements in a row it pays to go through an array row by row."""


BITS = {size: np.dtype(f"i{size}") for size in (2, 4, 8)}


@primitive
@traceable
def passed(g: Any, y: Any) -> Any:
    """``g`` where ``y`` is not 0, else exactly 0, be ``g`` infinite or NaN."""
    # np.where takes ten times as long, and g * (y != 0) is NaN for an infinite g: multiply the bits with 0 or 1.
    bits = BITS.get(g.dtype.itemsize)
    return np.where(y != 0, g, 0) if bits is None else (g.view(bits) * (y != 0)).view(g.dtype)


defvjp(passed, lambda g, _y, _g, y: passed(g, y), zero)
defvjp(relu, lambda g, y, _x: passed(g, y), selects=True, quiet=True)


# ----------------------------------------------------------------------------------------------- softmax cross-entropy

FEW = 64
"""Up to how many classes it pays to turn the logits around: NumPy reduces over a short last axis row by row."""


def cross_entropy(logits: Any, labels: Any) -> Any:
    """The mean cross-entropy of labels under ``softmax(logits)``; arguments and errors as of `functions.cross_entropy`.

    Notes
    -----
    For one row with logits z and target y (one-hot, or probabilities with sum s) the loss is::

        L = -sum_k y_k log(p_k)    with p_k = exp(z_k) / sum_j exp(z_j)
          = s log(sum_j exp(z_j)) - sum_k y_k z_k

    and ``d log(sum_j exp(z_j)) / dz_i = exp(z_i) / sum_j exp(z_j) = p_i``, so that ``dL/dz_i = s p_i - y_i``: what was
    predicted minus what was true (Bishop, "Pattern Recognition and Machine Learning", 2006, equation 4.109). Over the
    mean of n rows, with one-hot labels::

        dZ = (softmax(Z) - Y) / n

    The forward pass has the exponentials at hand, so it makes dZ there and then, and the backward pass only multiplies
    with the cotangent of the loss. For higher orders dZ is an output like the loss: with ``dp_k/dz_i = p_k ([k = i] -
    p_i)`` a cotangent h of dZ goes back to z as ``s p * (h - sum_k p_k h_k) / n``.

    Examples
    --------
    >>> import numpy as np, tinygrad_np as tg
    >>> z = tg.tensor([[0.0, 0.0], [1e4, -1e4]], requires_grad=True)
    >>> loss = tg.fused.cross_entropy(z, np.array([0, 1]))
    >>> loss.backward()
    >>> z.grad
    array([[-0.25,  0.25],
           [ 0.5 , -0.5 ]])
    """
    logits, labels = checked_labels(logits, labels)
    loss, _ = loss_and_slope(logits, labels)
    return loss


@functools.cache
def _lowest(dtype: np.dtype[Any]) -> Any:
    return np.finfo(dtype).min


@primitive(name="cross_entropy")
@traceable
def loss_and_slope(logits: Any, labels: Any) -> tuple[Any, Any]:
    """The mean cross-entropy and its gradient with respect to the logits."""
    n = rows(logits)
    z = _as_rows(logits)
    few = z.shape[1] <= FEW
    z = (z.T if few else z).copy()
    axis = 0 if few else 1  # of the classes
    top = np.maximum(z.max(axis=axis, keepdims=True), _lowest(z.dtype))  # where all are -inf, they stay so
    with np.errstate(over="ignore"):  # the distance of the largest floats: its exp is zero
        z -= top
    slope = np.exp(z)
    total = np.maximum(slope.sum(axis=axis, keepdims=True), 1)  # the largest adds 1, unless all are -inf
    if labels.ndim == logits.ndim:
        check(check_probabilities, "cross_entropy", labels)
        labels = _as_rows(labels).T if few else _as_rows(labels)
        certainty = labels.sum(axis=axis, keepdims=True)
        losses = certainty * np.log(total) - (labels * np.where(labels == 0, 0, z)).sum(axis=axis, keepdims=True)
        slope *= certainty / total
        slope -= labels
        slope /= n
    else:
        check(check_classes, labels, logits.shape)
        row, labels = np.arange(total.size), labels.reshape(-1)
        labels = labels if labels.dtype == np.intp else labels.astype(np.intp)  # which has room for their products
        of_label = labels * total.size + row if few else row * z.shape[1] + labels
        losses = np.log(total.reshape(-1)) - z.reshape(-1).take(of_label, mode="clip")
        slope /= total * n
        slope = slope.reshape(-1)
        slope[of_label] = slope.take(of_label, mode="clip") - 1 / n
        slope = slope.reshape(z.shape)
    return as_dtype((losses / n).sum(), z.dtype), (slope.T if few else slope).reshape(logits.shape)


def _by_logits(g: Any, y: Any, logits: Any, labels: Any) -> Any:
    g_loss, g_slope = g
    if g_slope is None:
        return g_loss * y[1]
    p = softmax(logits)
    certainty = np.sum(labels, axis=-1, keepdims=True) if labels.ndim == logits.ndim else 1
    by_slope = certainty * p * (g_slope - np.sum(p * g_slope, axis=-1, keepdims=True)) / rows(logits)
    return by_slope if g_loss is None else g_loss * y[1] + by_slope


def _by_labels(g: Any, _y: Any, logits: Any, _labels: Any) -> Any:
    g_loss, g_slope = g
    by_loss = 0 if g_loss is None else -g_loss * log_softmax(logits)
    by_slope = 0 if g_slope is None else np.sum(softmax(logits) * g_slope, axis=-1, keepdims=True) - g_slope
    return (by_loss + by_slope) / rows(logits)


defvjp(loss_and_slope, _by_logits, _by_labels, quiet=True)
