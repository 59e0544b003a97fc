"""HTML as strings that cannot be forged: whatever is not `Html` already is escaped on its way into a tag."""

from __future__ import annotations

import html
import math
import re
import shlex
from collections.abc import Iterable, Sequence
from typing import Any

VOID = frozenset({"meta", "link", "input", "br"})
# Terminal colours and titles; then control characters, lone surrogates and what turns the direction of text.
ANSI = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b.?")
UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\u202a-\u202e\u2066-\u2069\ufffe\uffff]")
NUMERIC = re.compile(r"^[−-]?\d[\d.,]*( ± [\d.]+)?( %)?$")
NOTHING = "–"
SMALL, WIDE = 5, 9  # columns up to which a table is no wider than it must be, and from which on it is set small


class Html(str):
    """Text that is HTML already."""

    __slots__ = ()


def plain(value: object) -> str:
    """Return text without terminal codes and characters that no page may hold."""
    return UNPRINTABLE.sub("\ufffd", ANSI.sub("", str(value)))


def escape(value: object) -> Html:
    """Return `value` as HTML: itself if it is, else as escaped text."""
    return value if isinstance(value, Html) else Html(html.escape(plain(value)))


def tag(name: str, /, *children: object, **attributes: object) -> Html:
    """Return an element. `class_` is the attribute class, `aria_label` is aria-label; None and False are left out."""
    parts = [name]
    for key, value in attributes.items():
        if value is None or value is False:
            continue
        attribute = key.rstrip("_").replace("_", "-")
        parts.append(attribute if value is True else f'{attribute}="{html.escape(plain(value))}"')
    opened = f"<{' '.join(parts)}>"
    return Html(opened) if name in VOID else Html(f"{opened}{join(children)}</{name}>")


def join(children: Iterable[object], between: str = "") -> Html:
    """Return children one after the other, each escaped unless it is HTML; None is left out."""
    return Html(between.join(escape(child) for child in children if child is not None))


def command(text: str) -> Html:
    """Return a command that can be copied (the button appears where scripts run)."""
    return tag("span", tag("code", text), class_="command")


def results_option(results: str | None) -> str:
    """Return the option that names a folder of runs, as a shell takes it; "" without one."""
    return f" --results {shlex.quote(results)}" if results else ""


def rest(title: str, *children: object) -> Html:
    """Return what is shown on demand; printing opens it."""
    return tag("details", tag("summary", title), *children, class_="rest")


def region(caption: str, *children: object, class_: str = "scroll") -> Html:
    """Return a box that scrolls by itself, reachable by keyboard and named for screen readers."""
    return tag("div", *children, class_=class_, role="region", aria_label=caption, tabindex="0")


def table(caption: str, header: Sequence[object], rows: Iterable[Sequence[object]], note: object = None) -> Html:
    """Return a table with a caption, column headers, and the first cell of each row as its header.

    On a narrow screen its rows become blocks: hence the roles (blocks are no table to a screen reader) and labels.
    """
    body = [list(row) for row in rows]
    kinds = [None, *(_kind([row[index] for row in body]) for index in range(1, len(header)))]
    head = tag("tr", *(_head_cell(cell, kind) for cell, kind in zip(header, kinds, strict=True)), role="row")
    lines = [_line(header, row, kinds) for row in body]
    full = tag("caption", caption, None if note is None else join([" ", tag("span", note, class_="note")]))
    width = "small" if len(header) <= SMALL else "wide" if len(header) >= WIDE else None
    parts = (full, tag("thead", head, role="rowgroup"), tag("tbody", *lines, role="rowgroup"))
    return region(caption, tag("table", *parts, class_=" ".join(filter(None, [width, "stacking"])), role="table"))


def _head_cell(text: object, kind: str | None) -> Html:
    return tag("th", text, scope="col", class_=kind, role="columnheader")


def _line(header: Sequence[object], row: Sequence[object], kinds: Sequence[str | None]) -> Html:
    labelled = list(zip(header, row, kinds, strict=True))[1:]
    cells = (tag("td", cell, class_=kind, role="cell", data_label=str(name)) for name, cell, kind in labelled)
    return tag("tr", tag("th", row[0], scope="row", role="rowheader"), *cells, role="row")


def _kind(cells: Sequence[object]) -> str | None:
    """Align a column as numbers where all of it are numbers or nothing, at least one a number."""
    texts = [str(cell) for cell in cells if str(cell) not in ("", NOTHING)]
    return "number" if texts and all(NUMERIC.match(text) for text in texts) else None


def number(value: Any, digits: int = 2) -> str:
    """Return a number with `digits` decimals, a dash for None and what is not finite."""
    if value is None or not math.isfinite(float(value)):
        return NOTHING
    return f"{float(value):.{digits}f}"


def duration(seconds: float | None) -> str:
    """Return seconds as people say them."""
    if seconds is None or not math.isfinite(seconds):
        return NOTHING
    if seconds < 120:
        return f"{seconds:.3g} s"
    minutes = seconds / 60
    return f"{minutes:.3g} min" if minutes < 120 else f"{minutes / 60:.3g} h"


def shortened(ids: Iterable[str], most: int) -> str:
    """Return ids one after the other, and how many more there are than `most`."""
    listed = list(ids)
    more = f" and {len(listed) - most} more" if len(listed) > most else ""
    return " ".join(listed[:most]) + more
