"""Trace a block of work: start the sampling process, stop it, and read what it wrote (paper section 3.3, Figure 6)."""

from __future__ import annotations

import contextlib
import json
import math
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any

from tal_repro import kit
from tal_repro.errors import InputError
from tal_repro.hooks import EVENTS_VARIABLE

if TYPE_CHECKING:
    import pandas as pd

INTERVAL_S = 0.5  # the paper's
SHORTEST_INTERVAL_S = 0.05
LONGEST_INTERVAL_S = 3600.0
START_SECONDS = 30.0
STUCK = "with a GPU its driver may hang: see whether nvidia-smi answers"
STOP_SECONDS = 10.0


class Sampler:
    """Sample the machine into `out` (CSV) while the `with` block runs; `summary` then tells cost and misses.

    `watched_pid` adds the load of that process family's busiest thread, its CPU and memory (`descendants_only`: of all
    that it starts, without itself); `gpu_index` adds NVML's columns.
    """

    def __init__(
        self,
        out: Path,
        interval_s: float = INTERVAL_S,
        *,
        watched_pid: int | None = None,
        descendants_only: bool = False,
        gpu_index: int | None = None,
    ) -> None:
        if not SHORTEST_INTERVAL_S <= interval_s <= LONGEST_INTERVAL_S:
            allowed = f"use {SHORTEST_INTERVAL_S:g} to {LONGEST_INTERVAL_S:g} seconds"
            raise InputError(f"sampling interval {interval_s:g} s", remedy=allowed)
        self.out = out
        self.arguments = {
            "out": str(out),
            "interval_s": interval_s,
            "watched_pid": watched_pid,
            "descendants_only": descendants_only,
            "gpu_index": gpu_index,
        }
        self.summary: dict[str, Any] = {}
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Sampler:
        # -P: a json.py in the folder where somebody works is not the standard library's
        command = [sys.executable, "-P", "-m", "tal_repro.measure.sampler", json.dumps(self.arguments)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=kit.child_environment())
        assert self._process.stdout is not None
        if not select.select([self._process.stdout], [], [], START_SECONDS)[0]:
            self._process.kill()
            self._process.wait()
            raise InputError(f"the sampling process gave no sign of life in {START_SECONDS:g} s", self.out, STUCK)
        if self._process.stdout.readline().strip() != "ready":
            code = self._process.wait(START_SECONDS)
            raise InputError(f"the sampling process ended with code {code}", self.out, "see its message above")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        process = self._process
        if process is None:
            return
        process.terminate()
        try:
            output, _ = process.communicate(timeout=STOP_SECONDS)
            self.summary = json.loads(output.strip().splitlines()[-1]) if output.strip() else {}
        except (subprocess.TimeoutExpired, json.JSONDecodeError):
            process.kill()
            process.wait()
        if not self.summary:
            self.summary = {"error": "the sampling process was killed; what it wrote until then stands"}


def read_trace(path: Path) -> pd.DataFrame:
    """Read a trace, also one whose writer was killed in the middle of a line.

    Raises InputError naming the file when it holds no whole sample.
    """
    import pandas as pd

    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"not readable as a trace ({error})", path) from None
    header, *lines = text.split("\n")[:-1] or [""]  # a line counts when its newline was written
    columns = header.split(",")
    whole = [line.split(",") for line in lines if line.count(",") == len(columns) - 1]
    if "time_s" not in columns or not whole:
        raise InputError("holds no whole sample", path, "trace for longer than one interval")
    return pd.DataFrame({c: pd.to_numeric([line[i] for line in whole], errors="coerce") for i, c in enumerate(columns)})


def summarise(path: Path) -> dict[str, dict[str, float]]:
    """Return mean, min, max and 99th percentile of each column of a trace that holds any number."""
    trace = read_trace(path)
    summary = {}
    for name in trace.columns:
        values = trace[name].dropna()
        if name not in ("unix_time", "time_s") and len(values):
            numbers = {
                "mean": values.mean(),
                "min": values.min(),
                "max": values.max(),
                "p99": values.quantile(0.99),
            }
            summary[name] = {key: round(float(value), 4) for key, value in numbers.items()}
    return summary


def idle_baseline(seconds: float, gpu_index: int | None = None) -> dict[str, Any]:
    """Sample the machine while we do nothing for `seconds`: what a trace starts from (claim H5).

    Raises InputError for a time that is no time. It says what others use, not that nobody is there.
    """
    if not (math.isfinite(seconds) and 0.2 <= seconds <= 3600):
        raise InputError(f"idle baseline of {seconds:g} s", remedy="use 0.2 to 3600 seconds, or 0 for none")
    interval_s = min(max(seconds / 5, SHORTEST_INTERVAL_S), INTERVAL_S)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "baseline.csv")
        with Sampler(path, interval_s, gpu_index=gpu_index) as sampler:
            time.sleep(seconds + interval_s / 2)
        columns: dict[str, Any] = {}
        with contextlib.suppress(InputError):  # too slow a machine for one whole sample
            columns = summarise(path)
    return {"seconds": seconds, "sampler": sampler.summary, "columns": columns}


BASELINE_S = 2.0


@dataclass(frozen=True)
class Traced:
    """What became of a traced command."""

    exit_code: int  # of the command; 128 + n where signal n ended it, as shells say it
    seconds: float
    sampler: dict[str, Any]
    baseline: dict[str, Any] | None


def trace_command(
    command: Sequence[str],
    trace: Path,
    events: Path,
    interval_s: float,
    *,
    baseline_s: float = BASELINE_S,
    gpu_index: int | None = None,
) -> Traced:
    """Run `command` with samples of the machine going to `trace` and the phases it reports to `events`.

    The trace ends with the command, not with what it left running. InputError: not a command, no such interval.
    """
    if not command or shutil.which(command[0]) is None:
        name = command[0] if command else ""
        raise InputError(f"no such command: {name!r}", remedy="give a program and its arguments after --")
    # what this process starts is the command and all it starts; what it uses itself is not the command's
    sampler = Sampler(trace, interval_s, watched_pid=os.getpid(), descendants_only=True, gpu_index=gpu_index)
    baseline = idle_baseline(baseline_s, gpu_index) if baseline_s else None
    with sampler:
        start = time.monotonic()
        code = _run(command, {**os.environ, EVENTS_VARIABLE: str(events)})
        seconds = time.monotonic() - start
    return Traced(code, seconds, sampler.summary, baseline)


def _run(command: Sequence[str], environment: dict[str, str]) -> int:
    with _forwarding() as forward:
        try:
            process = subprocess.Popen(command, env=environment)
        except OSError as error:
            raise InputError(f"cannot start {command[0]!r} ({error.strerror})") from None
        forward.append(process)
        code = process.wait()
    return code if code >= 0 else 128 - code


@contextlib.contextmanager
def _forwarding() -> Iterator[list[subprocess.Popen[bytes]]]:
    """Let the command decide what a signal means: pass SIGTERM on, and outlive the terminal's Ctrl-C, which it gets."""
    processes: list[subprocess.Popen[bytes]] = []

    def handle(signum: int, frame: FrameType | None) -> None:
        if signum == signal.SIGTERM:
            for process in processes:
                process.send_signal(signum)

    before = {signum: signal.signal(signum, handle) for signum in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield processes
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)
