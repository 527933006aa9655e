"""Named arrays on disk, and whole training runs: one file, written wholly or not at all, never pickle.

`save` and `load` are for arrays, such as a model's weights; `save_checkpoint` and `load_checkpoint` for everything that
a run needs to go on where it was. Both write .npz or, if the name ends so, .safetensors. In each file is the SHA-256 of
all its other bytes.
"""

from __future__ import annotations

import copy
import hashlib
import io
import json
import os
import re
import struct
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinygrad_np._extras import need
from tinygrad_np._files import atomic_write
from tinygrad_np.core import Tensor
from tinygrad_np.state import flattened

__all__ = ["CheckpointError", "SavedFileError", "load", "load_checkpoint", "save", "save_checkpoint"]

_SUFFIX = ".npy"
_LONGEST = 0xFFFF  # bytes in a name in a zip file
_METADATA = "__metadata__"  # the one name that .safetensors does not take for that of an array
_END = struct.Struct("<4s4H2LH")  # the end of central directory record of a zip file without a comment
_BLANK = b"0" * 64  # where the SHA-256 will be, while it is computed
_MARK = b"sha256:"  # before it: at the end of a .npz file, in the metadata of a .safetensors file
_PROTOCOL = "__checkpoint__"  # the name under which a checkpoint says what its parts are


class SavedFileError(ValueError):
    """A file that `load` cannot trust: cut short, altered, or not written by `save`."""


class CheckpointError(ValueError):
    """A checkpoint that is sound, but not of what it was to be loaded into."""


def save(path: str | os.PathLike[str], state: Mapping[str, NDArray[Any]]) -> None:
    """Write named arrays to `path`: in the .safetensors format if it ends so, otherwise in NumPy's .npz format.

    The file appears under its name only when it is complete. The same arrays make the same bytes.

    Parameters
    ----------
    path : path-like
        The file to write, exactly as spelled: no suffix is added. One that exists is replaced.
    state : mapping of str to ndarray
        For instance ``model.state_dict()``. Any shape; any dtype but object, and in .safetensors none that the
        format does not know, such as strings.

    Raises
    ------
    TypeError
        If a key is not a string, or a value is not an array of plain data without a mask; names the key.
    ValueError
        If a key cannot name an array in such a file.
    ImportError
        If it is to be .safetensors and that package is not installed; names the extra that installs it.
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
        _check(key, array, path)
    content = _safetensors(state) if _is_safetensors(path) else _npz(state)
    with atomic_write(path) as file:
        file.write(content)


def load(path: str | os.PathLike[str]) -> dict[str, NDArray[Any]]:
    """Read the named arrays that `save`, `np.savez` or safetensors wrote.

    Parameters
    ----------
    path : path-like
        A .safetensors file if it ends so, otherwise a .npz file.

    Returns
    -------
    dict of str to ndarray
        From .npz in the order they were saved.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    SavedFileError
        If the file is cut short, altered, not in the format, or holds pickled objects.
    ImportError
        If it is .safetensors and that package is not installed; names the extra that installs it.

    Examples
    --------
    >>> import os, tempfile
    >>> path = os.path.join(tempfile.mkdtemp(), "weights.npz")
    >>> save(path, {"scale": np.array(2.5)})
    >>> load(path)
    {'scale': array(2.5)}
    """
    read, kind = (_from_safetensors, ".safetensors") if _is_safetensors(path) else (_from_npz, ".npz")
    content = Path(path).read_bytes()
    try:
        return read(content)
    except ImportError:
        raise
    except Exception as error:  # which one depends on the byte that is damaged
        raise SavedFileError(
            f"{os.fspath(path)} cannot be loaded: it is cut short, altered, or not a {kind} file of plain "
            f"arrays ({error}). Use another copy, or save it again with tinygrad_np.saving.save."
        ) from error


# ------------------------------------------------------------------------------------------------------- checkpoints


def save_checkpoint(path: str | os.PathLike[str], /, **parts: Any) -> None:
    """Write everything that a run needs to go on where it is: to be read by `load_checkpoint`.

    Whoever is killed while this writes still has the checkpoint before.

    Parameters
    ----------
    path : path-like
        The file to write, .safetensors if it ends so, otherwise .npz. One that exists is replaced.
    **parts
        Each under a name of its own: whatever has a ``state_dict()`` (models, optimisers, schedules, loaders); a
        `numpy.random.Generator`, such as ``tg.random.generator()``; numbers, arrays, and lists and dicts of them.

    Raises
    ------
    TypeError
        If a part is something else, or a key of a dict is no string; names it.
    ValueError
        If a part cannot be called so, or two keys could not be told apart: such as "a.b", and "b" in "a".
    OSError
        If the file cannot be written; what was there before is untouched.

    Examples
    --------
    >>> import os, tempfile, tinygrad_np as tg
    >>> path = os.path.join(tempfile.mkdtemp(), "run.npz")
    >>> model = tg.nn.Dense(3, 2)
    >>> optimiser = tg.optim.Adam(model.parameters(), lr=0.01)
    >>> save_checkpoint(path, model=model, optimiser=optimiser, random=tg.random.generator(), epoch=4)
    >>> load_checkpoint(path, model=model, optimiser=optimiser, random=tg.random.generator())
    {'epoch': 4}
    """
    for name in parts:
        if name == "partial" or not name.isidentifier():
            raise ValueError(f"save_checkpoint: a part cannot be called {name!r}, which load_checkpoint could not take")
    shapes: dict[str, Any] = {}
    state: dict[str, NDArray[Any]] = {}
    for name, part in parts.items():
        kind, tree = _as_tree(part)
        shapes[name] = {"kind": kind, "tree": _outline(name, tree)}
        for key, leaf in flattened({"parts": {name: tree}}).items():
            state[key] = _as_array(key.removeprefix("parts."), leaf)
    save(path, {_PROTOCOL: _text(shapes), **state})


def load_checkpoint(path: str | os.PathLike[str], /, *, partial: bool = False, **parts: Any) -> dict[str, Any]:
    """Put back what `save_checkpoint` wrote; nothing changes unless everything fits.

    Parameters
    ----------
    path : path-like
        The file.
    partial : bool
        Leave alone what is in the file but not asked for, as to use the model of a run that has ended.
    **parts
        What to load into, under the names under which it was saved: objects with ``load_state_dict()``, and
        generators.

    Returns
    -------
    dict of str to number, array, or dict of them
        The other parts, by name.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    SavedFileError
        If the file is cut short, altered, or not a checkpoint.
    CheckpointError
        If it holds other parts, or a part does not fit: other names, shapes or dtypes. Says which.

    Examples
    --------
    >>> import os, tempfile, tinygrad_np as tg
    >>> path = os.path.join(tempfile.mkdtemp(), "run.npz")
    >>> save_checkpoint(path, model=tg.nn.Dense(3, 2), epoch=4)
    >>> load_checkpoint(path, model=tg.nn.Dense(3, 2))["epoch"]
    4
    >>> load_checkpoint(path, model=tg.nn.Dense(3, 5))
    Traceback (most recent call last):
    tinygrad_np.saving.CheckpointError: ...run.npz: model: ...weight is (3, 5) in the model and (3, 2) here; ...
    """
    where = os.fspath(path)
    arrays = load(path)
    if _PROTOCOL not in arrays:
        raise SavedFileError(f"{where} holds arrays, but is no checkpoint: read it with load")
    try:
        saved = json.loads(arrays[_PROTOCOL].tobytes())
    except ValueError as error:
        raise SavedFileError(f"{where} was not written by save_checkpoint: {error}") from error
    own = {name: _as_tree(part) for name, part in parts.items()}
    kinds = {name: outline["kind"] for name, outline in saved.items()}
    _check_parts(where, kinds, {name: kind for name, (kind, _) in own.items()}, partial)
    before = copy.deepcopy({name: tree for name, (_, tree) in own.items()})  # not all state_dict() return copies
    states = {name: _filled(outline["tree"], f"parts.{name}", arrays) for name, outline in saved.items()}
    problems: dict[str, Exception] = {}
    for name, part in parts.items():
        try:
            _put_back(part, states[name])
        except Exception as error:  # which one is up to the part: those of PyTorch raise RuntimeError
            problems[name] = error
    if problems:
        for name, part in parts.items():
            with suppress(Exception):  # one that has failed may do so again, and the others are to be as they were
                _put_back(part, before[name])
        reasons = "; ".join(f"{name}: {error}" for name, error in problems.items())
        raise CheckpointError(f"{where}: {reasons}") from next(iter(problems.values()))
    return {name: _as_value(states[name]) for name, kind in kinds.items() if kind == "value"}


def _check_parts(where: str, saved: Mapping[str, str], given: Mapping[str, str], partial: bool) -> None:
    """Raise if the parts in a file are not those to be loaded into."""
    problems = []
    for name, kind in given.items():
        if kind == "value":
            problems.append(f"{name} has no load_state_dict(), and values are returned: leave it out")
        elif name not in saved:
            problems.append(f"{name} is not in the file, which has {', '.join(saved) or 'nothing'}")
        elif saved[name] != kind:
            problems.append(f"{name} is a {saved[name]} in the file, not a {kind}")
    if not partial:
        problems += [
            f"{name} is in the file, but nothing was given to load it into: write {name}=..., or partial=True"
            for name, kind in saved.items()
            if kind != "value" and name not in given
        ]
    if problems:
        raise CheckpointError(f"{where}: {'; '.join(problems)}")


def _as_tree(part: Any) -> tuple[str, Any]:
    """What kind of part this is, and its state as arrays and numbers in nested dicts."""
    if isinstance(part, np.random.Generator):
        return "generator", _text(part.bit_generator.state)
    if hasattr(part, "state_dict"):
        return "state", dict(part.state_dict())
    return "value", part


def _as_array(name: str, leaf: Any) -> NDArray[Any]:
    try:
        array: NDArray[Any] = np.asanyarray(leaf)  # for `save` to see that an array is masked
    except ValueError:  # lists of lists of different lengths
        array = np.array(None)
    if array.dtype.kind not in "biufc":
        raise TypeError(
            f"save_checkpoint: {name} is {leaf!r:.60}, and a checkpoint holds arrays, numbers, generators and what has "
            "a state_dict()"
        )
    return array


def _put_back(part: Any, state: Any) -> None:
    if isinstance(part, np.random.Generator):
        words = json.loads(np.asarray(state).tobytes(), object_hook=_with_arrays)
        part.bit_generator.state = words
    else:
        part.load_state_dict(state)


def _outline(name: str, tree: Any) -> Any:
    """Nested dicts without what is in them: keys may have dots of their own, so names alone do not tell the nesting."""
    if not isinstance(tree, Mapping):
        return None
    for key in tree:
        if not isinstance(key, str):
            raise TypeError(f"save_checkpoint: {name} has the key {key!r}, which would come back as text: make it one")
    return {key: _outline(f"{name}.{key}", item) for key, item in tree.items()}


def _filled(outline: Any, name: str, arrays: Mapping[str, Any]) -> Any:
    """Nested dicts with what was in them."""
    if outline is None:
        return arrays[name]
    return {key: _filled(item, f"{name}.{key}", arrays) for key, item in outline.items()}


def _as_value(state: Any) -> Any:
    if isinstance(state, dict):
        return {name: _as_value(item) for name, item in state.items()}
    return state.item() if state.ndim == 0 else state


def _text(tree: Any) -> NDArray[np.uint8]:
    """Numbers of any size, strings and arrays in nested dicts, as bytes that every format can hold."""
    return np.frombuffer(json.dumps(tree, default=np.ndarray.tolist).encode(), np.uint8)


def _with_arrays(tree: dict[str, Any]) -> dict[str, Any]:
    return {key: np.array(item, np.uint64) if isinstance(item, list) else item for key, item in tree.items()}


# ----------------------------------------------------------------------------------------------------------- formats


def _check(key: object, array: object, path: str | os.PathLike[str]) -> None:
    if not isinstance(key, str):
        raise TypeError(f"save: the key {key!r} is a {type(key).__name__}; keys must be strings")
    if not key or not key.isprintable() or "\\" in key:  # zip files cut or change such names
        raise ValueError(f"save: the key {key!r} cannot be kept; use printable characters other than '\\'")
    if _is_safetensors(path) and key == _METADATA:
        raise ValueError(f"save: the key {key!r} cannot be kept in .safetensors, where it means something else")
    if not _is_safetensors(path) and len((key + _SUFFIX).encode()) > _LONGEST:
        raise ValueError(f"save: the key {key[:20]!r}... of {len(key)} characters is too long for .npz; shorten it")
    if not isinstance(array, np.ndarray):
        advice = "t.data, or model.state_dict() for all of a model" if isinstance(array, Tensor) else "np.asarray"
        raise TypeError(f"save: state[{key!r}] is a {type(array).__name__}, not an ndarray; use {advice}")
    if isinstance(array, np.ma.MaskedArray):
        raise TypeError(
            f"save: state[{key!r}] is a masked array, whose mask would be lost; save array.filled(), or array.data and "
            "np.ma.getmaskarray(array) under two keys"
        )
    if array.dtype.hasobject:
        raise TypeError(
            f"save: state[{key!r}] has dtype {array.dtype}, which only pickle could store, and "
            f"loading pickle runs code; convert it to a numeric or string dtype"
        )


def _npz(state: Mapping[str, NDArray[Any]]) -> bytes:
    buffer = io.BytesIO()
    # `np.savez` takes the keys as keyword arguments, so that "file" could not be one.
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.comment = _MARK + _BLANK
        for key, array in state.items():
            # A bare ZipInfo carries no time of day: equal arrays, equal files.
            with archive.open(zipfile.ZipInfo(key + _SUFFIX), "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)
    content = buffer.getvalue()
    return content.removesuffix(_BLANK) + _digest(content)


def _from_npz(content: bytes) -> dict[str, NDArray[Any]]:
    has_digest = content[-len(_MARK + _BLANK) :].startswith(_MARK)
    if has_digest:
        _check_digest(content[: -len(_BLANK)] + _BLANK, content[-len(_BLANK) :])
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        names = archive.namelist()
        if not has_digest:
            _check_count(content, len(names))
        return {_key(name): _array(archive.read(name)) for name in names}


def _safetensors(state: Mapping[str, NDArray[Any]]) -> bytes:
    # Contiguous and in native byte order, which is what the package takes.
    plain = {key: np.array(array, array.dtype.newbyteorder("="), order="C") for key, array in state.items()}
    known = need("safetensors.numpy", "The .safetensors format", extra="safetensors")
    # One entry, for several come in any order.
    metadata = {"tinygrad_np": (_MARK + _BLANK).decode()}
    try:
        content: bytes = known.save(plain, metadata)
    except Exception as error:  # the package has a class of its own for this, and has had others
        raise TypeError(f"save: .safetensors cannot hold one of these arrays ({error}); use .npz") from error
    return content.replace(_BLANK, _digest(content), 1)


def _from_safetensors(content: bytes) -> dict[str, NDArray[Any]]:
    known = need("safetensors.numpy", "The .safetensors format", extra="safetensors")
    header = content[: 8 + int.from_bytes(content[:8], "little")]
    digests = re.findall(_MARK + rb"([0-9a-f]{64})", header)
    # Two signs that `save` wrote it, of which one flipped byte can hide but one.
    if digests or b'"tinygrad_np"' in header:
        (digest,) = digests
        _check_digest(content.replace(digest, _BLANK, 1), digest)
    return dict(known.load(content))


def _digest(content: bytes) -> bytes:
    return hashlib.sha256(content).hexdigest().encode()


def _check_digest(content: bytes, expected: bytes) -> None:
    if _digest(content) != expected:
        raise ValueError("its SHA-256 is not the one that it states")


def _is_safetensors(path: str | os.PathLike[str]) -> bool:
    return Path(path).suffix == ".safetensors"


def _check_count(content: bytes, found: int) -> None:
    """Look at the end of a file without a SHA-256 more closely than zipfile does.

    A changed length in the archive's directory can hide the members after it, and where a comment was announced, such
    as our SHA-256, the file is cut off.
    """
    signature, _, _, _, promised, _, _, comment = _END.unpack(content[-_END.size :])
    if comment:
        raise ValueError("its end is missing")
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
