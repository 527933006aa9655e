"""MNIST: 70,000 handwritten digits, 28 by 28 pixels (LeCun, Cortes and Burges)."""

from __future__ import annotations

from tinygrad_np.data.dataset import Dataset
from tinygrad_np.data.idx_sets import fetch_idx, remote_files

__all__ = ["mnist"]

_MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)
_CONTENTS = (  # bytes and SHA-256, decompressed
    ("train-images-idx3-ubyte", 47040016, "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"),
    ("train-labels-idx1-ubyte", 60008, "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"),
    ("t10k-images-idx3-ubyte", 7840016, "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"),
    ("t10k-labels-idx1-ubyte", 10008, "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"),
)
FILES = remote_files(_MIRRORS, _CONTENTS)


def mnist() -> Dataset:
    """Load MNIST: from ``$TINYGRAD_NP_DATA``, from the user's cache, or from the network.

    The four original files, gzip or plain, may lie in the folder that ``$TINYGRAD_NP_DATA`` names or in
    ``mnist`` below it. Otherwise they are downloaded once (11 MB) and kept. Every file is checked against its
    SHA-256.

    Returns
    -------
    Dataset
        60,000 images to train on and 10,000 to test on, of shape (28, 28); labels 0 to 9.

    Raises
    ------
    DataError
        If a file in ``$TINYGRAD_NP_DATA`` is damaged or another one; names it.
    DownloadError
        If a file is nowhere on this machine and cannot be downloaded.
    ImportError
        If it must be downloaded and pooch is not installed; names the extra that installs it.

    Examples
    --------
    >>> data = mnist()  # doctest: +SKIP
    >>> data.train_images.shape  # doctest: +SKIP
    (60000, 28, 28)
    """
    return fetch_idx("mnist", FILES, "MNIST")
