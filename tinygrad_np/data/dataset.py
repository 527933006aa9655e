"""What every loader of labelled images returns."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Dataset"]


class Dataset(NamedTuple):
    """Labelled images, in two parts that share none: one to train on, one to test on.

    Attributes
    ----------
    train_images : ndarray of uint8, shape (n, height, width) or (n, height, width, 3)
        Brightness from 0 to 255; in colour, that of red, green and blue.
    train_labels : ndarray of uint8, shape (n,)
        The class of each, from 0.
    test_images, test_labels : ndarray of uint8
        The same, never to be trained on.
    name : str
        To label what is reported about it.
    """

    train_images: NDArray[np.uint8]
    train_labels: NDArray[np.uint8]
    test_images: NDArray[np.uint8]
    test_labels: NDArray[np.uint8]
    name: str
