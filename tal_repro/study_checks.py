"""What a study file may say beyond its keys: the options of each experiment, the size of the grid, data that fit."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tal_repro.errors import InputError
from tal_repro.experiments import EXPERIMENTS, MEASURED
from tal_repro.study_file import Table

if TYPE_CHECKING:
    from tal_repro.data.synthetic_config import SyntheticConfig

MAX_RUNS = 1_000_000  # of a study: every one of them is planned and shown
EFFORT = {"min_samples": 1, "max_samples": 1, "max_warmup": 0}  # whole numbers and their least, as in measure.latency
EFFORT_REAL = ("min_seconds", "stable_within")
NATIVE_OPTIONS = ("evaluate_every",)
COUNTED = (  # recipe fields that a count of MACs depends on
    "feature_dim", "num_classes", "embed_dim", "head_dim", "max_seq_len", "levels", "regression_ranges", "stem_blocks",
    "attention_heads", "attention_window", "mlp_dim", "trident_bins", "hidden_dim", "ffn_dim", "encoder_layers",
    "decoder_layers", "sampling_points", "queries", "actionness", "roi_bins",
)  # fmt: skip


OF_A_SET = ("feature_dim", "num_classes", "max_seq_len", "levels", "regression_ranges")  # the rest is the authors' size


def read_options(table: Table, experiment: str) -> dict[str, Any]:
    """Return the `options` of an experiment: part of a run's identity, so what nothing reads is refused.

    Trainings by the native engine: evaluate_every (epochs); inference: effort; and what an experiment lists itself.
    """
    options = table.table("options")
    if experiment == "inference":
        effort = options.table("effort")
        for name, low in EFFORT.items():
            effort.integer(name, low, low=low)
        for name in EFFORT_REAL:
            effort.number(name, 0.0, low=0)
        effort.reject_unknown()
    elif experiment not in MEASURED:
        options.integer("evaluate_every", 1, low=1)
    for name, (lowest, highest) in EXPERIMENTS[experiment].options.items():
        options.number(name, lowest, lowest, highest)
    options.reject_unknown()
    return options.values


def options_of(engine: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that an engine reads (a model without a native engine may stand in a native experiment)."""
    return {name: value for name, value in options.items() if engine == "native" or name not in NATIVE_OPTIONS}


def check_engines(table: Table, experiment: str, engines: Collection[str]) -> None:
    """Raise InputError for an option or a recipe of an experiment that none of its engines reads."""
    options, recipe = (table.table(name) for name in ("options", "recipe"))
    for name in NATIVE_OPTIONS:
        if name in options.values and "native" not in engines:
            remedy = "leave it out, or add the native engine"
            raise InputError("the authors' code decides itself when it evaluates", f"{options.where}.{name}", remedy)
    if experiment not in MEASURED:
        return
    if recipe.values and "native" not in engines:
        remedy = "add the native engine: engine = native,upstream"
        raise InputError("the authors' code is counted and timed at full size", recipe.where, remedy)
    if experiment == "inference" and (smaller := sorted(set(recipe.values) - set(OF_A_SET))):
        remedy = f"leave it out; what a data set decides: {', '.join(OF_A_SET)}"
        raise InputError(f"{smaller[0]}: inference is timed on the models at full size", recipe.where, remedy)
    if experiment == "macs" and (unread := sorted(set(recipe.values) - set(COUNTED))):
        remedy = f"leave it out; what a count depends on: {', '.join(COUNTED)}"
        raise InputError(f"{unread[0]} changes no multiply-accumulate", recipe.where, remedy)


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
