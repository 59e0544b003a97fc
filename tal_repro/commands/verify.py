"""`tal-repro verify`: a verdict on every number of the paper, from published data and from runs."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from tal_repro.commands.completion import claim_ids
from tal_repro.commands.study_options import RESULTS, of_study
from tal_repro.console import echo, echo_styled, emit, tell_next

if TYPE_CHECKING:
    from tal_repro.runs.load import Runs

DEFAULT_RESULTS = Path(RESULTS)
Result = TypeVar("Result")
HOW_JUDGED = "docs/claims.md says how claims are judged"
PAGE = "tal-repro report  # all of it on one page"


@click.command()
@click.option(
    "--claim", "claims", multiple=True, metavar="ID", shell_complete=claim_ids,
    help="Tell the full story of a claim (repeatable).",
)  # fmt: skip
@click.option("--results", metavar="DIR", help=f"Judge the runs in DIR too.  [default: {DEFAULT_RESULTS}, if there]")
@click.option("--published", metavar="DIR", help="Read the published numbers from DIR.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON (schemas/verify.json).")
@click.option("--markdown", "as_markdown", is_flag=True, help="Print a Markdown table.")
@of_study
def verify(
    claims: tuple[str, ...], results: str | None, published: str | None, as_json: bool, as_markdown: bool,
    study: str | None, data_digests: tuple[str, ...],
) -> None:  # fmt: skip
    """Give a verdict on every number of the paper.

    Exit status: 0 when every verdict on the published data is the expected one, 1 when one flipped or a damaged run was
    left out, 2 on an error.
    """
    from tal_repro.paper import verdict_text
    from tal_repro.paper.verdict_story import story_lines
    from tal_repro.paper.verdict_words import as_json as to_json
    from tal_repro.paper.verdicts import judge_all
    from tal_repro.published.load import load_published

    numbers = load_published(Path(published) if published else None)
    verdicts, runs = whole(
        load_results(results, study, data_digests), lambda runs: judge_all(numbers, runs, claims or None)
    )
    if as_json:
        emit(json.dumps(to_json(verdicts, runs), indent=1, allow_nan=False, ensure_ascii=False))
    elif as_markdown:
        emit(verdict_text.markdown(verdicts), nl=False)
    elif claims:
        for number, verdict in enumerate(verdicts):
            if number:
                echo()
            for line in story_lines(verdict, verdict_text.columns_here()):
                echo_styled(line)
    else:
        for line in verdict_text.table_lines(verdicts, runs, verdict_text.columns_here()):
            echo_styled(line)
    if not as_json and not as_markdown:
        tell_next(*((HOW_JUDGED,) if claims else ("tal-repro verify --claim ID  # the story of one", PAGE)))
    sys.exit(1 if verdict_text.flipped(verdicts) or runs.problems else 0)


def load_results(results: str | None, study: str | None = None, data_digests: Sequence[str] = ()) -> Runs:
    """Return a study's runs in the folder asked for, or in the default one where it exists; say what is left out."""
    from tal_repro.planned import planned
    from tal_repro.runs.load import NO_RUNS, load_runs

    if results is None and not DEFAULT_RESULTS.is_dir():
        return NO_RUNS
    root = Path(results) if results is not None else DEFAULT_RESULTS
    runs = load_runs(root, planned(root, study) if root.is_dir() else None, data_digests)
    for note in runs.notes:
        echo(f"warning: {note}", err=True)
    return runs


def whole(runs: Runs, make: Callable[[Runs], Result]) -> tuple[Result, Runs]:
    """Return what `make` computes from whole runs, and these; say which were found damaged on the way."""
    from tal_repro.runs.load import computed

    result, kept = computed(runs, make)
    for problem in kept.problems[len(runs.problems) :]:
        echo(f"warning: {problem}", err=True)
    return result, kept
