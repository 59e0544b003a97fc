"""The one printer of tables for a terminal: fits the width, keeps words whole, lines numbers up at the point.

Columns are given as header -> cells; a unit stands in the header: "median (ms)". Cells are formatted by the caller.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from tal_repro.text_lines import terminal_width, words, wrapped

GAP = "  "
ABSENT = ("", "-")
_NUMBER = re.compile(r"[+-]?\d[\d ,]*(\.\d+)?([eE][+-]?\d+)?")


def table(columns: Mapping[str, Sequence[object]], width: int | None = None, indent: str = "") -> list[str]:
    """Return the lines of a table; a row per line where all fits, else cells wrap, else each row becomes a block."""
    width = (width or terminal_width()) - len(indent)
    texts = {title: [str(cell) for cell in cells] for title, cells in columns.items()}
    numeric = {title: _is_numeric(cells) for title, cells in texts.items()}
    texts = {title: _aligned(cells) if numeric[title] else cells for title, cells in texts.items()}
    widths = _widths(texts, numeric, width - len(GAP) * (len(texts) - 1))
    lines = _blocks(texts, width) if widths is None else _rows(texts, numeric, widths)
    return [(indent + line).rstrip() for line in lines]


def _is_numeric(cells: Sequence[str]) -> bool:
    given = [cell for cell in cells if cell not in ABSENT]
    return bool(given) and all(_NUMBER.fullmatch(cell) for cell in given)


def _aligned(cells: Sequence[str]) -> list[str]:
    """Pad numbers so that their decimal points are in one column."""
    tails = [len(cell) - len(re.split(r"[.eE]", cell)[0]) for cell in cells]
    return [cell + " " * (max(tails) - tail) for cell, tail in zip(cells, tails, strict=True)]


def _widths(texts: Mapping[str, Sequence[str]], numeric: Mapping[str, bool], room: int) -> dict[str, int] | None:
    """Return a width for each column so that all fit into `room`; None where the longest words alone do not."""
    whole = {title: max(map(len, (title, *cells))) for title, cells in texts.items()}
    least = {
        title: max(map(len, [*words(title), *(cells if numeric[title] else _all_words(cells)), ""]))
        for title, cells in texts.items()
    }
    while sum(whole.values()) > room:
        widest = max(whole, key=lambda title: (whole[title] > least[title], whole[title]))
        if whole[widest] <= least[widest]:
            return None
        whole[widest] -= 1
    return whole


def _cell_lines(cell: str, width: int) -> list[str]:
    return wrapped(cell, width) or [""]


def _all_words(cells: Sequence[str]) -> list[str]:
    return [word for cell in cells for word in words(cell)]


def _rows(texts: Mapping[str, Sequence[str]], numeric: Mapping[str, bool], widths: Mapping[str, int]) -> list[str]:
    head = {title: _cell_lines(title, widths[title]) for title in texts}
    depth = max(map(len, head.values()))
    lines = _line({title: [""] * (depth - len(part)) + part for title, part in head.items()}, numeric, widths)
    for cells in zip(*texts.values(), strict=True):
        parts = {
            title: [cell] if numeric[title] else _cell_lines(cell, widths[title])
            for title, cell in zip(texts, cells, strict=True)
        }
        lines += _line(parts, numeric, widths)
    return lines


def _line(parts: Mapping[str, list[str]], numeric: Mapping[str, bool], widths: Mapping[str, int]) -> list[str]:
    """Return the lines of one row whose cells have several."""
    lines = []
    for number in range(max(map(len, parts.values()))):
        cells = {title: part[number] if number < len(part) else "" for title, part in parts.items()}
        padded = [f"{cell:{'>' if numeric[title] else '<'}{widths[title]}}" for title, cell in cells.items()]
        lines.append(GAP.join(padded))
    return lines


def _blocks(texts: Mapping[str, Sequence[str]], width: int) -> list[str]:
    """Return a block of "title: cell" lines for each row, for terminals too narrow for the columns."""
    lines: list[str] = []
    for cells in zip(*texts.values(), strict=True):
        for number, (title, cell) in enumerate(zip(texts, cells, strict=True)):
            lines += wrapped(f"{title}: {cell.strip()}", width, "" if number == 0 else GAP, GAP * 2)
    return lines
