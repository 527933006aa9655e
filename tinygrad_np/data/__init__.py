"""Data sets, and going through them in batches."""

from tinygrad_np.data.batches import batches as batches
from tinygrad_np.data.dataset import Dataset as Dataset
from tinygrad_np.data.digits import digits as digits
from tinygrad_np.data.errors import DataError as DataError
from tinygrad_np.data.errors import DownloadError as DownloadError
from tinygrad_np.data.idx import parse_idx as parse_idx
from tinygrad_np.data.idx import read_idx as read_idx
from tinygrad_np.data.mnist import mnist as mnist

__all__ = ["DataError", "Dataset", "DownloadError", "batches", "digits", "mnist", "parse_idx", "read_idx"]
