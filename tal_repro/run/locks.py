"""One lock a run, so that several runners on one results folder share the work and no run is executed twice.

POSIX record locks: they belong to a process, vanish with it however it ends, are not inherited by its children, and
work on NFS. The file names its owner for whoever looks.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
import struct
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tal_repro.errors import InputError

_UNSUPPORTED = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)


@dataclass
class RunLock:
    """An exclusive lock held by this process."""

    path: Path
    descriptor: int

    def release(self) -> None:
        """Delete the lock file, then the lock: nobody can take the file between the two."""
        self.path.unlink(missing_ok=True)
        os.close(self.descriptor)


def lock_path(root: Path, name: str) -> Path:
    return root / ".locks" / name


def acquire(path: Path) -> RunLock | None:
    """Take the lock, or return None where another process has it. Raise InputError where there can be none."""
    while True:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise _cannot_write(path, error) from None
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # The file may have been released (deleted) between open and lock: then this lock guards nothing.
            if os.fstat(descriptor).st_ino == path.stat().st_ino:
                _write_owner(descriptor)
                return RunLock(path, descriptor)
        except FileNotFoundError:
            pass
        except OSError as error:
            os.close(descriptor)
            if error.errno in (errno.EACCES, errno.EAGAIN):
                return None
            if error.errno in _UNSUPPORTED:
                raise InputError(
                    f"this file system has no locks ({error.strerror})",
                    path.parent,
                    "put the results folder on a local disk or on NFS with its lock service running",
                ) from None
            raise _cannot_write(path, error) from None
        os.close(descriptor)


def owner(path: Path) -> dict[str, Any] | None:
    """Return who holds the lock (host, pid, since), {} where that cannot be read, or None where nobody does."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError:
        return {}
    try:
        if not _is_locked(descriptor):
            return None
        try:
            value = json.loads(os.read(descriptor, 4096))
        except ValueError:
            return {}
        return value if isinstance(value, dict) else {}
    finally:
        os.close(descriptor)  # harmless: a process that holds the lock itself never asks for its owner


def _cannot_write(path: Path, error: OSError) -> InputError:
    remedy = "make it writable, free space on its disk, or give another folder: --results DIR"
    return InputError(f"cannot be written ({error.strerror})", path.parent, remedy)


def _is_locked(descriptor: int) -> bool:
    """Ask the kernel (F_GETLK) without ever taking the lock."""
    # struct flock: short type, short whence, off_t start, off_t len, pid_t pid
    query = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
    answer = struct.unpack("hhqqi4x", fcntl.fcntl(descriptor, fcntl.F_GETLK, query))
    return bool(answer[0] != fcntl.F_UNLCK)


def _write_owner(descriptor: int) -> None:
    os.ftruncate(descriptor, 0)
    who = {"host": socket.gethostname(), "pid": os.getpid(), "since": round(time.time(), 3)}
    os.pwrite(descriptor, json.dumps(who).encode(), 0)
