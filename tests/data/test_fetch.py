from __future__ import annotations

import _thread
import gzip
import hashlib
import io
import signal
import socket
import sys
import time
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tinygrad_np.data import DataError, DownloadError
from tinygrad_np.data import fetch as fetch_module  # the submodule: nothing public is called so
from tinygrad_np.data.fetch import RemoteFile, fetch

CONTENT = bytes(range(256)) * 5


def zipped(content: bytes) -> bytes:
    # Without the time of day, which would make the name of a test that takes the result differ between workers.
    return gzip.compress(content, mtime=0)


GZIPPED = zipped(CONTENT)


def remote(*urls: str) -> RemoteFile:
    return RemoteFile("numbers", len(CONTENT), hashlib.sha256(CONTENT).hexdigest(), urls)


def everything_in(folder: Path) -> list[str]:
    return [str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()]


# -- the network --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sent", [GZIPPED, CONTENT], ids=["gzip", "plain"])
def test_a_download_is_kept_and_not_repeated(server, cache, sent):
    file = remote(server.url("numbers.gz", sent))
    assert fetch("set", file) == CONTENT
    assert fetch("set", file) == CONTENT
    assert server.asked == ["numbers.gz"]
    assert everything_in(cache) == ["set/numbers.gz"]


def cut_off(request: BaseHTTPRequestHandler) -> None:
    request.send_response(200)
    request.send_header("Content-Length", str(len(GZIPPED)))
    request.end_headers()
    request.wfile.write(GZIPPED[:50])


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (404, "HTTP 404 Not Found"),
        (503, "HTTP 503 Service Unavailable"),
        (GZIPPED[:-9], "sent another file, or a damaged one"),
        (GZIPPED[:40] + b"?" + GZIPPED[41:], "sent another file, or a damaged one"),
        (zipped(CONTENT[::-1]), "sent another file, or a damaged one"),
        (zipped(bytes(10**6)), "sent another file, or a damaged one"),
        (b"<html>Log in to the hotel's network</html>", "sent another file, or a damaged one"),
        (b"", "sent another file, or a damaged one"),
        (cut_off, "bytes read"),
    ],
)
def test_the_next_mirror_is_asked_when_one_fails(server, cache, answer, why):
    bad, good = server.url("bad", answer), server.url("good", GZIPPED)
    assert fetch("set", remote(bad, good)) == CONTENT
    assert server.asked == ["bad", "good"]
    (cache / "set" / "numbers.gz").unlink()

    with pytest.raises(DownloadError, match="numbers cannot be downloaded") as caught:
        fetch("set", remote(bad))
    assert why in caught.value.reason
    assert caught.value.reason in str(caught.value)
    assert "set TINYGRAD_NP_DATA to that folder" in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
    assert everything_in(cache) == []


def test_the_reason_is_plain_when_nobody_listens():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/numbers.gz"
        with pytest.raises(DownloadError) as caught:
            fetch("set", remote(url, "http://no-such-host.invalid/numbers.gz"))
    first, second = caught.value.reason.split("; ")
    assert first == "127.0.0.1: Connection refused"
    assert second.startswith("no-such-host.invalid: ")
    assert len(second) < 90


def test_a_silent_mirror_is_given_up(server, monkeypatch):
    monkeypatch.setattr(fetch_module, "PATIENCE", 0.3)
    silent = server.url("silent", lambda request: time.sleep(60))
    start = time.monotonic()
    assert fetch("set", remote(silent, server.url("good", GZIPPED))) == CONTENT
    with pytest.raises(DownloadError, match=r"nothing came for 0\.3 s|timed out"):
        fetch("other", remote(silent))
    assert time.monotonic() - start < 30


def test_a_slow_mirror_is_not_given_up(server, monkeypatch):
    monkeypatch.setattr(fetch_module, "PATIENCE", 1.0)
    content = bytes(30_000)

    def drip(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.end_headers()
        for i in range(0, len(content), 5000):
            request.wfile.write(content[i : i + 5000])
            time.sleep(0.2)

    file = RemoteFile("zeros", len(content), hashlib.sha256(content).hexdigest(), (server.url("slow", drip),))
    start = time.monotonic()
    assert fetch("set", file) == content
    assert time.monotonic() - start > 1.0


def test_an_interrupted_download_leaves_nothing(server, cache, monkeypatch):
    monkeypatch.setattr(fetch_module, "PATIENCE", 5.0)

    def interrupt(request: BaseHTTPRequestHandler) -> None:
        cut_off(request)
        _thread.interrupt_main()
        time.sleep(0.3)

    # A shell may have started the tests in the background, with Ctrl-C ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            fetch("set", remote(server.url("numbers.gz", interrupt), server.url("good", GZIPPED)))
    finally:
        signal.signal(signal.SIGINT, before)
    assert everything_in(cache) == []
    assert server.asked == ["numbers.gz"]


def test_a_cache_that_cannot_be_written_costs_a_warning_only(server, cache):
    cache.write_text("a file where the folder should be")
    with pytest.warns(UserWarning, match=r"numbers is used but not kept: .*numbers\.gz cannot be written"):
        assert fetch("set", remote(server.url("numbers.gz", GZIPPED))) == CONTENT


def test_the_progress_bar_is_for_terminals(server, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    for screen in (io.StringIO(), Terminal()):
        monkeypatch.setattr(sys, "stderr", screen)
        fetch(type(screen).__name__, remote(server.url("numbers.gz", GZIPPED)))
        assert ("numbers:" in screen.getvalue()) == screen.isatty()


@pytest.mark.parametrize("package", ["pooch", "tqdm"])
def test_a_missing_package_is_named_with_its_extra(server, monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=rf'{package}: pip install "tinygrad_np\[examples\]"'):
        fetch("set", remote(server.url("numbers.gz", GZIPPED)))


def test_the_cache_is_the_users(monkeypatch):
    monkeypatch.undo()  # of the folder that every other test gets
    folder = fetch_module.cache_folder()
    assert folder.is_absolute()
    assert "tinygrad_np" in folder.parts


# -- the cache ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("damaged", [b"", GZIPPED[:-1], CONTENT[:-1], CONTENT + b"?", b"\x1f\x8b", zipped(b"")])
def test_a_damaged_cache_entry_is_fetched_again(server, cache, damaged):
    entry = cache / "set" / "numbers.gz"
    entry.parent.mkdir(parents=True)
    entry.write_bytes(damaged)
    assert fetch("set", remote(server.url("numbers.gz", GZIPPED))) == CONTENT
    assert server.asked == ["numbers.gz"]
    assert entry.read_bytes() == GZIPPED


# -- the user's own folder ----------------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["numbers", "numbers.gz", "set/numbers", "set/numbers.gz"])
@pytest.mark.parametrize("raw", [GZIPPED, CONTENT], ids=["gzip", "plain"])
def test_the_users_folder_comes_first(cache, tmp_path, monkeypatch, place, raw):
    own = tmp_path / "own" / place
    own.parent.mkdir(parents=True)
    own.write_bytes(raw)
    monkeypatch.setenv("TINYGRAD_NP_DATA", str(tmp_path / "own"))
    assert fetch("set", remote("http://no-such-host.invalid/numbers.gz")) == CONTENT
    assert not cache.exists()


def test_the_users_folder_needs_no_pooch(tmp_path, monkeypatch):
    (tmp_path / "numbers").write_bytes(CONTENT)
    monkeypatch.setenv("TINYGRAD_NP_DATA", str(tmp_path))
    monkeypatch.setitem(sys.modules, "pooch", None)
    assert fetch("set", remote()) == CONTENT


@pytest.mark.parametrize(
    ("raw", "complaint"),
    [
        (GZIPPED[:-1], "is gzip, but cut short or altered"),
        (CONTENT[:-1], "has 1279 bytes, expected 1280"),
        (zipped(CONTENT * 2), "has more than 1280 bytes, expected 1280"),
        (CONTENT[::-1], f"expected {hashlib.sha256(CONTENT).hexdigest()}"),
        (b"", "has 0 bytes, expected 1280"),
    ],
)
def test_the_users_own_damaged_file_is_named_and_kept(server, cache, tmp_path, monkeypatch, raw, complaint):
    own = tmp_path / "numbers.gz"
    own.write_bytes(raw)
    monkeypatch.setenv("TINYGRAD_NP_DATA", str(tmp_path))
    with pytest.raises(DataError) as caught:
        fetch("set", remote(server.url("numbers.gz", GZIPPED)))
    assert str(own) in str(caught.value)
    assert "$TINYGRAD_NP_DATA" in str(caught.value)
    assert complaint in str(caught.value)
    assert own.read_bytes() == raw
    assert server.asked == []
    assert not cache.exists()


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_damage_goes_unseen(tmp_path, monkeypatch, data):
    raw = bytearray(data.draw(st.sampled_from([GZIPPED, CONTENT]), label="file"))
    if data.draw(st.booleans(), label="cut short"):
        del raw[data.draw(st.integers(0, len(raw) - 1), label="length") :]
    else:
        raw[data.draw(st.integers(0, len(raw) - 1), label="at")] ^= data.draw(st.integers(1, 255), label="flip")
    (tmp_path / "numbers.gz").write_bytes(raw)
    monkeypatch.setenv("TINYGRAD_NP_DATA", str(tmp_path))
    complaint = None
    try:
        content = fetch("set", remote())
    except DataError as error:
        complaint = str(error)
    # Some bytes of a gzip header, such as its time of day, mean nothing for the content.
    assert content == CONTENT if complaint is None else "numbers.gz" in complaint


@pytest.mark.parametrize("folder", ["there", "not there"])
def test_what_the_user_has_not_is_looked_for_elsewhere(server, tmp_path, monkeypatch, folder):
    (tmp_path / "there").mkdir()
    monkeypatch.setenv("TINYGRAD_NP_DATA", str(tmp_path / folder))
    with pytest.raises(DownloadError) as caught:
        fetch("set", remote(server.url("numbers.gz", 404)))
    assert f"now it is {tmp_path / folder}, where the file is not" in str(caught.value)
    assert fetch("set", remote(server.url("numbers.gz", GZIPPED))) == CONTENT


def test_a_tilde_is_the_users_home(tmp_path, monkeypatch):
    (tmp_path / "numbers").write_bytes(CONTENT)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.setenv("TINYGRAD_NP_DATA", "~")
    assert fetch("set", remote()) == CONTENT
