"""What the runner shows: a bar on a terminal, timestamped lines when piped. Everything goes to stderr."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TextIO

from tal_repro.console import write
from tal_repro.experiments import SWEPT
from tal_repro.spec import RunSpec
from tal_repro.text_lines import USUAL_WIDTH, fitted, width_of
from tal_repro.untrusted import printable

_REDRAW_SECONDS = 0.2
_LINE_SECONDS = 60.0  # between lines about what is under way, when piped


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
    """Count finished runs and tell rate and time left. `total_seconds` is the plan's estimate of all of them.

    A run under way counts for the time it has taken, up to the plan's estimate of it: the bar moves before a run ends.
    """

    def __init__(self, total: int, total_seconds: float, jobs: int, stream: TextIO | None = None) -> None:
        self.stream = stream or sys.stderr
        self.terminal = self.stream.isatty()
        self.total, self.total_seconds, self.jobs = total, max(total_seconds, 1e-9), jobs
        self.finished = 0
        self.finished_seconds = 0.0  # as estimated
        self.running_seconds = 0.0  # of the runs under way, as far as estimated
        self.began = self._drawn = time.monotonic()
        self._drawn -= _REDRAW_SECONDS if self.terminal else 0.0

    def say(self, message: str) -> None:
        """Print one line: above the bar on a terminal, with the time when piped."""
        message = printable(message)
        if self.terminal:
            write(self.stream, f"\r\x1b[K{fitted(message, self._width())}\n")
            self._drawn = 0.0
        else:
            write(self.stream, f"{datetime.now(UTC).isoformat(timespec='seconds')} {message}\n")

    def ended(self, message: str, estimated_seconds: float) -> None:
        """Count one run that is over, and tell so."""
        self.finished += 1
        self.finished_seconds += estimated_seconds
        self.running_seconds = max(0.0, self.running_seconds - estimated_seconds)
        self.say(f"{self.finished}/{self.total} {message}" + ("" if self.terminal else f"; {self.eta()}"))

    def eta(self) -> str:
        """Return the time left, from the share of the estimate that is done and how long that took."""
        elapsed = time.monotonic() - self.began
        done = self.finished_seconds + self.running_seconds
        left = self.total_seconds - done
        seconds = elapsed * left / done if self.finished and done > 0 else left / self.jobs
        return f"ETA {format_duration(max(0.0, seconds))}"

    def rate(self) -> str:
        elapsed = time.monotonic() - self.began
        return f"{60 * self.finished / elapsed:.1f}/min" if self.finished and elapsed > 0 else "-/min"

    def draw(self, running: Sequence[str], running_seconds: float = 0.0) -> None:
        """Show what runs where: the bar again, at most five times a second; when piped, a line a minute.

        `running_seconds`: of the runs under way, the time each has taken, no more than the plan's estimate of it.
        """
        now = time.monotonic()
        if now - self._drawn < (_REDRAW_SECONDS if self.terminal else _LINE_SECONDS):
            return
        self._drawn, self.running_seconds = now, running_seconds
        counts = f"{self.finished}/{self.total}"
        if not self.terminal:
            if running:
                self.say(f"{counts} so far; {self.eta()}; {'; '.join(running)}")
            return
        share = min(1.0, (self.finished_seconds + running_seconds) / self.total_seconds)
        filled = int(20 * share) if self.finished < self.total else 20
        bar = f"[{'#' * filled}{'.' * (20 - filled)}] {counts} {self.rate()} {self.eta()}"
        line = " | ".join([bar, *running])
        write(self.stream, f"\r\x1b[K{printable(line)[: self._width() - 1]}")

    def _width(self) -> int:
        return width_of(self.stream) or USUAL_WIDTH

    def close(self) -> None:
        """Take the bar away."""
        if self.terminal:
            write(self.stream, "\r\x1b[K")
