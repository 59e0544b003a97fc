"""The page's section "Would more data pay?": the sentences of `tal_repro.advice`, the numbers behind them on demand."""

from __future__ import annotations

from tal_repro.advice.section import Section
from tal_repro.paper.report.markup import Html, join, table, tag

NOTHING = "No data sweep was run here: how mAP grows with the share of the videos is what this advice is made of."


def advice(section: Section | None) -> Html:
    """Return the section's content; without a sweep it says what is missing."""
    if section is None:
        return tag("p", NOTHING)
    shown = [
        table(caption, list(columns), [list(row) for row in zip(*columns.values(), strict=True)])
        for caption, columns in section.tables.items()
    ]
    of, answer, *rest = section.sentences
    return join([*(tag("p", tag("strong", text)) for text in (of, answer)), *(tag("p", text) for text in rest), *shown])
