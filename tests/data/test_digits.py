from __future__ import annotations

import sys
import zlib

import numpy as np
import pytest

from tinygrad_np.data import digits


def test_shapes_dtypes_and_range():
    data = digits()
    assert [array.shape for array in data[:4]] == [(1500, 8, 8), (1500,), (297, 8, 8), (297,)]
    assert {array.dtype for array in data[:4]} == {np.dtype(np.uint8)}
    assert (data.train_images.min(), data.train_images.max()) == (0, 255)
    assert len(np.unique(data.train_images)) == 17  # as many shades as the source has
    for labels in (data.train_labels, data.test_labels):
        np.testing.assert_array_equal(np.unique(labels), np.arange(10))


def test_the_name_does_not_pass_for_mnist():
    assert digits().name == "scikit-learn digits (8x8)"


def test_every_image_is_used_once_with_its_label():
    from sklearn.datasets import load_digits

    data, source = digits(), load_digits()

    def rows(images, labels):
        return sorted(zip(map(bytes, images), labels.tolist(), strict=True))

    images = np.concatenate([data.train_images, data.test_images])
    labels = np.concatenate([data.train_labels, data.test_labels])
    assert rows(images, labels) == rows(np.rint(source.images * 255 / 16).astype(np.uint8), source.target)


def test_the_split_is_always_the_same():
    data = digits()
    assert zlib.crc32(data.test_labels.tobytes()) == zlib.crc32(digits().test_labels.tobytes())
    # Pinned, so that accuracies of different versions of this library are about the same test images.
    assert [zlib.crc32(array.tobytes()) for array in data[:4]] == PINNED


PINNED = [2531790525, 2471767243, 4167486945, 2765297971]


def test_without_scikit_learn_the_extra_is_named(monkeypatch):
    for module in [name for name in sys.modules if name.partition(".")[0] == "sklearn"]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(ImportError, match=r'digits .* scikit-learn: pip install "tinygrad_np\[examples\]"'):
        digits()
