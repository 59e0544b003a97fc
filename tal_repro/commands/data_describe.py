"""`tal-repro data describe`: look at anybody's annotations and features, and write the definition of the data set."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tal_repro.console import echo
from tal_repro.errors import InputError

if TYPE_CHECKING:
    from tal_repro.data.describe import Description

DESCRIBE_SCHEMA = "tal-repro/data-describe/1"
SHOWN = 10  # problems of each kind


@click.command()
@click.argument("annotations", type=click.Path(path_type=Path))
@click.argument("features", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), help="Write the definition here: my-data.toml.")
@click.option("--train", multiple=True, help="Subset to train on, as the annotations name it.")
@click.option("--test", multiple=True, help="Subset to score.")
@click.option("--key", default="", help="Array in each .npz, .pt or HDF5 file.")
@click.option("--axes", type=click.Choice(["TC", "CT"]), help="Which axis of a file is time.")
@click.option("--fps", type=float, help="Frames a second, where the annotations state none.")
@click.option("--stride", "stride_frames", type=float, help="Frames between two feature steps.")
@click.option("--steps-per-second", type=float, help="Feature steps a second, instead of --stride.")
@click.option("--clip", "clip_frames", type=float, help="Frames that a feature step sees.")
@click.option("--hash", "hashed", is_flag=True, help="Read every value: videos of equal features are found.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def describe(annotations: Path, features: Path, out: Path | None, hashed: bool, as_json: bool, **given: Any) -> None:
    """Say what ANNOTATIONS and FEATURES (a folder, or one .h5 or .npz) hold, and every problem with its remedy."""
    from tal_repro.data.definition import definition_text
    from tal_repro.data.describe import Given
    from tal_repro.data.describe import describe as look
    from tal_repro.files import write_bytes

    if given["stride_frames"] and given["steps_per_second"]:
        raise InputError("both --stride and --steps-per-second", remedy="give one of them")
    for name in ("fps", "stride_frames", "steps_per_second", "clip_frames"):
        if given[name] is not None and not given[name] > 0:
            raise InputError(f"{given[name]:g} is not above 0", f"--{name.split('_')[0]}", "give a positive number")
    if out is not None and out.exists():
        raise InputError("is there already", out, "name a new file, or move it away")
    found = look(annotations, features, out or Path("my-data.toml"), Given(**given), hashed)
    if as_json:
        echo(json.dumps(_as_json(found), indent=1))
    else:
        _print(found)
    if out is not None:
        write_bytes(out, definition_text(found.definition, dict(found.guesses)).encode())
        echo(f"definition written to {out}; next: tal-repro study new --data {out} --out my-study.toml", err=True)
    elif not as_json:
        echo("next: the same with --out my-data.toml writes the definition of the data set")
    sys.exit(1 if found.errors else 0)


def _as_json(found: Description) -> dict[str, Any]:
    from dataclasses import asdict

    from tal_repro.data.describe import facts

    return {
        "schema": DESCRIBE_SCHEMA, "name": found.definition.name, "classes": list(found.dataset.classes),
        "annotation_hash": found.dataset.annotation_hash, "channels": found.dim,
        "stride_frames": found.definition.stride_frames, "steps_per_second": found.definition.steps_per_second,
        "train": list(found.definition.train), "test": list(found.definition.test),
        "facts": {name: dict(zip(("all", "train", "test"), row, strict=True)) for name, row in facts(found).items()},
        "guesses": dict(found.guesses), "errors": found.errors,
        "problems": [asdict(problem) for problem in found.problems],
    }  # fmt: skip


def _print(found: Description) -> None:
    from tal_repro.data.describe import facts
    from tal_repro.text_table import table

    definition, rows = found.definition, facts(found)
    stride, rate = definition.stride_frames, definition.steps_per_second
    step = f"{stride:g} frames" if stride else f"{rate:g} a second"
    echo(f"{definition.name}: {len(found.dataset.classes)} classes, {found.dim} channels, a feature step: {step}")
    columns = ["all", "train", "test"]
    cells = {name: [row[index] for row in rows.values()] for index, name in enumerate(columns)}
    for line in table({"": list(rows), **cells}):
        echo(line)
    for key, how in found.guesses.items():
        echo(f"guessed: {key} ({how})")
    for severity in ("error", "note"):
        listed = [problem for problem in found.problems if problem.severity == severity]
        for problem in listed[:SHOWN]:
            echo(f"{severity}: {problem.where}: {problem.what}\n  remedy: {problem.remedy}")
        if len(listed) > SHOWN:
            echo(f"and {len(listed) - SHOWN} more of this kind (--json lists all)")
