"""The options that plan, run, status and gc share: which study, where its runs lie, what replaces its settings."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tal_repro.commands.completion import studies
from tal_repro.errors import InputError
from tal_repro.spec import SCOPES

if TYPE_CHECKING:
    from tal_repro.study import Study

RESULTS = "results/runs"
OWN_DATA = ".synthetic"

study_option = click.option(
    "--study",
    "study_name",
    default="paper",
    show_default=True,
    help="Shipped study, or a file.",
    shell_complete=studies,
)
results_option = click.option(
    "--results", default=RESULTS, show_default=True, type=click.Path(file_okay=False), help="Folder of run folders."
)
scope_option = click.option(
    "--scope", type=click.Choice(SCOPES), default="core", show_default=True, help="How much of the study."
)
only_option = click.option(
    "--only", default="", metavar="EXPR", help="Only runs such as model=tadtr,percent<=20 (docs/running.md: the keys)."
)
set_option = click.option(
    "--set", "settings", multiple=True, metavar="KEY=VALUE", help="engine, device, repeats, jobs_per_gpu, slurm.*, ..."
)


def study_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --study, --scope, --only, --results and --set."""
    for option in (set_option, results_option, only_option, scope_option, study_option):
        command = option(command)
    return command


def study_words(study_name: str, settings: tuple[str, ...] = (), only: str = "") -> str:
    """Return --study, --set and --only as a shell takes them: a command that is suggested is about the same runs."""
    words = ["--study", study_name]
    for setting in settings:
        words += ["--set", setting]
    return shlex.join([*words, *(["--only", only] if only else [])])


def of_study(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --study and --data-digest: whose runs of a results folder are meant."""
    digest = click.option(
        "--data-digest", "data_digests", multiple=True, metavar="HEX",
        help="Runs of this state of the data, where several are there (repeatable).",
    )  # fmt: skip
    study = click.option(
        "--study", metavar="STUDY", help="Whose runs.  [default: the study that was run there; paper where none was]",
        shell_complete=studies,
    )  # fmt: skip
    return study(digest(command))


def open_study(name: str, settings: tuple[str, ...], only: str = "") -> tuple[Study, dict[str, str]]:
    """Load a study under its settings; return it and the settings of the machine, checked.

    `only` may name a model that joins when it is asked for (DyFADet): that asks for it.
    """
    from tal_repro.run.machine import check_machine, is_machine_setting
    from tal_repro.study import load_study

    pairs: dict[str, str] = {}
    for key, value in map(_pair, settings):
        if key in pairs:
            raise InputError(f"{key} is given twice: {pairs[key]!r} and {value!r}", "--set", f"give {key} once")
        pairs[key] = value
    if _names_a_later_model(only):
        pairs.setdefault("models", "all")
    machine = {key: value for key, value in pairs.items() if is_machine_setting(key)}
    check_machine(machine)
    return load_study(name, {key: value for key, value in pairs.items() if key not in machine}), machine


def _names_a_later_model(only: str) -> bool:
    from tal_repro.models.registry import MODELS
    from tal_repro.run.selection import parse_filter

    terms = [term for term in parse_filter(only) if (term.key, term.sign) == ("model", "=")]
    return any(not MODELS[name].by_default for term in terms for name in term.values)


def default_data(results: str) -> Path:
    """Return where a study's own synthetic data set lies: below its results folder, whose readers pass it by."""
    return Path(results) / OWN_DATA


def _pair(text: str) -> tuple[str, str]:
    key, sign, value = text.partition("=")
    if not sign or not key.strip() or not value.strip():
        raise InputError(f"not a setting: {text!r}", "--set", "write KEY=VALUE, for example engine=native")
    return key.strip(), value.strip()
