"""Verdicts as people read them: the terminal table, the story of one claim, and the Markdown table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from tal_repro.models.registry import OF_STUDY
from tal_repro.paper import released_runs
from tal_repro.paper.beyond import beyond_paper
from tal_repro.paper.changes import changes, count_text
from tal_repro.paper.claims.statements import MEASURED_VERDICTS, PUBLISHED_VERDICTS
from tal_repro.paper.verdict_words import (
    headline_published_text,
    headline_text,
    measured_text,
    measured_with_unit,
    multiplicity_text,
    recomputed_text,
    recomputed_with_unit,
    why,
)
from tal_repro.paper.verdicts import Verdict
from tal_repro.runs.load import Runs
from tal_repro.text_lines import terminal_width, wrapped

WIDTH = 100  # of the table; on a narrower terminal each claim is a block
COLOURS = {
    "consistent": "green", "reproduced": "green", "consistent with correction": "yellow", "inconclusive": "yellow",
    "not comparable here": "yellow",
    "inconsistent": "red", "not reproduced": "red",
}  # fmt: skip
SHORT = {"consistent with correction": "with correction"}
Styled = tuple[str, str | None]  # text and its colour


def columns_here() -> int:
    """Return how many columns verdicts take on this terminal."""
    return min(WIDTH, terminal_width(WIDTH))


def table_lines(verdicts: Sequence[Verdict], runs: Runs, columns: int = WIDTH) -> Iterator[list[Styled]]:
    """Yield the lines of the table, grouped by section; a block for each claim in fewer than 100 columns."""
    if columns >= WIDTH:
        yield [(f"{'':5} {'':30} {'paper':>14} {'recomputed':>16}  {'published':15} measured", None)]
    for section, group in groupby(verdicts, key=lambda verdict: verdict.claim.section):
        yield []
        yield [(section, "bold")]
        for verdict in group:
            yield from _claim_lines(verdict, columns)
    yield []
    yield from _summary_lines(verdicts, runs, columns)


def _claim_lines(verdict: Verdict, columns: int) -> Iterator[list[Styled]]:
    yield from _block(verdict, columns) if columns < WIDTH else _row(verdict)
    yield from _dim(why(verdict), columns)
    if verdict.measured.verdict != "not run":
        yield from _dim(f"measured {measured_text(verdict)} {verdict.claim.unit}: {verdict.measured.reason}", columns)


def _dim(text: str, columns: int) -> Iterator[list[Styled]]:
    for part in wrapped(text, columns - 6):
        yield [(f"{'':6}{part}", "dim")]


def _flag(verdict: Verdict) -> str:
    expected = verdict.claim.expected
    return "" if verdict.as_expected else "  << expected " + SHORT.get(expected, expected)


def _block(verdict: Verdict, columns: int) -> Iterator[list[Styled]]:
    claim = verdict.claim
    for number, part in enumerate(wrapped(claim.statement, columns - 6)):
        yield [(f"{'' if number else claim.id:6}{part}", None)]
    numbers = f"paper {claim.printed_with_unit}; recomputed {recomputed_text(verdict)}"
    for part in wrapped(numbers, columns - 6):
        yield [(f"{'':6}{part}", None)]
    yield [
        (f"{'':6}published: ", None),
        (SHORT.get(verdict.published, verdict.published), COLOURS.get(verdict.published)),
        ("; measured: ", None),
        (verdict.measured.verdict, COLOURS.get(verdict.measured.verdict)),
        (_flag(verdict), "red"),
    ]


def _row(verdict: Verdict) -> Iterator[list[Styled]]:
    claim = verdict.claim
    unit = f" ({claim.units})" if claim.reference or verdict.recomputed else ""
    statement = wrapped(claim.statement + unit, 30)
    criterion = wrapped(claim.printed, 14)
    first = f"{claim.id:5} {statement[0]:30} {criterion[0]:>14} {recomputed_text(verdict):>16}  "
    yield [
        (first, None),
        (f"{SHORT.get(verdict.published, verdict.published):15} ", COLOURS.get(verdict.published)),
        (verdict.measured.verdict, COLOURS.get(verdict.measured.verdict)),
        (_flag(verdict), "red"),
    ]
    for index in range(1, max(len(statement), len(criterion))):
        left = statement[index] if index < len(statement) else ""
        yield [(f"{'':5} {left:30} {criterion[index] if index < len(criterion) else '':>14}", None)]


def _summary_lines(verdicts: Sequence[Verdict], runs: Runs, columns: int) -> Iterator[list[Styled]]:
    published, measured = (Counter(v) for v in zip(*((v.published, v.measured.verdict) for v in verdicts), strict=True))
    for text in wrapped(f"{headline_text(verdicts)} {headline_published_text(verdicts)}", columns):
        yield [(text, "bold")]
    yield from _plain(f"All {len(verdicts)} claims. Published data: {_counts(published)}", columns)
    if runs.root is None:
        yield from _plain("Measured here: no runs (make demo, or tal-repro run, then verify --results DIR).", columns)
    else:
        synthetic = sum(run.synthetic for run in runs.runs)
        headline = (
            f" {synthetic} of {len(runs.runs)} runs are SYNTHETIC data and judge no THUMOS14 claim."
            if synthetic
            else ""
        )
        yield from _plain(f"Measured in {runs.root}: {_counts(measured)}.{headline}", columns)
        for line in (multiplicity_text(verdicts), *released_runs.lines(runs), *beyond_paper(runs)):
            yield from _plain(line, columns)
    made = changes(OF_STUDY)
    weighty = ", ".join(change.name for change in made if change.severity in ("high", "medium"))
    counted = count_text(made, "the authors' code of the four models")
    yield from _plain(f"{counted} ({weighty}); docs/artifact.md lists them.", columns)
    flipped = [v.claim.id for v in verdicts if not v.as_expected]
    if flipped:
        yield [(f"{len(flipped)} verdict(s) differ from the expected: {', '.join(flipped)}", "red")]
    else:
        yield [("Every verdict on the published data is as expected.", "green")]


def _plain(text: str, columns: int) -> Iterator[list[Styled]]:
    for line in wrapped(text, columns):
        yield [(line, None)]


def _counts(counter: Counter[str]) -> str:
    order = (*PUBLISHED_VERDICTS, *MEASURED_VERDICTS)
    return ", ".join(f"{counter[name]} {SHORT.get(name, name)}" for name in order if counter[name])


def markdown(verdicts: Sequence[Verdict]) -> str:
    """Return the verdicts as a Markdown table for documents."""
    header = ("id", "importance", "statement", "paper", "recomputed", "published data", "measured here", "why")
    lines = [f"| {' | '.join(header)} |", "|" + "---|" * len(header)]
    for verdict in verdicts:
        claim, measured = verdict.claim, verdict.measured.verdict
        if verdict.measured.value is not None:
            measured += f": {measured_with_unit(verdict)}"
        cells = (
            claim.id, claim.importance, claim.statement, claim.printed_with_unit, recomputed_with_unit(verdict),
            verdict.published, measured, why(verdict),
        )  # fmt: skip
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def flipped(verdicts: Iterable[Verdict]) -> list[Verdict]:
    """Return the verdicts that differ from what is expected of them."""
    return [verdict for verdict in verdicts if not verdict.as_expected]
