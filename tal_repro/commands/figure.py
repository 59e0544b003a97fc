"""`tal-repro figure`: draw Figures 1 to 6 as PNG, PDF and SVG with a caption file each."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, cast

import click

from tal_repro.commands.verify import load_results

DEFAULT_OUT = Path("results", "figures")
NUMBERS = tuple(str(number) for number in range(1, 7))


@click.command()
@click.argument("number", type=click.Choice([*NUMBERS, "all"]))
@click.option("--out", metavar="DIR", default=str(DEFAULT_OUT), show_default=True, help="Write the files here.")
@click.option("--results", metavar="DIR", help="Draw the runs in DIR too.  [default: results/runs, if there]")
@click.option(
    "--source", type=click.Choice(["published", "measured", "both"]), default="both", show_default=True,
    help="Which numbers to draw.",
)  # fmt: skip
@click.option("--published", metavar="DIR", help="Read the published numbers from DIR.")
def figure(number: str, out: str, results: str | None, source: str, published: str | None) -> None:
    """Draw a figure of the paper (or all of them) from published numbers and your runs."""
    from tal_repro.paper.figures import drawer
    from tal_repro.paper.figures.drawing import Material, NotRun, save
    from tal_repro.published.load import load_published

    numbers = load_published(Path(published) if published else None)
    material = Material(numbers, load_results(results), cast(Any, source))
    for wanted in NUMBERS if number == "all" else (number,):
        try:
            drawing = drawer(int(wanted))(material)
        except NotRun as missing:
            click.echo(f"Figure {wanted}: {missing}", err=True)
            if number != "all":
                sys.exit(2)
            continue
        for path in save(drawing, int(wanted), Path(out)):
            click.echo(str(path))
