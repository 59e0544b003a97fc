"""Section 4.2 and its figures: spread, saturation and shape of the published learning curves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from tal_repro.paper.claims.baselines import RUNS_PER_POINT, statement
from tal_repro.paper.claims.curves import at, completed, curve, titled
from tal_repro.paper.claims.derivation import Derivation, Reading, derives
from tal_repro.paper.claims.readings import number, std_choices, vary
from tal_repro.paper.statistics import Sample, line, slope_half_width, trend_p, welch
from tal_repro.published.table import Table, concatenate

LIKE_ACTIONFORMER = ("tridet", "temporalmaxer")
FLAT_FROM_PERCENT = 70.0  # section 4.2
STEEPEST_BELOW_PERCENT = 15.0  # section 4.2.1


@derives("D1", tables=["sweep_runs", "paper_statements"])
def runs_per_point(sweep_runs: Table, statements: Table) -> Derivation:
    """How many runs stand behind a point of Figure 2."""
    keys = list(zip(sweep_runs["model"].tolist(), sweep_runs["train_percent"].tolist(), strict=True))
    count = max(keys.count(key) for key in set(keys))
    text = statement(statements, "runs_per_point_text")
    reason = f"section 3.2 says {text['value'][0]:g} and the published sweeps have {count} runs at each point"
    return Derivation((Reading("runs at each point", float(count)),), (sweep_runs, text), reason)


@derives("D8", tables=["learning_curves"])
def percentages(learning_curves: Table) -> Derivation:
    """The smallest and the largest percentage: of TadTR, then of the other models."""
    spans = {}
    for name, rows in (("TadTR", learning_curves.where(model="tadtr")),
                       ("the other models", learning_curves.where(lambda row: row["model"] != "tadtr"))):  # fmt: skip
        spans[name] = (float(rows["train_percent"].min()), float(rows["train_percent"].max()))
    readings = vary(lambda models: (Reading("smallest to largest", *models),), models=spans)
    reason = ", ".join(f"{name} from {low:g} to {high:g} %" for name, (low, high) in spans.items())
    return Derivation(readings, (learning_curves,), reason)


def _spread_choices(table: Table) -> dict[str, Mapping[str, Any]]:
    """Return the labels of a mean over the points of a published std."""
    percent = table["train_percent"]
    every = {"all points": percent > 0, "points from 10 %": percent >= 10, "points above 10 %": percent > 10}
    return {"points": every, "std": std_choices(RUNS_PER_POINT)}


@derives("D2", tables=["learning_curves"])
def mean_std(learning_curves: Table) -> Derivation:
    """Mean over the points of TadTR's standard deviation; then the mean share applied to the full-data mAP."""
    table = curve(learning_curves, "tadtr")
    mean, full = table["map_mean"], float(table["map_mean"][-1])

    def compute(points: Any, std: float, base: str) -> tuple[Reading, ...]:
        spread = table["map_std"] * std
        return number(spread[points].mean() if base == "itself" else (spread / mean)[points].mean() * full)

    bases = {"mean std": "itself", "mean share of the mAP, of the full-data mAP": "full"}
    readings = vary(compute, **_spread_choices(table), base=bases)
    low, high = (pick(r.value for r in readings) for pick in (min, max))
    reason = f"{readings[0].value:.3f} mAP over {len(table)} points; {low:.2f} to {high:.2f} mAP over the readings"
    return Derivation(readings, (table,), reason)


@derives("D3", "E9", tables=["learning_curves"])
def relative_std(learning_curves: Table) -> Derivation:
    """Mean over the points of TadTR's std / mean, in percent."""
    table = curve(learning_curves, "tadtr")
    relative = 100 * table["map_std"] / table["map_mean"]
    readings = vary(lambda points, std: number((relative * std)[points].mean()), **_spread_choices(table))
    reason = f"mean of std / mAP over {len(table)} points = {relative.mean():.3f} %"
    return Derivation(readings, (table,), reason)


@derives("B2", tables=["learning_curves"])
def least_stable_point(learning_curves: Table) -> Derivation:
    """The largest std / mean of any point, in percent: of all models, then of TadTR."""
    relative = {str(m): float(100 * (r["map_std"] / r["map_mean"]).max()) for m, r in
                ((m, learning_curves.where(model=m)) for m in dict.fromkeys(learning_curves["model"]))}  # fmt: skip
    choices = {"all models": max(relative.values()), "TadTR alone": relative["tadtr"]}
    reason = "largest std of a point: " + ", ".join(
        f"{titled(m)} {share:.1f} % of its mAP" for m, share in relative.items()
    )
    return Derivation(vary(lambda models: number(models), models=choices), (learning_curves,), reason)


@derives("D4", tables=["learning_curves"])
def flat_from(learning_curves: Table) -> Derivation:
    """The p-value of "no more gain from 70 % on": of the points' trend, then the least one of Welch against 100 %."""
    table = curve(learning_curves, "tadtr").where(lambda row: row["train_percent"] >= FLAT_FROM_PERCENT)
    percent, mean = table["train_percent"], table["map_mean"]
    samples = [Sample(m, s, RUNS_PER_POINT) for m, s in zip(mean, table["map_std"], strict=True)]
    against = [welch(sample, samples[-1]) for sample in samples[:-1]]
    trend = trend_p(percent, mean)
    tests = {"trend of the points": trend, "each point against 100 % by Welch, the least": min(against)}
    slope, half = line(percent, mean)[0], slope_half_width(percent, mean)
    low, high = ((slope + side * half) * (percent[-1] - percent[0]) for side in (-1, 1))
    reason = (
        f"from {FLAT_FROM_PERCENT:g} % on the mAP grows by {slope:.3f} a percent of data (p = {trend:.2f}), in all by "
        f"{low:+.1f} to {high:+.1f} mAP (95 % interval: no trend shows, and a small one is not excluded); alone, "
        f"{percent[int(np.argmin(against))]:g} % still differs from 100 % (Welch, n = {RUNS_PER_POINT}, "
        f"p = {min(against):.2g})"
    )
    return Derivation(vary(lambda test: number(test, "p"), test=tests), (table,), reason)


@derives("D5", tables=["learning_curves"])
def best_point(learning_curves: Table) -> Derivation:
    """Percentage and mAP of TadTR's best point."""
    table = curve(learning_curves, "tadtr")
    best = table.take([int(table["map_mean"].argmax())])
    percent, value = float(best["train_percent"][0]), float(best["map_mean"][0])
    reason = f"the highest mean is {value:.2f} mAP at {percent:g} %"
    return Derivation((Reading("best point", value, percent),), (best,), reason)


@derives("D6", tables=["learning_curves", "table2"])
def scales_like_actionformer(learning_curves: Table, table2: Table) -> Derivation:
    """Distance of normalised curves to ActionFormer's, relative to TadTR's distance to it (largest of the models)."""
    base = _normalised(curve(learning_curves, "actionformer"), table2)
    far = _distance(_normalised(curve(learning_curves, "tadtr"), table2), base)
    near = {m: _distance(_normalised(curve(learning_curves, m), table2), base) for m in LIKE_ACTIONFORMER}
    ratio = max(near.values()) / far
    distances = ", ".join(f"{titled(m)} {d:.2f}" for m, d in {**near, "tadtr": far}.items())
    reason = f"mean distance of mAP / full-data mAP to ActionFormer's: {distances} (at 10 % they differ by far more)"
    rows = concatenate([curve(learning_curves, m) for m in ("actionformer", "tadtr", *LIKE_ACTIONFORMER)])
    return Derivation((Reading("largest distance, TadTR's = 1", ratio),), (rows,), reason)


def _normalised(table: Table, table2: Table) -> dict[float, float]:
    full = at(table, 100.0)
    full = full if full is not None else float(table2.where(model=table["model"][0])["map_mean"][0])
    return {float(p): float(m) / full for p, m in zip(table["train_percent"], table["map_mean"], strict=True)}


def _distance(first: dict[float, float], second: dict[float, float]) -> float:
    shared = [p for p in first if p in second and p < 100]
    return float(np.mean([abs(first[p] - second[p]) for p in shared]))


@derives("E8", tables=["learning_curves"])
def largest_relative_std(learning_curves: Table) -> Derivation:
    """TemporalMaxer's std / mean at 20 %."""
    row = curve(learning_curves, "temporalmaxer").where(train_percent=20.0)
    mean, std = float(row["map_mean"][0]), float(row["map_std"][0])
    readings = vary(lambda std: number(100 * float(row["map_std"][0]) * std / mean), std=std_choices(RUNS_PER_POINT))
    reason = (
        f"{std:g} / {mean:g} = {readings[0].value:.2f} %; {readings[1].value:.2f} % if that std, whose kind the table "
        "does not state, is rescaled by the root of n / (n - 1) (the single runs show that it already was)"
    )
    return Derivation(readings, (row,), reason)


@derives("E10", tables=["learning_curves"])
def accelerates_below(learning_curves: Table) -> Derivation:
    """The middle of the stretch where ActionFormer gains most a percent of data: with the origin, then without."""
    series = curve(learning_curves, "actionformer")
    percent, mean = (np.concatenate([[0.0], series[name]]) for name in ("train_percent", "map_mean"))
    gains = np.diff(mean) / np.diff(percent)
    first = int(np.argmax(gains))
    readings = vary(
        lambda points: (_steepest(percent[points:], mean[points:]),),
        points={"points with the origin": 0, "points without the origin": 1},
    )
    rates = ", ".join(f"{gain:.2g}" for gain in gains[:3])
    reason = (
        f"from the origin its first gains are {rates} mAP a percent of data; the largest lies between "
        f"{percent[first]:g} and {percent[first + 1]:g} %"
    )
    return Derivation(readings, (series,), reason)


def _steepest(percent: Any, mean: Any) -> Reading:
    gains = np.diff(mean) / np.diff(percent)
    place = int(np.argmax(gains))
    if place == 0:  # the first stretch gains most: nothing accelerates
        return Reading("the first stretch is the steepest", 0.0)
    return Reading("middle of the steepest stretch", float(percent[place] + percent[place + 1]) / 2)


@derives("G3", tables=["learning_curves", "table2"])
def scales_differently(learning_curves: Table, table2: Table) -> Derivation:
    """How far the models' shares of their full-data mAP at 20 % of the data lie apart, in points."""
    shares, rows = {}, []
    for model in ("tadtr", "actionformer", *LIKE_ACTIONFORMER):
        table, percent, value = completed(learning_curves, table2, model)
        shares[model] = 100 * float(value[percent == 20][0] / value[percent == 100][0])
        rows.append(table)
    reason = "20 % of the data gives " + ", ".join(f"{titled(m)} {share:.0f} %" for m, share in shares.items())
    apart = max(shares.values()) - min(shares.values())
    return Derivation(number(apart, "most less least"), tuple(rows), f"{reason} of its full-data mAP")


@derives("F13", tables=["learning_curves", "table2"])
def last_gain(learning_curves: Table, table2: Table) -> Derivation:
    """The least gain, over the three other models, from 80 to 100 % of the data."""
    gains, rows = {}, []
    for model in ("actionformer", *LIKE_ACTIONFORMER):
        table, percent, value = completed(learning_curves, table2, model)
        gains[model] = float(value[percent == 100][0] - value[percent == 80][0])
        rows.append(table)
    reason = "from 80 to 100 % of the data: " + ", ".join(f"{titled(m)} {gain:+.2f} mAP" for m, gain in gains.items())
    return Derivation(number(min(gains.values()), "least of three models"), (concatenate(rows), table2), reason)


@derives("G1", tables=["learning_curves"])
def half_of_the_data(learning_curves: Table) -> Derivation:
    """How far TadTR at 50 % stays below its full-data mAP, in percent of it."""
    table = curve(learning_curves, "tadtr").where(lambda r: r["train_percent"] in (50, 100))
    half, full = table["map_mean"]
    reason = f"50 % gives {half:.2f} mAP, {full - half:.2f} mAP below 100 % ({100 * half / full:.1f} % of it)"
    return Derivation((Reading("below full data", 100 * (full - half) / full),), (table,), reason)
