"""`tal-repro models`: list the models; start a new one and check it (models_new.py)."""

from __future__ import annotations

import json

import click

from tal_repro.commands import models_new
from tal_repro.models.registry import ENTRIES

SCHEMA = "tal-repro/models/1"


@click.group(invoke_without_command=True)
@click.option("--json", "as_json", is_flag=True, help="Machine-readable, on standard output.")
@click.pass_context
def models(context: click.Context, as_json: bool) -> None:
    """List the models of the study, or start and check one of your own."""
    if context.invoked_subcommand is not None:
        return
    from tal_repro.engines.registry import engines_of

    rows = [
        {
            "name": entry.name,
            "title": entry.title,
            "engines": list(engines_of(entry.name)),
            "unit": entry.unit,
            "repository": entry.repository,
            "commit": entry.commit,
            "licence": entry.licence,
        }
        for entry in ENTRIES
    ]
    if as_json:
        click.echo(json.dumps({"schema": SCHEMA, "models": rows}))
        return
    for entry in ENTRIES:
        engines = ", ".join(engines_of(entry.name))
        click.echo(f"{entry.name:<14} {entry.title:<14} {engines:<17} {entry.repository} at {entry.commit[:12]}")


models_new.attach(models)
