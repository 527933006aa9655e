"""Fashion-MNIST: 70,000 pictures of clothes, 28 by 28 pixels (Xiao, Rasul and Vollgraf, 2017)."""

from __future__ import annotations

from tinygrad_np.data.dataset import Dataset
from tinygrad_np.data.idx_sets import fetch_idx, remote_files

__all__ = ["FASHION_MNIST_CLASSES", "fashion_mnist"]

FASHION_MNIST_CLASSES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip
"""What the labels stand for."""

_MIRRORS = (
    "https://fashion-mnist.s3.eu-central-1.amazonaws.com/",
    "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
)
_CONTENTS = (  # bytes and SHA-256, decompressed
    ("train-images-idx3-ubyte", 47040016, "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888"),
    ("train-labels-idx1-ubyte", 60008, "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9"),
    ("t10k-images-idx3-ubyte", 7840016, "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b"),
    ("t10k-labels-idx1-ubyte", 10008, "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34"),
)
FILES = remote_files(_MIRRORS, _CONTENTS)


def fashion_mnist() -> Dataset:
    """Load Fashion-MNIST: from ``$TINYGRAD_NP_DATA``, from the user's cache, or from the network.

    The four original files, gzip or plain, may lie in ``fashion_mnist`` below the folder that
    ``$TINYGRAD_NP_DATA`` names. They are not looked for in that folder itself, where files of the same names are
    those of MNIST. Otherwise they are downloaded once (30 MB) and kept. Every file is checked against its SHA-256.

    Returns
    -------
    Dataset
        60,000 images to train on and 10,000 to test on, of shape (28, 28); labels 0 to 9, which
        `FASHION_MNIST_CLASSES` names.

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
    >>> data = fashion_mnist()  # doctest: +SKIP
    >>> data.train_images.shape  # doctest: +SKIP
    (60000, 28, 28)
    """
    return fetch_idx("fashion_mnist", FILES, "Fashion-MNIST", own_folder=True)
