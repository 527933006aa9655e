"""The handwritten digits that come with scikit-learn: real data that needs no network."""

from __future__ import annotations

import numpy as np

from tinygrad_np._extras import need
from tinygrad_np.data.dataset import Dataset

__all__ = ["digits"]

_TRAIN = 1500


def digits() -> Dataset:
    """Load scikit-learn's digits: 1,797 handwritten digits of 8 by 8 pixels (Alpaydin and Kaynak).

    The split is random, for neighbours in the file share a writer, and always the same.

    Returns
    -------
    Dataset
        1,500 images to train on and 297 to test on, of shape (8, 8), their 17 shades spread over 0 to 255;
        labels 0 to 9.

    Raises
    ------
    ImportError
        If scikit-learn is not installed; names the extra that installs it.

    Examples
    --------
    >>> data = digits()  # doctest: +SKIP
    >>> data.train_images.shape, data.test_images.shape, data.name  # doctest: +SKIP
    ((1500, 8, 8), (297, 8, 8), 'scikit-learn digits (8x8)')
    """
    source = need("sklearn.datasets", "The digits data set").load_digits()
    images = np.rint(source.images * (255 / 16)).astype(np.uint8)
    labels = source.target.astype(np.uint8)
    order = np.random.default_rng(0).permutation(len(images))
    train, test = order[:_TRAIN], order[_TRAIN:]
    return Dataset(images[train], labels[train], images[test], labels[test], "scikit-learn digits (8x8)")
