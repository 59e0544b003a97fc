"""Unpack a tar from elsewhere: plain files and folders inside one folder, of sane number and size, or nothing.

Python's own `data` filter is asked where this Python has it, and our rules besides: they hold on every Python, refuse
what the filter merely mends (absolute names, links), and know limits. The caller gives an empty folder and renames.
"""

from __future__ import annotations

import gzip
import os
import tarfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from tal_repro.data.fetch.download import Progress
from tal_repro.data.fetch.web import printable
from tal_repro.data.workplace import fsync_folder, on_disk, require_room
from tal_repro.errors import InputError

BLOCK_BYTES = 2**20
DISK_FULL_REMEDY = "free space on this disk; the same command unpacks the archive without fetching it again"
MOST_HEADER_BYTES = 2**20  # of what tarfile reads into memory at once: long names, extended headers
MOST_DEPTH = 20
_DISTRUST = "do not trust it; fetch it again"


@dataclass(frozen=True)
class Limits:
    """What no archive of this data set comes near to: ActionFormer's holds about 420 files, 5 GiB, 0.1 GiB each."""

    files: int = 5_000
    total_bytes: int = 32 * 2**30
    file_bytes: int = 2**30


@dataclass(frozen=True)
class Unpacked:
    """How much came out."""

    files: int
    total_bytes: int


class _Refused(Exception):
    """Something in the archive is not what a data set holds."""


def unpack(source: Path, folder: Path, limits: Limits, progress: Progress) -> Unpacked:
    """Unpack a .tar or .tar.gz into an empty folder, fsynced; raise InputError for anything that is not plain data."""
    size = source.stat().st_size
    try:
        with source.open("rb") as raw:
            counted: Any = _Counted(raw, lambda done: progress(done, size))
            magic = raw.read(2)
            if magic == b"PK":
                what = "a zip, as some hosts pack what a browser downloads"
                raise InputError(what, source, "unzip it, and give the folder that it made: --from FOLDER")
            packed = magic == b"\x1f\x8b"
            raw.seek(0)
            stream: Any = gzip.GzipFile(fileobj=counted, mode="rb") if packed else counted
            return _unpack_members(_Forward(stream, limits.total_bytes), folder, limits)
    except _Refused as error:
        raise InputError(str(error), source, _DISTRUST) from None
    except (tarfile.TarError, EOFError, zlib.error, RecursionError, ValueError, OSError) as error:
        if isinstance(error, InputError):
            raise
        reason = printable(str(error) or type(error).__name__)
        raise InputError(f"not a whole tar archive ({reason})", source, "fetch it again") from None


def _unpack_members(stream: _Forward, folder: Path, limits: Limits) -> Unpacked:
    """Write each entry below `folder`, within the limits, and sync it; raise _Refused for a bad archive."""
    files = total = entries = 0
    seen: set[str] = set()
    with tarfile.open(fileobj=stream, mode="r:") as archive:  # type: ignore[call-overload]
        for entry in archive:
            entries += 1
            name = _checked(entry, folder, seen)
            if entries > limits.files:
                raise _Refused(f"more than {limits.files} entries")
            if entry.isdir():
                _make_folder(folder / name, entry)
                continue
            files, total = files + 1, total + entry.size
            if entry.size > limits.file_bytes or total > limits.total_bytes:
                raise _Refused(f"{_shown(entry)} of {entry.size} bytes passes the limits of a data set")
            require_room(folder.parent, entry.size, DISK_FULL_REMEDY)
            _make_folder((folder / name).parent, entry)
            _write(archive.extractfile(entry), folder / name, entry)
    if stream.last_block != bytes(tarfile.BLOCKSIZE):  # tarfile takes a damaged header, or none, for the end
        raise _Refused("cut short or damaged: a tar archive ends with empty blocks")
    stream.drain()  # to the end, where gzip's checksum is
    if files == 0:
        raise _Refused("an empty archive")
    for path in [folder, *(path for path in folder.rglob("*") if path.is_dir())]:
        on_disk(lambda path=path: fsync_folder(path), path)  # type: ignore[misc]
    return Unpacked(files, total)


def _checked(entry: tarfile.TarInfo, folder: Path, seen: set[str]) -> str:
    """Return the relative name of a member that may be written."""
    name = entry.name
    plain = entry.type in (tarfile.REGTYPE, tarfile.AREGTYPE) and not entry.issparse()
    if not (plain or entry.isdir()):
        raise _Refused(f"{_shown(entry)} is a link, a device or another special file")
    if entry.size < 0 or (entry.isdir() and entry.size):
        raise _Refused(f"{_shown(entry)} has an impossible size")
    if name.startswith("/") or "\\" in name or not name.isprintable() or "\ufffd" in name:
        raise _Refused(f"{_shown(entry)} is not a plain relative name")
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts or len(parts) > MOST_DEPTH or any(len(part.encode()) > 255 for part in parts):
        raise _Refused(f"{_shown(entry)} leads out of the folder or is too long")
    if not parts and not entry.isdir():
        raise _Refused(f"{_shown(entry)} has no name")
    _ask_python(entry, folder)
    clean = "/".join(parts)
    if not entry.isdir() and clean in seen:
        raise _Refused(f"{_shown(entry)} is there twice")
    seen.add(clean)
    return clean


def _ask_python(entry: tarfile.TarInfo, folder: Path) -> None:
    """Let Python's `data` filter refuse, where there is one (3.11.4 and later)."""
    data_filter: Callable[[tarfile.TarInfo, str], Any] | None = getattr(tarfile, "data_filter", None)
    if data_filter is not None:
        try:
            data_filter(entry, str(folder))
        except tarfile.TarError as error:
            raise _Refused(printable(str(error))) from None


def _make_folder(path: Path, entry: tarfile.TarInfo) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise _Refused(f"{_shown(entry)}: a file is where a folder belongs") from None
    except OSError as error:
        raise InputError(f"cannot be made ({error.strerror})", path, "free space or choose another folder") from None


def _write(content: IO[bytes] | None, path: Path, entry: tarfile.TarInfo) -> None:
    if content is None:
        raise _Refused(f"{_shown(entry)} cannot be read")
    try:
        out = path.open("xb", buffering=0)
    except (FileExistsError, IsADirectoryError):
        raise _Refused(f"{_shown(entry)} is there twice") from None
    except OSError as error:
        raise InputError(f"cannot be written ({error.strerror})", path, "free space on this disk") from None
    with out:
        left = entry.size
        while left:
            block = content.read(min(BLOCK_BYTES, left))
            if not block:
                raise _Refused(f"cut short in {_shown(entry)}")
            left -= len(block)
            on_disk(lambda data=block: _write_all(out, data), path)  # type: ignore[misc]
        on_disk(lambda: os.fsync(out.fileno()), path)


def _write_all(out: Any, block: bytes) -> None:
    rest = memoryview(block)
    while rest:
        rest = rest[out.write(rest) :]


def _shown(entry: tarfile.TarInfo) -> str:
    return f"entry {entry.name[:120]!r}"


class _Counted:
    """Reads a file and tells how far it is."""

    def __init__(self, raw: IO[bytes], report: Callable[[int], None]) -> None:
        self._raw, self._report, self._done = raw, report, 0

    def read(self, size: int = -1) -> bytes:
        """Read on."""
        block = self._raw.read(size)
        self._done += len(block)
        self._report(self._done)
        return block


class _Forward:
    """The unpacked stream as tarfile sees it: forward only, limited in all and at once.

    tarfile reads an extended header whole, whatever size it claims: the limit on one read keeps that out of memory.
    It looks at the last byte before each header, so one step back is allowed.
    """

    def __init__(self, stream: Any, most_bytes: int) -> None:
        self._stream, self._left, self._position = stream, most_bytes + 2**26, 0
        self._last, self._again = b"", b""
        self.last_block = b""  # the last header that was looked at

    def read(self, size: int) -> bytes:
        """Return up to `size` bytes."""
        if not 0 <= size <= MOST_HEADER_BYTES:
            raise _Refused(f"a header of {size} bytes")
        if size == 0:
            return b""
        blocks = [self._again]
        missing, self._again = size - len(self._again), b""
        while missing:
            block = self._stream.read(missing)
            if not block:
                break
            self._left -= len(block)
            if self._left < 0:
                raise _Refused("unpacks to more than the limit")
            missing -= len(block)
            blocks.append(block)
        content = b"".join(blocks)
        self._position += len(content)
        self._last = content[-1:] or self._last
        if size == tarfile.BLOCKSIZE:
            self.last_block = content
        return content

    def seek(self, position: int) -> int:
        """Go forward by reading, or back by one byte."""
        if position == self._position - 1 and self._last and not self._again:
            self._again, self._position = self._last, position
            return position
        if position < self._position:
            raise _Refused("goes backwards")
        while self._position < position and self.read(min(position - self._position, 2**16)):
            pass
        return self._position

    def tell(self) -> int:
        """Return the position in the unpacked stream."""
        return self._position

    def drain(self) -> None:
        """Read to the end."""
        while self.read(2**16):
            pass
