"""What training minimises: functions of predictions and targets.

All return the mean, unless ``reduction`` says "sum" or "none"; the mean over nothing is 0. NaN in the predictions goes
on to the loss. Those of classes take logits, unless ``from_logits=False`` says that they are probabilities: these are
kept `clip` away from 0 and 1, so that the loss of a sure and wrong guess is finite, and its gradient points the right
way.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_np import fused
from tinygrad_np.arguments import checked
from tinygrad_np.core import getitem, no_grad
from tinygrad_np.errors import DtypeError, ShapeError
from tinygrad_np.functions import (
    alike,
    check_classes,
    check_probabilities,
    checked_labels,
    log_softmax,
    mean,
    softplus,
)
from tinygrad_np.rules.handlers import plain
from tinygrad_np.rules.indexing import arrayed
from tinygrad_np.standins import check

__all__ = ["binary_cross_entropy", "cross_entropy", "huber_loss", "mae_loss", "mse_loss"]


def mse_loss(prediction: Any, target: Any, *, reduction: str = "mean") -> Any:
    """The squared error, ``(prediction - target) ** 2``.

    Parameters
    ----------
    prediction, target : Tensor or array_like
        Of one shape. The target is converted to the prediction's dtype.
    reduction : {"mean", "sum", "none"}
        What to return of the errors of all elements.

    Raises
    ------
    ShapeError
        If the shapes differ: broadcasting (n, 1) against (n,) would compare all with all.

    Examples
    --------
    >>> import numpy as np, tinygrad_np as tg
    >>> prediction, target = np.array([1.0, 2.0]), np.array([1.0, 4.0])
    >>> float(tg.nn.mse_loss(prediction, target))
    2.0
    >>> tg.nn.mse_loss(prediction, target, reduction="none")
    array([0., 4.])
    """
    prediction, target = alike("mse_loss", "prediction", prediction, "target", target)
    return _reduced("mse_loss", np.square(prediction - target), reduction)


def mae_loss(prediction: Any, target: Any, *, reduction: str = "mean") -> Any:
    """The absolute error, ``abs(prediction - target)``, with derivative 0 where they are equal.

    Parameters
    ----------
    prediction, target : Tensor or array_like
        Of one shape. The target is converted to the prediction's dtype.
    reduction : {"mean", "sum", "none"}
        What to return of the errors of all elements.

    Raises
    ------
    ShapeError
        If the shapes differ.

    Examples
    --------
    >>> import numpy as np, tinygrad_np as tg
    >>> float(tg.nn.mae_loss(np.array([1.0, 2.0]), np.array([1.0, 4.0])))
    1.0
    """
    prediction, target = alike("mae_loss", "prediction", prediction, "target", target)
    return _reduced("mae_loss", np.abs(prediction - target), reduction)


def huber_loss(prediction: Any, target: Any, delta: float = 1.0, *, reduction: str = "mean") -> Any:
    """Half the squared error where it is small, and ``delta * (error - delta / 2)`` beyond an error of delta.

    Huber, "Robust estimation of a location parameter", Annals of Mathematical Statistics 35(1), 1964.

    Parameters
    ----------
    prediction, target : Tensor or array_like
        Of one shape. The target is converted to the prediction's dtype.
    delta : float
        Where the parabola turns into straight lines; above zero.
    reduction : {"mean", "sum", "none"}
        What to return of the losses of all elements.

    Raises
    ------
    ShapeError
        If the shapes differ, or delta is not above zero.

    Examples
    --------
    >>> import numpy as np, tinygrad_np as tg
    >>> tg.nn.huber_loss(np.array([0.0, 0.5, 10.0]), np.zeros(3), reduction="none")
    array([0.   , 0.125, 9.5  ])
    """
    if not checked("huber_loss", "delta", delta):
        raise ShapeError(f"huber_loss: delta must be above zero, not {delta!r}")
    prediction, target = alike("huber_loss", "prediction", prediction, "target", target)
    error = prediction - target
    error = np.abs(error) if error.dtype.kind == "c" else error  # not of real ones: its second derivative at 0 is 0
    near = np.clip(error, -delta, delta)
    return _reduced("huber_loss", near * (error - near / 2), reduction)


def binary_cross_entropy(
    prediction: Any,
    labels: Any,
    *,
    weight: Any = None,
    label_smoothing: float = 0.0,
    from_logits: bool = True,
    clip: float = 1e-7,
    reduction: str = "mean",
) -> Any:
    """The cross-entropy of yes-or-no labels: ``-log(p)`` where the label is 1 and ``-log(1 - p)`` where it is 0.

    Parameters
    ----------
    prediction : Tensor or array_like
        Logits z, with ``p = sigmoid(z)``; or p itself, if not `from_logits`.
    labels : Tensor or array_like
        In the same shape: 0, 1, or probabilities between them.
    weight : two numbers, optional
        What the losses of the labels 0 and 1 are multiplied with.
    label_smoothing : float
        How much of each label is shared out to both of them; below 1.
    from_logits : bool
        Whether the predictions are logits.
    clip : float
        How far from 0 and 1 probabilities are kept.
    reduction : {"mean", "sum", "none"}
        What to return of the losses of all elements.

    Raises
    ------
    ShapeError
        If the shapes differ, or a label or a probability is not from 0 to 1.

    Examples
    --------
    >>> import numpy as np, tinygrad_np as tg
    >>> float(tg.nn.binary_cross_entropy(np.array([1e4, -1e4]), np.array([1, 1])))
    5000.0
    >>> float(tg.nn.binary_cross_entropy(np.array([0.5, 0.5]), np.array([1, 0]), from_logits=False))
    0.6931471805599453
    """
    caller = "binary_cross_entropy"
    prediction, labels = alike(caller, "logits" if from_logits else "probabilities", prediction, "labels", labels)
    check(check_probabilities, caller, plain(labels))
    smoothing = checked(caller, "label_smoothing", label_smoothing, below=1)
    labels = labels * (1 - smoothing) + smoothing / 2 if smoothing else labels
    if from_logits:
        # Not softplus(z) - label * z, which loses what is left of the loss once z is large and right.
        if_yes, if_no = softplus(-prediction), softplus(prediction)
    else:
        p = _clipped(caller, prediction, clip)
        if_yes, if_no = -np.log(p), -np.log1p(-p)
    if weight is not None:
        weight = _weights(caller, weight, 2, prediction.dtype)
        if_yes, if_no = if_yes * weight[1], if_no * weight[0]
    return _reduced(caller, labels * if_yes + (1 - labels) * if_no, reduction)


def cross_entropy(
    prediction: Any,
    labels: Any,
    *,
    weight: Any = None,
    label_smoothing: float = 0.0,
    from_logits: bool = True,
    clip: float = 1e-7,
    reduction: str = "mean",
) -> Any:
    """The cross-entropy of labels among several classes: ``-log(p[label])``, for each row.

    Parameters
    ----------
    prediction : Tensor or array_like, shape (..., classes)
        Logits z, with ``p = softmax(z)``; or p itself, if not `from_logits`.
    labels : Tensor or array_like, shape (...) or (..., classes)
        Class numbers from 0, in an integer dtype; or one-hot rows, or other probabilities.
    weight : array_like, shape (classes,), optional
        What the loss of each class is multiplied with. The mean of the losses of class numbers is then the weighted
        one, as in PyTorch.
    label_smoothing : float
        How much of each label is shared out to all classes alike; below 1.
    from_logits : bool
        Whether the predictions are logits.
    clip : float
        How far from 0 and 1 probabilities are kept.
    reduction : {"mean", "sum", "none"}
        What to return of the losses of all rows.

    Raises
    ------
    ShapeError
        If the shapes do not fit, or a label is out of range, or a probability is not from 0 to 1.
    DtypeError
        If class numbers are not integers.

    Examples
    --------
    >>> import numpy as np, tinygrad_np as tg
    >>> logits = np.array([[1e4, 0.0], [0.0, 1e4]])
    >>> float(tg.nn.cross_entropy(logits, np.array([0, 0])))
    5000.0
    >>> tg.nn.cross_entropy(logits, np.array([1, 0]), weight=[0.5, 1.0], reduction="none")
    array([10000.,  5000.])
    """
    caller = "cross_entropy"
    smoothing = 0 if label_smoothing == 0 else checked(caller, "label_smoothing", label_smoothing, below=1)
    if from_logits and weight is None and not smoothing and reduction == "mean":
        return fused.cross_entropy(prediction, labels)
    prediction, labels = checked_labels(prediction, labels)
    surprise = -(log_softmax(prediction) if from_logits else np.log(_clipped(caller, prediction, clip)))
    if weight is not None:
        weight = _weights(caller, weight, prediction.shape[-1], prediction.dtype)
        surprise = surprise * weight
    if labels.ndim == prediction.ndim:
        check(check_probabilities, caller, plain(labels))
        losses, total = np.sum(labels * np.where(labels == 0, 0, surprise), axis=-1), None  # no 0 * inf
    else:
        check(check_classes, plain(labels), prediction.shape)
        losses = np.take_along_axis(surprise, labels[..., None], axis=-1)[..., 0]
        # Not np.take, which compile sees only where the array is captured, and here it may be that only the index is.
        total = None if weight is None else np.sum(getitem(weight, index=plain(labels)))
    if smoothing:
        losses = losses * (1 - smoothing) + np.mean(surprise, axis=-1) * smoothing
    if total is not None and reduction == "mean":
        return np.sum(losses / np.where(total == 0, 1, total))
    return _reduced(caller, losses, reduction)


def _reduced(caller: str, losses: Any, reduction: str) -> Any:
    if reduction == "mean":
        return mean(losses, losses.size)
    if reduction == "sum":
        return np.sum(losses)
    if reduction != "none":
        raise ShapeError(f"{caller}: reduction must be 'mean', 'sum' or 'none', not {reduction!r}")
    return losses


def _clipped(caller: str, probabilities: Any, clip: float) -> Any:
    """Probabilities away from 0 and 1. Where that changes them, the gradient is the one at the limit, not 0."""
    clip = checked(caller, "clip", clip, below=0.5)
    values = plain(probabilities)
    check(_check_predicted, caller, values)
    with no_grad():
        change = np.clip(values, clip, 1 - clip) - values
    return probabilities + change


def _check_predicted(caller: str, values: Any) -> None:
    if values.size and (np.any(values < 0) or np.any(values > 1)):  # NaN is no mistake of the caller's, and goes on
        raise ShapeError(
            f"{caller}: predictions of shape {values.shape} are from {values.min()} to {values.max()}, so they are no "
            "probabilities: pass logits with from_logits=True"
        )


def _weights(caller: str, weight: Any, count: int, dtype: Any) -> Any:
    weights = plain(arrayed(weight))
    if weights.dtype.kind not in "iuf":
        raise DtypeError(f"{caller}: weight must be {count} numbers, not {weight!r}")
    if weights.shape != (count,):
        raise ShapeError(f"{caller}: weight must be {count} numbers, one a class, not of shape {weights.shape}")
    check(_check_weights, caller, weights)
    return weights.astype(dtype)


def _check_weights(caller: str, weights: Any) -> None:
    if not np.all((weights >= 0) & np.isfinite(weights)):
        raise ShapeError(f"{caller}: weight must be finite numbers from 0 on, not {weights.tolist()}")
