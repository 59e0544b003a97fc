"""Section 2.4, 4.1, Tables 1 and 2: settings, replicated accuracy and training time, from the published tables."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from tal_repro.paper.claims.curves import titled
from tal_repro.paper.claims.derivation import Derivation, Reading, derives
from tal_repro.paper.claims.readings import (
    half_digit,
    number,
    over_rounding,
    printed,
    tested,
    unpublished,
    vary,
)
from tal_repro.paper.statistics import Sample, describe
from tal_repro.published.table import Table

SETTINGS = {
    "T1.1": ("epochs", 1.0),
    "T1.2": ("learning_rate", 1.0),
    "T1.3": ("weight_decay", 1.0),
    "T1.4": ("lr_decay_epoch", 1.0),
    "T1.5": ("batch_size", 1.0),
    "T1.6": ("train_overlap", 100.0),
}
RUNS_PER_POINT = 5  # of the published sweeps (section 3.2; sweep_runs.csv has as many rows a point)
OWN_SETTING = unpublished("the study's own default", "no configuration of the study's runs was published")


def _setting(name: str, scale: float) -> Callable[[Table], Derivation]:
    def derive(upstream_defaults: Table) -> Derivation:
        row = upstream_defaults.where(model="tadtr", hyperparameter=name)
        value = float(row["value"][0]) * scale
        reason = f"the authors' default is {value:g} ({row['source'][0]})"
        return Derivation((Reading("the authors' default", value), OWN_SETTING), (row,), reason)

    return derive


for _claim, (_name, _scale) in SETTINGS.items():
    derives(_claim, tables=["upstream_defaults"])(_setting(_name, _scale))


def readme(upstream_map: Table, model: str) -> Table:
    """Return the row of what a model's own README reports."""
    return upstream_map.where(lambda row: row["model"] == model and row["source"].startswith("README"))


def statement(statements: Table, quantity: str) -> Table:
    """Return the row of one statement."""
    return statements.where(quantity=quantity)


@derives("A1", tables=["upstream_map"])
def reported_by_tadtr(upstream_map: Table) -> Derivation:
    """TadTR's own mAP, from its README."""
    row = readme(upstream_map, "tadtr")
    columns = [name for name in row.columns if name.startswith("map_") and name != "map_mean"]
    over_tiou = float(np.mean([row[name][0] for name in columns]))
    reason = f"README of the pinned commit; its five tIoU columns average {over_tiou:.2f} mAP"
    return Derivation((Reading("README", float(row["map_mean"][0])),), (row,), reason)


@derives("A2", "T2.5", tables=["learning_curves", "tadtr_independent_runs"])
def replicated_tadtr(learning_curves: Table, independent: Table) -> Derivation:
    """TadTR trained by others on all data; the paper's own five runs were not published."""
    full = learning_curves.where(model="tadtr", train_percent=100.0)
    sweep = Sample(float(full["map_mean"][0]), float(full["map_std"][0]), RUNS_PER_POINT)
    users = describe(independent["map_mean"])
    readings = vary(tested_series, series={"the sweep's 100 % point": sweep, "ten user runs": users})
    reason = (
        f"the five runs are unpublished; the sweep at 100 % has {sweep.mean:.2f} ± {sweep.std:.2f} mAP, "
        f"ten user runs {users.mean:.2f} ± {users.std:.2f} mAP (max {independent['map_mean'].max():.2f})"
    )
    return Derivation(readings, (full, independent), reason)


def tested_series(series: Sample) -> tuple[Reading, ...]:
    """Return the reading of one published series that a test compares."""
    return tested(series)


LARGEST_OF_RUNS = {  # n values with this mean and std hold none above mean + factor * std, by kind of std
    "population": math.sqrt(RUNS_PER_POINT - 1), "sample": (RUNS_PER_POINT - 1) / math.sqrt(RUNS_PER_POINT),
}  # fmt: skip


@derives("A3", tables=["table2"])
def best_run_possible(table2: Table) -> Derivation:
    """The largest value that five runs with the printed mean and std can hold, for either kind of std."""
    row = table2.where(model="tadtr")
    mean, std = float(row["map_mean"][0]), float(row["map_std"][0])
    numbers = ((mean, half_digit(table2["map_mean"])), (std, half_digit(table2["map_std"])))
    readings = []
    for kind, factor in LARGEST_OF_RUNS.items():
        (bound,) = over_rounding(lambda m, s, f=factor: m + f * s, *numbers)
        label = f"largest that {RUNS_PER_POINT} runs can hold, {kind} std"
        readings.append(Reading(label, float(bound.high or bound.value), low=mean, high=bound.high))
    highest = ", ".join(f"{r.high:.2f} mAP for a {r.label.rpartition(', ')[2]}" for r in readings)
    reason = (
        f"{RUNS_PER_POINT} runs with {mean:g} ± {std:g} mAP hold none above {highest} (rounding included): the best "
        "run is one of more than five, or not one of these"
    )
    return Derivation(tuple(readings), (row,), reason)


@derives("A4", tables=["paper_statements", "learning_curves"])
def best_model(statements: Table, learning_curves: Table) -> Derivation:
    """The best of the five runs, by the paragraph's other sentence; then the most that the sweep's runs can hold."""
    row, sweep = statement(statements, "best_run_first_sentence"), learning_curves.where(model="tadtr")
    value, mean = float(row["value"][0]), sweep["map_mean"]
    largest = mean + max(LARGEST_OF_RUNS.values()) * sweep["map_std"]
    best = int(largest.argmax())
    trainings = RUNS_PER_POINT * len(sweep)
    why = (
        f'the sentence before says {value:g} mAP of the five runs; if "our best model" is of all trainings, the '
        f"{trainings} runs of TadTR's sweep, unpublished, may hold one of up to {largest[best]:.2f} mAP (at "
        f"{sweep['train_percent'][best]:g} %)"
    )
    every = Reading(f"the best of the sweep's {trainings} runs", float(largest[best]), low=float(mean.max()),
                    high=float(largest[best]), changed="series", undetermined=why)  # fmt: skip
    return Derivation((Reading("the best of the five, by the other sentence", value), every), (row, sweep), why)


@derives("A5", tables=["upstream_map", "paper_statements"])
def shortfall(upstream_map: Table, statements: Table) -> Derivation:
    """Reported mAP minus the replicated average, in points, over the rounding of both."""
    reported, average = readme(upstream_map, "tadtr"), statement(statements, "tadtr_average_map")
    high, low = float(reported["map_mean"][0]), float(average["value"][0])
    readings = vary(
        lambda base: over_rounding(lambda a, b: (a - b) * (100 / a if base else 1), printed(high), printed(low)),
        base={"difference in mAP": False, "difference in percent of the reported mAP": True},
    )
    reason = f"{high:g} - {low:g} mAP lies between {readings[0].low:.2f} and {readings[0].high:.2f} by rounding alone"
    return Derivation(readings, (reported, average), reason)


@derives("A6", tables=["upstream_map"])
def tadtr_behind_actionformer(upstream_map: Table) -> Derivation:
    """ActionFormer's reported mAP minus TadTR's: as their READMEs print them, then under one protocol (OpenTAD)."""
    behind = {
        name: float(rows.where(model="actionformer")["map_mean"][0]) - float(rows.where(model="tadtr")["map_mean"][0])
        for name, rows in {
            "READMEs": upstream_map.where(lambda row: row["source"].startswith("README")),
            "OpenTAD": upstream_map.where(lambda row: row["source"].startswith("OpenTAD")),
        }.items()
    }
    reason = ", ".join(f"{gap:.2f} mAP behind by {name}" for name, gap in behind.items())
    rows = upstream_map.where(lambda row: row["model"] in ("tadtr", "actionformer"))
    return Derivation(vary(lambda series: number(series), series=behind), (rows,), reason)


@derives("A7", tables=["table2"])
def models_compared(table2: Table) -> Derivation:
    """How many other models the tables and figures compare TadTR with."""
    others = [titled(str(model)) for model in table2["model"] if model != "tadtr"]
    reason = f"Table 2 and Figure 2 compare it with {len(others)}: {', '.join(others)}"
    return Derivation((Reading("other models", float(len(others))),), (table2,), reason)


@derives("A8", tables=["paper_statements", "tadtr_independent_runs"])
def within_expected_range(statements: Table, independent: Table) -> Derivation:
    """How many standard deviations of independent trainings the average lies from theirs; the reported beside."""
    average, reported = (statement(statements, name) for name in ("tadtr_average_map", "tadtr_reported_map"))
    users = describe(independent["map_mean"])
    away = {name: (float(row["value"][0]) - users.mean) / users.std for name, row in
            (("the average", average), ("the reported best", reported))}  # fmt: skip
    reason = (
        f"ten user runs have {users.mean:.2f} ± {users.std:.2f} mAP: the average lies {away['the average']:+.1f} std "
        f"from them, the reported {reported['value'][0]:g} mAP {away['the reported best']:+.1f} std"
    )
    readings = over_rounding(
        lambda value: abs(value - users.mean) / users.std, printed(average["value"][0]), label="the average"
    )
    return Derivation(readings, (average, reported, independent), reason)


@derives("D10", tables=["table2", "upstream_map"])
def others_replicated(table2: Table, upstream_map: Table) -> Derivation:
    """How far the other three models stay below what their authors report, at most."""
    gaps = {str(m): float(readme(upstream_map, m)["map_mean"][0]) - float(v)
            for m, v in zip(table2["model"], table2["map_mean"], strict=True) if m != "tadtr"}  # fmt: skip
    reason = "below their READMEs: " + ", ".join(f"{titled(model)} {gap:.2f} mAP" for model, gap in gaps.items())
    largest, half = max(gaps, key=lambda model: gaps[model]), half_digit(table2["map_mean"])
    theirs, here = (
        float(readme(upstream_map, largest)["map_mean"][0]),
        float(table2.where(model=largest)["map_mean"][0]),
    )
    readings = over_rounding(lambda a, b: a - b, (theirs, half_digit([theirs])), (here, half), label="largest of three")
    return Derivation(readings, (table2, upstream_map), reason)
