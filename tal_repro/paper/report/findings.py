"""What was found, first: three sentences that verdicts write and no one else, and Figure 2's curves in one chart."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tal_repro.paper.report.chart import Series, draw
from tal_repro.paper.report.markup import Html, join, number, rest, table, tag
from tal_repro.paper.verdict_words import headline_counts, headline_published_text
from tal_repro.paper.verdicts import Verdict
from tal_repro.runs.load import Runs

NAMED = 4  # claims that a sentence names; the table below has all


def sentences(verdicts: Sequence[Verdict], runs: Runs) -> tuple[str, str, str]:
    """Say what the published data support, what they do not, and what runs here add; no more than the verdicts do."""
    return headline_published_text(verdicts), _contradicted(verdicts), _measured(verdicts, runs)


def _contradicted(verdicts: Sequence[Verdict]) -> str:
    wrong = [v for v in verdicts if v.published == "inconsistent"]
    if not wrong:
        return f"None of all {len(verdicts)} claims is inconsistent with the published data."
    leading = [v for v in wrong if v.claim.importance == "headline"] or wrong
    statements = "; ".join(f"{v.claim.statement} ({v.claim.id})" for v in leading[:NAMED])
    more = f" and {len(leading) - NAMED} more" if len(leading) > NAMED else ""
    which = "headline claims among them" if leading[0].claim.importance == "headline" else "among them"
    return (
        f"{len(wrong)} of all {len(verdicts)} claims do not follow from the published data under any reading tried; "
        f"{which}: {statements}{more}."
    )


def _measured(verdicts: Sequence[Verdict], runs: Runs) -> str:
    count = headline_counts(verdicts)
    if not runs.runs:
        return "Nothing was run here yet, so no claim was measured."
    counted = (
        f"Runs here reproduce {count['reproduced']} of {count['claims']} headline claims, do not reproduce "
        f"{count['not_reproduced']} and leave {count['undecided']} undecided"
    )
    barred = sum(bool(v.measured.unlike) for v in verdicts)
    if not barred:
        return f"{counted}."
    reasons = sorted({reason for v in verdicts for reason in v.measured.unlike})
    of = ", ".join(reasons)
    return f"{counted}; {barred} of all {len(verdicts)} claims were run and not judged, for their runs are of {of}."


def findings(verdicts: Sequence[Verdict], runs: Runs, curves: Sequence[Series]) -> Html:
    """Return the three sentences, the chart, and its numbers on demand."""
    said = tag("ol", *(tag("li", text) for text in sentences(verdicts, runs)), class_="findings")
    return join([said, *_chart(curves)])


def _chart(curves: Sequence[Series]) -> Iterator[Html]:
    if not curves:
        return
    title = "Average mAP against the share of training data (Figure 2, published and measured here)"
    made_up = "Curves measured here are of SYNTHETIC data and say nothing about THUMOS14. " if any(
        curve.synthetic for curve in curves) else ""  # fmt: skip
    note = (
        "Filled marks: published; open marks: measured here. Marks are means over runs, bars standard deviations; "
        f"lines join the means (averages over tIoU 0.3 to 0.7). {made_up}Point at a mark for its value; Figure 2 below "
        "adds the fits."
    )
    picture = draw(curves, "overlay", title, f"{made_up}{len(curves)} curves; the table below holds their values.")
    yield tag("figure", tag("h3", title), picture, tag("figcaption", note))
    yield rest("The values of this chart", _values(curves))


def _values(curves: Sequence[Series]) -> Html:
    """Return a row for each curve and share of the data."""
    header = ("Curve", "Training data (%)", "mAP (%)", "Standard deviation (points)")
    rows = [[curve.name, f"{mark.x:g}", number(mark.y), number(mark.std)] for curve in curves for mark in curve.marks]
    return table("Values of the curves", header, rows)


def value_rows(curves: Sequence[Series]) -> list[tuple[str, ...]]:
    """Return the values as rows of a file: model, source, percent, mean, standard deviation."""
    return [
        (curve.model, curve.source, f"{mark.x:g}", f"{mark.y:.6g}", f"{mark.std:.6g}")
        for curve in curves
        for mark in curve.marks
    ]
