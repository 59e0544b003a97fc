"""Table 2: training times and mAPs over repeated trainings, and how many there were."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tal_repro.paper.claims.curves import titled
from tal_repro.paper.claims.derivation import Derivation, Reading, derives
from tal_repro.paper.claims.readings import clipped, mean_and_std, vary
from tal_repro.published.table import Table


def _runs_of(table: Table) -> dict[str, Table]:
    """Return the choices of which timed runs a mean of "five trainings" is of."""
    choices = {"the five runs of the first job": table.where(job=int(table["job"].min())),
               "one seed, once in each job": table.where(run=int(table["run"].min()))}  # fmt: skip
    return {**choices, f"all {len(table)} runs": table}


def _of_runs(table: Table, column: str) -> tuple[Reading, ...]:
    """Return mean ± std of a column over each choice of runs."""
    choices = {name: rows[column] for name, rows in _runs_of(table).items()}
    jobs = sorted(set(table["job"].tolist()))
    if len(jobs) > 1:
        means = {job: float(table.where(job=job)[column].mean()) for job in jobs}
        middle = float(np.median(list(means.values())))
        distant = max(jobs, key=lambda job: abs(means[job] - middle))
        choices[f"without the most distant job, {distant}"] = table.where(lambda r: r["job"] != distant)[column]
    choices["without runs beyond 2 std"] = clipped(table[column])
    return vary(lambda runs: mean_and_std(runs), runs=choices)


def _listed(readings: tuple[Reading, ...], unit: str, digits: int) -> str:
    kept = [r for r in readings if r.sample is not None and r.sample.kind == "population"]
    texts = (f"{r.label.removesuffix(', population std')}: {r.value:.{digits}f} ± {r.spread:.{digits}f}" for r in kept)
    return "; ".join(texts) + f" {unit} (population std)"


@derives("T2.1", tables=["paper_statements"])
def tadtr_seconds(statements: Table) -> Derivation:
    """TadTR's training time as its authors state it, a range."""
    rows = statements.where(lambda row: row["quantity"].startswith("tadtr_readme_minutes"))
    low, high = sorted(60 * float(value) for value in rows["value"])
    reason = f"TadTR's README gives {low / 60:g} to {high / 60:g} minutes; no single time and no std was published"
    return Derivation((Reading("the authors' range", (low + high) / 2, low=low, high=high),), (rows,), reason)


def _timed(model: str) -> Callable[[Table], Derivation]:
    def derive(training_runs: Table) -> Derivation:
        runs = training_runs.where(model=model)
        readings = _of_runs(runs, "train_seconds")
        reason = f"{_listed(readings, 's', 1)}; median {np.median(runs['train_seconds']):.0f} s"
        return Derivation(readings, (runs,), reason)

    return derive


for _claim, _model in {"T2.3": "actionformer", "T2.4": "temporalmaxer"}.items():
    derives(_claim, tables=["training_runs"])(_timed(_model))


def _accuracy(model: str) -> Callable[[Table, Table, Table], Derivation]:
    def derive(training_runs: Table, sweep_runs: Table, learning_curves: Table) -> Derivation:
        timed, full = training_runs.where(model=model), sweep_runs.where(model=model, train_percent=100.0)
        plotted = learning_curves.where(model=model, train_percent=100.0)
        point = Reading("", float(plotted["map_mean"][0]), float(plotted["map_std"][0]))
        others = {"the timed runs": (), "the sweep at 100 %": mean_and_std(full["map_mean"]),
                  "the plotted point at 100 %": (point,)}  # fmt: skip
        readings = _of_runs(timed, "map_mean") + vary(lambda series: series, series=others)
        distinct = len(set(timed["map_mean"].tolist()))
        reason = f"{_listed(readings, 'mAP', 2)}; the {len(timed)} timed runs hold {distinct} distinct mAPs"
        return Derivation(readings, (timed, full, plotted), reason)

    return derive


for _claim, _model in {"T2.7": "actionformer", "T2.8": "temporalmaxer"}.items():
    derives(_claim, tables=["training_runs", "sweep_runs", "learning_curves"])(_accuracy(_model))


@derives("T2.9", tables=["training_runs", "paper_statements"])
def trainings_per_model(training_runs: Table, statements: Table) -> Derivation:
    """How many timed trainings a model has, and how many evaluations repeat another."""
    counts = {str(m): int((training_runs["model"] == m).sum()) for m in dict.fromkeys(training_runs["model"])}
    maxer = training_runs.where(model="temporalmaxer")["map_mean"].tolist()
    repeats = len(maxer) - len(set(maxer))
    evaluations = statements.where(lambda row: row["quantity"].startswith("temporalmaxer_evaluations"))
    fewest, most = sorted(evaluations["value"].tolist())
    logs = " and ".join(f"{count} logs of {titled(model)}" for model, count in counts.items())
    reason = (
        f"{logs} exist ({repeats} TemporalMaxer mAPs "
        "repeat another). Beside the count: the times hold no evaluation in ActionFormer and TriDet, one an "
        f"epoch in TadTR, {fewest:g} to {most:g} before an early stop in TemporalMaxer's 25 logs"
    )
    value = Reading("trainings of a model", float(max(counts.values())))
    return Derivation((value,), (training_runs, evaluations), reason)
