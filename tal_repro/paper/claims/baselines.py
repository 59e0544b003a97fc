"""Section 2.4, 4.1, Tables 1 and 2: settings, replicated accuracy and training time, from the published tables."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tal_repro.paper.claims.derivation import Derivation, Reading, derives, reading
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


def _setting(name: str, scale: float) -> Callable[[Table], Derivation]:
    def derive(upstream_defaults: Table) -> Derivation:
        row = upstream_defaults.where(model="tadtr", hyperparameter=name)
        value = float(row["value"][0]) * scale
        told = f"the authors' default is {value:g} ({row['source'][0]})"
        return Derivation((Reading("the authors' default", value),), (row,), told)

    return derive


for _claim, (_name, _scale) in SETTINGS.items():
    derives(_claim, tables=["upstream_defaults"])(_setting(_name, _scale))


@derives("A1", tables=["upstream_map"])
def reported_by_tadtr(upstream_map: Table) -> Derivation:
    """TadTR's own mAP, from its README."""
    row = upstream_map.where(lambda r: r["model"] == "tadtr" and r["source"].startswith("README"))
    columns = [name for name in row.columns if name.startswith("map_") and name != "map_mean"]
    over_tiou = float(np.mean([row[name][0] for name in columns]))
    told = f"README of the pinned commit; its five tIoU columns average {over_tiou:.2f}"
    return Derivation((Reading("README", float(row["map_mean"][0])),), (row,), told)


@derives("A2", "T2.5", tables=["learning_curves", "tadtr_independent_runs"])
def replicated_tadtr(learning_curves: Table, independent: Table) -> Derivation:
    """TadTR trained by others on all data; the paper's own five runs were not published."""
    full = learning_curves.where(model="tadtr", train_percent=100.0)
    sweep = Sample(float(full["map_mean"][0]), float(full["map_std"][0]), RUNS_PER_POINT)
    users = describe(independent["map_mean"])
    told = (
        f"the five runs are unpublished; the sweep at 100 % has {sweep.mean:.2f} ± {sweep.std:.2f}, "
        f"ten user runs {users.mean:.2f} ± {users.std:.2f} (max {independent['map_mean'].max():.2f})"
    )
    return Derivation((reading("the sweep's 100 % point, n = 5", sweep),), (full, independent), told)


@derives("A3", tables=["paper_statements"])
def best_run_said_second(statements: Table) -> Derivation:
    """What the same paragraph says of the best run in its other sentence."""
    return _other_sentence(statements, "best_run_second_sentence")


@derives("A4", tables=["paper_statements"])
def best_run_said_first(statements: Table) -> Derivation:
    """What the same paragraph says of the best run in its other sentence."""
    return _other_sentence(statements, "best_run_first_sentence")


def _other_sentence(statements: Table, quantity: str) -> Derivation:
    row = statements.where(quantity=quantity)
    value = float(row["value"][0])
    return Derivation((Reading("the other sentence", value),), (row,), f"the same paragraph also says {value:g}")


@derives("A5", tables=["upstream_map", "paper_statements"])
def shortfall(upstream_map: Table, statements: Table) -> Derivation:
    """Reported mAP minus the replicated average, in points."""
    reported = upstream_map.where(lambda r: r["model"] == "tadtr" and r["source"].startswith("README"))
    average = statements.where(quantity="tadtr_average_map")
    high, low = float(reported["map_mean"][0]), float(average["value"][0])
    told = f"{high:g} - {low:g} = {high - low:.1f} points ({100 * (high - low) / high:.1f} % of {high:g})"
    return Derivation((Reading("difference in mAP", high - low),), (reported, average), told)


@derives("T2.3", tables=["training_runs"])
def actionformer_seconds(training_runs: Table) -> Derivation:
    """ActionFormer's training seconds: all runs, and without the slowest job where there are several."""
    runs = training_runs.where(model="actionformer")
    every = describe(runs["train_seconds"], "population")
    readings = [reading(f"all {every.n} runs", every)]
    jobs = sorted(set(runs["job"].tolist()))
    if len(jobs) > 1:
        slow = max(jobs, key=lambda job: float(runs.where(job=job)["train_seconds"].mean()))
        rest = describe(runs.where(lambda r: r["job"] != slow)["train_seconds"], "population")
        readings.append(reading(f"without the slow job {slow}, n = {rest.n}", rest))
    told = "; ".join(f"{r.label}: {r.value:.1f} ± {r.spread:.1f}" for r in readings) + " (population std)"
    return Derivation(tuple(readings), (runs,), told)


@derives("T2.4", tables=["training_runs"])
def temporalmaxer_seconds(training_runs: Table) -> Derivation:
    """TemporalMaxer's training seconds: five runs as worded (the first job), then all of them."""
    runs = training_runs.where(model="temporalmaxer")
    every = describe(runs["train_seconds"], "population")
    median = float(np.median(runs["train_seconds"]))
    told = (
        f"mean and population std of {every.n} runs, not 5: {every.mean:.1f} ± {every.std:.1f}; median {median:.0f} s"
    )
    return Derivation(_five_then_all(runs, "train_seconds"), (runs,), told)


@derives("T2.7", tables=["training_runs", "sweep_runs"])
def actionformer_map(training_runs: Table, sweep_runs: Table) -> Derivation:
    """ActionFormer's mAP: of the timed runs, and of its sweep at 100 %."""
    timed = training_runs.where(model="actionformer")
    full = sweep_runs.where(model="actionformer", train_percent=100.0)
    samples = [describe(timed["map_mean"], "population"), describe(full["map_mean"], "population")]
    labels = (f"the timed runs, n = {samples[0].n}", f"the sweep at 100 %, n = {samples[1].n}")
    readings = tuple(reading(label, sample) for label, sample in zip(labels, samples, strict=True))
    told = "; ".join(f"{r.label}: {r.value:.2f} ± {r.spread:.2f}" for r in readings)
    distinct = len(set(timed["map_mean"].tolist()))
    return Derivation(readings, (timed, full), f"{told}; the timed runs hold {distinct} distinct mAPs")


@derives("T2.8", tables=["training_runs"])
def temporalmaxer_map(training_runs: Table) -> Derivation:
    """TemporalMaxer's mAP: five runs as worded (the first job), then all of them."""
    runs = training_runs.where(model="temporalmaxer")
    every = describe(runs["map_mean"], "population")
    told = f"mean and population std of {every.n} runs, not 5: {every.mean:.3f} ± {every.std:.3f}"
    return Derivation(_five_then_all(runs, "map_mean"), (runs,), told)


def _five_then_all(runs: Table, column: str) -> tuple[Reading, ...]:
    first = describe(runs.where(job=int(runs["job"].min()))[column], "population")
    every = describe(runs[column], "population")
    return reading(f"one job, n = {first.n}", first), reading(f"n = {every.n}", every)


@derives("T2.9", tables=["training_runs"])
def trainings_per_model(training_runs: Table) -> Derivation:
    """How many timed trainings a model has, and how many evaluations repeat another."""
    counts = {str(m): int((training_runs["model"] == m).sum()) for m in dict.fromkeys(training_runs["model"])}
    maxer = training_runs.where(model="temporalmaxer")["map_mean"].tolist()
    repeats = len(maxer) - len(set(maxer))
    told = (
        f"{' and '.join(f'{n} logs of {m}' for m, n in counts.items())} exist ({repeats} TemporalMaxer mAPs repeat "
        "another); the times are not of one thing: no evaluation in ActionFormer and TriDet, 16 in TadTR, 3 to 35 "
        "and early stopping in TemporalMaxer"
    )
    return Derivation((Reading("trainings of a model", float(max(counts.values()))),), (training_runs,), told)
