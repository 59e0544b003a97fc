"""What the results folder says of runs under way and finished, for status, show and gc. Reads only, takes no lock."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tal_repro.errors import InputError
from tal_repro.files import is_own_there
from tal_repro.run import failures, locks
from tal_repro.run.repeat import repeat_command
from tal_repro.runs.folder import RunPaths, name_of
from tal_repro.runs.record import RunRecord, read_json
from tal_repro.runs.run import averages
from tal_repro.runs.store import RunStore
from tal_repro.spec import RunSpec
from tal_repro.untrusted import read_end

ALIVE_SECONDS = 120.0  # a heartbeat younger than this counts where the lock cannot be asked (another machine's disk)
MOST_LOG_BYTES = 65536


@dataclass(frozen=True)
class UnderWay:
    """A run somebody is at: who, and the age of its last sign of life (wall clock, for show)."""

    spec: RunSpec
    host: str
    pid: int
    silent_seconds: float


def under_way(store: RunStore, specs: list[RunSpec], states: dict[str, str]) -> list[UnderWay]:
    """Return the runs that a living worker holds."""
    live = []
    for spec in specs:
        if states[spec.run_id] != "partial":
            continue
        paths = RunPaths(store.partial(spec))
        owner = locks.owner(locks.lock_path(store.root, spec.name))
        silent = silence(paths)
        if owner is None and (silent > ALIVE_SECONDS or not _is_other_host(paths)):
            continue
        status = _status(paths)
        live.append(UnderWay(spec, str(status.get("host", "?")), int(status.get("pid", 0)), silent))
    return live


def silence(paths: RunPaths) -> float:
    """Return the age of a run's last heartbeat in seconds (infinite: it never had one)."""
    try:
        return max(0.0, time.time() - paths.heartbeat.stat().st_mtime)
    except OSError:
        return float("inf")


def log_tail(folder: Path, lines: int) -> list[str]:
    """Return the last lines of a run's log, reading no more than its last 64 KiB."""
    return read_end(RunPaths(folder).log, MOST_LOG_BYTES).decode("utf-8", "replace").splitlines()[-lines:]


def find_run(store: RunStore, run_id: str) -> Path:
    """Return the one folder whose run id starts with `run_id`; raise InputError for none or several."""
    if not run_id or set(run_id) - set("0123456789abcdef-"):
        raise InputError(f"{run_id!r} is not a run id", remedy="use hex digits as `tal-repro plan --list` shows them")
    folders = store.find(run_id)
    ids = {name_of(folder) for folder in folders}
    if not folders:
        raise InputError(f"no run {run_id} in {store.root}", remedy="name the folder: --results DIR")
    if len(ids) > 1:
        raise InputError(f"{len(ids)} runs begin with {run_id}", remedy=f"use one of: {', '.join(sorted(ids)[:8])}")
    return folders[0]


def describe_run(store: RunStore, folder: Path, lines: int) -> dict[str, Any]:
    """Return everything `show` prints of a run folder, finished or not; `damaged` says what is wrong with it."""
    paths = RunPaths(folder)
    state = folder.name.partition(".")[2] or "done"
    damaged: list[str] = []
    spec = _read_spec(paths.spec, damaged)
    status, system, metrics = (_read(path, damaged) for path in (paths.status, paths.system, paths.metrics))
    if wrong := _wrong_metrics(metrics):
        damaged.append(f"{paths.metrics.name}: {wrong}")
        metrics = {}
    if state == "done" and not any(what.startswith((paths.spec.name, paths.status.name)) for what in damaged):
        damaged += _unlike_digests(folder)
    return {
        "schema": "tal-repro/show/1",
        "id": name_of(folder),
        "state": state,
        "folder": str(folder),
        "spec": None if spec is None else spec.to_json(),
        "status": {key: value for key, value in status.items() if key != "digests"},
        "system": system,
        "metrics": metrics,
        "damaged": damaged,
        "files": {file.name: file.stat().st_size for file in sorted(folder.iterdir()) if file.is_file()},
        "log": log_tail(folder, lines),
        "repeat": None if spec is None else repeat_command(spec, status),
    }


def _read(path: Path, damaged: list[str]) -> dict[str, Any]:
    """Return a JSON file of a run, {} where it is not there or not readable: then `damaged` names it."""
    try:
        return read_json(path) if is_own_there(path, "run it again") else {}
    except InputError as error:
        damaged.append(f"{path.name}: {error.what}")
        return {}


def _read_spec(path: Path, damaged: list[str]) -> RunSpec | None:
    try:
        return RunSpec.from_json(read_json(path), path.name)
    except InputError as error:
        damaged.append(f"{path.name}: {error.what}")
        return None


def _wrong_metrics(metrics: Mapping[str, Any]) -> str:
    """Say what keeps metrics from being shown ("": nothing)."""
    if not isinstance(metrics.get("rows", []), list) or not isinstance(metrics.get("flags", []), list):
        return "rows and flags are not lists"
    try:
        averages(metrics.get("rows", []))
    except (KeyError, TypeError, ValueError) as error:
        return f"not the metrics of a run ({error!r})"
    return ""


def _unlike_digests(folder: Path) -> list[str]:
    try:
        wrong = failures.find_damage(RunRecord(folder))
    except InputError as error:  # of another format version
        wrong = error.what
    return [wrong] if wrong else []


def _status(paths: RunPaths) -> dict[str, Any]:
    try:
        return read_json(paths.status)
    except InputError:
        return {}


def _is_other_host(paths: RunPaths) -> bool:
    import socket

    return bool(_status(paths).get("host") != socket.gethostname())
