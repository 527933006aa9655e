"""Named arrays on disk: one .npz file, written wholly or not at all, never pickle."""

from __future__ import annotations

import io
import os
import struct
import zipfile
from collections.abc import Mapping
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from tinygrad_np._files import atomic_write

__all__ = ["SavedFileError", "load", "save"]

_SUFFIX = ".npy"
_END = struct.Struct("<4s4H2LH")  # the end of central directory record of a zip file without a comment


class SavedFileError(ValueError):
    """A file that `load` cannot trust: cut short, altered, or not written by `save`."""


def save(path: str | os.PathLike[str], state: Mapping[str, NDArray[Any]]) -> None:
    """Write named arrays to `path`, in NumPy's .npz format.

    The file appears under its name only when it is complete. The same arrays make the same bytes.

    Parameters
    ----------
    path : path-like
        The file to write, exactly as spelled: no suffix is added. One that exists is replaced.
    state : mapping of str to ndarray
        For instance ``model.state_dict()``. Any shape; any dtype but object.

    Raises
    ------
    TypeError
        If a key is not a string, or a value is not an array of plain data; names the key.
    ValueError
        If a key cannot name a member of a .npz file.
    OSError
        If the file cannot be written; what was there before is untouched.

    Examples
    --------
    >>> import os, tempfile
    >>> path = os.path.join(tempfile.mkdtemp(), "weights.npz")
    >>> save(path, {"0.weight": np.ones((2, 3), np.float32), "0.bias": np.zeros(3, np.float32)})
    >>> {name: array.shape for name, array in load(path).items()}
    {'0.weight': (2, 3), '0.bias': (3,)}
    """
    for key, array in state.items():
        _check(key, array)
    # `np.savez` takes the keys as keyword arguments, so that "file" could not be one.
    with atomic_write(path) as file, zipfile.ZipFile(file, "w") as archive:
        for key, array in state.items():
            # A bare ZipInfo carries no time of day: equal arrays, equal files.
            with archive.open(zipfile.ZipInfo(key + _SUFFIX), "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)


def load(path: str | os.PathLike[str]) -> dict[str, NDArray[Any]]:
    """Read the named arrays that `save` (or `np.savez`) wrote.

    Parameters
    ----------
    path : path-like
        A .npz file.

    Returns
    -------
    dict of str to ndarray
        In the order they were saved.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    SavedFileError
        If the file is cut short, altered, not a .npz file, or holds pickled objects.

    Examples
    --------
    >>> import os, tempfile
    >>> path = os.path.join(tempfile.mkdtemp(), "weights.npz")
    >>> save(path, {"scale": np.array(2.5)})
    >>> load(path)
    {'scale': array(2.5)}
    """
    with open(path, "rb") as file:
        try:
            with zipfile.ZipFile(file) as archive:
                _check_count(file, len(archive.namelist()))
                return {_key(name): _array(archive.read(name)) for name in archive.namelist()}
        except Exception as error:  # which one depends on the byte that is damaged
            raise SavedFileError(
                f"{os.fspath(path)} cannot be loaded: it is cut short, altered, or not a .npz file of plain "
                f"arrays ({error}). Use another copy, or save it again with tinygrad_np.saving.save."
            ) from error


def _check(key: object, array: object) -> None:
    if not isinstance(key, str):
        raise TypeError(f"save: the key {key!r} is a {type(key).__name__}; keys must be strings")
    if not key or not key.isprintable() or "\\" in key:  # zip files cut or change such names
        raise ValueError(f"save: the key {key!r} cannot be kept; use printable characters other than '\\'")
    if not isinstance(array, np.ndarray):
        raise TypeError(f"save: state[{key!r}] is a {type(array).__name__}, not an ndarray; use np.asarray")
    if array.dtype.hasobject:
        raise TypeError(
            f"save: state[{key!r}] has dtype {array.dtype}, which only pickle could store, and "
            f"loading pickle runs code; convert it to a numeric or string dtype"
        )


def _check_count(file: BinaryIO, found: int) -> None:
    """Compare the members found with their number at the end of the file, which `zipfile` does not look at.

    A changed length in the archive's directory can hide the members after it.
    """
    file.seek(-_END.size, os.SEEK_END)
    signature, _, _, _, promised, *_ = _END.unpack(file.read(_END.size))
    if signature != b"PK\5\6" or promised != min(found, 0xFFFF):
        raise ValueError(f"it lists {found} arrays, but not as many as it says")


def _key(name: str) -> str:
    if not name.endswith(_SUFFIX):
        raise ValueError(f"{name!r} in it is not an array")
    return name.removesuffix(_SUFFIX)


def _array(content: bytes) -> NDArray[Any]:
    # From memory: by now the zip's checksum has vouched for every byte, the header's included.
    stream = io.BytesIO(content)
    array: NDArray[Any] = np.lib.format.read_array(stream, allow_pickle=False)
    if stream.read(1):
        raise ValueError("an array in it is followed by other bytes")
    return array
