"""What a claim's number is when it is read off finished runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tal_repro.paper.statistics import Sample, describe
from tal_repro.runs.run import Run


@dataclass(frozen=True)
class Observation:
    """A measured number: its sample where runs repeat it, and the runs behind it."""

    value: float
    runs: tuple[Run, ...]
    sample: Sample | None = None
    note: str = ""
    holds: bool = True  # what the claim says beside its number
    decided: bool = True  # False: an estimate, or too few runs to tell; `further_runs` more might
    further_runs: int | None = None


def sampled(runs: Sequence[Run], values: Sequence[float | None], note: str = "") -> Observation | None:
    """Return the mean of one value a run (None: of no run)."""
    if not runs:
        return None
    sample = describe(np.array(values, dtype=float))
    return Observation(sample.mean, tuple(runs), sample, note)


def on_one_device(runs: Sequence[Run]) -> list[Run]:
    """Return the runs of one kind of machine: of the one with most, then the first by name."""
    groups: dict[str, list[Run]] = {}
    for run in runs:
        groups.setdefault(run.device, []).append(run)
    return max((groups[name] for name in sorted(groups)), key=len, default=[])
