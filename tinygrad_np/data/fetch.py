"""Find a data file: in the user's folder, then in the cache, then on the network. Nothing is used unchecked.

A data set is a module with a few `RemoteFile` and a function that calls `fetch` for each, or `fetch_members` for all.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import tarfile
import threading
import time
import warnings
import zlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from tinygrad_np._extras import need
from tinygrad_np._files import atomic_write
from tinygrad_np.data.errors import DataError, DownloadError

__all__ = ["RemoteFile", "cache_folder", "decompress", "fetch", "fetch_members"]

Content = TypeVar("Content")

ENVIRONMENT_VARIABLE = "TINYGRAD_NP_DATA"
PATIENCE = 10.0  # seconds without a byte, after which the next mirror gets its turn

_PURPOSE = "Downloading a data set"


@dataclass(frozen=True)
class RemoteFile:
    """A file of a data set, known by its decompressed content: mirrors compress differently.

    Parameters
    ----------
    name : str
        The file's name, without ``.gz``.
    size : int
        Bytes, decompressed.
    sha256 : str
        Of the decompressed content, in hexadecimal.
    urls : tuple of str
        Where to get it, gzip or plain, in the order to try.
    """

    name: str
    size: int
    sha256: str
    urls: tuple[str, ...]


def fetch(dataset: str, file: RemoteFile, *, own_folder: bool = False) -> bytes:
    """Get the content of a data file, decompressed and checked against its SHA-256.

    Looks for ``name`` and ``name.gz`` in ``$TINYGRAD_NP_DATA/dataset`` and in ``$TINYGRAD_NP_DATA``, then in
    the cache, then downloads it from each mirror in turn and keeps it in the cache.

    Parameters
    ----------
    dataset : str
        Name of the data set's folder.
    file : RemoteFile
        What to find.
    own_folder : bool
        Do not look in ``$TINYGRAD_NP_DATA`` itself, where the file of another data set may have the same name.

    Returns
    -------
    bytes
        Exactly the content that `file` describes.

    Raises
    ------
    DataError
        If the file in ``$TINYGRAD_NP_DATA`` is damaged or another one. It belongs to the user, so it is never
        replaced; a damaged file in the cache is.
    DownloadError
        If it is nowhere on this machine and no mirror delivers it.
    ImportError
        If it must be downloaded and pooch is not installed; names the extra that installs it.
    """
    path = _place_of_the_user(dataset, file.name, own_folder=own_folder)
    return _fetch(dataset, file.name, path, file.urls, lambda raw, where: _verified(raw, file, where))


def fetch_members(dataset: str, archive: str, urls: Sequence[str], members: Sequence[RemoteFile]) -> list[bytes]:
    """Get the files that a tar archive holds, each checked against its SHA-256.

    Looks for the files themselves where `fetch` does in the user's folder, and for the archive everywhere else.

    Parameters
    ----------
    dataset : str
        Name of the data set's folder.
    archive : str
        The archive's name, without ``.gz``.
    urls : sequence of str
        Where to get the archive, gzip or plain, in the order to try.
    members : sequence of RemoteFile
        The files in it; in whatever folder there.

    Returns
    -------
    list of bytes
        The content of each member.

    Raises
    ------
    DataError, DownloadError, ImportError
        As `fetch` does.
    """
    places = [_place_of_the_user(dataset, member.name) for member in members]
    if all(places):
        return [fetch(dataset, member) for member in members]
    path = _place_of_the_user(dataset, archive)
    return _fetch(dataset, archive, path, urls, lambda raw, where: _unpacked(raw, members, where))


def _fetch(
    dataset: str, name: str, path: Path | None, urls: Sequence[str], verified: Callable[[bytes, str], Content]
) -> Content:
    """What ``verified(raw, where)`` makes of the user's file, or else of the first in cache and network it accepts."""
    if path is not None:
        return verified(path.read_bytes(), f"{path} (found by ${ENVIRONMENT_VARIABLE})")

    cached = cache_folder() / dataset / f"{name}.gz"
    # Absent, unreadable or damaged: in each case a new one takes its place.
    with suppress(OSError, DataError):
        return verified(cached.read_bytes(), str(cached))

    received, content = _download(name, urls, verified)
    try:
        cached.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(cached) as out:
            out.write(received)
    except OSError as error:
        warnings.warn(f"{name} is used but not kept: {cached} cannot be written ({error})", stacklevel=4)
    return content


def cache_folder() -> Path:
    """Say where downloads are kept: the folder for caches that the operating system gives each user.

    Raises
    ------
    ImportError
        If pooch is not installed; names the extra that installs it.
    """
    return Path(need("pooch", _PURPOSE).os_cache("tinygrad_np"))


def decompress(raw: bytes, where: str, size: int = -2) -> bytes:
    """Decompress what is gzip, and return anything else as it is.

    The first bytes tell, for names lie: browsers decompress silently and keep the name.

    Parameters
    ----------
    raw : bytes
        What the file holds.
    where : str
        Path or address, for the error.
    size : int
        How long the result should be, if known. At most one byte more is made of it, so that a wrong file
        cannot fill the memory.

    Raises
    ------
    DataError
        If it is gzip, and cut short or altered; names `where`.

    Examples
    --------
    >>> decompress(gzip.compress(b"1 2 3"), "numbers.gz")
    b'1 2 3'
    """
    if not raw.startswith(b"\x1f\x8b"):
        return raw
    try:
        return gzip.GzipFile(fileobj=io.BytesIO(raw)).read(size + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{where} is gzip, but cut short or altered ({error}); get another copy") from error


def _place_of_the_user(dataset: str, name: str, *, own_folder: bool = False) -> Path | None:
    folder = os.environ.get(ENVIRONMENT_VARIABLE)
    if not folder:
        return None
    root = Path(folder).expanduser()
    folders = [root / dataset] if own_folder else [root / dataset, root]
    places = (place / spelling for place in folders for spelling in (name, f"{name}.gz"))
    return next((path for path in places if path.is_file()), None)


def _verified(raw: bytes, file: RemoteFile, where: str) -> bytes:
    content = decompress(raw, where, file.size)
    if len(content) != file.size:
        size = f"more than {file.size}" if len(content) > file.size else str(len(content))
        raise DataError(
            f"{where} is not {file.name}, or it is damaged: its decompressed content has {size} bytes, "
            f"expected {file.size}; replace or remove it"
        )
    sha256 = hashlib.sha256(content).hexdigest()
    if sha256 != file.sha256:
        raise DataError(
            f"{where} is not {file.name}, or it is damaged: its decompressed content has SHA-256 {sha256}, "
            f"expected {file.sha256}; replace or remove it"
        )
    return content


def _unpacked(raw: bytes, members: Sequence[RemoteFile], where: str) -> list[bytes]:
    """The content of each member, by its name without the folders; nothing is written to disk."""
    # Beside each member a tar has a header, and its content is filled up to 512 bytes; the rest is for small files.
    limit = sum(member.size for member in members) + 1_000_000
    try:
        with tarfile.open(fileobj=io.BytesIO(decompress(raw, where, limit))) as archive:
            found = {Path(entry.name).name: entry for entry in archive.getmembers() if entry.isfile()}
            missing = [member.name for member in members if member.name not in found]
            if missing:
                raise DataError(f"{where} is another archive: {', '.join(missing)} is not in it; replace or remove it")
            contents = {name: archive.extractfile(entry) for name, entry in found.items()}
            return [_verified(contents[m.name].read(), m, f"{m.name} in {where}") for m in members]  # type: ignore[union-attr]
    except (tarfile.TarError, EOFError) as error:
        raise DataError(f"{where} is no tar archive, or cut short ({error}); replace or remove it") from error


def _download(name: str, urls: Sequence[str], verified: Callable[[bytes, str], Content]) -> tuple[bytes, Content]:
    """Get a file from the first mirror that has it: as it was sent, and its content."""
    reasons = []
    for url in urls:
        try:
            received = _transfer(url, name)
            return received, verified(received, url)
        except DataError:
            reasons.append(f"{urlsplit(url).hostname}: sent another file, or a damaged one")
        except OSError as error:  # all errors of requests are
            reasons.append(f"{urlsplit(url).hostname}: {_plainly(error)}")
    reason = "; ".join(reasons)
    folder = os.environ.get(ENVIRONMENT_VARIABLE)
    raise DownloadError(
        f"{name} cannot be downloaded ({reason}). Try again with a network, or put the file, gzip or "
        f"plain, in a folder and set {ENVIRONMENT_VARIABLE} to that folder"
        + (f"; now it is {folder}, where the file is not" if folder else ""),
        reason,
    )


def _transfer(url: str, name: str) -> bytes:
    """Download with pooch, and give up once nothing has come for `PATIENCE` seconds.

    The time limit of requests holds for each of a host's addresses, of which a mirror may have dozens, and
    not for looking up its name. So the work is done by a thread that can be left alone.
    """
    pooch, tqdm = need("pooch", _PURPOSE), need("tqdm", _PURPOSE)
    received = io.BytesIO()
    responses: list[Any] = []
    errors: list[BaseException] = []

    def work(bar: object) -> None:
        # Small chunks, for nothing is seen to come until a whole one has.
        downloader = pooch.HTTPDownloader(
            progressbar=bar, chunk_size=4096, timeout=PATIENCE, hooks={"response": lambda r, **_: responses.append(r)}
        )
        try:
            downloader(url, received, None)
        except BaseException as error:
            errors.append(error)
        finally:
            for response in responses:
                response.close()

    # disable=None: no bar where nobody watches. A total is needed because pooch asks a bar for its truth.
    with received, tqdm.tqdm(total=1, desc=name, unit="B", unit_scale=True, leave=False, disable=None) as bar:
        thread = threading.Thread(target=work, args=(bar,), daemon=True)
        thread.start()
        size, since = 0, time.monotonic()
        while thread.is_alive():
            thread.join(0.1)
            if received.tell() != size:
                size, since = received.tell(), time.monotonic()
            elif time.monotonic() - since > PATIENCE:
                # Leaving closes `received`, and the thread ends when it next writes to it.
                raise TimeoutError(f"nothing came for {PATIENCE:g} s")
        if errors:
            raise errors.pop()  # kept here, it would hold this very frame
        return received.getvalue()


def _plainly(error: BaseException) -> str:
    """Name the innermost cause in one line: requests wraps "Connection refused" in three layers."""
    response = getattr(error, "response", None)
    if response is not None:
        return f"HTTP {response.status_code} {response.reason}"
    while inner := error.__cause__ or error.__context__:
        error = inner
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(str(text).split())
