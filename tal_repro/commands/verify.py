"""`tal-repro verify`: a verdict on every number of the paper, from published data and from runs."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from tal_repro.paper.runs import Runs
    from tal_repro.paper.verdict_text import Styled

DEFAULT_RESULTS = Path("results", "runs")


@click.command()
@click.option("--claim", "claims", multiple=True, metavar="ID", help="Tell the full story of a claim (repeatable).")
@click.option("--results", metavar="DIR", help=f"Judge the runs in DIR too.  [default: {DEFAULT_RESULTS}, if there]")
@click.option("--published", metavar="DIR", help="Read the published numbers from DIR.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON (schemas/verify.json).")
@click.option("--markdown", "as_markdown", is_flag=True, help="Print a Markdown table.")
def verify(
    claims: tuple[str, ...], results: str | None, published: str | None, as_json: bool, as_markdown: bool
) -> None:
    """Give a verdict on every number of the paper.

    Exit status: 0 when every verdict on the published data is the expected one, 1 when one flipped, 2 on an error.
    """
    from tal_repro.paper import verdict_text
    from tal_repro.paper.published import load_published
    from tal_repro.paper.verdict_json import as_json as to_json
    from tal_repro.paper.verdicts import judge_all

    numbers = load_published(Path(published) if published else None)
    runs = load_results(results)
    verdicts = judge_all(numbers, runs, claims or None)
    if as_json:
        click.echo(json.dumps(to_json(verdicts, runs), indent=1, allow_nan=False, ensure_ascii=False))
    elif as_markdown:
        click.echo(verdict_text.markdown(verdicts), nl=False)
    elif claims:
        for number, verdict in enumerate(verdicts):
            _print([[]] if number else [])
            _print(verdict_text.story_lines(verdict))
    else:
        _print(verdict_text.table_lines(verdicts, runs))
    sys.exit(1 if verdict_text.flipped(verdicts) else 0)


def load_results(results: str | None) -> Runs:
    """Table the runs of the folder asked for, or of the default one where it exists; name unreadable runs."""
    from tal_repro.paper.runs import NO_RUNS, load_runs

    if results is None and not DEFAULT_RESULTS.is_dir():
        return NO_RUNS
    runs = load_runs(results if results is not None else DEFAULT_RESULTS)
    for problem in runs.problems:
        click.echo(f"warning: {problem}", err=True)
    return runs


def _print(lines: Iterable[list[Styled]]) -> None:
    for line in lines:
        click.echo("".join(_styled(text, style) for text, style in line).rstrip())


def _styled(text: str, style: str | None) -> str:
    """Colour a part of a line (click removes the colours where the output is not a terminal)."""
    if style is None or not text:
        return text
    if style in ("bold", "dim"):
        return click.style(text, bold=style == "bold" or None, dim=style == "dim" or None)
    return click.style(text, fg=style)
