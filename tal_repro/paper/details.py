"""What a run kept beside its measurements (details.json): energy, linearity, attribution, the sampler's summary."""

from __future__ import annotations

import math
from typing import Any

from tal_repro.errors import InputError
from tal_repro.paper.runs import Run
from tal_repro.record import RunPaths, read_json


def read_details(run: Run) -> dict[str, Any]:
    """Return a run's details ({} where it kept none, or none that can be read)."""
    try:
        return read_json(RunPaths(run.folder).details)
    except InputError:
        return {}


def part(details: dict[str, Any], *names: str) -> dict[str, Any]:
    """Return the object nested under `names`, {} where there is none."""
    found: Any = details
    for name in names:
        found = found.get(name) if isinstance(found, dict) else None
    return found if isinstance(found, dict) else {}


def finite(value: Any) -> float | None:
    """Return a finite number as a float, None for everything else that a file may hold."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)
