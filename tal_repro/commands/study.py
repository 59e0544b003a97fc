"""`tal-repro study new`: a study file that fits a data set of one's own, each choice with its reason."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tal_repro.console import echo, tell_next
from tal_repro.errors import InputError
from tal_repro.files import write_bytes
from tal_repro.models.registry import MODELS

if TYPE_CHECKING:
    from tal_repro.data import DataSet
    from tal_repro.data.fitting import Choice

    Recipes = Mapping[str, Mapping[str, Choice]]

NATIVE = [name for name, entry in MODELS.items() if "native" in entry.engines]


@click.group()
def study() -> None:
    """Write a study of a data set of your own."""


@study.command()
@click.option("--data", "definition", type=click.Path(path_type=Path), required=True, help="Definition: my-data.toml.")
@click.option("--models", default=",".join(NATIVE), show_default=True, help="Models, by commas.")
@click.option("--repeats", type=click.IntRange(1, 20), default=3, show_default=True, help="Subsets at each share.")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", help="auto: a GPU if any.")
@click.option("--trial", is_flag=True, help="Small networks, few epochs: to see the way in minutes, not to judge by.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="New study file: my-study.toml.")
def new(definition: Path, models: str, repeats: int, device: str, trial: bool, out: Path) -> None:
    """Fit models to a data set; write its study: baselines, mAP against the share of its data, MACs, times, a trace."""
    from tal_repro.data import load_dataset, open_features
    from tal_repro.data.fitting import fitted_recipe
    from tal_repro.data.layouts import is_definition

    if not is_definition(definition):
        raise InputError("not a definition", definition, "write one: tal-repro data describe ... --out my-data.toml")
    if out.exists():
        raise InputError("is there already", out, "name a new file, or move it away")
    chosen = [name.strip() for name in models.split(",") if name.strip()]
    for name in chosen or [""]:
        if name not in NATIVE:
            raise InputError(f"no native model {name!r}", "--models", f"use any of: {', '.join(NATIVE)}")
    dataset, dim = load_dataset(definition), open_features(definition).dim
    if device == "auto":
        device = "cuda" if _gpu() else "cpu"
    recipes = {model: fitted_recipe(dataset, model, dim) for model in chosen}
    if trial:
        recipes = {model: {**choices, **_trial(dataset, model, choices)} for model, choices in recipes.items()}
    text = "\n".join(_lines(dataset, definition, recipes, repeats, device, out)) + "\n"
    write_bytes(out, text.encode())
    _check(out)
    echo(f"study written to {out}")
    tell_next(f"tal-repro plan --study {out}", f"tal-repro run --study {out}")


def _gpu() -> bool:
    from tal_repro.machine.gpus import visible_gpus

    return bool(visible_gpus())


def _trial(dataset: DataSet, model: str, fitted: Mapping[str, Choice]) -> dict[str, Choice]:
    """Return what the demo's small networks have in place of the full ones, for as many steps as the demo takes."""
    from tal_repro.data.fitting import Choice, training_unit_count
    from tal_repro.study import load_study

    demo = load_study("demo")
    sizes = {key: value for key, value in demo.recipes[model].items() if key not in fitted or key == "batch_size"}
    # the demo's videos make a slice each, those of another set hundreds
    units = training_unit_count(dataset, fitted)
    epochs = int(demo.recipes[model]["epochs"]) * int(demo.synthesis["videos"]) / units
    epochs = min(max(round(epochs), 4), 60)
    sizes |= {"epochs": epochs} | ({"lr_decay_epoch": epochs - 1} if "lr_decay_epoch" in fitted else {})
    return {key: Choice(value, "a trial") for key, value in sizes.items()}


def _check(out: Path) -> None:
    """Read what was written as `plan` will; a study that cannot be read is not left behind."""
    from tal_repro.study import load_study

    try:
        load_study(str(out))
    except InputError:
        out.unlink(missing_ok=True)
        raise


def _lines(dataset: DataSet, definition: Path, recipes: Recipes, repeats: int, device: str, out: Path) -> Iterator[str]:
    from tal_repro.data.fitting import shares

    models = list(recipes)
    lengths = _feature_lengths(dataset)
    yield f"# {dataset.name}: {len(dataset.train)} training and {len(dataset.test)} test videos."
    yield "# Written by tal-repro study new: every value has its rule behind it. Change what you know better."
    yield 'schema = "tal-repro/study/1"'
    yield f'name = "{dataset.name}"'
    yield f'title = "mAP and cost against the data of {dataset.name}"'
    yield from ("", "[data]", f'name = "{dataset.name}"', f'version = "{_plain(dataset.version)}"')
    yield f'annotation_hash = "{dataset.annotation_hash}" # of these annotations: others are another study'
    yield f"synthetic = {str(dataset.synthetic).lower()}"
    yield f'definition = "{_plain(os.path.relpath(definition.absolute(), out.absolute().parent))}"'
    yield from ("", "[defaults]", 'engines = ["native"]', f'device = "{device}"')
    listed, swept = f"models = {_list(models)}", shares(dataset)
    yield from ("", "[[experiments]]", 'experiment = "baseline"', listed, f"seeds = {list(range(repeats))}")
    yield from ("", "[[experiments]]", 'experiment = "data_sweep"', listed, f"repeats = {repeats}")
    yield f"percentages = {swept} # shares that hold at least 4 training videos"
    for model in models:
        yield from ("", "[[experiments]]", 'experiment = "macs"', f'models = ["{model}"]')
        yield f"feature_lengths = {lengths} # the set's own: median, 95 %, longest"
        yield f"recipe = {{ {_inline(recipes[model])} }}"
    yield from ("", "[[experiments]]", 'experiment = "inference" # of the models at their full size', listed)
    yield f"feature_lengths = {lengths}"
    yield from ("", "[[experiments]]", 'experiment = "trace"', f'models = ["{models[0]}"]')
    for model, choices in recipes.items():
        yield from ("", f"[recipes.{model}]")
        yield from (f"{key} = {_value(choice.value)} # {choice.reason}" for key, choice in choices.items())


def _feature_lengths(dataset: DataSet) -> list[int]:
    import numpy as np

    steps = [video.feature_length for video in [*dataset.train, *dataset.test]]
    return sorted({max(int(np.percentile(steps, share)), 2) for share in (50, 95, 100)})


def _inline(choices: Mapping[str, Any]) -> str:
    """Return the part of a recipe that decides the size of a network, as an inline table."""
    kept = ("feature_dim", "num_classes", "levels", "regression_ranges", "max_seq_len")
    return ", ".join(f"{key} = {choices[key].value}" for key in kept if key in choices)


def _list(names: list[str]) -> str:
    return "[" + ", ".join(f'"{name}"' for name in names) + "]"


def _value(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _plain(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
