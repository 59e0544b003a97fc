"""One process of upstream's code: start it through the launcher, watch it, stop it, read what its hooks recorded."""

from __future__ import annotations

import contextlib
import json
import math
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil

from tal_repro import hooks, kit
from tal_repro.engines.adapter import RunContext, StopRequested
from tal_repro.errors import InputError

POLL_S = 0.2
STOP_SECONDS = 5.0
CLUSTER_VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "GROUP_RANK", "NODE_RANK")
CLUSTER_PREFIXES = ("SLURM_", "MASTER_", "TORCHELASTIC_", "OMPI_", "PMI_", "PMIX_")
Event = dict[str, Any]


def launch(
    run: RunContext,
    tree: Path,
    script: str,
    arguments: Sequence[str],
    work: Path,
    environment: Mapping[str, str],
    meanwhile: Callable[[], None] = lambda: None,
    log: Path | None = None,
) -> float:
    """Run a script to its end in folder `work` and return its wall seconds.

    Raises StopRequested when the run was asked to stop, RuntimeError when the script failed. Its output goes where this
    process's goes (in a study, to the run's log), or to the end of `log`.
    """
    last_words = work.resolve() / "last_words.txt"
    order = {"model": run.spec.model, "tree": str(tree.resolve()), "script": script, "arguments": list(arguments)}
    order["last_words"] = str(last_words)
    command = [sys.executable, "-m", "tal_repro.engines.upstream.launcher", json.dumps(order)]
    started = time.monotonic()
    with contextlib.ExitStack() as stack:
        output = stack.enter_context(log.open("a", encoding="utf-8")) if log else None
        print(f"# upstream: {script} {' '.join(arguments)}", flush=True, file=output)
        process = subprocess.Popen(
            command,
            cwd=work,
            env=_environment(run, environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
        try:
            _watch(run, process, meanwhile)
        finally:
            _end(process)
    if process.returncode != 0:
        words = last_words.read_text(encoding="utf-8") if last_words.exists() else "see the log"
        raise RuntimeError(f"upstream's {script} ended with exit code {process.returncode}: {words}")
    return time.monotonic() - started


def read_events(path: Path) -> list[Event]:
    """Return the events of a file, without a last line that was cut off."""
    if not path.exists():
        return []
    try:
        lines = path.read_text(encoding="utf-8").split("\n")[:-1]
        return [_checked(json.loads(line)) for line in lines]
    except (ValueError, RecursionError, TypeError, KeyError) as error:
        raise InputError(f"not an event file ({type(error).__name__}: {error})", path, "run it again") from None


def _checked(event: Event) -> Event:
    """Return an event as hooks write them; raise for anything else."""
    if event["kind"] not in hooks.KINDS or not isinstance(event["phase"], str):
        raise ValueError(f"kind {event['kind']!r}, phase {event['phase']!r}")
    if not math.isfinite(event["time"]) or not isinstance(event.get("index", 0), int):
        raise ValueError(f"time {event['time']!r}, index {event.get('index')!r}")
    if not isinstance(event.get("values", {}), dict):
        raise ValueError("values are not an object")
    return event


def phase_seconds(events: Sequence[Event]) -> dict[str, float]:
    """Return the seconds between start and end events of each kind, summed."""
    seconds: dict[str, float] = {}
    open_at: dict[str, float] = {}
    for event in events:
        kind = event["kind"]
        if event["phase"] == "start":
            open_at[kind] = event["time"]
        elif event["phase"] == "end" and kind in open_at:
            seconds[kind] = seconds.get(kind, 0.0) + event["time"] - open_at.pop(kind)
    return seconds


def data_wait_seconds(events: Sequence[Event]) -> float:
    """Return the time a training loop stood between iterations: waiting for its loader."""
    waited, last = 0.0, None
    for event in events:
        key = (event["kind"], event["phase"])
        if key == ("train", "start"):
            last = event["time"]
        elif key == ("iteration", "start") and last is not None:
            waited += event["time"] - last
        elif key == ("iteration", "end"):
            last = event["time"]
    return waited


def _environment(run: RunContext, extra: Mapping[str, str]) -> dict[str, str]:
    """Give the script the kit's hooks and this run's thread count, whatever folder it runs in."""
    subset = run.record.paths.subset
    return {
        **{name: value for name, value in kit.child_environment().items() if not _of_a_cluster(name)},
        hooks.EVENTS_VARIABLE: str(run.record.paths.events.resolve()),
        **({hooks.SUBSET_VARIABLE: str(subset.resolve())} if subset.exists() else {}),
        "PYTHONUNBUFFERED": "1",
        "OMP_NUM_THREADS": str(run.spec.threads),
        **extra,
    }


def _of_a_cluster(name: str) -> bool:
    """Tell a variable by which the authors' code would take itself for one of several processes."""
    return name in CLUSTER_VARIABLES or name.startswith(CLUSTER_PREFIXES)


def _watch(run: RunContext, process: subprocess.Popen[bytes], meanwhile: Callable[[], None]) -> None:
    """Wait for the end; pass on signs of life (CPU time spent) and wishes to stop (no epoch can be waited for)."""
    spent = -1.0
    while process.poll() is None:
        time.sleep(POLL_S)
        if (now := _cpu_seconds(process.pid)) > spent:
            spent = now
            run.heartbeat()
        meanwhile()
        if run.should_stop():
            raise StopRequested


def _cpu_seconds(pid: int) -> float:
    try:
        family = psutil.Process(pid)
        return sum(sum(process.cpu_times()[:2]) for process in (family, *family.children(recursive=True)))
    except psutil.Error:
        return -1.0


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
