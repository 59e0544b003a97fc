"""`tal-repro figure`: draw figures as PNG, PDF and SVG with a caption file each."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from tal_repro.commands.study_options import RESULTS, of_study
from tal_repro.commands.verify import load_results, whole
from tal_repro.console import echo, emit, tell_next
from tal_repro.paper.figures import FIGURES

if TYPE_CHECKING:
    from tal_repro.paper.figures.drawing import Drawing
    from tal_repro.runs.load import Runs

DEFAULT_OUT = Path("results", "figures")
NUMBERS = tuple(map(str, FIGURES))


@click.command()
@click.argument("number", type=click.Choice([*NUMBERS, "all"]))
@click.option("--out", metavar="DIR", default=str(DEFAULT_OUT), show_default=True, help="Write the files here.")
@click.option("--results", metavar="DIR", help=f"Draw the runs in DIR too.  [default: {RESULTS}, if there]")
@click.option(
    "--source", type=click.Choice(["published", "measured", "both", "auto"]), default="auto", show_default=True,
    help="Which numbers to draw; auto: both, but of runs on your own data measured ones alone.",
)  # fmt: skip
@click.option("--published", metavar="DIR", help="Read the published numbers from DIR.")
@of_study
def figure(
    number: str, out: str, results: str | None, source: str, published: str | None, study: str | None,
    data_digests: tuple[str, ...],
) -> None:  # fmt: skip
    """Draw a figure of the paper (or all of them) from published numbers and your runs."""
    from tal_repro.paper.figures import drawer
    from tal_repro.paper.figures.drawing import Material, NotRun, save
    from tal_repro.published.load import load_published

    numbers = load_published(Path(published) if published else None)
    runs = load_results(results, study, data_digests)

    def draw(which: int, those: Runs) -> Drawing:
        return drawer(which)(Material(numbers, those, cast(Any, source)))

    for each in NUMBERS if number == "all" else (number,):
        try:
            drawing, runs = whole(runs, partial(draw, int(each)))
        except NotRun as missing:
            echo(f"Figure {each}: {missing}", err=True)
            if number != "all":
                sys.exit(2)
            continue
        for path in save(drawing, int(each), Path(out)):
            emit(str(path))
    tell_next("open a file above", "tal-repro report  # every figure on one page")
    if runs.problems:
        sys.exit(1)
