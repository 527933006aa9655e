"""Fashion-MNIST and CIFAR-10, from small files of the same names and layout."""

from __future__ import annotations

import gzip
import hashlib
import importlib
import io
import tarfile

import numpy as np
import pytest

from tinygrad_np.data import CIFAR10_CLASSES, FASHION_MNIST_CLASSES, DataError, DownloadError, cifar10, fashion_mnist
from tinygrad_np.data.fetch import RemoteFile

fashion_module = importlib.import_module("tinygrad_np.data.fashion_mnist")  # its name is taken by the function
cifar_module = importlib.import_module("tinygrad_np.data.cifar10")
NOWHERE = ("http://no-such-host.invalid/x.gz",)


def described(contents, urls=NOWHERE):
    return [RemoteFile(name, len(c), hashlib.sha256(c).hexdigest(), urls) for name, c in contents.items()]


def write(folder, contents, *, compressed=False):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        (folder / (f"{name}.gz" if compressed else name)).write_bytes(gzip.compress(content) if compressed else content)


@pytest.mark.parametrize("classes", [FASHION_MNIST_CLASSES, CIFAR10_CLASSES])
def test_every_class_has_a_name_of_its_own(classes):
    assert len(set(classes)) == 10


@pytest.mark.parametrize("module", [fashion_module, cifar_module])
def test_every_checksum_is_one_of_its_own(module):
    sums = [file.sha256 for file in module.FILES]
    assert len(set(sums)) == len(sums)
    assert all(len(bytes.fromhex(checksum)) == 32 for checksum in sums)


def test_the_mirrors_are_several_and_encrypted():
    for urls in [*(file.urls for file in fashion_module.FILES), cifar_module.URLS]:
        assert len({url.split("/")[2] for url in urls}) >= 2
        assert all(url.startswith("https://") for url in urls)


# ---------------------------------------------------------------------------------------------------- Fashion-MNIST


@pytest.fixture
def clothes():
    rng = np.random.default_rng(0)
    return [rng.integers(0, 10, shape, np.uint8) for shape in [(6, 28, 28), (6,), (2, 28, 28), (2,)]]


@pytest.fixture
def small_fashion(clothes, monkeypatch):
    contents = {
        file.name: bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes() + array.tobytes()
        for file, array in zip(fashion_module.FILES, clothes, strict=True)
    }
    monkeypatch.setattr(fashion_module, "FILES", described(contents))
    return contents


@pytest.mark.parametrize("compressed", [True, False])
def test_four_files_make_a_data_set_of_clothes(small_fashion, clothes, tmp_path, monkeypatch, compressed):
    write(tmp_path / "fashion_mnist", small_fashion, compressed=compressed)
    monkeypatch.setenv("TINYGRAD_NP_DATA", str(tmp_path))
    data = fashion_mnist()
    for loaded, array in zip(data[:4], clothes, strict=True):
        np.testing.assert_array_equal(loaded, array, strict=True)
    assert data.name == "Fashion-MNIST"


def test_files_of_mnist_are_not_taken_for_damaged_ones(small_fashion, tmp_path, monkeypatch):
    write(tmp_path, dict.fromkeys(small_fashion, b"digits"))
    monkeypatch.setenv("TINYGRAD_NP_DATA", str(tmp_path))
    with pytest.raises(DownloadError, match="train-images-idx3-ubyte cannot be downloaded"):
        fashion_mnist()


# --------------------------------------------------------------------------------------------------------- CIFAR-10


@pytest.fixture
def photographs():
    rng = np.random.default_rng(1)
    return [(rng.integers(0, 256, (3, 32, 32, 3), np.uint8), rng.integers(0, 10, 3, np.uint8)) for _ in range(6)]


@pytest.fixture
def small_cifar(photographs, monkeypatch):
    contents = {
        file.name: b"".join(
            bytes([label]) + image.transpose(2, 0, 1).tobytes() for image, label in zip(images, labels, strict=True)
        )
        for file, (images, labels) in zip(cifar_module.FILES, photographs, strict=True)
    }
    monkeypatch.setattr(cifar_module, "FILES", described(contents, ()))
    monkeypatch.setattr(cifar_module, "URLS", NOWHERE)
    return contents


def packed(contents, folder="cifar-10-batches-bin"):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        for name, content in {"batches.meta.txt": b"airplane\n", **contents}.items():
            entry = tarfile.TarInfo(f"{folder}/{name}")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return file.getvalue()


def assert_photographs(data, photographs):
    *train, test = photographs
    images, labels = (np.concatenate(column) for column in zip(*train, strict=True))
    for loaded, expected in zip(data[:4], (images, labels, *test), strict=True):
        np.testing.assert_array_equal(loaded, expected, strict=True)
        assert loaded.flags.writeable
    assert data.name == "CIFAR-10"


@pytest.mark.parametrize("below", [".", "cifar10"])
@pytest.mark.parametrize("compressed", [True, False])
def test_the_files_themselves_make_a_data_set(small_cifar, photographs, tmp_path, monkeypatch, below, compressed):
    write(tmp_path / below, small_cifar, compressed=compressed)
    monkeypatch.setenv("TINYGRAD_NP_DATA", str(tmp_path))
    assert_photographs(cifar10(), photographs)


@pytest.mark.parametrize("compressed", [True, False])
def test_so_does_the_archive(small_cifar, photographs, tmp_path, monkeypatch, compressed):
    raw = packed(small_cifar)
    name = "cifar-10-binary.tar.gz" if compressed else "cifar-10-binary.tar"
    (tmp_path / name).write_bytes(raw if compressed else gzip.decompress(raw))
    monkeypatch.setenv("TINYGRAD_NP_DATA", str(tmp_path))
    assert_photographs(cifar10(), photographs)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_the_archive_is_downloaded_once_from_the_first_mirror_that_has_it(
    small_cifar, photographs, server, cache, monkeypatch
):
    damaged = packed({**small_cifar, "test_batch.bin": bytes(len(small_cifar["test_batch.bin"]))})
    monkeypatch.setattr(
        cifar_module, "URLS", (server.url("bad", damaged), server.url("good", packed(small_cifar)))
    )
    assert_photographs(cifar10(), photographs)
    assert_photographs(cifar10(), photographs)
    assert server.asked == ["bad", "good"]
    assert [path.name for path in (cache / "cifar10").iterdir()] == ["cifar-10-binary.tar.gz"]


def test_a_damaged_or_foreign_archive_is_an_error_that_names_it(small_cifar, tmp_path, monkeypatch):
    monkeypatch.setenv("TINYGRAD_NP_DATA", str(tmp_path))
    path = tmp_path / "cifar-10-binary.tar.gz"
    whole = packed(small_cifar)
    for raw, complaint in [
        (whole[: len(whole) // 2], "cut short or altered"),
        (b"<html>not here</html>", "is no tar archive, or cut short"),
        (gzip.decompress(whole)[:2000], "cut short|is not in it"),
        (packed({}), r"data_batch_1\.bin, .*test_batch\.bin is not in it"),
        (packed(dict.fromkeys(small_cifar, b"short")), r"data_batch_1\.bin in .* it is damaged"),
        (gzip.compress(bytes(10**7)), "tar"),
    ]:
        path.write_bytes(raw)
        with pytest.raises(DataError, match=complaint) as caught:
            cifar10()
        assert str(path) in str(caught.value)


def test_one_damaged_file_among_the_users_is_named(small_cifar, tmp_path, monkeypatch):
    write(tmp_path, {**small_cifar, "data_batch_3.bin": b"damaged"})
    monkeypatch.setenv("TINYGRAD_NP_DATA", str(tmp_path))
    with pytest.raises(DataError, match=r"data_batch_3\.bin .* it is damaged"):
        cifar10()
