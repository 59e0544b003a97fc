"""Failures that a run could not record itself: its process hung, died or ran out of memory; its folder was damaged."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from tal_repro.errors import InputError
from tal_repro.run import locks
from tal_repro.runs.record import RunRecord
from tal_repro.runs.store import RunStore
from tal_repro.spec import RunSpec

NO_TRACE = "its folder was taken away, or could not be written, while it ran"


def record(store: RunStore, spec: RunSpec, reason: str) -> str:
    """Set a run aside as failed for `reason`; return the reason (and why, where it cannot be recorded)."""
    try:
        lock = locks.acquire(locks.lock_path(store.root, spec.name))
    except InputError as error:
        return f"{reason}; not recorded: {error.where} {error.what}"
    if lock is None:
        return f"{reason}; not recorded: another process has the run"
    try:
        if store.state(spec) != "done":
            store.writer(spec).fail(reason)
        return reason
    except OSError as error:
        return f"{reason}; not recorded: {error.strerror}"
    finally:
        lock.release()


def set_damaged_aside(store: RunStore, specs: Iterable[RunSpec]) -> list[tuple[RunSpec, str]]:
    """Check finished runs against their digests and set aside those that do not fit; return them with what is wrong.

    A folder of another format version is not damaged: it raises InputError naming the version.
    """
    damaged = []
    for spec in specs:
        record = RunRecord(store.folder(spec))
        what = find_damage(record)
        if what:
            store.set_aside(record.folder)
            damaged.append((spec, what))
    return damaged


def set_strays_aside(store: RunStore, specs: Iterable[RunSpec]) -> list[tuple[RunSpec, str]]:
    """Rename files that stand where a run's folder must go, so that the run can be written; return why, by file."""
    strays = []
    for spec in specs:
        for path in (store.folder(spec), store.partial(spec), store.failed(spec)):
            if os.path.lexists(path) and not path.is_dir():
                store.set_aside(path)
                strays.append((spec, f"{path.name} is a file where a folder belongs"))
    return strays


def find_damage(record: RunRecord) -> str:
    """Say what is wrong with a finished run ("": it is whole); raise InputError for one of another format version."""
    if not record.folder.is_dir():
        return "a file where a folder belongs"
    try:
        status = record.status
    except InputError as error:
        if "format" in error.what:
            raise
        return f"status.json: {error.what}"
    try:
        _ = record.spec
    except InputError as error:
        return f"spec.json: {error.what}"
    if status.get("state") != "done" or not isinstance(status.get("digests"), dict) or not status["digests"]:
        return "status.json: says nothing of a finished run"
    try:
        return ", ".join(f"{name} is not as it was written" for name in record.damaged())
    except OSError as error:
        return f"cannot be read ({error.strerror})"


def count_memory_kills() -> int:
    """Return how many processes the kernel has ended for want of memory (cgroup, else machine; 0 if unknown)."""
    for path, key in (("/sys/fs/cgroup/memory.events", "oom_kill"), ("/proc/vmstat", "oom_kill")):
        try:
            for line in Path(path).read_text(encoding="utf-8").splitlines():
                name, _, value = line.partition(" ")
                if name == key:
                    return int(value)
        except (OSError, ValueError):
            continue
    return 0
