"""`tal-repro study new`: a study file that fits a data set of one's own, each choice with its reason."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

import click

from tal_repro.console import echo, tell_next
from tal_repro.errors import InputError
from tal_repro.files import write_bytes
from tal_repro.models.registry import MODELS, model_entry

if TYPE_CHECKING:
    from tal_repro.data.fitting import Choice

NATIVE = [name for name, entry in MODELS.items() if "native" in entry.engines]
ENGINES = ("native", "upstream")


@click.group()
def study() -> None:
    """Write a study of a data set of your own."""


@study.command()
@click.option("--data", "definition", type=click.Path(path_type=Path), required=True, help="Definition: my-data.toml.")
@click.option("--models", default=",".join(NATIVE), show_default=True, help="Models, by commas.")
@click.option(
    "--engines", default="native", show_default=True, help="Who trains: native, upstream (the authors' code), or both."
)
@click.option("--repeats", type=click.IntRange(1, 20), default=3, show_default=True, help="Subsets at each share.")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", help="auto: a GPU if any.")
@click.option("--trial", is_flag=True, help="Small networks, few epochs: to see the way in minutes, not to judge by.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="New study file: my-study.toml.")
def new(definition: Path, models: str, engines: str, repeats: int, device: str, trial: bool, out: Path) -> None:
    """Fit models to a data set; write its study: baselines, mAP against the share of its data, MACs, times, a trace."""
    from tal_repro.commands.study_text import Plan, study_text
    from tal_repro.data import load_dataset, open_features
    from tal_repro.data.fitting import fitted_recipe
    from tal_repro.data.layouts import is_definition
    from tal_repro.data.set_checks import require_sound

    if not is_definition(definition):
        raise InputError("not a definition", definition, "write one: tal-repro data describe ... --out my-data.toml")
    if out.exists():
        raise InputError("is there already", out, "name a new file, or move it away")
    chosen = _names(models, NATIVE, "native model", "--models")
    asked = _names(engines, ENGINES, "engine", "--engines")
    dataset = load_dataset(definition)
    require_sound(dataset)
    dim = open_features(definition).dim
    if device == "auto":
        device = "cuda" if _gpu() else "cpu"
    recipes = {model: fitted_recipe(dataset, model, dim, asked) for model in chosen}
    if trial:
        from tal_repro.commands.study_trial import trial_recipe

        recipes = {model: {**fit, **trial_recipe(dataset, model, fit, asked)} for model, fit in recipes.items()}
    kept_native = {model: why for model in chosen if "upstream" in asked and (why := _untold(model, recipes[model]))}
    if kept_native and "native" not in asked:
        model, why = next(iter(kept_native.items()))
        raise InputError(why, "--engines", f"--engines native,upstream, or leave out {model}")
    of_model = {model: ("native",) if model in kept_native else tuple(asked) for model in chosen}
    plan = Plan(dataset, definition, recipes, of_model, kept_native, repeats, device, trial)
    write_bytes(out, study_text(plan, out).encode())
    _check(out)
    for why in kept_native.values():
        echo(f"native only: {why}", err=True)
    echo(f"study written to {out}")
    tell_next(f"tal-repro plan --study {quote(str(out))}", f"tal-repro run --study {quote(str(out))}")


def _names(text: str, known: list[str] | tuple[str, ...], kind: str, option: str) -> list[str]:
    """Return the names that stand between commas, each once; InputError for one that is not known, or for none."""
    names = list(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    for name in names or [""]:
        if name not in known:
            raise InputError(f"no {kind} {name!r}", option, f"use any of: {', '.join(known)}")
    return names


def _gpu() -> bool:
    from tal_repro.machine.gpus import visible_gpus

    return bool(visible_gpus())


def _untold(model: str, choices: Mapping[str, Choice]) -> str:
    """Return why the authors' code of a model cannot be told a recipe; "" where it can."""
    from tal_repro.engines.upstream.settings import resolved

    if "upstream" not in model_entry(model).engines:
        return f"{model} has no authors' code"
    try:
        resolved(model, {key: choice.value for key, choice in choices.items()})
    except InputError as error:
        return error.what
    return ""


def _check(out: Path) -> None:
    """Read what was written as `plan` will; a study that cannot be read is not left behind."""
    from tal_repro.study import load_study

    try:
        load_study(str(out))
    except InputError:
        out.unlink(missing_ok=True)
        raise
