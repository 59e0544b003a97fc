"""The story of one claim for a terminal: what is said, every reading tried, the rows behind it, what runs say."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tal_repro.paper.claims.derivation import Reading, between
from tal_repro.paper.claims.measured import Measured
from tal_repro.paper.claims.statements import Claim
from tal_repro.paper.statistics import Sample
from tal_repro.paper.verdict_text import COLOURS, WIDTH, Styled
from tal_repro.paper.verdict_words import follows_text, measured_text
from tal_repro.paper.verdicts import Verdict
from tal_repro.published.table import Table, spans
from tal_repro.text_lines import wrapped

ROWS_SHOWN = 12


def story_lines(verdict: Verdict, columns: int = WIDTH) -> Iterator[list[Styled]]:
    """Yield the full story of one claim: what is said, what was computed from which rows, what runs say."""
    claim = verdict.claim
    for number, part in enumerate(wrapped(f"{claim.id}  {claim.statement}", columns)):
        yield [(f"{'    ' if number else ''}{part}", "bold")]
    yield [(f"section   {claim.section}", None)]
    said = claim.printed_with_unit if claim.reference else f"in words; held to: {claim.criterion}"
    yield from _wrapped("paper     ", said, columns)
    yield [(f"importance {claim.importance}", None)]
    yield from _wrapped("rule      ", _rule(claim), columns)
    yield [("published ", None), (verdict.published, COLOURS.get(verdict.published)), (_expected(verdict), "dim")]
    yield from _wrapped("follows   ", follows_text(verdict), columns)
    yield from _wrapped("reason    ", verdict.reason, columns)
    yield from _reading_lines(verdict, columns)
    yield [("measured  ", None), (verdict.measured.verdict, COLOURS.get(verdict.measured.verdict))]
    yield from _measured_lines(verdict.measured, measured_text(verdict), columns)
    yield from _wrapped("judged on ", _systems(claim), columns)
    if verdict.derivation:
        for table in verdict.derivation.rows:
            yield from _row_lines(table, columns)


def _expected(verdict: Verdict) -> str:
    return "  (as expected)" if verdict.as_expected else f"  (expected: {verdict.claim.expected})"


def _wrapped(label: str, text: str, columns: int) -> Iterator[list[Styled]]:
    for index, part in enumerate(wrapped(text, columns - 10)):
        yield [((label if index == 0 else " " * 10) + part, None)]


def _reading_lines(verdict: Verdict, columns: int) -> Iterator[list[Styled]]:
    """Yield every reading tried with its value; "*" marks the one that decides."""
    for reading in verdict.readings:
        chosen = "*" if reading is verdict.recomputed else " "
        what = "as worded" if not reading.changed else f"{reading.changed} changed"
        text = f"{chosen} {what:18} {_tried_text(reading, verdict.claim)}  {reading.label}"
        for number, part in enumerate(wrapped(text, columns - 12)):
            yield [(f"{'':12}{part}" if number else f"{'':8}{part}", None)]


def _tried_text(reading: Reading, claim: Claim) -> str:
    if reading.value != reading.value:
        return "unpublished"
    numbers = [f"{reading.value:.6g}", *([] if reading.spread is None else [f"{reading.spread:.4g}"])]
    bounds = "" if reading.low is None or reading.high is None else f" ({between(reading.low, reading.high, '.4g')})"
    open_ended = ", undetermined" if reading.undetermined else ""
    return f"{claim.with_units(numbers)}{bounds}{open_ended}"


def _measured_lines(measured: Measured, value: str, columns: int) -> Iterator[list[Styled]]:
    if measured.value is not None:
        yield [(f"          {value}{_spread_kind(measured.sample)}", None)]
    yield from _wrapped("          ", measured.reason, columns)
    if measured.runs:
        yield from _wrapped("runs      ", " ".join(run.run_id for run in measured.runs), columns)


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


def _row_lines(table: Table, columns: int) -> Iterator[list[Styled]]:
    yield []
    for line in wrapped(spans(table), columns, later="  "):
        yield [(line, "bold")]
    for line in wrapped(", ".join(table.columns), columns, "  ", "    "):
        yield [(line, "dim")]
    for row in list(table.rows())[:ROWS_SHOWN]:
        for line in wrapped(", ".join(_cell(value) for value in row.values()), columns, "  ", "    "):
            yield [(line, None)]
    if len(table) > ROWS_SHOWN:
        yield [(f"  ... {len(table) - ROWS_SHOWN} more", "dim")]


def _cell(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
