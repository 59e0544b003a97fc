"""The mean of one quantity of measurements.csv, which readers of times and of traces share."""

from __future__ import annotations

from tal_repro.paper.claims.found import Found
from tal_repro.paper.statistics import describe
from tal_repro.runs.load import Runs
from tal_repro.runs.run import Run, measurements


def quantity(runs: Runs, chosen: list[Run], name: str) -> Found | None:
    """Mean of a quantity of measurements.csv."""
    rows = list(measurements(chosen, name))
    if not rows:
        return None
    sample = describe([row.value for row in rows])
    return Found(sample.mean, tuple({row.run.run_id: row.run for row in rows}.values()), sample)
