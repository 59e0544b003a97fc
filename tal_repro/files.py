"""Write a file whole or not at all, and tell a missing file from one that cannot be looked at."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from tal_repro.errors import InputError, system_remedy


def is_there(path: str | os.PathLike[str]) -> bool:
    """Tell whether there is a regular file, links followed.

    Raises OSError for a path that cannot be looked at: `Path.is_file` calls some of those missing (ELOOP, EBADF), and a
    run that takes its subset or its metrics for missing gives wrong numbers.
    """
    try:
        return stat.S_ISREG(os.stat(path).st_mode)  # noqa: PTH116  Path.stat costs twice as much
    except (FileNotFoundError, NotADirectoryError):
        return False


def is_own_there(path: Path, again: str) -> bool:
    """Tell whether there is a file that the kit writes, and can write again; `again`: how that is done.

    Raises InputError for a path that cannot be looked at. A link that leads in a circle holds nothing: to remove it
    harms nobody's data.
    """
    try:
        return is_there(path)
    except OSError as error:
        loop = error.errno == errno.ELOOP
        remedy = f"remove this link, which leads nowhere; {again}" if loop else system_remedy(error) or again
        raise InputError(f"cannot be read ({error.strerror})", path, remedy) from None


@contextlib.contextmanager
def open_whole(path: Path, *, durable: bool = True) -> Iterator[BinaryIO]:
    """Yield a stream whose content replaces `path` when the block ends well; else `path` stays as it was.

    Written beside, fsynced if `durable`, renamed. Raises OSError. A device or pipe is written to instead: a file
    renamed onto /dev/null would be its end.
    """
    if path.exists() and not path.is_file():
        with path.open("wb") as stream:
            yield stream
        return
    beside = path.with_name(f".{path.name[:40]}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    try:
        with beside.open("xb") as stream:
            yield stream
            stream.flush()
            if durable:
                os.fsync(stream.fileno())
        beside.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):  # of a disk that failed: the first error is the one to tell
            beside.unlink(missing_ok=True)
        raise


def write_whole(path: Path, content: bytes, *, durable: bool = True) -> None:
    """Replace `path` by `content` or leave it as it was, as `open_whole` does. Raises OSError."""
    with open_whole(path, durable=durable) as stream:
        stream.write(content)


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file whole; InputError, with what to do, where that fails."""
    try:
        write_whole(path, content)
    except OSError as error:
        remedy = system_remedy(error, "make its folder first") or "choose another folder"
        raise InputError(f"cannot be written ({error.strerror})", path, remedy) from None


def write_json(path: Path, value: Any, *, indent: int | None = 1) -> None:
    """Write JSON whole: a reader sees the old file or the new one."""
    write_bytes(path, (json.dumps(value, indent=indent, allow_nan=False) + "\n").encode())
