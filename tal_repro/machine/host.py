"""Disk, folders that can be written, memory, processors, other programs: for the doctor, the planner and the runner."""

from __future__ import annotations

import fcntl
import os
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

MIB, GIB = 2**20, 2**30


@dataclass(frozen=True)
class Disk:
    """The file system that holds a path (or will, where it is not there yet)."""

    device: int
    free_bytes: int
    total_bytes: int
    free_inodes: int  # -1 where the file system does not count them


def disk(path: Path) -> Disk:
    """Look at the file system that holds a path, or its nearest parent that is there."""
    there = nearest(path)
    try:
        status = os.statvfs(there)
        device = there.stat().st_dev
    except OSError:
        return Disk(-1, 0, 0, -1)
    inodes = status.f_favail if status.f_files else -1
    return Disk(device, status.f_bavail * status.f_frsize, status.f_blocks * status.f_frsize, inodes)


def nearest(path: Path) -> Path:
    """Return the path, or the nearest of its parents that exists."""
    path = path.absolute()
    return next((there for there in (path, *path.parents) if there.exists()), Path("/"))


def obstacle(folder: Path) -> str:
    """Say what keeps a folder from being written and its files from being locked ("" where nothing does)."""
    there = nearest(folder)
    if not there.is_dir():
        return f"{there} is not a folder"
    if there != folder.absolute():
        return "" if os.access(there, os.W_OK | os.X_OK) else f"cannot be made in {there} (permission denied)"
    try:
        with tempfile.TemporaryFile(dir=there) as stream:
            fcntl.lockf(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return f"cannot be written and locked ({error.strerror or error})"
    return ""


def shared_memory() -> int:
    """Return the bytes free in /dev/shm, -1 where there is none."""
    try:
        status = os.statvfs("/dev/shm")  # noqa: S108 (looked at, never written)
    except OSError:
        return -1
    return status.f_bavail * status.f_frsize


def memory() -> tuple[int, int]:
    """Return total and available bytes, within the limit of the container where there is one."""
    sizes = {}
    for row in read_text("/proc/meminfo").splitlines():
        name, _, rest = row.partition(":")
        sizes[name] = int(rest.split()[0]) * 1024 if rest.split() else 0
    total, available = sizes.get("MemTotal", 0), sizes.get("MemAvailable", 0)
    limit, used = read_text("/sys/fs/cgroup/memory.max").strip(), read_text("/sys/fs/cgroup/memory.current").strip()
    if limit.isdecimal() and used.isdecimal() and int(limit) < total:
        total, available = int(limit), min(available, int(limit) - int(used))
    return total, available


def cores() -> int:
    """Return the cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def threads() -> int:
    """Return the CPU threads of a run started here: what OMP_NUM_THREADS says, or all cores."""
    given = os.environ.get("OMP_NUM_THREADS", "")
    return int(given) if given.isdigit() and int(given) > 0 else cores()


def read_text(path: str) -> str:
    """Return a file of the system, "" where it cannot be read."""
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


SECONDS = 20.0  # for a command to answer


@dataclass(frozen=True)
class Answer:
    """What a command said. `code` is -1 where it could not be started or did not end in time."""

    code: int
    out: str = ""
    err: str = ""


def run(command: Sequence[str], seconds: float = SECONDS) -> Answer:
    """Run a command to its end; an Answer with code -1 where it cannot be run or hangs."""
    try:
        done = subprocess.run(
            list(command), capture_output=True, stdin=subprocess.DEVNULL, timeout=seconds, check=False
        )
    except (OSError, subprocess.SubprocessError) as error:
        return Answer(-1, "", str(error))
    return Answer(done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"))
