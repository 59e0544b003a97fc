"""What a study file may say beyond its keys: the options of each experiment, the size of the grid, data that fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tal_repro.errors import InputError
from tal_repro.study_file import Table

if TYPE_CHECKING:
    from tal_repro.data.synthetic_config import SyntheticConfig

MAX_RUNS = 1_000_000  # of a study: every one of them is planned and shown
EFFORT = {"min_samples": 1, "max_samples": 1, "max_warmup": 0}  # whole numbers and their least, as in measure.latency
EFFORT_REAL = ("min_seconds", "stable_within")
INTERVAL_S = (0.05, 3600.0)  # what the sampler of measure.trace takes


def read_options(table: Table, experiment: str) -> dict[str, Any]:
    """Return the `options` of an experiment: part of a run's identity, so what nothing reads is refused.

    Trainings: evaluate_every (epochs); trace: interval_s too; inference: effort; macs: none.
    """
    options = table.table("options")
    if experiment == "inference":
        effort = options.table("effort")
        for name, low in EFFORT.items():
            effort.integer(name, low, low=low)
        for name in EFFORT_REAL:
            effort.number(name, 0.0, low=0)
        effort.reject_unknown()
    elif experiment != "macs":
        options.integer("evaluate_every", 1, low=1)
    if experiment == "trace":
        options.number("interval_s", 0.5, *INTERVAL_S)
    options.reject_unknown()
    return options.values


def check_size(runs: Sequence[int], where: str) -> None:
    """Raise InputError for a grid too large to be listed; `runs` are those of each table."""
    if sum(runs) > MAX_RUNS:
        largest = max(range(len(runs)), key=runs.__getitem__)
        raise InputError(
            f"{sum(runs)} runs, {runs[largest]} of them from experiments[{largest}]",
            where,
            f"at most {MAX_RUNS}: use fewer repeats, percentages or seeds",
        )


def check_fit(recipe: Mapping[str, Any], made: SyntheticConfig) -> None:
    """Raise InputError where a training's recipe contradicts the synthetic data that the study makes."""
    for name, value, key in (
        ("feature_dim", made.feature_dim, "feature_dim"),
        ("num_classes", made.classes, "classes"),
    ):
        if recipe[name] != value:
            raise InputError(
                f"{name} = {recipe[name]}, but [data].synthesis makes {key} = {value}", None, f"set {name} = {value}"
            )
