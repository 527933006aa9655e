"""A cache of its own for each test, and a server that does what real ones do."""

from __future__ import annotations

import functools
import importlib
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Where downloads are kept. Nothing of the machine's own is seen or changed."""
    folder = tmp_path / "cache"
    monkeypatch.delenv("TINYGRAD_NP_DATA", raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(importlib.import_module("tinygrad_np.data.fetch"), "cache_folder", lambda: folder)
    return folder


class Server:
    """Answers `url(name)` with bytes, an HTTP status, or whatever a function does with the request."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.answers: dict[str, bytes | int | Callable[[BaseHTTPRequestHandler], None]] = {}
        self.asked: list[str] = []

    def url(self, name: str, answer: bytes | int | Callable[[BaseHTTPRequestHandler], None]) -> str:
        self.answers[name] = answer
        return f"http://127.0.0.1:{self.port}/{name}"


class Handler(BaseHTTPRequestHandler):
    def __init__(self, server_state: list[Server], *args: object) -> None:
        self.state = server_state
        super().__init__(*args)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        name = self.path.removeprefix("/")
        (state,) = self.state
        state.asked.append(name)
        answer = state.answers[name]
        if callable(answer):
            answer(self)
        elif isinstance(answer, int):
            self.send_error(answer)
        else:
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    state: list[Server] = []
    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, state)) as http:
        http.daemon_threads = True
        state.append(Server(http.server_address[1]))
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield state[0]
        http.shutdown()
        thread.join()
