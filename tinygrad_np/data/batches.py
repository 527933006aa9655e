"""Go through arrays a few rows at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["batches"]


def batches(
    *arrays: ArrayLike, size: int, rng: np.random.Generator | None = None, drop_last: bool = False
) -> Iterator[tuple[NDArray[Any], ...]]:
    """Go through arrays together, `size` rows at a time, once.

    Parameters
    ----------
    *arrays : array_like, shape (n, ...)
        One or more, of equal length; row i of one belongs to row i of the others.
    size : int
        Rows in a batch.
    rng : numpy.random.Generator, optional
        If given, the order is drawn from it; pass the same generator again for another order. Otherwise the
        rows come as they are, and each batch is a view.
    drop_last : bool
        Leave out the last batch if it is smaller than `size`.

    Returns
    -------
    iterator of tuple of ndarray
        In each tuple, the same rows of each array.

    Raises
    ------
    ValueError
        If there is no array or no row, if the lengths differ, or if `size` is less than one or would leave
        no batch at all.
    TypeError
        If `rng` is not a generator: a seed would give every epoch the same order.

    Examples
    --------
    >>> for x, y in batches(np.arange(5), np.arange(5) ** 2, size=2):
    ...     print(x, y)
    [0 1] [0 1]
    [2 3] [4 9]
    [4] [16]
    """
    columns = [np.asarray(array) for array in arrays]
    shapes = [column.shape for column in columns]
    if not columns or any(not shape or not shape[0] for shape in shapes):
        raise ValueError(f"batches: needs one or more arrays with at least one row each; got shapes {shapes}")
    rows = len(columns[0])
    if any(len(column) != rows for column in columns):
        raise ValueError(f"batches: all arrays must have the same length; got shapes {shapes}")
    if size < 1:
        raise ValueError(f"batches: size must be at least 1; got {size}")
    if drop_last and size > rows:
        raise ValueError(f"batches: drop_last with size {size} leaves nothing of {rows} rows")
    if rng is not None and not isinstance(rng, np.random.Generator):
        raise TypeError(f"batches: rng must be a generator, as from np.random.default_rng(seed); got {rng!r}")
    return _walk(columns, size, rng, stop=rows - rows % size if drop_last else rows)


# On its own, so that the checks above are made when `batches` is called and not at its first batch.
def _walk(
    columns: list[NDArray[Any]], size: int, rng: np.random.Generator | None, stop: int
) -> Iterator[tuple[NDArray[Any], ...]]:
    order = None if rng is None else rng.permutation(len(columns[0]))
    for start in range(0, stop, size):
        here = slice(start, min(start + size, stop))
        if order is None:
            yield tuple(column[here] for column in columns)
        else:
            yield tuple(column.take(order[here], axis=0) for column in columns)
