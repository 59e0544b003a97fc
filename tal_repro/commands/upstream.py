"""`tal-repro upstream`: look at the authors' checkouts, make patched copies, show what the patches insert."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from tal_repro.console import echo, emit, tell_next
from tal_repro.models.registry import OF_AUTHORS
from tal_repro.text_table import table

ALL = "all"


@click.group()
def upstream() -> None:
    """Look at the authors' code, and prepare the patched copies that the upstream engine runs."""


@upstream.command()
@click.option("--json", "as_json", is_flag=True, help="Machine-readable, on standard output.")
def status(as_json: bool) -> None:
    """Show commit, cleanliness, patches and copy of each model's checkout; exit 1 if one cannot be used."""
    from tal_repro.engines.upstream.checkout import status as look
    from tal_repro.engines.upstream.checkout import to_json

    statuses = [look(model) for model in OF_AUTHORS]
    if as_json:
        emit(json.dumps({"schema": "tal-repro/upstream-status/1", "models": [to_json(status) for status in statuses]}))
    else:
        columns = {
            "model": [status.model for status in statuses],
            "commit": [status.commit[:12] or ("no git" if status.present else "-") for status in statuses],
            "state": [status.problem or "ok" for status in statuses],
            "patched copy": ["ready" if status.prepared else "none yet" for status in statuses],
        }
        echo("\n".join(table(columns)))
        for status in statuses:
            if status.problem:
                echo(f"{status.model}: remedy: {status.remedy}", err=True)
        missing = any(status.problem for status in statuses)
        tell_next("make submodules" if missing else "tal-repro upstream prepare MODEL  # makes a patched copy")
    sys.exit(1 if any(status.problem for status in statuses) else 0)


@upstream.command()
@click.argument("model", type=click.Choice([*OF_AUTHORS, ALL]), metavar="MODEL")
@click.option("--out", type=click.Path(path_type=Path), help="Folder for the copies.  [default: .cache/upstream]")
def prepare(model: str, out: Path | None) -> None:
    """Make the patched copy of MODEL's checkout (all: of each), outside third_party/; one that is there is kept."""
    from tal_repro.engines.upstream.checkout import prepare as make

    for name in OF_AUTHORS if model == ALL else (model,):
        emit(make(name, out))
    tell_next("tal-repro train --engine upstream --model MODEL --data DIR  # runs it")


@upstream.command()
@click.argument("model", type=click.Choice([*OF_AUTHORS, ALL]), metavar="MODEL")
def diff(model: str) -> None:
    """Show what the patches of MODEL (all: of each) insert, and why."""
    from tal_repro import kit
    from tal_repro.engines.upstream.patches import model_patches
    from tal_repro.engines.upstream.shims import needed

    for name in OF_AUTHORS if model == ALL else (model,):
        for patch in model_patches(kit.patches(name)):
            echo(f"{name}/{patch.source.name}: {patch.title}\n  " + patch.reason.replace("\n", "\n  "))
            for change in patch.files:
                for insertion in change.insertions:
                    echo(f"  {change.path}, after line {insertion.after}:")
                    emit("".join(f"    +{line.decode()}\n" for line in insertion.lines), nl=False)
        echo(f"{name}, shims of the launcher:")
        for shim in needed(name):
            echo(f"  {shim.name}: {shim.reason}")
    tell_next("docs/artifact.md rates each by what it could do to a number")
