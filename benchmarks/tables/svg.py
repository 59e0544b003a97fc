"""Boxes and arrows as SVG, in greys that print: text in, text out, the same bytes every time."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

LINE_HEIGHT = 13  # pixels, as everything here
TITLE_HEIGHT = 18
MARGIN = 6
LETTER = 5.9  # mean width of a letter of 10.5 pixels
INK, PALE, EDGE = "#111", "#f1f1f1", "#444"
HEAD = (
    '<marker id="head" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7" orient="auto">'
    f'<path d="M0 0 10 5 0 10z" fill="{EDGE}"/></marker>'
)


@dataclass(frozen=True)
class Box:
    """A box with a bold title and small text below; `x`, `y` are its upper left corner."""

    title: str
    text: str
    x: float
    y: float
    width: float = 180
    fill: str = PALE

    @property
    def lines(self) -> list[str]:
        """Return the text, wrapped at the box's width."""
        text = self.text.replace("`", "")
        return textwrap.wrap(text, int((self.width - 2 * MARGIN) / LETTER), break_on_hyphens=False)

    @property
    def height(self) -> float:
        """Return the height that title and text take."""
        return 2 * MARGIN + TITLE_HEIGHT + LINE_HEIGHT * len(self.lines)

    @property
    def centre(self) -> tuple[float, float]:
        """Return the middle of the box."""
        return self.x + self.width / 2, self.y + self.height / 2

    def svg(self) -> str:
        """Return the box as SVG."""
        left, top = self.x + MARGIN, self.y + MARGIN + 12
        texts = [f'<text class="t" x="{left:g}" y="{top:g}">{escape(self.title)}</text>']
        for number, line in enumerate(self.lines, 1):
            texts.append(f'<text x="{left:g}" y="{top + 2 + LINE_HEIGHT * number:g}">{escape(line)}</text>')
        frame = (
            f'<rect x="{self.x:g}" y="{self.y:g}" width="{self.width:g}" height="{self.height:g}" rx="4" '
            f'fill="{self.fill}" stroke="{EDGE}"/>'
        )
        return frame + "".join(texts)


def arrow(start: Box, end: Box) -> str:
    """Return an arrow between the edges of two boxes, on the line between their middles."""
    (x1, y1), (x2, y2) = _leaves(start, end), _leaves(end, start)
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" marker-end="url(#head)"/>'


def _leaves(box: Box, towards: Box) -> tuple[float, float]:
    """Return the point where the line to another box's middle leaves this box."""
    (x, y), (to_x, to_y) = box.centre, towards.centre
    dx, dy = to_x - x, to_y - y
    shares = [half / abs(d) for half, d in ((box.width / 2, dx), (box.height / 2, dy)) if d]
    share = min(shares)
    return x + dx * share, y + dy * share


def label(text: str, x: float, y: float) -> str:
    """Return a line of small text whose middle is at x, on white so that no arrow runs through it."""
    width = len(text) * LETTER + 4
    back = f'<rect x="{x - width / 2:.1f}" y="{y - 10:.1f}" width="{width:.1f}" height="13" fill="#fff" stroke="none"/>'
    return f'{back}<text class="m" x="{x:.1f}" y="{y:.1f}">{escape(text)}</text>'


def picture(title: str, size: tuple[float, float], lines: Iterable[str], boxes: Sequence[Box], above: str = "") -> str:
    """Return the whole picture: arrows behind the boxes, `above` over both; readers of screens say `title`."""
    width, height = size
    style = (
        "text{font:10.5px Helvetica,Arial,'Liberation Sans','DejaVu Sans',sans-serif;fill:" + INK + "}"
        ".t{font-weight:bold;font-size:13px}.m{text-anchor:middle}line,path.e{stroke:" + EDGE + ";fill:none}"
    )
    frame = f'viewBox="0 0 {width:g} {height:g}" width="{width:g}" height="{height:g}"'
    head = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {frame} role="img">',
        f"<title>{escape(title)}</title><style>{style}</style><defs>{HEAD}</defs>",
        f'<rect width="{width:g}" height="{height:g}" fill="#fff"/>',
    ]
    return "\n".join([*head, *lines, *(box.svg() for box in boxes), *([above] if above else []), "</svg>\n"])
