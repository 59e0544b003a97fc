"""Read a trace (trace.csv) and its phase events (events.jsonl) for claims and Figure 6."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tal_repro.errors import InputError

PHASES = ("train", "eval")


@dataclass(frozen=True)
class Phase:
    """A span of training or evaluation, in seconds since the trace began."""

    kind: str
    start_s: float
    end_s: float
    epoch: int | None


def read_trace(path: Path) -> dict[str, NDArray[np.float64]]:
    """Return the columns of a trace; an empty cell is NaN and a last line cut short by a kill is dropped."""
    with path.open(encoding="utf-8", newline="") as stream:
        reader = csv.reader(stream)
        header = next(reader, [])
        rows = [row for row in reader if len(row) == len(header)]
    if "time_s" not in header or not rows:
        raise InputError("holds no samples", path, "trace the run again")
    try:
        values = np.array([[float(cell) if cell else np.nan for cell in row] for row in rows])
    except ValueError as error:
        raise InputError(f"not a trace ({error})", path, "trace the run again") from None
    return {name: values[:, index] for index, name in enumerate(header)}


def read_phases(path: Path, trace: dict[str, NDArray[np.float64]]) -> list[Phase]:
    """Return the training and evaluation phases on the trace's clock; one that never ended ends with the trace."""
    events = _events(path)
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


def _events(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    found = []
    lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
    for number, text in enumerate(lines[:-1], 1):  # what has no end of line was cut short by a kill
        try:
            event = json.loads(text)
            float(event["time"])
        except (ValueError, KeyError, TypeError):
            raise InputError("not an event", f"{path}:{number}", "trace the run again") from None
        found.append(event)
    return found
