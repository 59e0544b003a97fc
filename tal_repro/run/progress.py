"""What the runner shows: a bar on a terminal, timestamped lines when piped. Everything goes to stderr."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TextIO

from tal_repro.console import write
from tal_repro.experiments import SWEPT
from tal_repro.spec import RunSpec
from tal_repro.untrusted import printable

_REDRAW_SECONDS = 0.2


def name_run(spec: RunSpec) -> str:
    """Name a run for people: `data_sweep tadtr 20 % seed 3`."""
    share = f" {spec.subset.percent:g} %" if spec.subset and spec.experiment in SWEPT else ""
    seed = "" if spec.experiment in ("macs", "inference") else f" seed {spec.seed}"
    engine = "" if spec.engine == "native" else f" ({spec.engine})"
    return f"{spec.experiment} {spec.model}{engine}{share}{seed}"


def format_duration(seconds: float) -> str:
    """Write 7.2 s, 4:05 min or 3:07 h."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes_left = divmod(minutes, 60)
    return f"{hours}:{minutes_left:02d} h" if hours else f"{minutes}:{rest:02d} min"


class Progress:
    """Count finished runs and tell rate and time left. `total_seconds` is the plan's estimate of all of them."""

    def __init__(self, total: int, total_seconds: float, jobs: int, stream: TextIO | None = None) -> None:
        self.stream = stream or sys.stderr
        self.terminal = self.stream.isatty()
        self.total, self.total_seconds, self.jobs = total, max(total_seconds, 1e-9), jobs
        self.finished = 0
        self.finished_seconds = 0.0  # as estimated
        self.began = time.monotonic()
        self._drawn = 0.0

    def say(self, message: str) -> None:
        """Print one line: above the bar on a terminal, with the time when piped."""
        message = printable(message)
        if self.terminal:
            write(self.stream, f"\r\x1b[K{message}\n")
            self._drawn = 0.0
        else:
            write(self.stream, f"{datetime.now(UTC).isoformat(timespec='seconds')} {message}\n")

    def ended(self, message: str, estimated_seconds: float) -> None:
        """Count one run that is over, and tell so."""
        self.finished += 1
        self.finished_seconds += estimated_seconds
        self.say(f"{self.finished}/{self.total} {message}" + ("" if self.terminal else f"; {self.eta()}"))

    def eta(self) -> str:
        """Return the time left, from the share of the estimate that is done and how long that took."""
        elapsed = time.monotonic() - self.began
        left = self.total_seconds - self.finished_seconds
        if self.finished and self.finished_seconds > 0:
            seconds = elapsed * left / self.finished_seconds
        else:
            seconds = left / self.jobs
        return f"ETA {format_duration(max(0.0, seconds))}"

    def rate(self) -> str:
        elapsed = time.monotonic() - self.began
        return f"{60 * self.finished / elapsed:.1f}/min" if self.finished and elapsed > 0 else "-/min"

    def draw(self, running: Sequence[str]) -> None:
        """Redraw the bar with what runs where (terminal only, at most five times a second)."""
        now = time.monotonic()
        if not self.terminal or now - self._drawn < _REDRAW_SECONDS:
            return
        self._drawn = now
        width = shutil.get_terminal_size().columns
        filled = round(20 * self.finished / max(1, self.total))
        bar = f"[{'#' * filled}{'.' * (20 - filled)}] {self.finished}/{self.total} {self.rate()} {self.eta()}"
        line = " | ".join([bar, *running])
        write(self.stream, f"\r\x1b[K{printable(line)[: width - 1]}")

    def close(self) -> None:
        """Take the bar away."""
        if self.terminal:
            write(self.stream, "\r\x1b[K")
