"""`tal-repro advise`: would more labelled videos pay? From the runs of any study in a results folder."""

from __future__ import annotations

import json
import sys

import click

from tal_repro.commands.study_options import RESULTS, of_study
from tal_repro.commands.verify import load_results, whole
from tal_repro.console import echo, emit, tell_next


@click.command()
@click.option("--results", metavar="DIR", help=f"Folder of the runs.  [default: {RESULTS}, if there]")
@click.option(
    "--delta", type=click.FloatRange(0.1, 50), default=1.0, show_default=True, help="Gain in mAP worth having."
)
@click.option(
    "--budget", type=click.FloatRange(min=0, min_open=True), metavar="HOURS", help="Most that one training may take."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON (schemas/advise.json) alone.")
@of_study
def advise(
    results: str | None, delta: float, budget: float | None, as_json: bool,
    study: str | None, data_digests: tuple[str, ...],
) -> None:  # fmt: skip
    """Say whether more labelled videos would pay, for which classes, and which model to take.

    It reads the finished runs of a study's data sweep. Exit status: 0 also when the runs cannot tell (it says why), 1
    when damaged runs were left out, 2 when there is no run to go by.
    """
    from tal_repro.advice.build import advise as make
    from tal_repro.advice.section import tables
    from tal_repro.advice.words import sentences
    from tal_repro.text_lines import terminal_width, wrapped
    from tal_repro.text_table import table

    say = (lambda what: echo(what, err=True)) if sys.stderr.isatty() else (lambda _: None)
    advice, runs = whole(load_results(results, study, data_digests), lambda those: make(those, delta, budget, say))
    if as_json:
        emit(json.dumps(advice, indent=1, allow_nan=False, ensure_ascii=False))
    else:
        for text in sentences(advice):
            echo("\n".join([*wrapped(text, terminal_width()), ""]))
        for caption, columns in tables(advice).items():
            echo("\n".join([f"{caption}:", *table(columns, indent="  "), ""]))
        echo(f"runs read from {runs.root}")
        tell_next(
            f"tal-repro report --results {runs.root}  # this, beside the curves", "the same with --json > FILE keeps it"
        )
    sys.exit(1 if runs.problems else 0)
