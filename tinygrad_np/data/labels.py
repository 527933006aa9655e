"""Labels as rows, and data in two parts."""

from __future__ import annotations

import math
from fractions import Fraction
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from tinygrad_np.arguments import checked_integer
from tinygrad_np.data.batches import checked_columns, checked_seed

__all__ = ["one_hot", "train_test_split"]


def one_hot(labels: ArrayLike, classes: int | None = None, dtype: DTypeLike = np.float32) -> NDArray[Any]:
    """Turn class numbers into rows that are 1 at the class and 0 elsewhere.

    Parameters
    ----------
    labels : array_like of int, shape (...)
        Class numbers from 0.
    classes : int, optional
        How many there are; by default one more than the largest label.
    dtype : dtype
        Of the result.

    Returns
    -------
    ndarray, shape (..., classes)

    Raises
    ------
    ValueError
        If a label is not from 0 to classes - 1, if there are no classes, or no labels to count them from.
    TypeError
        If the labels, or `classes`, are not integers.

    Examples
    --------
    >>> from tinygrad_np.data import one_hot
    >>> one_hot([2, 0], classes=3)
    array([[0., 0., 1.],
           [1., 0., 0.]], dtype=float32)
    """
    numbers = np.asarray(labels)
    if numbers.size and numbers.dtype.kind not in "iu":
        raise TypeError(f"one_hot: labels must be integers, not {numbers.dtype}: write labels.astype(int)")
    if classes is None:
        if not numbers.size:
            raise ValueError("one_hot: there are no labels to count the classes of; say how many with classes=")
        allowed, classes = "zero or above", max(int(numbers.max()) + 1, 1)
    else:
        classes = checked_integer("one_hot", "classes", classes)
        allowed = f"from 0 to {classes - 1}"
    wrong = numbers[(numbers < 0) | (numbers >= classes)]
    if wrong.size:
        raise ValueError(
            f"one_hot: labels must be {allowed}, but {wrong.size} of {numbers.size} are not, "
            f"the first of them {wrong.flat[0]}"
        )
    result = np.zeros((*numbers.shape, classes), dtype)
    np.put_along_axis(result, numbers.astype(np.intp)[..., None], 1, axis=-1)
    return result


def train_test_split(*arrays: ArrayLike, test_size: float | int = 0.25, seed: int = 0) -> list[NDArray[Any]]:
    """Split arrays at random into a part to train on and a part to test on.

    Parameters
    ----------
    *arrays : array_like, shape (n, ...)
        One or more, of equal length; row i of one belongs to row i of the others.
    test_size : float or int
        What the second part gets: a share of the rows between 0 and 1, rounded up, or a number of rows.
    seed : int
        The same seed and number of rows give the same split.

    Returns
    -------
    list of ndarray
        The two parts of the first array, the two parts of the second, and so on.

    Raises
    ------
    ValueError
        If there is no array or no row, if the lengths differ, or if a part would be empty.
    TypeError
        If the seed is no integer, or `test_size` no number.

    Examples
    --------
    >>> import numpy as np
    >>> from tinygrad_np.data import train_test_split
    >>> x_train, x_test, y_train, y_test = train_test_split(np.arange(5), np.arange(5) ** 2, test_size=2)
    >>> x_train, x_test, y_test
    (array([2, 4, 3]), array([0, 1]), array([0, 1]))
    """
    columns = checked_columns("train_test_split", arrays)
    rows = len(columns[0])
    count = _share(rows, test_size)
    if not 0 < count < rows:
        raise ValueError(f"train_test_split: test_size {test_size} of {rows} rows leaves a part with none")
    order = np.random.default_rng(checked_seed("train_test_split", seed)).permutation(rows)
    train, test = order[: rows - count], order[rows - count :]
    return [column.take(part, axis=0) for column in columns for part in (train, test)]


def _share(rows: int, size: float | int) -> int:
    """How many rows a share is, rounded up; a number of rows is one already."""
    if isinstance(size, Integral):
        return int(size)
    try:
        # As it is written: 0.07 of 100 is 7, though the nearest float is a little more than 0.07.
        return math.ceil(rows * Fraction(str(size)))
    except (ValueError, ZeroDivisionError):
        raise TypeError(f"train_test_split: test_size must be a share or a number of rows, not {size!r}") from None
