"""Look into what a run kept beside its measurements (details.json): energy, linearity, attribution, the sampler."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any


def part(details: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """Return the object nested under `names`, {} where there is none."""
    found: Any = details
    for name in names:
        found = found.get(name) if isinstance(found, Mapping) else None
    return dict(found) if isinstance(found, Mapping) else {}


def finite(value: Any) -> float | None:
    """Return a finite number as a float, None for everything else that a file may hold."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)
