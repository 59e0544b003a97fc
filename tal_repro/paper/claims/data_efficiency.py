"""Section 4.2 and its figures: spread, saturation and shape of the published learning curves."""

from __future__ import annotations

import numpy as np

from tal_repro.paper.claims.baselines import RUNS_PER_POINT
from tal_repro.paper.claims.curves import at, curve
from tal_repro.paper.claims.derivation import Derivation, Reading, derives
from tal_repro.paper.statistics import Sample, welch
from tal_repro.published.table import Table, concatenate

SIGNIFICANCE = 0.05
LIKE_ACTIONFORMER = ("tridet", "temporalmaxer")


@derives("D1", tables=["sweep_runs", "paper_statements"])
def runs_per_point(sweep_runs: Table, statements: Table) -> Derivation:
    """How many runs stand behind a point of Figure 2."""
    keys = list(zip(sweep_runs["model"].tolist(), sweep_runs["train_percent"].tolist(), strict=True))
    count = max(keys.count(key) for key in set(keys))
    text = statements.where(quantity="runs_per_point_text")
    told = f"section 3.2 says {text['value'][0]:g} and the published sweeps have {count} runs at each point"
    return Derivation((Reading("runs at each point", float(count)),), (sweep_runs, text), told)


@derives("D2", tables=["learning_curves"])
def mean_std(learning_curves: Table) -> Derivation:
    """Mean over the points of TadTR's standard deviation."""
    table = curve(learning_curves, "tadtr")
    percent, std = table["train_percent"], table["map_std"]
    readings = (Reading("all points", float(std.mean())), Reading("points from 10 %", float(std[percent >= 10].mean())))
    factor = (RUNS_PER_POINT / (RUNS_PER_POINT - 1)) ** 0.5
    told = (
        f"{readings[0].value:.3f} mAP over {len(table)} points, {readings[1].value:.2f} from 10 %; only two changes at "
        f"once give {readings[1].value * factor:.2f} (from 10 %, stds taken as population and rescaled)"
    )
    return Derivation(readings, (table,), told)


@derives("D3", "E9", tables=["learning_curves"])
def relative_std(learning_curves: Table) -> Derivation:
    """Mean over the points of TadTR's std / mean, in percent."""
    table = curve(learning_curves, "tadtr")
    relative = 100 * table["map_std"] / table["map_mean"]
    told = f"mean of std / mAP over {len(table)} points = {relative.mean():.3f} %"
    return Derivation((Reading("mean of std / mAP", float(relative.mean())),), (table,), told)


@derives("D4", tables=["learning_curves"])
def flat_from(learning_curves: Table) -> Derivation:
    """The percentage from which no point differs from 100 % by Welch's test."""
    table = curve(learning_curves, "tadtr")
    samples = [Sample(m, s, RUNS_PER_POINT) for m, s in zip(table["map_mean"], table["map_std"], strict=True)]
    percent = table["train_percent"]
    p_values = [welch(sample, samples[-1]) for sample in samples]
    different = [float(x) for x, p in zip(percent, p_values, strict=True) if p < SIGNIFICANCE]
    start = float(percent[percent > max(different, default=0.0)].min())
    last = f"{max(different):g} % still differs from 100 % (p = {p_values[_index(percent, max(different))]:.2g})"
    told = f"Welch against 100 %, n = {RUNS_PER_POINT}: {last if different else 'no point differs'}"
    told += f"; {start:g} % does not (p = {p_values[_index(percent, start)]:.2g})"
    return Derivation((Reading("first flat percentage", start),), (table,), told)


def _index(percent: np.ndarray, value: float) -> int:
    return int(np.flatnonzero(percent == value)[0])


@derives("D5", tables=["learning_curves"])
def best_point(learning_curves: Table) -> Derivation:
    """Percentage and mAP of TadTR's best point."""
    table = curve(learning_curves, "tadtr")
    best = table.take([int(table["map_mean"].argmax())])
    percent, value = float(best["train_percent"][0]), float(best["map_mean"][0])
    return Derivation(
        (Reading("best point", value, percent),), (best,), f"the highest mean is {value:.2f} at {percent:g} %"
    )


@derives("D6", tables=["learning_curves", "table2"])
def scales_like_actionformer(learning_curves: Table, table2: Table) -> Derivation:
    """Distance of normalised curves to ActionFormer's, relative to TadTR's distance to it (largest of the models)."""
    base = _normalised(curve(learning_curves, "actionformer"), table2)
    far = _distance(_normalised(curve(learning_curves, "tadtr"), table2), base)
    near = {m: _distance(_normalised(curve(learning_curves, m), table2), base) for m in LIKE_ACTIONFORMER}
    ratio = max(near.values()) / far
    told = ", ".join(f"{m} {d:.2f}" for m, d in {**near, "tadtr": far}.items())
    told = f"mean distance of mAP / full-data mAP to ActionFormer's: {told} (at 10 %, they reach very different shares)"
    rows = concatenate([curve(learning_curves, m) for m in ("actionformer", "tadtr", *LIKE_ACTIONFORMER)])
    return Derivation((Reading("largest distance, TadTR's = 1", ratio),), (rows,), told)


def _normalised(table: Table, table2: Table) -> dict[float, float]:
    full = at(table, 100.0)
    full = full if full is not None else float(table2.where(model=table["model"][0])["map_mean"][0])
    return {float(p): float(m) / full for p, m in zip(table["train_percent"], table["map_mean"], strict=True)}


def _distance(one: dict[float, float], other: dict[float, float]) -> float:
    shared = [p for p in one if p in other and p < 100]
    return float(np.mean([abs(one[p] - other[p]) for p in shared]))


@derives("E8", tables=["learning_curves"])
def largest_relative_std(learning_curves: Table) -> Derivation:
    """TemporalMaxer's std / mean at 20 %."""
    row = curve(learning_curves, "temporalmaxer").where(train_percent=20.0)
    mean, std = float(row["map_mean"][0]), float(row["map_std"][0])
    factor = (RUNS_PER_POINT / (RUNS_PER_POINT - 1)) ** 0.5
    told = (
        f"{std:g} / {mean:g} = {100 * std / mean:.2f} %, already with the sample std "
        f"(dividing by n - 1 a second time would give {100 * std * factor / mean:.2f} %)"
    )
    return Derivation((Reading("sample std / mean", 100 * std / mean),), (row,), told)


@derives("E10", tables=["learning_curves", "sweep_runs"])
def accelerates_below(learning_curves: Table, sweep_runs: Table) -> Derivation:
    """Where ActionFormer's gain stops growing: needs at least three points below, which no published series has."""
    series = curve(learning_curves, "actionformer")
    below = int((series["train_percent"] < 15).sum())
    told = (
        f"the plotted series has {below} point below 15 % and unpublished subsets, so the mechanism cannot be seen in "
        "it; the sibling series contradicts it (all its subsets hold 20 classes); few optimizer steps under an EMA "
        "bend a curve the same way"
    )
    return Derivation((), (series, sweep_runs.where(model="actionformer")), told)


@derives("G1", tables=["learning_curves"])
def half_of_the_data(learning_curves: Table) -> Derivation:
    """How far TadTR at 50 % stays below its full-data mAP, in percent of it."""
    table = curve(learning_curves, "tadtr").where(lambda r: r["train_percent"] in (50, 100))
    half, full = table["map_mean"]
    told = f"50 % gives {half:.2f}, {full - half:.2f} mAP below 100 % ({100 * half / full:.1f} % of it)"
    return Derivation((Reading("below full data", 100 * (full - half) / full),), (table,), told)
