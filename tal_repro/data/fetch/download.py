"""One archive from one mirror into a `.part` file that a later call goes on with: ranges, retries, limits, disk."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

from tal_repro.data.fetch import hosts, web
from tal_repro.data.fetch.sources import Archive, Mirror
from tal_repro.data.fetch.web import MirrorFailed, Reply, TryAgain
from tal_repro.data.workplace import on_disk, require_room
from tal_repro.errors import InputError
from tal_repro.files import write_json
from tal_repro.untrusted import read_json_object

BLOCK_BYTES = 2**18
PAGES = 3  # web pages followed in a row
DISK_FULL_REMEDY = "free space on this disk, or choose another folder with --out; the same command goes on from here"
_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)")

Progress = Callable[[int, int | None], None]  # bytes so far, of how many (None: the server does not say)
Say = Callable[[str], None]


@dataclass(frozen=True)
class Patience:
    """How long a server may take. `tries`: in a row with less than `worth_bytes`, or in all that lost bytes again."""

    tries: int = 6
    backoff_seconds: float = 2.0
    most_wait_seconds: float = 120.0
    timeout_seconds: float = 60.0  # of silence
    window_seconds: float = 120.0  # in which at least this many bytes must come:
    window_bytes: int = 2**17
    worth_bytes: int = 2**20


@dataclass(frozen=True)
class _Part:
    """What is known about a half-fetched file: of which mirror and which version of it the bytes are."""

    link: str
    md5: str | None = None
    etag: str = ""
    last_modified: str = ""
    total: int | None = None


def part_path(target: Path) -> Path:
    """Return where the bytes of an unfinished download lie."""
    return target.with_name(f"{target.name}.part")


def note_path(target: Path) -> Path:
    """Return the note on a download: beside the part while it runs, afterwards the sign that the kit fetched it."""
    return target.with_name(f"{target.name}.download.json")


def discard(target: Path) -> None:
    """Delete a download, finished or not."""
    for path in (target, part_path(target), note_path(target)):
        path.unlink(missing_ok=True)


def download(archive: Archive, mirror: Mirror, target: Path, patience: Patience, progress: Progress, say: Say) -> bool:
    """Fetch an archive to `target`, going on where an earlier call stopped; return whether it went on.

    Raises MirrorFailed where this mirror will not give it, InputError where this disk cannot take it. Whatever
    happens, `target` holds all bytes that the server announced, or does not exist.
    """
    web_session = web.Web(patience.timeout_seconds)
    failures, restarts, resumed = 0, 0, False
    while True:
        before = _size(target)
        resumed = resumed or before > 0
        try:
            _attempt(archive, mirror, target, web_session, patience, progress, say)
            _finish(target)
            return resumed
        except TryAgain as error:
            gained = _size(target) - before
            failures = 0 if gained >= patience.worth_bytes else failures + (3 if error.unreachable else 1)
            restarts += gained < 0  # a server that sends much and then lets us start over would never end
            if max(failures, restarts) >= patience.tries:
                raise MirrorFailed(str(error)) from None
            doublings = 0 if error.unreachable else max(failures - 1, 0)
            wait = max(patience.backoff_seconds * 2**doublings, error.wait_seconds)
            wait = min(wait, patience.most_wait_seconds)
            say(f"{error}; again in {wait:.0f} s")
            time.sleep(wait)


def _attempt(
    archive: Archive, mirror: Mirror, target: Path, session: web.Web, patience: Patience, progress: Progress, say: Say
) -> None:
    part, known = part_path(target), _read_note(target)
    if known is not None and known.link == mirror.link and known.total == _size(target) > 0:
        return  # stopped between the last byte and the new name
    offset, headers = _where_to_go_on(target, mirror, known)
    reply = ask(archive, mirror, session, headers)
    try:
        note = _note_of(mirror, reply)
        if reply.status == 416:
            if _unsatisfied_total(reply) == offset > 0:
                return  # all of it was here already
            _start_over(target, "the file on the server is shorter than what is here")
        if reply.status == 206 and not _continues(reply, offset, known, note):
            _start_over(target, "the server sends another part or another version than asked for")
        if offset and reply.status == 200:
            say("the server does not go on with what is here (or the file has changed): from the start")
            offset = 0
        announced = note.total
        if announced is not None and announced > archive.most_bytes:
            raise MirrorFailed(f"announces {announced} bytes, at most {archive.most_bytes} are expected")
        require_room(target.parent, (announced or 0) - offset, DISK_FULL_REMEDY)
        on_disk(lambda: write_json(note_path(target), asdict(note)), target)
        with on_disk(lambda: part.open("r+b" if offset else "wb", buffering=0), target) as stream:
            on_disk(lambda: (stream.seek(offset), stream.truncate()), target)
            _receive(reply, stream, offset, announced, archive.most_bytes, patience, progress, target)
    finally:
        reply.close()


def _where_to_go_on(target: Path, mirror: Mirror, known: _Part | None) -> tuple[int, dict[str, str]]:
    """Return the bytes that are here and may be kept, and the headers that ask for the rest.

    Without a sign that the server's file is still the same (a strong ETag, a date) only a published checksum makes
    going on safe: it is checked in the end.
    """
    size = _size(target)
    if size == 0 or known is None:
        return 0, {}
    same_link = known.link == mirror.link
    if not same_link and (known.md5 is None or known.md5 != mirror.md5):
        return 0, {}
    headers = {"Range": f"bytes={size}-"}
    sign = known.etag if known.etag and not known.etag.startswith("W/") else known.last_modified
    if same_link and sign:
        headers["If-Range"] = sign
    elif mirror.md5 is None:
        return 0, {}
    return size, headers


def ask(archive: Archive, mirror: Mirror, session: web.Web, headers: dict[str, str]) -> Reply:
    """Return the reply that carries bytes, following a host's pages where they lead to it."""
    address = hosts.address_of(mirror, archive.name, session)
    for _ in range(PAGES):
        reply = session.get(address, headers)
        if reply.status == 416 or not web.is_page(reply):
            return reply
        address = hosts.behind_page(reply.url, web.read_page(reply))
    raise MirrorFailed("one web page after the other instead of the file")


def _receive(
    reply: Reply,
    stream: IO[bytes],
    done: int,
    total: int | None,
    most: int,
    patience: Patience,
    progress: Progress,
    target: Path,
) -> None:
    """Append the reply's body; what has come stays in the part file whatever breaks."""
    window, in_window = time.monotonic(), 0
    while block := web.receiving(lambda: reply.read1(BLOCK_BYTES)):
        if done == 0 and web.looks_like_page(block):
            raise MirrorFailed("sends a web page instead of the file")
        done += len(block)
        if done > (most if total is None else total):
            _start_over(target, "more bytes than announced" if total is not None else "more bytes than expected")
        on_disk(lambda data=block: _write(stream, data), target)  # type: ignore[misc]
        progress(done, total)
        in_window += len(block)
        now = time.monotonic()
        if now - window > patience.window_seconds:
            if in_window < patience.window_bytes:
                raise TryAgain(f"slower than {patience.window_bytes / patience.window_seconds:.0f} bytes a second")
            window, in_window = now, 0
    on_disk(lambda: os.fsync(stream.fileno()), target)
    if total is not None and done < total:
        raise TryAgain(f"cut after {done} of {total} bytes")
    if done == 0:
        raise TryAgain("sent nothing")


def _write(stream: IO[bytes], block: bytes) -> None:
    """Write all of a block (unbuffered: nothing is left to be written, and fail, when the file is closed)."""
    rest = memoryview(block)
    while rest:
        rest = rest[stream.write(rest) :]


def came_from(target: Path) -> str:
    """Return the link that a download is of, "" for a file that the kit did not fetch."""
    note = _read_note(target)
    return note.link if note else ""


def _start_over(target: Path, reason: str) -> None:
    discard(target)
    raise TryAgain(reason)


def _finish(target: Path) -> None:
    on_disk(lambda: part_path(target).replace(target), target)


def _continues(reply: Reply, offset: int, known: _Part | None, note: _Part) -> bool:
    """Tell whether a partial reply is the rest of what is here."""
    span = _RANGE.fullmatch((reply.headers.get("Content-Range") or "").strip())
    if span is None or known is None or int(span[1]) != offset or note.total is None or int(span[2]) != note.total - 1:
        return False
    same_link = known.link == note.link
    same_version = not same_link or not (known.etag and note.etag) or known.etag == note.etag
    return same_version and known.total in (None, note.total)


def _note_of(mirror: Mirror, reply: Reply) -> _Part:
    total = web.whole_number(reply.headers.get("Content-Length"))
    if reply.status == 206:
        span = _RANGE.fullmatch((reply.headers.get("Content-Range") or "").strip())
        total = web.whole_number(span[3]) if span else None
    elif reply.headers.get("Transfer-Encoding"):
        total = None
    etag, changed = ((reply.headers.get(name) or "").strip()[:300] for name in ("ETag", "Last-Modified"))
    return _Part(mirror.link, mirror.md5, etag, changed, total)


def _unsatisfied_total(reply: Reply) -> int | None:
    """Return N of a 416's `bytes */N`."""
    return web.whole_number((reply.headers.get("Content-Range") or "").strip().removeprefix("bytes */"))


def _read_note(target: Path) -> _Part | None:
    """Return the note on a part; None where it is missing or cannot be trusted (then nothing is kept)."""
    try:
        note = _Part(**read_json_object(note_path(target)))
    except (InputError, TypeError):
        return None
    texts = (note.link, note.etag, note.last_modified, note.md5 or "")
    if not all(isinstance(text, str) and text.isprintable() for text in texts):
        return None
    return note if note.total is None or (type(note.total) is int and note.total >= 0) else None


def _size(target: Path) -> int:
    try:
        return part_path(target).stat().st_size
    except OSError:
        return 0
