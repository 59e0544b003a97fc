"""What runs will cost: published times, corrected by the runs done on this machine, or by a probe.

A training at p % of the data is taken to cost a fixed share of a full one (evaluation, start) and the rest in
proportion to p. Measurements have a flat figure of their own until one was done here.
"""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache

from tal_repro.errors import InputError
from tal_repro.experiments import EXPERIMENTS
from tal_repro.models.registry import model_entry
from tal_repro.runs.record import RunRecord
from tal_repro.runs.store import RunStore
from tal_repro.spec import RunSpec

FIXED_SHARE = 0.1  # of a full training, whatever the percentage: evaluations and start
FLAT_SECONDS = {name: experiment.seconds for name, experiment in EXPERIMENTS.items() if experiment.seconds is not None}
FLAT_SOURCE = "assumed, none done here yet"
UNPUBLISHED_SECONDS = 1000.0  # a training of a model without a published time
DISK_MIB = {name: experiment.disk_mib for name, experiment in EXPERIMENTS.items()}
PARTIAL_MIB = 500.0  # a checkpoint with optimizer and EMA, only while a run is under way
MOST_SAMPLED = 200  # done runs looked at for each (experiment, model, engine)

# (kind, "model/engine" or "" for all) -> measured over published seconds, and the runs it comes from (0: a probe)
Factors = Mapping[tuple[str, str], tuple[float, int]]


@dataclass(frozen=True)
class Estimate:
    """Seconds of one run, and where the figure comes from."""

    seconds: float
    source: str


def published_seconds(spec: RunSpec, stated: Mapping[str, float] | None = None) -> Estimate:
    """Return the estimate before anything was run here; `stated` are the study's own figures, by kind of run."""
    kind = kind_of(spec)
    whole = spec.subset is None or spec.recipe.get("budget") == "steps"  # which takes all steps whatever the subset
    share = 1.0 if whole or spec.subset is None else spec.subset.percent / 100
    share = FIXED_SHARE + (1 - FIXED_SHARE) * share
    name = spec.model if stated and kind == "training" and spec.model in stated else kind
    if stated and name in stated:
        return Estimate(stated[name] * (share if kind == "training" else 1.0), "the study file")
    if spec.experiment in FLAT_SECONDS:
        return Estimate(FLAT_SECONDS[spec.experiment], FLAT_SOURCE)
    seconds, hardware = table2_seconds(spec.model)
    return Estimate(seconds * _epoch_share(spec) * share, f"Table 2 ({hardware})")


def estimate(spec: RunSpec, factors: Factors, stated: Mapping[str, float] | None = None) -> Estimate:
    """Return the estimate of a run, corrected by what its like took here."""
    base = published_seconds(spec, stated)
    kind = kind_of(spec)
    for key, whose in (((kind, f"{spec.model}/{spec.engine}"), "its like"), ((kind, ""), "other models")):
        if key in factors:
            factor, runs = factors[key]
            if not runs:
                return Estimate(base.seconds * factor, "a probe of this machine")
            return Estimate(base.seconds * factor, f"{runs} run{'s' * (runs != 1)} of {whose} done here")
    return base


def correction(
    store: RunStore,
    specs: Iterable[RunSpec],
    states: Mapping[str, str],
    machine: str,
    stated: Mapping[str, float] | None = None,
) -> Factors:
    """Return, for each kind of run, the median of measured over published seconds on this machine.

    A run counts that was done in one attempt on `machine`. At most 200 of a kind are read, so that planning stays
    quick beside a hundred thousand finished runs.
    """
    done: dict[tuple[str, str], list[RunSpec]] = defaultdict(list)
    for spec in specs:
        if states[spec.run_id] == "done":
            done[kind_of(spec), f"{spec.model}/{spec.engine}"].append(spec)
    ratios = {key: _ratios(store, runs, machine, stated) for key, runs in done.items()}
    by_kind: dict[tuple[str, str], list[float]] = defaultdict(list)
    for (kind, _), values in ratios.items():
        by_kind[kind, ""] += values
    merged = {**ratios, **by_kind}
    return {key: (statistics.median(values), len(values)) for key, values in merged.items() if values}


def kind_of(spec: RunSpec) -> str:
    """Return what kinds of run have comparable costs: trainings are of one kind."""
    return spec.experiment if spec.experiment in FLAT_SECONDS else "training"


def _ratios(store: RunStore, runs: list[RunSpec], machine: str, stated: Mapping[str, float] | None) -> list[float]:
    step = -(-len(runs) // MOST_SAMPLED)
    ratios = []
    for spec in runs[::step]:
        try:
            status = RunRecord(store.folder(spec)).status
        except InputError:
            continue
        if status.get("machine") == machine and status.get("attempts") == 1 and status.get("seconds"):
            ratios.append(float(status["seconds"]) / published_seconds(spec, stated).seconds)
    return ratios


def _epoch_share(spec: RunSpec) -> float:
    """Return this recipe's epochs as a share of the model's own."""
    own = int(model_entry(spec.model).recipe.epochs)
    return float(spec.recipe.get("epochs", own)) / own if own else 1.0  # 0: a description that is not filled in yet


def table2_seconds(model: str) -> tuple[float, str]:
    """Return the published seconds of a training of a model on THUMOS14, and the GPU that took them."""
    return _table2().get(model, (UNPUBLISHED_SECONDS, "no published time"))


@cache
def _table2() -> dict[str, tuple[float, str]]:
    """Return the published training seconds of each model and the GPU that they were measured on."""
    from tal_repro.published.load import FOLDER, load_table
    from tal_repro.published.schema import SCHEMAS

    table = load_table(FOLDER / "table2.csv", SCHEMAS["table2"])
    return {row["model"]: (row["train_seconds_mean"], row["hardware"].split(",")[0]) for row in table.rows()}
