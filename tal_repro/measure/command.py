"""Run any command under the sampling process, between an idle baseline and a summary: what `tal-repro trace` does."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from tal_repro.errors import InputError
from tal_repro.hooks import EVENTS_VARIABLE
from tal_repro.measure.trace import Sampler, idle_baseline

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
