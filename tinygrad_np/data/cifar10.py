"""CIFAR-10: 60,000 colour photographs, 32 by 32 pixels (Krizhevsky, 2009)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tinygrad_np.data.dataset import Dataset
from tinygrad_np.data.fetch import RemoteFile, fetch_members

__all__ = ["CIFAR10_CLASSES", "cifar10"]

CIFAR10_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
"""What the labels stand for."""

ARCHIVE = "cifar-10-binary.tar"
URLS = (
    "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
    "https://storage.googleapis.com/s4tf-hosted-binaries/datasets/CIFAR10/cifar-10-binary.tar.gz",
)
_SIDE, _PLANES = 32, 3
_RECORD = 1 + _PLANES * _SIDE * _SIDE  # a label, then the image, channel by channel
_SHA256 = {
    "data_batch_1.bin": "cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5",
    "data_batch_2.bin": "a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ada8b3fa57ed",
    "data_batch_3.bin": "bbe8596564c0f86427f876058170b84dac6670ddf06d79402899d93ceea26f67",
    "data_batch_4.bin": "014e562d6e23c72197cc727519169a60359f5eccd8945ad5a09d710285ff4e48",
    "data_batch_5.bin": "755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08a39453a9add",
    "test_batch.bin": "8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b",
}
FILES = tuple(RemoteFile(name, 10_000 * _RECORD, sha256, ()) for name, sha256 in _SHA256.items())


def cifar10() -> Dataset:
    """Load CIFAR-10: from ``$TINYGRAD_NP_DATA``, from the user's cache, or from the network.

    The archive of the binary version, ``cifar-10-binary.tar.gz``, or the six ``.bin`` files in it, may lie in the
    folder that ``$TINYGRAD_NP_DATA`` names or in ``cifar10`` below it. Otherwise the archive is downloaded once
    (170 MB) and kept. Every file in it is checked against its SHA-256.

    Returns
    -------
    Dataset
        50,000 images to train on and 10,000 to test on, of shape (32, 32, 3): red, green and blue; labels 0 to 9,
        which `CIFAR10_CLASSES` names.

    Raises
    ------
    DataError
        If a file in ``$TINYGRAD_NP_DATA`` is damaged or another one; names it.
    DownloadError
        If it is nowhere on this machine and cannot be downloaded.
    ImportError
        If it must be downloaded and pooch is not installed; names the extra that installs it.

    Examples
    --------
    >>> data = cifar10()  # doctest: +SKIP
    >>> data.train_images.shape  # doctest: +SKIP
    (50000, 32, 32, 3)
    """
    *train, test = fetch_members("cifar10", ARCHIVE, URLS, FILES)
    train_images, train_labels = _parsed(b"".join(train))
    test_images, test_labels = _parsed(test)
    return Dataset(train_images, train_labels, test_images, test_labels, "CIFAR-10")


def _parsed(content: bytes) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    records = np.frombuffer(content, np.uint8).reshape(-1, _RECORD)
    planes = records[:, 1:].reshape(-1, _PLANES, _SIDE, _SIDE)
    return np.ascontiguousarray(planes.transpose(0, 2, 3, 1)), records[:, 0].copy()
