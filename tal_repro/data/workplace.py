"""A data folder while something large is brought into it: one command at a time, hidden until whole, errors by name."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tal_repro.errors import InputError, system_remedy
from tal_repro.machine.host import MIB, nearest

SPARE_BYTES = 64 * MIB  # left free on the disk
_STAGING = ".unpack-"


@contextlib.contextmanager
def workplace(root: Path) -> Iterator[None]:
    """Keep a folder for one command alone, without the remains of killed ones; no failure of a disk is a traceback."""
    try:
        on_disk(lambda: root.mkdir(parents=True, exist_ok=True), root)
        with _alone(root):
            for stale in root.glob(f"{_STAGING}*"):  # nobody else is here
                shutil.rmtree(stale, ignore_errors=True)
            yield
    except OSError as error:  # what no step expected: a folder that may not be read, a disk that went away
        what = f"cannot be used ({error.strerror or error})"
        raise InputError(what, error.filename or root, "see to its permissions and its disk") from None


@contextlib.contextmanager
def staging_in(root: Path) -> Iterator[Path]:
    """Give a new hidden folder on the disk of `root` to write into; it is gone afterwards, whatever happens."""
    staging = Path(on_disk(lambda: tempfile.mkdtemp(prefix=_STAGING, dir=root), root))
    try:
        content = staging / "content"
        content.mkdir()
        yield content
    finally:
        shutil.rmtree(staging, ignore_errors=True)


@contextlib.contextmanager
def _alone(root: Path) -> Iterator[None]:
    """Keep a second command out of the same folder; the lock ends with its process, however that ends."""
    path = root / ".fetch.lock"
    with on_disk(lambda: path.open("a"), path) as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(
                "another fetch or derivation is at work in this folder", root, "wait for it, or choose another folder"
            ) from None
        yield


def on_disk(work: Callable[[], Any], target: Path) -> Any:
    """Run what writes to the disk; a failure is the disk's, not the server's."""
    try:
        return work()
    except OSError as error:
        remedy = system_remedy(error) or "choose another folder"
        raise InputError(
            f"cannot be written ({error.strerror})", target, f"{remedy}; the same command goes on from here"
        ) from None


def require_room(folder: Path, needed_bytes: int, remedy: str) -> None:
    """Raise InputError unless the disk of a folder (it need not be there yet) has room for so much, and some more."""
    free = shutil.disk_usage(nearest(folder)).free
    if needed_bytes + SPARE_BYTES > free:
        what = f"needs {(needed_bytes + SPARE_BYTES) / MIB:,.1f} MiB, {free / MIB:,.1f} MiB are free"
        raise InputError(what, folder, remedy)


def fsync_folder(path: Path) -> None:
    """Make a folder's entries durable."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
