"""Bytes of a file from others: bounded, unpacked where packed, decoded; or why they cannot be had."""

from __future__ import annotations

import errno
import gzip
import os
import stat
import zlib
from collections.abc import Iterable
from os import PathLike

from tal_repro.errors import InputError, system_remedy

MAX_BYTES = 1 << 30  # unpacked
MOST_TIMES, LEAST_UNPACKED = 64, 64 << 20  # a packed file unpacks to no more than the larger of these
RESTORE = "restore the file, or write it again"
_SHOWN_PROBLEMS = 5


def read_bytes(
    path: str | PathLike[str], *, most_bytes: int | None = None, remedy: str | None = None, what: str = "file"
) -> bytes:
    """Read a whole regular file, unpacked if its name ends in .gz; InputError beyond `most_bytes` (unpacked)."""
    most_bytes = MAX_BYTES if most_bytes is None else most_bytes
    try:
        name = os.fspath(path)
        descriptor = _open_regular(name, os.O_RDONLY | os.O_CLOEXEC)
        try:
            if name.endswith(".gz"):
                most_bytes = min(most_bytes, max(LEAST_UNPACKED, MOST_TIMES * os.fstat(descriptor).st_size))
                with open(descriptor, "rb", closefd=False) as raw:
                    content: bytes = gzip.GzipFile(fileobj=raw).read(most_bytes + 1)
            else:
                content = _read_up_to(descriptor, most_bytes + 1)
        finally:
            os.close(descriptor)
    except (OSError, EOFError, zlib.error, ValueError) as error:  # ValueError: a null character in the path
        raise InputError(named(what, f"cannot be read ({_reason(error)})"), path, _way_out(error, remedy)) from None
    if len(content) > most_bytes:
        size = f"{most_bytes >> 20} MiB" if most_bytes >= 1 << 20 else f"{most_bytes} bytes"
        raise InputError(named(what, f"larger than {size}"), path, remedy or "split it into several files")
    return content


def _open_regular(path: str, flags: int) -> int:
    """Open without waiting for the writer of a pipe; only what lies in /dev may be something else than a file."""
    descriptor = os.open(path, flags | os.O_NONBLOCK)
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode):
        return descriptor
    if path.startswith("/dev/"):
        os.set_blocking(descriptor, True)
        return descriptor
    os.close(descriptor)
    number = errno.EISDIR if stat.S_ISDIR(mode) else errno.EINVAL
    raise OSError(number, os.strerror(number) if number == errno.EISDIR else "not a regular file")


def _read_up_to(descriptor: int, most: int) -> bytes:
    """Read a file to its end or to `most` bytes."""
    parts: list[bytes] = []
    while most > 0 and (part := os.read(descriptor, min(most, 1 << 16 if not parts else 1 << 20))):
        parts.append(part)
        most -= len(part)
    return b"".join(parts)


def read_end(path: str | PathLike[str], most_bytes: int) -> bytes:
    """Return the last bytes of a regular file; b"" where there is none."""
    try:
        descriptor = _open_regular(os.fspath(path), os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        os.lseek(descriptor, max(0, os.fstat(descriptor).st_size - most_bytes), os.SEEK_SET)
        return _read_up_to(descriptor, most_bytes)
    finally:
        os.close(descriptor)


def _reason(error: Exception) -> str:
    return error.strerror if isinstance(error, OSError) and error.strerror else str(error)[:120]


def _way_out(error: Exception, remedy: str | None) -> str:
    if isinstance(error, gzip.BadGzipFile | EOFError | zlib.error):
        return "compress it again, or give it unpacked, without .gz in its name"
    return system_remedy(error, remedy) or "see to its permissions"


def named(what: str, problem: str) -> str:
    return problem if what == "file" else f"{what}: {problem}"


def decode(content: bytes, where: str | PathLike[str], remedy: str) -> str:
    """Decode UTF-8, with or without a byte-order mark; InputError names the line of the first bad byte."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InputError(f"not UTF-8 text, first in line {line} (byte {error.start})", where, remedy) from None


def refuse_all(problems: Iterable[str], where: str | PathLike[str], remedy: str) -> None:
    """Raise InputError that counts all problems and names the first few; do nothing where there is none."""
    listed = list(problems)
    if listed:
        more = f"\n  and {len(listed) - _SHOWN_PROBLEMS} more" if len(listed) > _SHOWN_PROBLEMS else ""
        raise InputError("; ".join(listed[:_SHOWN_PROBLEMS]) + more, where, remedy)
