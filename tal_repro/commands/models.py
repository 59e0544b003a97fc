"""`tal-repro models`: what the kit can train, with sizes, cost and sources; below it, commands for a model of yours."""

from __future__ import annotations

import importlib.util
import json
import sys
from typing import Any

import click

from tal_repro.console import echo, emit, tell_next
from tal_repro.text_table import table

PUBLIC = (
    "name", "title", "feature_stride_frames", "unit", "repository", "commit", "submodule", "licence", "paper",
)  # fmt: skip
COMMIT_DIGITS = 7


@click.group(invoke_without_command=True)
@click.option("--macs/--no-macs", "with_macs", default=True, show_default=True, help="Count MACs (some seconds).")
@click.option("--json", "as_json", is_flag=True, help="Print JSON (schemas/models.json) alone.")
@click.pass_context
def models(ctx: click.Context, with_macs: bool, as_json: bool) -> None:
    """List the models with parameters, MACs at the training length, sources and licence; or check or start one."""
    if ctx.invoked_subcommand is not None:
        return
    from tal_repro.models import MODELS

    rows = []
    for name in MODELS:
        if with_macs:
            echo(f"counting {name}", err=True)
        rows.append(describe(name, with_macs))
    if as_json:
        emit(json.dumps({"schema": "tal-repro/models/1", "models": rows}, indent=2))
        return
    echo("\n".join(_table(rows)))
    tell_next(
        "tal-repro models check MODEL  # runs its contract", "tal-repro train --model MODEL --data DIR  # trains it"
    )


def describe(name: str, with_macs: bool) -> dict[str, Any]:
    """Return what is known of a model; sizes are null without torch or a native model, `macs` if not asked for."""
    from tal_repro.models import model_entry

    entry = model_entry(name)
    row: dict[str, Any] = {key: getattr(entry, key) for key in PUBLIC} | {"native": "native" in entry.engines}
    row |= {"training_length": None, "parameters": None, "macs": None}
    if not row["native"]:
        return row
    length = entry.recipe.training_length
    row["training_length"] = length
    if not _has_torch():
        return row
    from tal_repro.models import build

    row["parameters"] = sum(p.numel() for p in build(name).parameters())  # type: ignore[attr-defined]
    if with_macs:
        from tal_repro.measure.macs import count_macs

        row["macs"] = count_macs(name, length).macs
    return row


def _has_torch() -> bool:
    return importlib.util.find_spec("torch") is not None


def _table(rows: list[dict[str, Any]]) -> list[str]:
    lines = table(
        {
            "model": [row["name"] for row in rows],
            "parameters": [_grouped(row["parameters"]) for row in rows],
            "GMACs": ["-" if row["macs"] is None else f"{row['macs'] / 1e9:.3f}" for row in rows],
            "at (steps)": [row["training_length"] or "-" for row in rows],
            "unit": [row["unit"] for row in rows],
            "licence": [row["licence"] for row in rows],
        }
    )
    notes = "GMACs: upstream's algorithm, batch 1, at this many feature steps (the training length)."
    if any(row["parameters"] is None and row["native"] for row in rows):
        notes += " Without torch, models cannot be built: parameters and MACs are left out."
    return [*lines, notes, *map(_source, rows)]


def _grouped(count: int | None) -> str:
    return "-" if count is None else f"{count:,}".replace(",", " ")


def _source(row: dict[str, Any]) -> str:
    paper = f"{row['paper']}; " if row["paper"] else ""
    source = f"{row['repository']}@{row['commit'][:COMMIT_DIGITS]}" if row["repository"] else "a model of your own"
    return f"{row['title']}: {paper}{source}"


@models.command()
@click.argument("name")
@click.option("--repository", required=True, metavar="URL", help="Address of the authors' repository.")
@click.option("--commit", required=True, metavar="SHA", help="The commit to pin, all 40 digits.")
@click.option("--title", help="The model's name in figures and tables. [default: NAME]")
@click.option("--licence", default="not stated", show_default=True, help="Of the authors' code at that commit.")
@click.option("--unit", type=click.Choice(["video", "slice"]), default="video", show_default=True)
def new(name: str, repository: str, commit: str, title: str | None, licence: str, unit: str) -> None:
    """Write what a model beyond the four needs: a description to fill in, a patch folder, submodule and registry line.

    Touches no network. docs/adding-a-model.md walks through the rest.
    """
    from tal_repro import kit
    from tal_repro.engines.upstream.template import NewModel, write_new

    model = NewModel(name, title or name, repository, commit, licence, unit)
    for path in write_new(model, kit.require_checkout("models new")):
        emit(path)
    where = f"third_party/{model.folder}"
    tell_next(
        f"git clone {repository} {where}",
        f"git -C {where} checkout {commit}",
        f"git update-index --add --cacheinfo 160000,{commit},{where}",
        "fill in the description, and make the patches",
        f"tal-repro models check {name}",
    )


@models.command()
@click.argument("name")
@click.option("--engine", type=click.Choice(["native", "upstream"]), help="[default: the model's first]")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Of the small training (repeatable).")
@click.option("--train/--no-train", default=True, show_default=True, help="Train on a small synthetic set as well.")
@click.option(
    "--budget", type=click.FloatRange(1), default=900.0, show_default=True, metavar="SECONDS",
    help="Train longer while too little is learnt to judge by and this allows it.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Machine-readable, on standard output.")
def check(name: str, engine: str | None, settings: tuple[str, ...], train: bool, budget: float, as_json: bool) -> None:
    """Run the contract of a model step by step; exit 1 where one fails or shows too little to be judged."""
    from tal_repro.commands.train import read_settings
    from tal_repro.engines.registry import engines_of
    from tal_repro.run.contract import check_model

    chosen = engine or engines_of(name)[0]
    findings = []
    for finding in check_model(name, chosen, read_settings(settings), train, budget):
        findings.append(finding)
        if not as_json:
            echo(f"{finding.outcome:<12} {finding.step:<12} {finding.message}")
    if not as_json:
        mended = f"mend what is not ok, then again: tal-repro models check {name}"
        good = all(finding.outcome == "ok" for finding in findings)
        tell_next(f"tal-repro train --model {name} --engine {chosen} --data DIR" if good else mended)
    passed = all(finding.outcome == "ok" for finding in findings)
    if as_json:
        rows = [{"step": result.step, "outcome": result.outcome, "message": result.message} for result in findings]
        payload = {
            "schema": "tal-repro/models-check/1",
            "model": name,
            "engine": chosen,
            "passed": passed,
            "steps": rows,
        }
        emit(json.dumps(payload))
    sys.exit(0 if passed else 1)
