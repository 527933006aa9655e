"""Go through arrays a few rows at a time: `batches` once, `Loader` epoch after epoch."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tinygrad_np.arguments import checked_integer

__all__ = ["Loader", "Transform", "batches"]

Transform = Callable[[NDArray[Any], np.random.Generator], NDArray[Any]]


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
        If `size` is no integer; if `rng` is not a generator: a seed would give every epoch the same order.

    Examples
    --------
    >>> import numpy as np
    >>> from tinygrad_np.data import batches
    >>> for x, y in batches(np.arange(5), np.arange(5) ** 2, size=2):
    ...     print(x, y)
    [0 1] [0 1]
    [2 3] [4 9]
    [4] [16]
    """
    columns = checked_columns("batches", arrays)
    size = checked_integer("batches", "size", size)
    stop = _checked_stop("batches", len(columns[0]), "size", size, drop_last)
    if rng is not None and not isinstance(rng, np.random.Generator):
        raise TypeError(f"batches: rng must be a generator, as from np.random.default_rng(seed); got {rng!r}")
    return _walk(columns, size, rng, stop)


# On its own, so that the checks above are made when `batches` is called and not at its first batch.
def _walk(
    columns: list[NDArray[Any]], size: int, rng: np.random.Generator | None, stop: int
) -> Iterator[tuple[NDArray[Any], ...]]:
    order = None if rng is None else rng.permutation(len(columns[0]))
    for start in range(0, stop, size):
        yield _rows(columns, order, slice(start, min(start + size, stop)))


class Loader:
    """Batches of arrays, epoch after epoch: each ``for`` over it is one pass.

    All that is random in it follows from the seed, the epoch and the number of the batch. So its state is three
    numbers, which can be saved in the middle of an epoch: a loader that gets them back goes on with the very next
    batch. The arrays are not copied: without shuffling each batch is a view, with shuffling the rows of one batch at
    a time, so that a memory-mapped array (``np.load(path, mmap_mode="r")``) may be larger than the memory.

    Parameters
    ----------
    *arrays : array_like, shape (n, ...)
        One or more, of equal length; row i of one belongs to row i of the others.
    batch_size : int
        Rows in a batch.
    shuffle : bool
        Go through the rows in another order in each epoch.
    seed : int
        Of the order and of what the transforms draw.
    drop_last : bool
        Leave out the last batch if it is smaller than `batch_size`.
    transform : callable, or sequence of them
        Applied to each batch of the first array, in this order: ``transform(rows, rng)`` returns the rows to use
        instead, and takes random numbers from `rng` alone. `Normalize` and `RandomShift` are such.

    Raises
    ------
    ValueError
        If there is no array or no row, if the lengths differ, or if `batch_size` is less than one, or larger than
        the data with `drop_last`; if the seed is negative.
    TypeError
        If the seed or `batch_size` is no integer, or a transform cannot be called.

    Examples
    --------
    >>> import numpy as np
    >>> from tinygrad_np.data import Loader
    >>> loader = Loader(np.arange(5), np.arange(5) ** 2, batch_size=2, shuffle=True, seed=1)
    >>> len(loader)
    3
    >>> for x, y in loader:
    ...     print(x, y)
    [4 0] [16  0]
    [1 2] [1 4]
    [3] [9]
    >>> loader.state_dict()
    {'seed': 1, 'epoch': 1, 'batch': 0}
    """

    def __init__(
        self,
        *arrays: ArrayLike,
        batch_size: int,
        shuffle: bool = False,
        seed: int = 0,
        drop_last: bool = False,
        transform: Transform | Sequence[Transform] = (),
    ) -> None:
        self.columns = checked_columns("Loader", arrays)
        self.batch_size = checked_integer("Loader", "batch_size", batch_size)
        self.shuffle = shuffle
        self._stop = _checked_stop("Loader", len(self.columns[0]), "batch_size", self.batch_size, drop_last)
        self.transforms = [transform] if callable(transform) else list(transform)
        for step in self.transforms:
            if not callable(step):
                raise TypeError(f"Loader: a transform is called as transform(rows, rng); {step!r} cannot be called")
        self._seed = checked_seed("Loader", seed)
        self._epoch = self._batch = 0
        self._resuming = False

    @property
    def size(self) -> int:
        """How many rows an epoch goes through."""
        return self._stop

    def __len__(self) -> int:
        """How many batches an epoch has."""
        return -(-self._stop // self.batch_size)

    def __iter__(self) -> Iterator[tuple[NDArray[Any], ...]]:
        if self._batch and not self._resuming:  # the last pass was left before its end
            self._epoch, self._batch = self._epoch + 1, 0
        self._resuming = False
        return self._walk(self._epoch, self._batch)

    def _walk(self, epoch: int, first: int) -> Iterator[tuple[NDArray[Any], ...]]:
        order = self._generator(epoch).permutation(len(self.columns[0])) if self.shuffle else None
        for batch in range(first, len(self)):
            start = batch * self.batch_size
            rows = _rows(self.columns, order, slice(start, min(start + self.batch_size, self._stop)))
            if self.transforms:
                rng = self._generator(epoch, batch)
                for transform in self.transforms:
                    rows = transform(rows[0], rng), *rows[1:]
            # Before the batch is handed out: who saves the state after training on it has it behind them.
            self._epoch, self._batch = epoch, batch + 1
            yield rows
        self._epoch, self._batch = epoch + 1, 0

    def _generator(self, epoch: int, *batch: int) -> np.random.Generator:
        return np.random.default_rng([self._seed, epoch, *(number + 1 for number in batch)])

    def state_dict(self) -> dict[str, int]:
        """Where it stands: the seed, the epoch, and how many of its batches have been handed out."""
        return {"seed": self._seed, "epoch": self._epoch, "batch": self._batch}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where `state_dict` was taken; nothing changes unless it fits.

        Raises
        ------
        ValueError
            If a number is missing, unknown or out of range.
        """
        if state.keys() != {"seed", "epoch", "batch"}:
            raise ValueError(f"Loader: its state is a seed, an epoch and a batch, not {sorted(state)}")
        seed, epoch, batch = (checked_seed("Loader", state[name], name) for name in ("seed", "epoch", "batch"))
        if batch > len(self):
            raise ValueError(f"Loader: the state stands at batch {batch}, but an epoch has {len(self)} here")
        self._seed, self._epoch, self._batch, self._resuming = seed, epoch, batch, batch > 0


def _rows(columns: list[NDArray[Any]], order: NDArray[Any] | None, here: slice) -> tuple[NDArray[Any], ...]:
    if order is None:
        return tuple(column[here] for column in columns)
    return tuple(column.take(order[here], axis=0) for column in columns)


def checked_columns(caller: str, arrays: Sequence[ArrayLike]) -> list[NDArray[Any]]:
    """Arrays of one length, of one row or more."""
    columns = [np.asarray(array) for array in arrays]
    shapes = [column.shape for column in columns]
    if not columns or any(not shape or not shape[0] for shape in shapes):
        raise ValueError(f"{caller}: needs one or more arrays with at least one row each; got shapes {shapes}")
    if any(len(column) != len(columns[0]) for column in columns):
        raise ValueError(f"{caller}: all arrays must have the same length; got shapes {shapes}")
    return columns


def _checked_stop(caller: str, rows: int, name: str, size: int, drop_last: bool) -> int:
    """How many rows are gone through."""
    if drop_last and size > rows:
        raise ValueError(f"{caller}: drop_last with {name} {size} leaves nothing of {rows} rows")
    return rows - rows % size if drop_last else rows


def checked_seed(caller: str, seed: Any, name: str = "seed") -> int:
    """An integer from 0, or an error that names it."""
    try:
        number = operator.index(seed)
    except TypeError:
        raise TypeError(f"{caller}: the {name} must be an integer; got {seed!r}") from None
    if number < 0:
        raise ValueError(f"{caller}: the {name} must be zero or above; got {number}")
    return number
