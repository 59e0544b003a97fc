"""The text of a study of one's own data set: its experiments, and each value with its reason."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tal_repro.study_checks import OF_A_SET

if TYPE_CHECKING:
    from tal_repro.data import DataSet
    from tal_repro.data.fitting import Choice


@dataclass(frozen=True)
class Plan:
    """What a study is written of. `engines`: of each model; `kept_native`: why a model has one engine only."""

    dataset: DataSet
    definition: Path
    recipes: Mapping[str, Mapping[str, Choice]]
    engines: Mapping[str, tuple[str, ...]]
    kept_native: Mapping[str, str]
    repeats: int
    device: str
    trial: bool  # the demo's small networks


def study_text(plan: Plan, out: Path) -> str:
    """Return the study file, as it is to lie at `out`."""
    return "\n".join([*_head(plan, out), *_trainings(plan), *_measurements(plan), *_recipes(plan)]) + "\n"


def _head(plan: Plan, out: Path) -> Iterator[str]:
    dataset = plan.dataset
    yield f"# {dataset.name}: {len(dataset.train)} training and {len(dataset.test)} test videos."
    yield "# Written by tal-repro study new: every value has its rule behind it. Change what you know better."
    yield 'schema = "tal-repro/study/1"'
    yield f'name = "{dataset.name}"'
    yield f'title = "mAP and cost against the data of {dataset.name}"'
    yield from ("", "[data]", f'name = "{dataset.name}"', f'version = "{_plain(dataset.version)}"')
    yield f'annotation_hash = "{dataset.annotation_hash}" # of these annotations: others are another study'
    yield f"synthetic = {str(dataset.synthetic).lower()}"
    yield f'definition = "{_plain(os.path.relpath(plan.definition.absolute(), out.absolute().parent))}"'
    yield from ("", "[defaults]", 'engines = ["native"]', f'device = "{plan.device}"')
    yield from _costs(plan)


def _costs(plan: Plan) -> Iterator[str]:
    from tal_repro.commands.study_costs import run_seconds

    how = "a trial's, measured on one core" if plan.trial else "Table 2's of THUMOS14, by what goes through the network"
    yield from ("", "[cost.run_seconds]", f"# of a training on all videos: {how}; runs done here correct it")
    for name, seconds in run_seconds(plan.dataset, plan.recipes, plan.trial).items():
        yield f"{name} = {max(round(seconds), 1)}"


def _trainings(plan: Plan) -> Iterator[str]:
    """Yield baselines and sweeps, a table for the models of the same engines, and a trace."""
    from tal_repro.data.fitting import shares

    for engines in dict.fromkeys(plan.engines.values()):
        models = [model for model, of_model in plan.engines.items() if of_model == engines]
        reasons = [f"# native only: {plan.kept_native[model]}" for model in models if model in plan.kept_native]
        common = [f"models = {_list(models)}", f"engines = {_list(engines)}"]
        yield from ("", *reasons, "[[experiments]]", 'experiment = "baseline"', *common)
        options = _options(plan, "baseline") if "native" in engines else []
        yield from (f"seeds = {list(range(plan.repeats))}", *options)
        yield from ("", "[[experiments]]", 'experiment = "data_sweep"', *common, f"repeats = {plan.repeats}")
        yield f"percentages = {shares(plan.dataset)} # shares that hold at least 4 training videos"
        yield from options
    traced = ['experiment = "trace"', f"models = {_list(list(plan.recipes)[:1])}", *_options(plan, "trace")]
    yield from ("", "[[experiments]]", *traced)


def _measurements(plan: Plan) -> Iterator[str]:
    """Yield counts and times of each model at the authors' size, but for what the set decides."""
    from tal_repro.data.fitting import measured_lengths

    lengths = f"feature_lengths = {measured_lengths(plan.dataset)} # of this set's videos, and parts of the median one"
    for experiment in ("macs", "inference"):
        for model, choices in plan.recipes.items():
            decided = ", ".join(f"{key} = {choices[key].value}" for key in OF_A_SET if key in choices)
            yield from ("", "[[experiments]]", f'experiment = "{experiment}"', f'models = ["{model}"]', lengths)
            yield f"recipe = {{ {decided} }} # the rest is the authors' size"
            yield from _options(plan, experiment)


def _options(plan: Plan, experiment: str) -> list[str]:
    """Return what a trial does less of in an experiment."""
    from tal_repro.commands.study_trial import trial_options

    options = trial_options(experiment) if plan.trial else {}
    return [f"options = {_table(options)} # a trial"] if options else []


def _recipes(plan: Plan) -> Iterator[str]:
    for model, choices in plan.recipes.items():
        yield from ("", f"[recipes.{model}]")
        yield from (f"{key} = {_value(choice.value)} # {choice.reason}" for key, choice in choices.items())


def _list(names: Sequence[str]) -> str:
    return "[" + ", ".join(f'"{name}"' for name in names) + "]"


def _table(values: Mapping[str, Any]) -> str:
    shown = {key: _table(value) if isinstance(value, Mapping) else _value(value) for key, value in values.items()}
    return "{ " + ", ".join(f"{key} = {value}" for key, value in shown.items()) + " }"


def _value(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _plain(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
