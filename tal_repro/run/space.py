"""Room on the results folder's disk: asked before anything starts, before every run, and told when it has run out."""

from __future__ import annotations

import errno
from pathlib import Path

from tal_repro.errors import InputError
from tal_repro.machine.host import MIB, disk

LEAST_FREE_MIB = 64  # below it no run starts: a checkpoint cut short helps nobody
NO_SPACE = (errno.ENOSPC, errno.EDQUOT)
REMEDY = "free space there (tal-repro gc lists what can go) or give another folder: --results DIR"


def free_mib(folder: Path) -> int:
    """Return the free MiB of the disk that holds `folder`, which need not be there yet."""
    return disk(folder).free_bytes // MIB


def describe_lack(folder: Path) -> str:
    """Say where the disk is full, what is free now and what a run needs to start."""
    return f"{folder}: {free_mib(folder)} MiB free now, a run needs {LEAST_FREE_MIB} MiB to start"


def has_room(folder: Path) -> bool:
    """Tell whether a run may start."""
    return free_mib(folder) >= LEAST_FREE_MIB


def check_space(folder: Path) -> None:
    """Raise InputError where no run may start."""
    if not has_room(folder):
        raise InputError(f"disk full: {free_mib(folder)} MiB free, {LEAST_FREE_MIB} MiB needed", folder, REMEDY)
