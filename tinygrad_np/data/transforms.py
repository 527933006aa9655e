"""What a `Loader` does to the rows of each batch."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tinygrad_np.arguments import checked_integer

__all__ = ["Normalize", "RandomShift"]


class Normalize:
    """``(rows - mean) / std`` in float32 (or in the dtype of the rows, if that is a floating-point one).

    Parameters
    ----------
    mean, std : array_like
        What to subtract, and what to divide by: numbers, or arrays that broadcast against a batch.

    Raises
    ------
    ValueError
        If `std` is zero or below somewhere, or one of them is not finite.

    Examples
    --------
    >>> import numpy as np
    >>> from tinygrad_np.data import Normalize
    >>> to_unit = Normalize(0, 255)
    >>> to_unit(np.array([[0, 51, 255]], np.uint8))
    array([[0. , 0.2, 1. ]], dtype=float32)
    """

    def __init__(self, mean: ArrayLike = 0.0, std: ArrayLike = 1.0) -> None:
        self.mean, self.std = np.asarray(mean, np.float64), np.asarray(std, np.float64)
        if not (np.isfinite(self.mean).all() and np.isfinite(self.std).all() and (self.std > 0).all()):
            raise ValueError(f"Normalize: mean and std must be finite, and std above zero; got {mean!r} and {std!r}")

    @classmethod
    def of(cls, rows: ArrayLike, axis: int | tuple[int, ...] | None = None) -> Normalize:
        """The mean and the standard deviation of some data, over `axis`; what never varies is only shifted.

        Examples
        --------
        >>> import numpy as np
        >>> from tinygrad_np.data import Normalize
        >>> Normalize.of(np.array([[1.0, 5.0], [3.0, 5.0]]), axis=0)(np.array([[3.0, 6.0]]))
        array([[1., 1.]])
        """
        rows = np.asarray(rows)
        mean, std = rows.mean(axis=axis, dtype=np.float64), rows.std(axis=axis, dtype=np.float64)
        # Not told from the deviation, which rounding can make 1e-17 where all are 0.1.
        lowest = rows.min(axis=axis)
        is_constant = lowest == rows.max(axis=axis)
        return cls(np.where(is_constant, lowest, mean), np.where(is_constant | (std == 0), 1, std))

    def __call__(self, rows: NDArray[Any], rng: np.random.Generator | None = None) -> NDArray[Any]:
        dtype = rows.dtype if rows.dtype.kind == "f" else np.dtype(np.float32)
        result: NDArray[Any] = np.subtract(rows, self.mean.astype(dtype), dtype=dtype)
        np.divide(result, self.std.astype(dtype), out=result)
        return result


class RandomShift:
    """Move each image by up to a number of pixels in each direction; what comes in at the border is zero.

    Parameters
    ----------
    pixels : int
        How far at most, up, down, left and right.

    Raises
    ------
    ValueError
        If `pixels` is below zero, or the rows are not images of shape (height, width) or (height, width, channels).
    TypeError
        If `pixels` is no integer.

    Examples
    --------
    >>> import numpy as np
    >>> from tinygrad_np.data import RandomShift
    >>> image = np.arange(9).reshape(1, 3, 3)
    >>> RandomShift(1)(image, np.random.default_rng(0))
    array([[[3, 4, 5],
            [6, 7, 8],
            [0, 0, 0]]])
    """

    def __init__(self, pixels: int = 1) -> None:
        self.pixels = checked_integer("RandomShift", "pixels", pixels, least=0)

    def __call__(self, rows: NDArray[Any], rng: np.random.Generator) -> NDArray[Any]:
        if rows.ndim not in (3, 4):
            raise ValueError(
                f"RandomShift: needs images, of shape (n, height, width) or (n, height, width, channels); "
                f"got {rows.shape}"
            )
        n, height, width = rows.shape[:3]
        down, right = rng.integers(0, 2 * self.pixels + 1, (2, n))
        border = (self.pixels, self.pixels)
        padded = np.pad(rows, [(0, 0), border, border, *[(0, 0)] * (rows.ndim - 3)])
        y, x = down[:, None] + np.arange(height), right[:, None] + np.arange(width)
        shifted: NDArray[Any] = padded[np.arange(n)[:, None, None], y[:, :, None], x[:, None, :]]
        return shifted
