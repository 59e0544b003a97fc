"""Text of others on its way out: what a terminal or a spreadsheet would obey is taken from it."""

from __future__ import annotations

import re
from typing import Any

_SHOWN_CHARACTERS = 60
# Control characters but newline and tab, bidirectional overrides, line separators, halves of surrogate pairs, tags.
_UNPRINTABLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff\U000e0000-\U000e0fff]"
)
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*([eE][+-]?\d+)?|inf|nan)", re.ASCII)


def short(value: Any) -> str:
    """Return a value's representation, cut to 60 characters; nothing in it moves a terminal's cursor."""
    text = repr(value[:_SHOWN_CHARACTERS] if isinstance(value, str) and len(value) > _SHOWN_CHARACTERS else value)
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[: _SHOWN_CHARACTERS - 3]}..."


def printable(text: str) -> str:
    """Return text for a terminal: control characters (but newline and tab) and bidirectional overrides as escapes."""
    return text if text.isprintable() else _UNPRINTABLE.sub(_escape, text)


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def csv_cell(value: Any) -> Any:
    """Return a cell for a spreadsheet: text that it would take for a formula gets a leading apostrophe.

    Numbers stay, as text too. Not for files that a program reads back: an id may begin with a dash.
    """
    if isinstance(value, str) and value[:1] in tuple("=+-@\t\r") and not _NUMBER.fullmatch(value):
        return f"'{value}"
    return value
