"""Data sets of four IDX files: MNIST and those made in its image."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tinygrad_np.data.dataset import Dataset
from tinygrad_np.data.fetch import RemoteFile, fetch
from tinygrad_np.data.idx import parse_idx

__all__ = ["fetch_idx", "remote_files"]


def remote_files(mirrors: Sequence[str], contents: Iterable[tuple[str, int, str]]) -> tuple[RemoteFile, ...]:
    """Files that each mirror has under the same name, from the name, size and SHA-256 of each."""
    return tuple(
        RemoteFile(name, size, sha256, tuple(f"{mirror}{name}.gz" for mirror in mirrors))
        for name, size, sha256 in contents
    )


def fetch_idx(folder: str, files: Iterable[RemoteFile], name: str, *, own_folder: bool = False) -> Dataset:
    """The data set of four files: images and labels to train on, images and labels to test on."""
    train_images, train_labels, test_images, test_labels = (
        parse_idx(fetch(folder, file, own_folder=own_folder), file.name) for file in files
    )
    return Dataset(train_images, train_labels, test_images, test_labels, name)
