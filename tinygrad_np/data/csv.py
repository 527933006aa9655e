"""Labelled images as comma-separated values, in the layout of Kaggle's "Digit Recognizer"."""

from __future__ import annotations

import io
import math
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tinygrad_np._files import atomic_write
from tinygrad_np.data.errors import DataError
from tinygrad_np.data.fetch import decompress

__all__ = ["read_csv", "write_csv"]


def write_csv(path: str | os.PathLike[str], images: ArrayLike, labels: ArrayLike | None = None) -> None:
    """Write images, with or without labels, as a CSV file: a header, then one image a line.

    The header is ``label,pixel0,pixel1,...``, as in Kaggle's train.csv, or without ``label``, as in its test.csv.
    The file appears under its name only when it is complete.

    Parameters
    ----------
    path : path-like
        The file to write; one that exists is replaced.
    images : array_like of uint8, shape (n, side, side)
        Brightness from 0 to 255.
    labels : array_like of int, shape (n,), optional
        The class of each, from 0 to 255.

    Raises
    ------
    ValueError
        If the shapes do not fit.
    TypeError
        If pixels are not uint8, or labels not integers from 0 to 255.
    OSError
        If the file cannot be written; what was there before is untouched.

    Examples
    --------
    >>> import pathlib, tempfile, numpy as np
    >>> from tinygrad_np.data import write_csv
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "train.csv"
    >>> write_csv(path, np.array([[[0, 255], [9, 0]]], np.uint8), labels=[7])
    >>> print(path.read_text())
    label,pixel0,pixel1,pixel2,pixel3
    7,0,255,9,0
    <BLANKLINE>
    """
    pixels = np.asarray(images)
    if pixels.ndim != 3 or pixels.shape[1] != pixels.shape[2] or not pixels.size:
        raise ValueError(f"write_csv: images must be (n, side, side), n and side at least 1; got {pixels.shape}")
    if pixels.dtype != np.uint8:
        raise TypeError(f"write_csv: pixels must be uint8, from 0 to 255, not {pixels.dtype}")
    table = pixels.reshape(len(pixels), -1)
    names = [f"pixel{i}" for i in range(table.shape[1])]
    if labels is not None:
        column = np.asarray(labels)
        if column.shape != (len(table),):
            raise ValueError(f"write_csv: {len(table)} images need labels of shape ({len(table)},); got {column.shape}")
        if column.dtype.kind not in "iu" or (column.size and not (column.min() >= 0 and column.max() <= 255)):
            raise TypeError(f"write_csv: labels must be integers from 0 to 255; got {column.dtype}")
        table = np.column_stack([column.astype(np.uint8), table])
        names = ["label", *names]
    with atomic_write(path) as file:
        file.write(f"{','.join(names)}\n".encode())
        file.writelines(f"{','.join(map(str, row.tolist()))}\n".encode() for row in table)


def read_csv(path: str | os.PathLike[str]) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None]:
    r"""Read images, and their labels if there are any, from a CSV file as `write_csv` and Kaggle write them.

    Parameters
    ----------
    path : path-like
        The file, plain or gzip.

    Returns
    -------
    images : ndarray of uint8, shape (n, side, side)
    labels : ndarray of uint8, shape (n,), or None
        None if the first column is not called "label".

    Raises
    ------
    DataError
        If there is no header or no image, if the pixels of a line make no square or are not in their order, if a line
        has another number of values than the header, or if a value is not an integer from 0 to 255.
    OSError
        If the file cannot be read.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from tinygrad_np.data import read_csv
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "train.csv"
    >>> _ = path.write_text("label,pixel0,pixel1,pixel2,pixel3\n7,0,255,9,0\n")
    >>> images, labels = read_csv(path)
    >>> images.shape, labels
    ((1, 2, 2), array([7], dtype=uint8))
    """
    where = os.fspath(path)
    header, _, body = decompress(Path(path).read_bytes(), where).partition(b"\n")
    names = [name.strip().strip(b'"') for name in header.removeprefix(b"\xef\xbb\xbf").split(b",")]
    labelled = names[0] == b"label"
    pixels = len(names) - labelled
    side = math.isqrt(pixels)
    if b"pixel0" not in names or side * side != pixels:
        raise DataError(
            f"{where}: the first line must name the columns, label,pixel0,pixel1,... or pixel0,pixel1,..., with as "
            f"many pixels as a square has; it begins with {header[:40].decode(errors='replace')!r}"
        )
    expected = [f"pixel{i}".encode() for i in range(pixels)]
    wrong = [pair for pair in zip(names[labelled:], expected, strict=True) if pair[0] != pair[1]]
    if wrong:
        found, place = (name.decode(errors="replace") for name in wrong[0])
        raise DataError(
            f"{where}: the pixels must be in their order, but where the first line should name {place} it names "
            f"{found!r}: sort the columns"
        )
    if not body.strip():
        raise DataError(f"{where}: there is no image below the first line")
    table = _numbers(body, len(names), where)
    images = table[:, labelled:].reshape(-1, side, side)
    return images, table[:, 0].copy() if labelled else None


def _numbers(body: bytes, columns: int, where: str) -> NDArray[Any]:
    try:
        # Wider than uint8, which would take -1 for 255.
        table = np.loadtxt(io.BytesIO(body), dtype=np.int16, delimiter=",", ndmin=2, comments=None)
    except ValueError as error:
        raise DataError(f"{where} is cut short or altered: below the first line, {error}") from error
    if table.shape[1] != columns:
        raise DataError(f"{where}: the first line names {columns} columns, the others have {table.shape[1]} values")
    wrong = np.argwhere((table < 0) | (table > 255))
    if len(wrong):
        row, column = wrong[0]
        raise DataError(
            f"{where}: values must be from 0 to 255, but value {column + 1} of image {row + 1} is {table[row, column]}"
        )
    return table.astype(np.uint8)
