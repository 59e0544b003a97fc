"""Room on the results folder's disk: asked before anything starts, before every run, and told when it has run out."""

from __future__ import annotations

from pathlib import Path

from tal_repro.errors import InputError
from tal_repro.machine.host import MIB, disk

LEAST_FREE_MIB = 64  # below it no run starts: a checkpoint cut short helps nobody
LEAST_FREE_INODES = 64  # a run writes about 15 files, each beside the one it replaces
REMEDY = "free space there (tal-repro gc lists what can go) or give another folder: --results DIR"


def free_mib(folder: Path) -> int:
    """Return the free MiB of the disk that holds `folder`, which need not be there yet."""
    return disk(folder).free_bytes // MIB


def describe_lack(folder: Path) -> str:
    """Say where the disk is full, what is free now and what a run needs to start."""
    if lack := _lack_of_inodes(folder):
        return f"{folder}: {lack}"
    free = free_mib(folder)
    if free >= LEAST_FREE_MIB:
        return f"{folder}: {free} MiB are free now, so that it was freed meanwhile, or your quota is used up"
    return f"{folder}: {free} MiB free now, a run needs {LEAST_FREE_MIB} MiB to start"


def has_room(folder: Path) -> bool:
    """Tell whether a run may start."""
    return free_mib(folder) >= LEAST_FREE_MIB and not _lack_of_inodes(folder)


def _lack_of_inodes(folder: Path) -> str:
    """Say that the disk can hold hardly any more files, whatever space is free on it ("": it can)."""
    free = disk(folder).free_inodes
    few = 0 <= free < LEAST_FREE_INODES
    return f"{free} files (inodes) can still be made there, a run needs {LEAST_FREE_INODES} to start" if few else ""


def check_space(folder: Path) -> None:
    """Raise InputError where no run may start."""
    if lack := _lack_of_inodes(folder):
        raise InputError(f"disk full: {lack}", folder, REMEDY)
    if not has_room(folder):
        raise InputError(f"disk full: {free_mib(folder)} MiB free, {LEAST_FREE_MIB} MiB needed", folder, REMEDY)
