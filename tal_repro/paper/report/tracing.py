"""The trace that Figure 6 draws, as numbers: use of processor and GPU in each phase of training."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tal_repro.paper.figures.drawing import Material
from tal_repro.paper.figures.hardware_trace import traced
from tal_repro.published.load import load_published
from tal_repro.runs.load import Runs
from tal_repro.runs.run import Run
from tal_repro.runs.trace import Phase, trace_of

NAMES = {"train": "training", "eval": "evaluation", "": "outside both"}
COLUMNS = {
    "cpu_mean_percent": "CPU, all cores (%)",
    "cpu_busiest_percent": "CPU, busiest core (%)",
    "gpu_percent": "GPU (%)",
}


@dataclass(frozen=True)
class TraceSummary:
    """One traced run: a row (phase, times it came, seconds, mean use by column) for each kind of phase."""

    run: Run
    columns: tuple[str, ...]
    rows: tuple[tuple[str, int, float, tuple[float, ...]], ...]


def summarize(runs: Runs) -> TraceSummary | None:
    """Return the means over each phase of the traced run; None where none was traced."""
    run = traced(Material(load_published(), runs))
    if run is None:
        return None
    traced_run = trace_of(run)
    if traced_run is None:
        return None
    trace, phases = traced_run
    columns = tuple(name for name in COLUMNS if name in trace and np.isfinite(trace[name]).any())
    kinds = _kinds(trace["time_s"], phases)
    rows = []
    for kind, name in NAMES.items():
        inside = kinds == kind
        if inside.any():
            of_kind = [phase for phase in phases if phase.kind == kind]
            seconds = sum(phase.end_s - phase.start_s for phase in of_kind)
            use = tuple(float(np.mean(_finite(trace[column][inside]))) for column in columns)
            rows.append((name, len(of_kind), seconds if of_kind else float("nan"), use))
    return TraceSummary(run, columns, tuple(rows))


def _kinds(time_s: np.ndarray, phases: list[Phase]) -> np.ndarray:
    """Name the phase of each sample ("" outside all)."""
    kinds = np.full(len(time_s), "", dtype=object)
    for phase in phases:
        kinds[(time_s >= phase.start_s) & (time_s < phase.end_s)] = phase.kind
    return kinds


def _finite(values: np.ndarray) -> np.ndarray:
    kept = values[np.isfinite(values)]
    return kept if len(kept) else np.array([np.nan])
