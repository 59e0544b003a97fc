"""What runs measured, in the schema of the published tables, so that one derivation reads both."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import numpy as np

from tal_repro.models.registry import MODELS
from tal_repro.published.schema import SCHEMAS
from tal_repro.published.table import Table, from_rows
from tal_repro.runs.apart import pooled
from tal_repro.runs.run import Measurement, Run, measurements
from tal_repro.thumos14 import TIOUS

PUBLISHED_PADDING = 576  # feature steps to which the pyramid models of the published MACs pad


def measured_tables(runs: Iterable[Run]) -> dict[str, Table]:
    """Return what was measured in the schema of the published tables, so that one derivation reads both.

    Whoever calls says which runs count. Of several settings of a model the leading one is taken, never a mean of two.
    """
    chosen = pooled(runs, one_engine=True)
    tables = {
        "learning_curves": _learning_curves(chosen),
        "sweep_runs": _sweep_runs(chosen),
        "training_runs": _training_runs(chosen),
        "table2": _table2(chosen),
        "gmacs": _gmacs(chosen),
        "inference_runs": _inference_runs(chosen),
    }
    return {name: table for name, table in tables.items() if len(table)}


def _table(name: str, rows: list[tuple[Any, ...]], origins: list[str]) -> Table:
    columns = {column: spec.kind for column, spec in SCHEMAS[name].columns.items()}
    return from_rows(f"runs as {name}", columns, rows, origins)


def sweeps(runs: Iterable[Run]) -> dict[tuple[str, float], list[Run]]:
    """Group the runs of the paper's data sweep that have a usable mAP by (model, train percent)."""
    points: dict[tuple[str, float], list[Run]] = defaultdict(list)
    for run in runs:
        if run.experiment == "data_sweep" and run.average_map is not None:
            points[run.model, run.percent].append(run)
    return dict(sorted(points.items()))


def _learning_curves(runs: list[Run]) -> Table:
    rows, origins = [], []
    for (model, percent), group in sweeps(runs).items():
        values = np.array([run.average_map for run in group], dtype=float)
        std = float(values.std(ddof=1)) if len(values) > 1 else 0.0
        rows.append((model, percent, float(values.mean()), std, f"measured, n = {len(values)}"))
        origins.append(" ".join(run.run_id for run in group))
    return _table("learning_curves", rows, origins)


def _sweep_runs(runs: list[Run]) -> Table:
    rows = []
    origins = []
    for (model, percent), group in sweeps(runs).items():
        for number, run in enumerate(group, 1):
            rows.append((model, percent, number, *[float("nan")] * len(TIOUS), run.average_map, "measured"))
            origins.append(run.run_id)
    return _table("sweep_runs", rows, origins)


def _baselines(runs: list[Run]) -> dict[str, list[Run]]:
    groups: dict[str, list[Run]] = defaultdict(list)
    for run in runs:
        if run.experiment == "baseline":
            groups[run.model].append(run)
    return groups


def _training_runs(runs: list[Run]) -> Table:
    rows, origins = [], []
    for model, group in _baselines(runs).items():
        for number, run in enumerate((r for r in group if r.train_seconds and r.average_map is not None), 1):
            rows.append((model, 1, number, run.train_seconds, run.average_map, "measured"))
            origins.append(run.run_id)
    return _table("training_runs", rows, origins)


def _table2(trained: list[Run]) -> Table:
    rows, origins = [], []
    for model in [m for m in MODELS if m in _baselines(trained)]:
        group = [r for r in _baselines(trained)[model] if r.train_seconds and r.average_map is not None]
        if not group:
            continue
        seconds = np.array([run.train_seconds for run in group], dtype=float)
        maps = np.array([run.average_map for run in group], dtype=float)
        ddof = 1 if len(group) > 1 else 0
        hardware = ", ".join(sorted({run.device for run in group}))
        rows.append(
            (model, seconds.mean(), seconds.std(ddof=ddof), maps.mean(), maps.std(ddof=ddof), hardware, "measured")
        )
        origins.append(" ".join(run.run_id for run in group))
    return _table("table2", rows, origins)


def macs_rows(runs: Iterable[Run]) -> list[Measurement]:
    """Return the counts of macs runs, one a model and length, padded as the published ones where such runs exist."""
    counted = [run for run in runs if run.experiment == "macs"]
    padding = {run.run_id: padded_to(run) for run in counted}
    counted.sort(key=lambda run: padding[run.run_id] not in (None, PUBLISHED_PADDING))
    rows: dict[tuple[str, int], Measurement] = {}
    first: dict[str, int | None] = {}  # lengths of one model are never mixed from two paddings
    for row in measurements(counted, "gmacs"):
        padded = padding[row.run.run_id]
        if first.setdefault(row.run.model, padded) == padded:
            rows.setdefault((row.run.model, row.feature_length), row)
    return [rows[key] for key in sorted(rows)]


def padded_to(run: Run) -> int | None:
    """Return the length that a run's recipe pads inputs to (None: it pads nothing)."""
    length = run.spec.recipe.get("max_seq_len")
    return None if length is None else int(length)


def _gmacs(runs: list[Run]) -> Table:
    counted = macs_rows(runs)
    rows = [(row.run.model, row.feature_length, row.value, "measured") for row in counted]
    return _table("gmacs", rows, [row.run.run_id for row in counted])


def _inference_runs(runs: list[Run]) -> Table:
    rows, origins = [], []
    for row in measurements([r for r in runs if r.experiment == "inference"], "latency_ms"):
        rows.append((row.run.model, 1, int(row.sample or 0) + 1, row.feature_length, row.value, "measured"))
        origins.append(row.run.run_id)
    return _table("inference_runs", rows, origins)
