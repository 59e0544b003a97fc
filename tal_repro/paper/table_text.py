"""A table of text, as the renderers take it."""

from __future__ import annotations

from dataclasses import dataclass


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
