"""`tal-repro subset`: draw the training units of a run, and say what they hold."""

from __future__ import annotations

import json
from pathlib import Path
from typing import get_args

import click

from tal_repro.console import echo, emit, tell_next
from tal_repro.errors import InputError
from tal_repro.spec import Policy, Unit

SCHEMA = "tal-repro/subset/1"


@click.command()
@click.option("--data", "folder", type=click.Path(path_type=Path), required=True, help="The data folder.")
@click.option("--percent", type=float, required=True, help="Share of the training units, above 0 up to 100.")
@click.option("--unit", type=click.Choice(get_args(Unit)), default="video", show_default=True)
@click.option("--policy", type=click.Choice(get_args(Policy)), default="uniform", show_default=True)
@click.option("--seed", default=1, show_default=True, help="Of the draw; for policy published the run number.")
@click.option(
    "--model", type=click.Choice(["actionformer", "temporalmaxer"]), help="Whose subset, with --policy published."
)
@click.option("--out", type=click.Path(path_type=Path), help="Write the subset file here (for train --subset).")
@click.option("--json", "as_json", is_flag=True, help="Print subset and counts as JSON.")
def subset(
    folder: Path,
    percent: float,
    unit: Unit,
    policy: Policy,
    seed: int,
    model: str | None,
    out: Path | None,
    as_json: bool,
) -> None:
    """Draw the training units of a run: ids on standard output, counts on standard error."""
    from tal_repro.data.subsets import describe_subset, draw_subset
    from tal_repro.run.datasets import dataset_for_unit

    if model and policy != "published":
        raise InputError(f"policy {policy} draws the same units for every model", "--model", "leave it out")
    dataset = dataset_for_unit(folder, unit)
    drawn = draw_subset(dataset, unit, policy, percent, seed, model=model)
    counts = describe_subset(dataset, drawn)
    if out:
        drawn.write(out)
    if as_json:
        source = {"name": dataset.name, "synthetic": dataset.synthetic, "annotation_hash": dataset.annotation_hash}
        emit(json.dumps({"schema": SCHEMA, "data": source, **drawn.to_json(), "counts": counts}, indent=1))
        return
    emit("\n".join(drawn.ids))
    echo(
        f"{counts['units']} of {counts['units_total']} training {unit}s ({dataset.name}): "
        f"{counts['videos']} videos, {counts['instances']} instances, "
        f"{counts['classes']} of {counts['classes_total']} classes",
        err=True,
    )
    tell_next(
        f"tal-repro train --model MODEL --data {folder} --subset {out}"
        if out
        else "the same with --out FILE keeps it for tal-repro train --subset FILE"
    )
