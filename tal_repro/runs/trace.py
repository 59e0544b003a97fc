"""Read a run's trace (trace.csv) and its phase events (events.jsonl), for claims and Figure 6."""

from __future__ import annotations

import csv
import io
import json
import math
from array import array
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tal_repro.errors import InputError
from tal_repro.files import is_there
from tal_repro.runs.folder import RunPaths
from tal_repro.runs.record import DamagedRun
from tal_repro.runs.run import Run
from tal_repro.untrusted import read_bytes, short

PHASES = ("train", "eval")
Columns = dict[str, NDArray[np.float64]]
_REMEDY = "trace the run again"


@dataclass(frozen=True)
class Phase:
    """A span of training or evaluation, in seconds since the trace began."""

    kind: str
    start_s: float
    end_s: float
    epoch: int | None


class Trace(NamedTuple):
    """The samples of a run by column, and its phases on their clock."""

    columns: Columns
    phases: list[Phase]


@lru_cache(maxsize=4)  # a figure and its table are of the same run
def trace_of(run: Run) -> Trace | None:
    """Return a run's trace; None where it was not traced. Raises DamagedRun for one that cannot be believed."""
    if not run.record.has("trace"):
        return None
    events = run.record.read("events") if run.record.has("events") else b""
    return _parsed(run.record.read("trace"), events, run.record.paths)


def read_trace(folder: Path) -> Trace:
    """Return the trace that `tal-repro trace` wrote into a folder."""
    paths = RunPaths(folder)
    events = read_bytes(paths.events) if is_there(paths.events) else b""
    return _parsed(read_bytes(paths.trace), events, paths)


def _parsed(samples: bytes, events: bytes, paths: RunPaths) -> Trace:
    try:
        columns = _columns(samples.decode("utf-8", "replace"), paths.trace)
        return Trace(columns, _phases(_events(events.decode("utf-8", "replace"), paths.events), columns))
    except InputError as error:
        raise DamagedRun(error.what, Path(error.where or paths.trace)) from None


def _columns(text: str, path: Path) -> Columns:
    """Return the columns of a trace; an empty cell is NaN and a last line cut short by a kill is dropped."""
    reader = csv.reader(io.StringIO(text, newline=""))
    try:
        header, cells = next(reader, []), array("d")
        for row in reader:
            if len(row) == len(header):
                cells.extend(float(cell) if cell else math.nan for cell in row)
    except (csv.Error, ValueError) as error:
        raise InputError(f"not a trace ({short(str(error))})", path, _REMEDY) from None
    if "time_s" not in header or not cells:
        raise InputError("holds no samples", path, _REMEDY)
    values = np.array(cells).reshape(-1, len(header))
    return {name: values[:, index] for index, name in enumerate(header)}


def _phases(events: list[dict[str, Any]], trace: Columns) -> list[Phase]:
    """Return the training and evaluation phases on the trace's clock; one that never ended ends with the trace."""
    if not events:
        return []
    # Events carry wall-clock time. A trace without it began, as near as can be told, with the first event.
    offset = float(trace["unix_time"][0] - trace["time_s"][0]) if "unix_time" in trace else float(events[0]["time"])
    opened: dict[str, dict[str, Any]] = {}
    phases = []
    for event in events:
        kind = event.get("kind")
        if kind not in PHASES:
            continue
        if event.get("phase") == "start":
            opened[kind] = event
        elif event.get("phase") == "end" and kind in opened:
            start = opened.pop(kind)
            phases.append(Phase(kind, float(start["time"]) - offset, float(event["time"]) - offset, start.get("index")))
    last = float(trace["time_s"][-1])
    phases += [Phase(kind, float(e["time"]) - offset, last, e.get("index")) for kind, e in opened.items()]
    return sorted(phases, key=lambda phase: phase.start_s)


def _events(text: str, path: Path) -> list[dict[str, Any]]:
    events = []
    for number, line in enumerate(text.split("\n")[:-1], 1):  # what has no end of line was cut short by a kill
        try:
            event = json.loads(line)
            float(event["time"])
        except (ValueError, KeyError, TypeError, RecursionError):
            raise InputError(f"line {number} is no event", path, _REMEDY) from None
        events.append(event)
    return events
