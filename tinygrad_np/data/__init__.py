"""Data sets, and going through them in batches."""

from tinygrad_np.data.batches import Loader as Loader
from tinygrad_np.data.batches import batches as batches
from tinygrad_np.data.cifar10 import CIFAR10_CLASSES as CIFAR10_CLASSES
from tinygrad_np.data.cifar10 import cifar10 as cifar10
from tinygrad_np.data.csv import read_csv as read_csv
from tinygrad_np.data.csv import write_csv as write_csv
from tinygrad_np.data.dataset import Dataset as Dataset
from tinygrad_np.data.digits import digits as digits
from tinygrad_np.data.errors import DataError as DataError
from tinygrad_np.data.errors import DownloadError as DownloadError
from tinygrad_np.data.fashion_mnist import FASHION_MNIST_CLASSES as FASHION_MNIST_CLASSES
from tinygrad_np.data.fashion_mnist import fashion_mnist as fashion_mnist
from tinygrad_np.data.idx import parse_idx as parse_idx
from tinygrad_np.data.idx import read_idx as read_idx
from tinygrad_np.data.labels import one_hot as one_hot
from tinygrad_np.data.labels import train_test_split as train_test_split
from tinygrad_np.data.mnist import mnist as mnist
from tinygrad_np.data.transforms import Normalize as Normalize
from tinygrad_np.data.transforms import RandomShift as RandomShift

__all__ = [
    "CIFAR10_CLASSES",
    "FASHION_MNIST_CLASSES",
    "DataError",
    "Dataset",
    "DownloadError",
    "Loader",
    "Normalize",
    "RandomShift",
    "batches",
    "cifar10",
    "digits",
    "fashion_mnist",
    "mnist",
    "one_hot",
    "parse_idx",
    "read_csv",
    "read_idx",
    "train_test_split",
    "write_csv",
]
