"""A table of text, as the renderers take it, and as a terminal shows it."""

from __future__ import annotations

from dataclasses import dataclass

from tal_repro.text_lines import wrapped
from tal_repro.text_table import table

COLUMNS_SHOWN, MOST_COLUMNS = 5, 8  # of a table with more than eight, the first five


@dataclass(frozen=True)
class TextTable:
    """A table ready to be written: caption, header, rows of text, notes below."""

    caption: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()


def upper_first(text: str) -> str:
    """Begin a sentence, leaving its names alone."""
    return text[:1].upper() + text[1:]


def on_terminal(text: TextTable, width: int) -> str:
    """Return the table for reading: of one with many columns the first five; notes wrapped; the rest is named."""
    kept = len(text.header) if len(text.header) <= MOST_COLUMNS else COLUMNS_SHOWN
    columns = {title: [row[place] for row in text.rows] for place, title in enumerate(text.header[:kept])}
    lines = [*wrapped(text.caption, width), "", *table(columns, width)]
    notes = list(text.notes)
    if rest := text.header[kept:]:
        notes.append(f"With --format markdown, csv or latex also: {', '.join(rest)}.")
    for note in notes:
        lines += wrapped(note, width, "- ", "  ")
    return "\n".join(lines) + "\n"
