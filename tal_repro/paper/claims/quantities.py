"""The mean of one quantity of measurements.csv, which readers of times and of traces share."""

from __future__ import annotations

import numpy as np

from tal_repro.paper.claims.observation import Observation, on_one_device, sampled
from tal_repro.runs.load import Runs
from tal_repro.runs.run import Run, measurements


def quantity(runs: Runs, chosen: list[Run], name: str) -> Observation | None:
    """Mean over the runs of a quantity of measurements.csv; iterations within a run are one value of it."""
    values: dict[str, list[float]] = {}
    for row in measurements(chosen, name):
        values.setdefault(row.run.run_id, []).append(row.value)
    here = on_one_device([run for run in chosen if run.run_id in values])
    return sampled(here, [float(np.mean(values[run.run_id])) for run in here])
