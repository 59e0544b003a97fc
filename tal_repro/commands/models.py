"""`tal-repro models`: what the kit can train, with sizes, cost and sources; below it, commands for a model of yours."""

from __future__ import annotations

import importlib
import importlib.util
import json
from typing import Any

import click

from tal_repro.console import echo
from tal_repro.text_table import table

# subcommand -> (module in tal_repro.commands, attribute)
SUBCOMMANDS = {"new": ("models_new", "new"), "check": ("models_new", "check")}
PUBLIC = (
    "name", "title", "feature_stride_frames", "unit", "repository", "commit", "submodule", "licence", "paper",
)  # fmt: skip
COMMIT_DIGITS = 7


class LazySubcommands(click.Group):
    """A group that imports a subcommand's module only when it runs."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(SUBCOMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in SUBCOMMANDS:
            return None
        module, attribute = SUBCOMMANDS[name]
        command: click.Command = getattr(importlib.import_module(f"tal_repro.commands.{module}"), attribute)
        return command


@click.group(cls=LazySubcommands, invoke_without_command=True)
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
        echo(json.dumps({"schema": "tal-repro/models/1", "models": rows}, indent=2))
        return
    echo("\n".join(_table(rows)))


def describe(name: str, with_macs: bool) -> dict[str, Any]:
    """Return what is known of a model; sizes are null without torch or a native model, `macs` if not asked for."""
    from tal_repro.models import model_entry
    from tal_repro.models.recipes import TadtrRecipe

    entry = model_entry(name)
    row: dict[str, Any] = {key: getattr(entry, key) for key in PUBLIC} | {"native": not entry.adapter}
    row |= {"training_length": None, "parameters": None, "macs": None}
    if entry.adapter:
        return row
    recipe = entry.recipe
    length = recipe.slice_length if isinstance(recipe, TadtrRecipe) else recipe.max_seq_len
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
    return f"{row['title']}: {paper}{row['repository']}@{row['commit'][:COMMIT_DIGITS]}"
