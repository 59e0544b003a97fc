"""`tal-repro models new` and `models check`: start a fifth model, and run the contract that every model fulfils."""

from __future__ import annotations

import json
import sys

import click

from tal_repro.console import echo


@click.command()
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
        echo(path)
    where = f"third_party/{model.folder}"
    echo(
        f"next, the pointer: git clone {repository} {where} && git -C {where} checkout {commit}\n"
        f"  && git update-index --add --cacheinfo 160000,{commit},{where}\n"
        f"then fill in the description, make the patches, and run: tal-repro models check {name}",
        err=True,
    )


@click.command()
@click.argument("name")
@click.option("--engine", type=click.Choice(["native", "upstream"]), help="[default: the model's first]")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Of the small training (repeatable).")
@click.option("--train/--no-train", default=True, show_default=True, help="Train on a small synthetic set as well.")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable, on standard output.")
def check(name: str, engine: str | None, settings: tuple[str, ...], train: bool, as_json: bool) -> None:
    """Run the contract of a model step by step; exit 1 at the first step that fails."""
    from tal_repro.commands.train import read_settings
    from tal_repro.engines.registry import engines_of
    from tal_repro.run.contract import check_model

    chosen = engine or engines_of(name)[0]
    findings = []
    for finding in check_model(name, chosen, read_settings(settings), train):
        findings.append(finding)
        if not as_json:
            echo(f"{finding.outcome:<8} {finding.step:<12} {finding.message}")
    passed = all(finding.outcome == "ok" for finding in findings)
    if as_json:
        rows = [{"step": one.step, "outcome": one.outcome, "message": one.message} for one in findings]
        payload = {
            "schema": "tal-repro/models-check/1",
            "model": name,
            "engine": chosen,
            "passed": passed,
            "steps": rows,
        }
        echo(json.dumps(payload))
    sys.exit(0 if passed else 1)
