from __future__ import annotations

import gzip
import hashlib
import importlib

import numpy as np
import pytest
from real_mnist import FOLDER, needs_mnist

from tinygrad_np.data import DataError, DownloadError, mnist
from tinygrad_np.data.fetch import RemoteFile

module = importlib.import_module("tinygrad_np.data.mnist")  # its name is taken by the function


def idx(array: np.ndarray) -> bytes:
    return bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes() + array.tobytes()


@pytest.fixture
def arrays() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 10, shape, np.uint8) for shape in [(6, 28, 28), (6,), (2, 28, 28), (2,)]]


@pytest.fixture
def small_mnist(arrays, monkeypatch) -> dict[str, bytes]:
    """Files of the same names and layout, of a few images each, that exist nowhere yet."""
    contents = {file.name: idx(array) for file, array in zip(module.FILES, arrays, strict=True)}
    nowhere = ("http://no-such-host.invalid/x.gz",)
    files = [
        RemoteFile(name, len(content), hashlib.sha256(content).hexdigest(), nowhere)
        for name, content in contents.items()
    ]
    monkeypatch.setattr(module, "FILES", files)
    return contents


@pytest.mark.parametrize("below", [".", "mnist"])
@pytest.mark.parametrize("compressed", [True, False])
def test_four_files_make_a_data_set(small_mnist, arrays, tmp_path, monkeypatch, below, compressed):
    (tmp_path / below).mkdir(exist_ok=True)
    for name, content in small_mnist.items():
        path = tmp_path / below / (f"{name}.gz" if compressed else name)
        path.write_bytes(gzip.compress(content) if compressed else content)
    monkeypatch.setenv("TINYGRAD_NP_DATA", str(tmp_path))
    data = mnist()
    for loaded, array in zip(data[:4], arrays, strict=True):
        np.testing.assert_array_equal(loaded, array, strict=True)
    assert data.name == "MNIST"


def test_swapped_files_are_an_error(small_mnist, tmp_path, monkeypatch):
    contents = list(small_mnist.values())
    for name, content in zip(small_mnist, contents[2:] + contents[:2], strict=True):
        (tmp_path / name).write_bytes(content)
    monkeypatch.setenv("TINYGRAD_NP_DATA", str(tmp_path))
    with pytest.raises(DataError, match=r"train-images-idx3-ubyte .* is not train-images-idx3-ubyte"):
        mnist()


def test_a_missing_file_is_named(small_mnist, tmp_path, monkeypatch):
    for name, content in small_mnist.items():
        if name != "t10k-labels-idx1-ubyte":
            (tmp_path / name).write_bytes(content)
    monkeypatch.setenv("TINYGRAD_NP_DATA", str(tmp_path))
    with pytest.raises(DownloadError, match="t10k-labels-idx1-ubyte cannot be downloaded"):
        mnist()


def test_the_mirrors_are_several_and_encrypted():
    for file in module.FILES:
        assert len({url.split("/")[2] for url in file.urls}) >= 2
        assert all(url.startswith("https://") and url.endswith(f"/{file.name}.gz") for url in file.urls)


@needs_mnist
def test_the_real_files(monkeypatch):
    monkeypatch.setenv("TINYGRAD_NP_DATA", FOLDER)
    data = mnist()
    assert [array.shape for array in data[:4]] == [(60000, 28, 28), (60000,), (10000, 28, 28), (10000,)]
    assert {array.dtype for array in data[:4]} == {np.dtype(np.uint8)}
    assert data.train_labels[:5].tolist() == [5, 0, 4, 1, 9]
    np.testing.assert_array_equal(np.unique(data.test_labels), np.arange(10))
    assert (data.train_images.min(), data.train_images.max()) == (0, 255)
