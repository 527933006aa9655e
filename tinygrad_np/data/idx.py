"""The IDX format of MNIST and its descendants: a typed array behind a header of a few bytes."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinygrad_np.data.errors import DataError
from tinygrad_np.data.fetch import decompress

__all__ = ["parse_idx", "read_idx"]

_DTYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


def read_idx(path: str | os.PathLike[str]) -> NDArray[Any]:
    """Read an IDX file, gzip or plain.

    Parameters
    ----------
    path : path-like
        The file; whether it is compressed is seen from its first bytes, not from its name.

    Returns
    -------
    ndarray
        The shape and dtype that the file states, in native byte order.

    Raises
    ------
    DataError
        If the file is cut short, altered, or not an IDX file; names it.
    OSError
        If the file cannot be read.

    Examples
    --------
    >>> import gzip, os, tempfile
    >>> path = os.path.join(tempfile.mkdtemp(), "labels.gz")
    >>> with gzip.open(path, "wb") as file:
    ...     _ = file.write(bytes([0, 0, 0x08, 1, 0, 0, 0, 3, 7, 2, 1]))
    >>> read_idx(path)
    array([7, 2, 1], dtype=uint8)
    """
    return parse_idx(decompress(Path(path).read_bytes(), os.fspath(path)), os.fspath(path))


def parse_idx(content: bytes, name: str = "the content") -> NDArray[Any]:
    """Parse the content of an IDX file.

    Two zero bytes, a byte for the dtype, a byte for the number of dimensions, each dimension as a big-endian
    uint32, then the values, big-endian, last dimension fastest.

    Parameters
    ----------
    content : bytes
        Decompressed.
    name : str
        What to call it in an error.

    Returns
    -------
    ndarray
        The shape and dtype that the header states, in native byte order.

    Raises
    ------
    DataError
        If the header is not one of IDX, or the length is not what it promises.

    Examples
    --------
    >>> parse_idx(bytes([0, 0, 0x0B, 2, 0, 0, 0, 1, 0, 0, 0, 2, 1, 0, 255, 255]))
    array([[256,  -1]], dtype=int16)
    """
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] not in _DTYPES:
        raise DataError(
            f"{name} is not an IDX file: it begins with {content[:4].hex(' ') or 'nothing'}, where 00 00, "
            f"a type (08, 09, 0b, 0c, 0d or 0e) and the number of dimensions were expected"
        )
    dtype, ndim = np.dtype(_DTYPES[content[2]]), content[3]
    start = 4 + 4 * ndim
    if len(content) < start:
        raise DataError(f"{name} is cut short: {len(content)} bytes, where the header alone takes {start}")
    shape = tuple(int.from_bytes(content[i : i + 4], "big") for i in range(4, start, 4))
    expected = start + math.prod(shape) * dtype.itemsize
    if len(content) != expected:
        fault = "cut short" if len(content) < expected else "too long"
        raise DataError(
            f"{name} is {fault}: {len(content)} bytes, where its header (shape {shape}, "
            f"{dtype.newbyteorder('=')}) promises {expected}"
        )
    if ndim > 64:
        raise DataError(f"{name} has {ndim} dimensions, which is more than NumPy's 64")
    # astype copies, also where the byte order is native already: an array made from bytes is read-only.
    return np.frombuffer(content, dtype, offset=start).reshape(shape).astype(dtype.newbyteorder("="))
