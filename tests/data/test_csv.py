from __future__ import annotations

import gzip
import os

import numpy as np
import pytest

from tinygrad_np.data import DataError, read_csv, write_csv

HEADER = "label,pixel0,pixel1,pixel2,pixel3\n"


def some_images(count=20, side=5):
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (count, side, side), np.uint8), rng.integers(0, 10, count, np.uint8)


def test_what_is_written_is_read(tmp_path):
    images, labels = some_images()
    write_csv(tmp_path / "train.csv", images, labels)
    for loaded, expected in zip(read_csv(tmp_path / "train.csv"), (images, labels), strict=True):
        np.testing.assert_array_equal(loaded, expected, strict=True)
    assert os.listdir(tmp_path) == ["train.csv"]


def test_without_labels_there_is_no_label_column(tmp_path):
    images, _ = some_images()
    write_csv(tmp_path / "test.csv", images)
    assert (tmp_path / "test.csv").read_text().startswith("pixel0,pixel1")
    loaded, labels = read_csv(tmp_path / "test.csv")
    np.testing.assert_array_equal(loaded, images, strict=True)
    assert labels is None


@pytest.mark.parametrize(
    "text",
    [
        HEADER + "7,0,1,2,255\n",
        HEADER + "7,0,1,2,255",
        (HEADER + "7,0,1,2,255\n").replace("\n", "\r\n"),
        "\ufeff" + HEADER + "7, 0, 1, 2, 255\n",
        '"label","pixel0","pixel1","pixel2","pixel3"\n7,0,1,2,255\n\n',
    ],
    ids=["as Kaggle", "no last line end", "Windows", "byte order mark and blanks", "quotes"],
)
def test_the_ways_in_which_others_write_it(tmp_path, text):
    (tmp_path / "train.csv").write_bytes(text.encode())
    (tmp_path / "train.csv.gz").write_bytes(gzip.compress(text.encode()))
    for name in ("train.csv", "train.csv.gz"):
        images, labels = read_csv(tmp_path / name)
        assert (images.tolist(), labels.tolist()) == ([[[0, 1], [2, 255]]], [7])


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "the first line must name the columns"),
        ("7,0,1,2,255\n", "it begins with '7,0,1,2,255'"),
        ("label,pixel0,pixel1\n1,2,3\n", "as many pixels as a square has"),
        (HEADER, "there is no image below the first line"),
        (HEADER + "7,0,1,2,255\n7,0,1\n", "cut short or altered: .* number of columns changed from 5 to 3"),
        (HEADER + "7,0,1,2\n", "names 5 columns, the others have 4 values"),
        (HEADER + "7,0,1,2,x\n", "could not convert string 'x'"),
        (HEADER + "7,0,1,2,nan\n", "could not convert string 'nan'"),
        (HEADER + "7,0,1,2,1.5\n", "could not convert string '1.5'"),
        (HEADER + "7,0,1,2,3\n7,0,256,2,3\n", "from 0 to 255, but value 3 of image 2 is 256"),
        ("label,pixel0,pixel1,pixel3,pixel2\n7,0,1,2,3\n", "where .* name pixel2 it names 'pixel3': sort the columns"),
        ("pixel1,pixel0,pixel2,pixel3\n0,1,2,3\n", "where the first line should name pixel0 it names 'pixel1'"),
        ("label,pixel0,pixel1,pixel2,id\n7,0,1,2,3\n", "should name pixel3 it names 'id'"),
        (HEADER + "-1,0,1,2,3\n", "but value 1 of image 1 is -1"),
    ],
)
def test_a_damaged_file_is_an_error_that_names_it(tmp_path, text, complaint):
    path = tmp_path / "train.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=complaint) as caught:
        read_csv(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("images", "labels", "error", "complaint"),
    [
        (np.zeros((2, 3, 4), np.uint8), None, ValueError, r"\(n, side, side\), n and side at least 1; got \(2, 3, 4\)"),
        (np.zeros((0, 3, 3), np.uint8), None, ValueError, r"n and side at least 1; got \(0, 3, 3\)"),
        (np.zeros((2, 0, 0), np.uint8), [1, 2], ValueError, r"n and side at least 1; got \(2, 0, 0\)"),
        (np.zeros((2, 3, 3)), None, TypeError, "pixels must be uint8, from 0 to 255, not float64"),
        (np.zeros((2, 3, 3), np.uint8), [1], ValueError, r"labels of shape \(2,\); got \(1,\)"),
        (np.zeros((2, 3, 3), np.uint8), [1, 256], TypeError, "integers from 0 to 255"),
        (np.zeros((2, 3, 3), np.uint8), [1.0, 2.0], TypeError, "integers from 0 to 255; got float64"),
    ],
)
def test_what_cannot_be_written_leaves_no_file(tmp_path, images, labels, error, complaint):
    with pytest.raises(error, match=complaint):
        write_csv(tmp_path / "train.csv", images, labels)
    assert os.listdir(tmp_path) == []
