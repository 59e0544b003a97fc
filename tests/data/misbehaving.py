"""A local HTTP server whose every path can be told how to misbehave, and archives made for it."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import os
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from unittest import mock

from tal_repro.data.fetch.download import Patience
from tal_repro.data.fetch.obtain import Way
from tal_repro.data.fetch.sources import Archive, Mirror
from tal_repro.data.fetch.unpack import Limits

# Gives up after three tries without waiting, but allows a loaded machine its time.
HASTY = Patience(
    tries=3, backoff_seconds=0.01, most_wait_seconds=0.05, timeout_seconds=60.0, window_seconds=60.0,
    window_bytes=1, worth_bytes=1000,
)  # fmt: skip


@dataclass
class Asked:
    """One request as the server saw it."""

    path: str
    headers: dict[str, str]


@dataclass
class Server:
    """What a path answers, and what was asked so far."""

    url: str
    answers: dict[str, Callable[[Any], None]] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)

    def count(self, path: str) -> int:
        """Count the requests for a path."""
        return sum(one.path.partition("?")[0] == path for one in self.asked)

    def ranges(self) -> list[str]:
        """Return the Range headers asked for, in order."""
        return [one.headers["Range"] for one in self.asked if "Range" in one.headers]


@contextlib.contextmanager
def serving() -> Iterator[Server]:
    """Serve in a thread; an exception of a handler is the point of the exercise, so nothing is printed."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.close_connection = True
            server.asked.append(Asked(self.path, dict(self.headers.items())))
            answer = server.answers.get(self.path.partition("?")[0], status(404))
            with contextlib.suppress(OSError):
                answer(self)

        def log_message(self, *_: Any) -> None:
            pass

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    httpd.daemon_threads = True
    httpd.block_on_close = False
    server = Server(f"http://127.0.0.1:{httpd.server_address[1]}")
    own = mock.patch.dict(os.environ, {"no_proxy": "*"})
    own.start()
    threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    try:
        yield server
    finally:
        own.stop()
        httpd.shutdown()
        httpd.server_close()


def status(code: int, headers: dict[str, str] | None = None, body: bytes = b"") -> Callable[[Any], None]:
    """Answer with a status."""

    def answer(request: Any) -> None:
        request.send_response(code)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            request.send_header(name, value)
        request.end_headers()
        request.wfile.write(body)

    return answer


def page(text: str, code: int = 200) -> Callable[[Any], None]:
    """Answer with a web page."""
    return status(code, {"Content-Type": "text/html; charset=utf-8"}, text.encode())


def redirect(to: str, code: int = 302) -> Callable[[Any], None]:
    """Answer with a redirect."""
    return status(code, {"Location": to})


def in_turn(*answers: Callable[[Any], None]) -> Callable[[Any], None]:
    """Give one answer after the other; the last one for ever."""
    left = list(answers)

    def answer(request: Any) -> None:
        (left.pop(0) if len(left) > 1 else left[0])(request)

    return answer


def content(
    data: bytes,
    *,
    etag: str | None = '"one"',
    ranges: bool = True,
    cut_after: int | None = None,
    announce: int | None = None,
    pause_s: float = 0.0,
    kind: str = "application/octet-stream",
) -> Callable[[Any], None]:
    """Serve bytes: `cut_after` closes the connection early, `announce` lies about the length, `pause_s` dawdles."""

    def answer(request: Any) -> None:
        start = 0
        wanted = request.headers.get("Range", "")
        unchanged = request.headers.get("If-Range") in (None, etag)
        if ranges and wanted and unchanged:
            start = int(wanted.removeprefix("bytes=").partition("-")[0])  # sends all that follows, as servers may
            if start >= len(data):
                status(416, {"Content-Range": f"bytes */{len(data)}"})(request)
                return
            request.send_response(206)
            request.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        else:
            request.send_response(200)
        if etag:
            request.send_header("ETag", etag)
        request.send_header("Content-Type", kind)
        length = len(data) - start if announce is None else announce
        request.send_header("Content-Length", str(length))
        request.end_headers()
        body = data[start:] if cut_after is None else data[start : start + cut_after]
        step = 2000 if pause_s else max(len(body), 1)
        for first in range(0, len(body), step):
            request.wfile.write(body[first : first + step])
            request.wfile.flush()
            time.sleep(pause_s)

    return answer


def md5(data: bytes) -> str:
    """Return the md5 as READMEs print it."""
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def tar_of(folder: Path, arcname: str, *, packed: bool = True) -> bytes:
    """Pack a folder."""
    with io.BytesIO() as buffer:
        with tarfile.open(fileobj=buffer, mode="w") as archive:
            archive.add(folder, arcname)
        plain = buffer.getvalue()
    return gzip.compress(plain, 1, mtime=0) if packed else plain


def archive_at(server: Server, data: bytes, path: str = "/thumos.tar.gz", **settings: Any) -> Archive:
    """Serve an archive of one mirror with its md5 published."""
    server.answers[path] = content(data, **settings)
    return Archive("thumos.tar.gz", (Mirror("plain", f"{server.url}{path}", md5(data)),), most_bytes=10**8)


def way_to(root: Path, given: tuple[str, ...] = (), patience: Patience = HASTY, lines: list[str] | None = None) -> Way:
    """Return a silent way; `lines` collects what would be said."""
    told = [] if lines is None else lines

    def nothing(done: int, total: int | None) -> None:
        assert total is None or 0 <= done <= total

    limits = Limits(files=200, total_bytes=10**8, file_bytes=10**7)
    return Way(root, given, patience, limits, nothing, nothing, nothing, told.append)
