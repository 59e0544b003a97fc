"""`tal-repro data describe`: look at anybody's annotations and features, and write the definition of the data set."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

import click

from tal_repro.commands.train import read_settings
from tal_repro.console import echo, emit, tell_next
from tal_repro.errors import InputError
from tal_repro.study_file import Table

if TYPE_CHECKING:
    from tal_repro.data.describe import Description, Given

DESCRIBE_SCHEMA = "tal-repro/data-describe/1"
KEYS = (
    "fps, stride_frames or steps_per_second, clip_frames, key (of the array), axes (TC or CT), videos (a table of "
    "their durations, fps and subsets), labels (verb or noun)"
)
SHOWN = 10  # problems of each kind
COLUMNS = ("all", "train", "test")  # of the facts


@click.command()
@click.argument("annotations", type=click.Path(path_type=Path))
@click.argument("features", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), help="Write the definition here: my-data.toml.")
@click.option("--train", multiple=True, help="Subset to train on, as the annotations name it.")
@click.option("--test", multiple=True, help="Subset to score.")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help=f"What need not be guessed: {KEYS}.")
@click.option("--hash", "hashed", is_flag=True, help="Read every value: videos of equal features are found.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def describe(
    annotations: Path, features: Path, out: Path | None, train: tuple[str, ...], test: tuple[str, ...],
    settings: tuple[str, ...], hashed: bool, as_json: bool,
) -> None:  # fmt: skip
    """Say what ANNOTATIONS and FEATURES (a folder, or one .h5 or .npz) hold, and every problem with its remedy."""
    from tal_repro.data.definition_text import definition_text
    from tal_repro.data.describe import describe as look
    from tal_repro.files import write_bytes

    given = _given(train, test, settings)
    if out is not None and out.exists():
        raise InputError("is there already", out, "name a new file, or move it away")
    description = look(annotations, features, out or Path("my-data.toml"), given, hashed)
    if out is not None:  # before anything is printed: a pager may not read to the end
        write_bytes(out, definition_text(description.definition, dict(description.guesses)).encode())
    if as_json:
        emit(json.dumps(_as_json(description), indent=1))
    else:
        _print(description)
    if out is not None:
        echo(f"definition written to {out}", err=True)
        if description.errors:
            tell_next(f"mend what is named above, or correct {out}; then: tal-repro data verify {quote(str(out))}")
        else:
            tell_next(f"tal-repro study new --data {quote(str(out))} --out my-study.toml")
    elif not as_json:
        tell_next("the same with --out my-data.toml writes the definition of the data set")
    sys.exit(1 if description.errors else 0)


def _given(train: tuple[str, ...], test: tuple[str, ...], settings: tuple[str, ...]) -> Given:
    """Check what the caller says of the data by the rules of a definition's keys."""
    from tal_repro.data.definition import AXES, MAX_RATE, MAX_STRIDE_FRAMES
    from tal_repro.data.describe import Given

    said = Table(read_settings(settings), "--set")
    axes = said.choice("axes", ("", *AXES), "")
    given = Given(
        train, test, said.text("key", ""), axes or None,  # type: ignore[arg-type]
        fps=said.positive("fps", MAX_RATE), stride_frames=said.positive("stride_frames", MAX_STRIDE_FRAMES),
        steps_per_second=said.positive("steps_per_second", MAX_RATE),
        clip_frames=said.positive("clip_frames", MAX_STRIDE_FRAMES),
        videos=Path(videos) if (videos := said.text("videos", "")) else None, labels=said.text("labels", ""),
    )  # fmt: skip
    said.reject_unknown()
    if given.stride_frames and given.steps_per_second:
        raise InputError("both stride_frames and steps_per_second", "--set", "give one of them")
    return given


def _as_json(description: Description) -> dict[str, Any]:
    from dataclasses import asdict

    from tal_repro.data.described_facts import facts

    definition = description.definition
    return {
        "schema": DESCRIBE_SCHEMA, "name": definition.name, "classes": list(description.dataset.classes),
        "annotation_hash": description.dataset.annotation_hash, "channels": description.dim,
        "stride_frames": definition.stride_frames, "steps_per_second": definition.steps_per_second,
        "train": list(definition.train), "test": list(definition.test),
        "facts": {name: dict(zip(COLUMNS, row, strict=True)) for name, row in facts(description).items()},
        "guesses": dict(description.guesses), "errors": description.errors,
        "problems": [asdict(problem) for problem in description.problems],
    }  # fmt: skip


def _print(description: Description) -> None:
    from tal_repro.annotations.problems import NOTHING
    from tal_repro.data.described_facts import facts
    from tal_repro.text_table import table

    definition, rows = description.definition, facts(description)
    stride, rate = definition.stride_frames, definition.steps_per_second
    step = f"{stride:g} frames" if stride else f"{rate:g} a second"
    classes = len(description.dataset.classes)
    echo(f"{definition.name}: {classes} classes, {description.dim} channels, a feature step: {step}")
    cells = {name: [row[index] for row in rows.values()] for index, name in enumerate(COLUMNS)}
    for line in table({"": list(rows), **cells}):
        echo(line)
    for key, how in description.guesses.items():
        echo(f"guessed: {key} ({how})")
    for severity in ("error", "note"):
        listed = [problem for problem in description.problems if problem.severity == severity]
        for problem in listed[:SHOWN]:
            remedy = "" if problem.remedy == NOTHING else f"\n  remedy: {problem.remedy}"
            echo(f"{severity}: {problem.where}: {problem.what}{remedy}")
        if len(listed) > SHOWN:
            echo(f"and {len(listed) - SHOWN} more of this kind (--json lists all)")
