"""How a claim's number is read off finished runs. Like the derivations, none of these sees a reference."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tal_repro.paper.runs import Run, Runs, measurements, read_recipe
from tal_repro.paper.statistics import Sample, describe, r_squared
from tal_repro.paper.trace import read_trace
from tal_repro.record import RunPaths

LONG_LENGTH = 30000  # feature steps, the paper's longest input
PEAK_PERCENTILE = 99  # a single spike of a 0.5 s sampler is not a peak


@dataclass(frozen=True)
class Found:
    """A measured number: its sample where runs repeat it, and the runs behind it."""

    value: float
    runs: tuple[Run, ...]
    sample: Sample | None = None
    note: str = ""


Read = Callable[[Runs, list[Run], str], Found | None]


def average_map(runs: Runs, chosen: list[Run], _: str) -> Found | None:
    """Mean of the reported average mAP of full trainings, in percent."""
    full = [run for run in chosen if run.percent == 100 and run.average_map is not None]
    note = "" if not full else f"{' '.join(full[0].reported or ())}"
    return _sampled(full, [run.average_map for run in full], note)


def map_below(runs: Runs, chosen: list[Run], reported: str) -> Found | None:
    """A reported mAP minus the mean of the runs."""
    found = average_map(runs, chosen, "")
    if found is None or found.sample is None:
        return None
    below = float(reported) - found.sample.mean
    return Found(below, found.runs, Sample(below, found.sample.std, found.sample.n, found.sample.kind), found.note)


def train_seconds(runs: Runs, chosen: list[Run], _: str) -> Found | None:
    """Mean training time in Table 2's definition for the model, in seconds, of runs that had the device alone."""
    timed = [run for run in chosen if run.percent == 100 and run.train_seconds and runs.alone(run)]
    return _sampled(timed, [run.train_seconds for run in timed], timed[0].train_seconds_of if timed else "")


def trainings_a_day(runs: Runs, chosen: list[Run], option: str) -> Found | None:
    """Trainings that fit in 24 hours."""
    found = train_seconds(runs, chosen, option)
    return None if found is None else Found(86400 / found.value, found.runs)


def recipe(runs: Runs, chosen: list[Run], name: str) -> Found | None:
    """A hyper-parameter of the runs (their one value, else the first run that differs)."""
    values: list[tuple[Run, float]] = []
    for run in chosen:
        settings = read_recipe(run)
        if name in settings:
            values.append((run, float(settings[name]) * (100.0 if name.endswith("overlap") else 1.0)))
    if not values:
        return None
    distinct = sorted({value for _, value in values})
    note = "set by the recipe of the runs" if len(distinct) == 1 else f"the runs differ: {distinct}"
    return Found(values[0][1], tuple(run for run, _ in values), note=note)


def latency_linearity(runs: Runs, chosen: list[Run], _: str) -> Found | None:
    """R2 of the median inference time on feature length, on one machine."""
    here = on_one_machine(runs, chosen)
    medians = latencies(here)
    if len(medians) < 3:
        return None
    lengths = np.array(sorted(medians))
    note = f"{len(lengths)} lengths up to {lengths[-1]} on {runs.device(here[0])}"
    return Found(r_squared(lengths, np.array([medians[n] for n in lengths])), tuple(here), note=note)


def latencies(chosen: Sequence[Run]) -> dict[int, float]:
    """Return the median inference time in ms at each feature length."""
    samples: dict[int, list[float]] = {}
    for row in measurements(chosen, "latency_ms"):
        samples.setdefault(row.feature_length, []).append(row.value)
    return {length: float(np.median(values)) for length, values in samples.items()}


def on_one_machine(runs: Runs, chosen: list[Run]) -> list[Run]:
    """Return the runs of one machine: the one with most models, then the longest input, then the first by name."""
    machines = sorted({runs.device(run) for run in chosen})
    groups = [[run for run in chosen if runs.device(run) == machine] for machine in machines]

    def reach(group: list[Run]) -> tuple[int, int]:
        return len({run.model for run in group}), max(latencies(group), default=0)

    return max(groups, key=reach, default=[])


def latency_at_30000(runs: Runs, chosen: list[Run], _: str) -> Found | None:
    """Median inference time in ms at length 30000."""
    here = on_one_machine(runs, chosen)
    medians = latencies(here)
    return Found(medians[LONG_LENGTH], tuple(here)) if LONG_LENGTH in medians else None


def latency_ratio(runs: Runs, chosen: list[Run], _: str) -> Found | None:
    """ActionFormer's inference time over TadTR's at length 30000 on one machine, times TadTR's printed 35 ms, in s."""
    here = on_one_machine(runs, chosen)
    times = {m: latencies([run for run in here if run.model == m]) for m in ("actionformer", "tadtr")}
    if any(LONG_LENGTH not in medians for medians in times.values()):
        return None
    ratio = times["actionformer"][LONG_LENGTH] / times["tadtr"][LONG_LENGTH]
    return Found(ratio * 0.035, tuple(here), note=f"ratio to TadTR {ratio:.1f} on one machine")


def cpu_against_gpu(runs: Runs, chosen: list[Run], _: str) -> Found | None:
    """TadTR's CPU time over its GPU time at the longest length that both have."""
    cuda = [run for run in chosen if "cuda" in str(runs.system(run).get("device", {}).get("name", ""))]
    cpu = [run for run in chosen if run not in cuda]
    times = latencies(cpu), latencies(cuda)
    shared = set(times[0]) & set(times[1])
    if not shared:
        return None
    length = max(shared)
    return Found(times[0][length] / times[1][length], tuple(chosen), note=f"at length {length}")


def build_seconds(runs: Runs, chosen: list[Run], _: str) -> Found | None:
    """Mean time to create the model, in seconds."""
    found = quantity(runs, chosen, "build_ms")
    return None if found is None else Found(found.value / 1000, found.runs, note=found.note)


def quantity(runs: Runs, chosen: list[Run], name: str) -> Found | None:
    """Mean of a quantity of measurements.csv."""
    rows = list(measurements(chosen, name))
    if not rows:
        return None
    sample = describe([row.value for row in rows])
    return Found(sample.mean, tuple({row.run.run_id: row.run for row in rows}.values()), sample)


def trace_peak(runs: Runs, chosen: list[Run], column: str) -> Found | None:
    """99th percentile of a trace column."""
    return _of_trace(chosen, column, lambda values: float(np.percentile(values, PEAK_PERCENTILE)))


def trace_mean(runs: Runs, chosen: list[Run], column: str) -> Found | None:
    """Mean of a trace column."""
    return _of_trace(chosen, column, lambda values: float(values.mean()))


def trace_low(runs: Runs, chosen: list[Run], column: str) -> Found | None:
    """Lowest value of a trace column."""
    return _of_trace(chosen, column, lambda values: float(values.min()))


def _of_trace(chosen: list[Run], column: str, reduce: Callable[[Any], float]) -> Found | None:
    for run in chosen:
        path = RunPaths(run.folder).trace
        values = read_trace(path).get(column) if path.exists() else None
        if values is not None and np.isfinite(values).any():
            return Found(reduce(values[np.isfinite(values)]), (run,), note=f"{len(values)} samples of {column}")
    return None


def _sampled(runs: list[Run], values: Sequence[float | None], note: str = "") -> Found | None:
    if not runs:
        return None
    sample = describe(np.array(values, dtype=float))
    return Found(sample.mean, tuple(runs), sample, note)


READERS: dict[str, Read] = {
    "map": average_map,
    "map_below": map_below,
    "train_seconds": train_seconds,
    "trainings_a_day": trainings_a_day,
    "recipe": recipe,
    "latency_linearity": latency_linearity,
    "latency_at_30000": latency_at_30000,
    "latency_ratio": latency_ratio,
    "cpu_against_gpu": cpu_against_gpu,
    "build_seconds": build_seconds,
    "quantity": quantity,
    "trace_peak": trace_peak,
    "trace_mean": trace_mean,
    "trace_low": trace_low,
}
