"""Runs take turns on a device, whichever runner or results folder started them: one that measures time goes alone.

Every run holds a lock of its device, shared, or for itself where it measures time. The lock lies in the results folder
(runners in several containers) and in a folder of this user's on this machine (several results folders); it vanishes
with its process. Who cannot be seen there, another user say, is measured: `measure/surroundings`.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tal_repro.errors import InputError
from tal_repro.machine.gpus import device_uuid
from tal_repro.machine.host import read_text

LOOK_SECONDS = 0.2
FOLDER = ".devices"
TURNS_VARIABLE = "TAL_REPRO_TURNS"  # another folder for the locks of this machine


@contextmanager
def turn(root: Path, device: str, exclusive: bool, waiting: Callable[[], None]) -> Iterator[None]:
    """Hold a device; `waiting` is called again and again until it is free, and may raise."""
    with ExitStack() as held:
        for folder in (root / FOLDER, _own_folder()):
            path = folder / _name(device)
            with _locked(path.with_suffix(".queue"), fcntl.LOCK_EX, waiting):  # no newcomer passes who waits
                held.enter_context(_locked(path, fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH, waiting))
        yield


def _own_folder() -> Path:
    given = os.environ.get(TURNS_VARIABLE)
    return Path(given) if given else Path(tempfile.gettempdir()) / f"tal-repro-{os.getuid()}"


def _name(device: str) -> str:
    """Name a device so that only who shares it meets there: by boot of the machine, and by GPU or by cores."""
    boot = read_text("/proc/sys/kernel/random/boot_id").strip()
    if device.startswith("cuda"):
        try:
            unit = device_uuid(device)
        except InputError:
            unit = device
    else:
        unit = f"cpu {sorted(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else ''}"
    return hashlib.sha256(f"{boot} {unit}".encode()).hexdigest()[:16]


@contextmanager
def _locked(path: Path, kind: int, waiting: Callable[[], None]) -> Iterator[None]:
    descriptor = _open(path)
    try:
        while descriptor is not None and not _lock(descriptor, kind):
            waiting()
            time.sleep(LOOK_SECONDS)
        yield
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _open(path: Path) -> int | None:
    """Open a lock file; None where that cannot be, or the folder is somebody else's: then others cannot be seen."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder = path.parent.lstat()
        if not stat.S_ISDIR(folder.st_mode) or folder.st_uid != os.getuid():
            return None
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError:
        return None


def _lock(descriptor: int, kind: int) -> bool:
    """Take the lock if it is free; where there are no locks there is nobody to wait for."""
    try:
        fcntl.lockf(descriptor, kind | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    except OSError:
        return True
    return True
