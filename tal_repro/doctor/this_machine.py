"""The real probes: this machine as it is now. Nothing here judges, raises or changes anything."""

from __future__ import annotations

import fcntl
import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from tal_repro import kit
from tal_repro.doctor.environment import normalised
from tal_repro.doctor.gpus import read_gpus
from tal_repro.doctor.probes import Answer, Clock, Disk, Probes, Torch

if TYPE_CHECKING:
    from tal_repro.engines.upstream.checkout import Status

SECONDS = 20.0  # for a command to answer
IMPORT_SECONDS = 180.0  # torch from a cold network disk
DATED = ("env/light.lock", "Makefile", ".git/index", "tal_repro/__init__.py")  # written when the kit was put here
ASK_TORCH = """
import json, torch
problem = ""
try:
    torch.cuda.init()
except Exception as error:
    problem = str(error).splitlines()[0] if str(error) else type(error).__name__
print(json.dumps([torch.__version__, torch.cuda.is_available(), torch.cuda.get_arch_list(), problem]))
"""


def this_machine() -> Probes:
    """Return the probes of the machine this runs on."""
    return Probes(
        environment=os.environ,
        which=shutil.which,
        run=run,
        gpus=cache(partial(read_gpus, run)),
        torch=ask_torch,
        disk=disk,
        disk_file=Path.is_file,
        shared_memory=shared_memory,
        obstacle=obstacle,
        memory=memory,
        cores=cores,
        installed=cache(installed),
        layers=layers,
        clock=clock,
        checkout=_checkout,
        copy_files=copy_files,
    )


def run(command: Sequence[str], seconds: float = SECONDS) -> Answer:
    """Run a command without a shell and without input; an Answer with code -1 where it cannot be run or hangs."""
    try:
        found = subprocess.run(
            list(command), capture_output=True, stdin=subprocess.DEVNULL, timeout=seconds, check=False
        )
    except (OSError, subprocess.SubprocessError) as error:
        return Answer(-1, "", str(error))
    return Answer(found.returncode, found.stdout.decode(errors="replace"), found.stderr.decode(errors="replace"))


def ask_torch() -> Torch | None:
    """Ask torch in a process of its own: a broken one cannot take this one along."""
    answer = run([sys.executable, "-c", ASK_TORCH], IMPORT_SECONDS)
    try:
        version, available, architectures, problem = json.loads(answer.out.strip().splitlines()[-1])
    except (ValueError, IndexError):
        return None
    return Torch(str(version), bool(available), tuple(map(str, architectures)), str(problem))


def disk(path: Path) -> Disk:
    """Look at the file system that holds a path, or its nearest parent that is there."""
    there = nearest(path)
    try:
        found = os.statvfs(there)
        device = there.stat().st_dev
    except OSError:
        return Disk(-1, 0, 0, -1)
    inodes = found.f_favail if found.f_files else -1
    return Disk(device, found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize, inodes)


def shared_memory() -> int:
    try:
        found = os.statvfs("/dev/shm")  # noqa: S108 (looked at, never written)
    except OSError:
        return -1
    return found.f_bavail * found.f_frsize


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


def nearest(path: Path) -> Path:
    """Return the path, or the nearest of its parents that exists."""
    path = path.absolute()
    return next((found for found in (path, *path.parents) if found.exists()), Path("/"))


def memory() -> tuple[int, int]:
    """Return total and available bytes, within the limit of the container where there is one."""
    found = {}
    for row in _read("/proc/meminfo").splitlines():
        name, _, rest = row.partition(":")
        found[name] = int(rest.split()[0]) * 1024 if rest.split() else 0
    total, available = found.get("MemTotal", 0), found.get("MemAvailable", 0)
    limit, used = _read("/sys/fs/cgroup/memory.max").strip(), _read("/sys/fs/cgroup/memory.current").strip()
    if limit.isdecimal() and used.isdecimal() and int(limit) < total:
        total, available = int(limit), min(available, int(limit) - int(used))
    return total, available


def cores() -> int:
    """Return the cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def installed() -> dict[str, str]:
    """Return what this interpreter imports from, by normalised name."""
    names = ((found.metadata["Name"], found.version) for found in importlib.metadata.distributions())
    return {normalised(name): version for name, version in names if name}


def layers() -> frozenset[str]:
    """Return the marks that env/setup.py left in this environment."""
    return frozenset(path.name[1:] for path in Path(sys.prefix).glob(".*") if path.is_file())


def clock() -> Clock:
    """Return the time, that of the newest of a few files, and what systemd says of synchronisation."""
    newest = max((path.stat().st_mtime for path in map(kit.IMPORT_ROOT.joinpath, DATED) if path.exists()), default=0.0)
    answer = run(["timedatectl", "show", "--property=NTPSynchronized", "--value"])
    told = {"yes": True, "no": False}.get(answer.out.strip()) if answer.code == 0 else None
    return Clock(time.time(), newest, told)


def _checkout(model: str) -> Status:
    from tal_repro.engines.upstream.checkout import status

    return status(model)


def copy_files(model: str) -> dict[str, str]:
    """Return the state of each patched file, and of each changed one, in a model's copy ({} where there is none)."""
    from tal_repro.engines.upstream.checkout import MARK, changed_files, prepared_folder
    from tal_repro.engines.upstream.patches import file_states, model_patches
    from tal_repro.models.registry import model_entry

    folder = prepared_folder(model_entry(model))
    if not (folder / MARK).is_file():
        return {}
    states: dict[str, str] = dict.fromkeys(changed_files(folder), "changed")
    return states | file_states(folder, model_patches(kit.patches(model)))


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
