"""Verdicts as people read them: the terminal table, the story of one claim, and the Markdown table."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any

from tal_repro.paper import released_runs
from tal_repro.paper.beyond import beyond_paper
from tal_repro.paper.changes import changes, count_text
from tal_repro.paper.claims.derivation import Reading, between
from tal_repro.paper.claims.measured import Measured
from tal_repro.paper.claims.statements import MEASURED_VERDICTS, PUBLISHED_VERDICTS, Claim
from tal_repro.paper.statistics import Sample
from tal_repro.paper.verdict_words import (
    follows_text,
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
from tal_repro.published.table import Table, spans
from tal_repro.runs.load import Runs

WIDTH = 100
COLOURS = {
    "consistent": "green", "reproduced": "green", "consistent with correction": "yellow", "inconclusive": "yellow",
    "not comparable here": "yellow",
    "inconsistent": "red", "not reproduced": "red",
}  # fmt: skip
SHORT = {"consistent with correction": "with correction"}
ROWS_SHOWN = 12
Styled = tuple[str, str | None]  # text and its colour


def table_lines(verdicts: Sequence[Verdict], runs: Runs) -> Iterator[list[Styled]]:
    """Yield the lines of the terminal table, 100 columns wide, grouped by section."""
    yield [(f"{'':5} {'':30} {'paper':>14} {'recomputed':>16}  {'published':15} measured", None)]
    for section, group in groupby(verdicts, key=lambda verdict: verdict.claim.section):
        yield []
        yield [(section, "bold")]
        for verdict in group:
            yield from _claim_lines(verdict)
    yield []
    yield from _summary_lines(verdicts, runs)


def _claim_lines(verdict: Verdict) -> Iterator[list[Styled]]:
    claim = verdict.claim
    unit = f" ({claim.units})" if claim.reference or verdict.recomputed else ""
    statement = textwrap.wrap(claim.statement + unit, 30)
    criterion = textwrap.wrap(claim.printed, 14)
    first = f"{claim.id:5} {statement[0]:30} {criterion[0]:>14} {recomputed_text(verdict):>16}  "
    flag = "" if verdict.as_expected else "  << expected " + SHORT.get(claim.expected, claim.expected)
    yield [
        (first, None),
        (f"{SHORT.get(verdict.published, verdict.published):15} ", COLOURS.get(verdict.published)),
        (verdict.measured.verdict, COLOURS.get(verdict.measured.verdict)),
        (flag, "red"),
    ]
    for index in range(1, max(len(statement), len(criterion))):
        left = statement[index] if index < len(statement) else ""
        yield [(f"{'':5} {left:30} {criterion[index] if index < len(criterion) else '':>14}", None)]
    for text in textwrap.wrap(why(verdict), WIDTH - 6):
        yield [(f"{'':6}{text}", "dim")]
    if verdict.measured.verdict != "not run":
        for text in textwrap.wrap(
            f"measured {measured_text(verdict)} {verdict.claim.unit}: {verdict.measured.reason}", WIDTH - 6
        ):
            yield [(f"{'':6}{text}", "dim")]


def _summary_lines(verdicts: Sequence[Verdict], runs: Runs) -> Iterator[list[Styled]]:
    published, measured = (Counter(v) for v in zip(*((v.published, v.measured.verdict) for v in verdicts), strict=True))
    for text in textwrap.wrap(f"{headline_text(verdicts)} {headline_published_text(verdicts)}", WIDTH):
        yield [(text, "bold")]
    yield [(f"All {len(verdicts)} claims. Published data: {_counts(published)}", None)]
    if runs.root is None:
        yield [("Measured here: no runs (make demo, or tal-repro run, then verify --results DIR).", None)]
    else:
        synthetic = sum(run.synthetic for run in runs.runs)
        told = (
            f" {synthetic} of {len(runs.runs)} runs are SYNTHETIC data and judge no THUMOS14 claim."
            if synthetic
            else ""
        )
        yield [(f"Measured in {runs.root}: {_counts(measured)}.{told}", None)]
        for line in textwrap.wrap(multiplicity_text(verdicts), WIDTH):
            yield [(line, None)]
        for line in (*released_runs.lines(runs), *beyond_paper(runs)):
            yield [(line, None)]
    found = changes()
    weighty = ", ".join(change.name for change in found if change.severity in ("high", "medium"))
    for text in textwrap.wrap(f"{count_text(found)} ({weighty}); docs/artifact.md lists them.", WIDTH):
        yield [(text, None)]
    yield [("The story of one claim: tal-repro verify --claim ID", None)]
    flipped = [v.claim.id for v in verdicts if not v.as_expected]
    if flipped:
        yield [(f"{len(flipped)} verdict(s) differ from the expected: {', '.join(flipped)}", "red")]
    else:
        yield [("Every verdict on the published data is as expected.", "green")]


def _counts(counter: Counter[str]) -> str:
    order = (*PUBLISHED_VERDICTS, *MEASURED_VERDICTS)
    return ", ".join(f"{counter[name]} {SHORT.get(name, name)}" for name in order if counter[name])


def story_lines(verdict: Verdict) -> Iterator[list[Styled]]:
    """Yield the full story of one claim: what is said, what was computed from which rows, what runs say."""
    claim = verdict.claim
    yield [(f"{claim.id}  {claim.statement}", "bold")]
    yield [(f"section   {claim.section}", None)]
    said = claim.printed_with_unit if claim.reference else f"in words; held to: {claim.criterion}"
    yield [(f"paper     {said}", None)]
    yield [(f"importance {claim.importance}", None)]
    yield [(f"rule      {_rule(claim)}", None)]
    yield [("published ", None), (verdict.published, COLOURS.get(verdict.published)), (_expected(verdict), "dim")]
    yield from _wrapped("follows   ", follows_text(verdict))
    yield from _wrapped("reason    ", verdict.reason)
    yield from _reading_lines(verdict)
    yield [("measured  ", None), (verdict.measured.verdict, COLOURS.get(verdict.measured.verdict))]
    yield from _measured_lines(verdict.measured, measured_text(verdict))
    yield [(f"judged on {_systems(claim)}", None)]
    if verdict.derivation:
        for table in verdict.derivation.rows:
            yield from _row_lines(table)


def _expected(verdict: Verdict) -> str:
    return "  (as expected)" if verdict.as_expected else f"  (expected: {verdict.claim.expected})"


def _wrapped(label: str, text: str) -> Iterator[list[Styled]]:
    for index, part in enumerate(textwrap.wrap(text, WIDTH - 10)):
        yield [((label if index == 0 else " " * 10) + part, None)]


def _reading_lines(verdict: Verdict) -> Iterator[list[Styled]]:
    """Yield every reading tried with its value; "*" marks the one that decides."""
    for reading in verdict.readings:
        chosen = "*" if reading is verdict.recomputed else " "
        what = "as worded" if not reading.changed else f"{reading.changed} changed"
        yield [(f"{'':8}{chosen} {what:18} {_tried_text(reading, verdict.claim)}  {reading.label}", None)]


def _tried_text(reading: Reading, claim: Claim) -> str:
    if reading.value != reading.value:
        return "unpublished"
    numbers = [f"{reading.value:.6g}", *([] if reading.spread is None else [f"{reading.spread:.4g}"])]
    bounds = "" if reading.low is None or reading.high is None else f" ({between(reading.low, reading.high, '.4g')})"
    open_ended = ", undetermined" if reading.undetermined else ""
    return f"{claim.with_units(numbers)}{bounds}{open_ended}"


def _measured_lines(measured: Measured, value: str) -> Iterator[list[Styled]]:
    if measured.value is not None:
        yield [(f"          {value}{_spread_kind(measured.sample)}", None)]
    yield from _wrapped("          ", measured.reason)
    if measured.runs:
        yield from _wrapped("runs      ", " ".join(run.run_id for run in measured.runs))


def _spread_kind(sample: Sample | None) -> str:
    return f", ± is the {sample.kind} standard deviation" if sample is not None and sample.n > 1 else ""


def _rule(claim: Claim) -> str:
    rules = {
        "digits": "the value rounds to the printed digits",
        "welch": f"Welch's test against the printed mean and std, n = {claim.reference_n}, p >= 0.05",
        "at-most": f"at most {claim.limit:g} {claim.unit}",
        "at-least": f"at least {claim.limit:g} {claim.unit}",
    }
    text = rules[claim.rule]
    if claim.about:
        text = f'within ± {claim.half_digits[0]:g} {claim.unit} (the text says "about")'
    if claim.nothing_to_run:
        return text
    side = "" if claim.alternative == "either" else f", {claim.alternative}"
    return f"{text}; runs must tell it from a truth {2 * claim.margin:g} {claim.unit} off{side} (twice the margin)"


def _systems(claim: Claim) -> str:
    if claim.nothing_to_run:
        return "none"
    data = "" if claim.kind in ("macs", "latency") else ", on THUMOS14 only (never synthetic data)"
    if not claim.gpu:
        return f"any machine{data}"
    ratio = f" but for the ratio to {claim.ratio_to}" if claim.ratio_to else ""
    return f"an NVIDIA {claim.gpu}, elsewhere not comparable{ratio}{data}"


def _row_lines(table: Table) -> Iterator[list[Styled]]:
    yield []
    yield [(spans(table), "bold")]
    yield [("  " + ", ".join(table.columns), "dim")]
    for row in list(table.rows())[:ROWS_SHOWN]:
        yield [("  " + ", ".join(_cell(value) for value in row.values()), None)]
    if len(table) > ROWS_SHOWN:
        yield [(f"  ... {len(table) - ROWS_SHOWN} more", "dim")]


def _cell(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


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
