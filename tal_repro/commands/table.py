"""`tal-repro table`: Tables 1 and 2 of the paper beside what runs measured; energy, verdicts and runs as tables."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from tal_repro.commands.study_options import RESULTS, of_study
from tal_repro.commands.verify import load_results, whole
from tal_repro.console import echo, emit, tell_next

if TYPE_CHECKING:
    from tal_repro.paper.table_text import TextTable
    from tal_repro.runs.load import Runs

FORMATS = ("text", "csv", "markdown", "latex")


@click.command()
@click.argument("number", type=click.Choice(["1", "2", "energy", "claims", "runs"]))
@click.option("--format", "kind", type=click.Choice(FORMATS), help="[default: text on a terminal, else markdown]")
@click.option("--results", metavar="DIR", help=f"Show the runs in DIR too.  [default: {RESULTS}, if there]")
@click.option("--published", metavar="DIR", help="Read the published numbers from DIR.")
@click.option("--grid", metavar="G:SOURCE", help="Grams of CO2e a kWh and who says so.  [default: TAL_REPRO_GRID]")
@click.option(
    "--power", metavar="W:SOURCE", help="Estimate uncounted energy: watts, source.  [default: TAL_REPRO_POWER]"
)
@click.option("--out", metavar="FILE", help="Write to FILE instead of standard output.")
@of_study
def table(
    number: str | int, kind: str | None, results: str | None, published: str | None, grid: str | None,
    power: str | None, out: str | None, study: str | None, data_digests: tuple[str, ...],
) -> None:  # fmt: skip
    """Print Table 1 or 2 of the paper, the energy of trainings, all verdicts or all runs."""
    from tal_repro.files import write_whole
    from tal_repro.paper import tables
    from tal_repro.paper.energy import assumed
    from tal_repro.paper.report.appendix import run_table, verdict_table
    from tal_repro.paper.table_text import on_terminal
    from tal_repro.paper.verdicts import judge_all
    from tal_repro.published.load import load_published
    from tal_repro.text_lines import terminal_width

    numbers = load_published(Path(published) if published else None)

    def make(runs: Runs) -> TextTable:
        if number == "claims":
            return verdict_table(judge_all(numbers, runs))
        return run_table(runs) if number == "runs" else tables.table(number, numbers, runs, assumed(grid, power))

    shown, runs = whole(load_results(results, study, data_digests), make)
    kind = kind or ("text" if out is None and sys.stdout.isatty() else "markdown")
    text = on_terminal(shown, terminal_width()) if kind == "text" else tables.render(shown, cast(Any, kind))
    if out is None:
        (echo if kind == "text" else emit)(text, nl=False)
        tell_next("the same with --out FILE keeps it; --format csv is for programs")
    else:
        write_whole(writable(Path(out)), text.encode())
        emit(out, err=True)
        tell_next("open it; with --format csv, markdown or latex the same is written otherwise")
    if runs.problems:
        sys.exit(1)


def writable(path: Path) -> Path:
    """Make the folder of `path`; raise InputError where that cannot be or a folder stands in its place."""
    from tal_repro.errors import InputError

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot make this folder ({error.strerror})", path.parent, "choose another place") from None
    if path.is_dir():
        raise InputError("is a folder", path, "name a file")
    return path
