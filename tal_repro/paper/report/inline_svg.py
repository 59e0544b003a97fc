"""A figure as SVG inside a page: ids of its own, no metadata, text as text, and a name that screen readers read."""

from __future__ import annotations

import io
import re

from tal_repro.paper.figures.drawing import METADATA, Drawing
from tal_repro.paper.report.markup import Html, tag

FONTS = "'DejaVu Sans', Verdana, sans-serif"  # the last two where the first is missing: as wide, then any
COORDINATES = re.compile(r' (d|x|y)="([^"]*)"')


def inline(drawing: Drawing, number: int, title: str) -> Html:
    """Return the drawing as an <svg> element."""
    import matplotlib

    from tal_repro.paper.figures.style import applied

    buffer = io.BytesIO()
    with applied(), matplotlib.rc_context({"svg.fonttype": "none"}):
        drawing.figure.savefig(buffer, format="svg", metadata=METADATA["svg"])
    return embedded(buffer.getvalue().decode(), f"f{number}", title, drawing.caption)


def embedded(svg: str, prefix: str, title: str, description: str) -> Html:
    """Make matplotlib's SVG fit for a page that holds others: `prefix` goes before every id."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg, flags=re.S)
    svg = re.sub(r"<style.*?</style>\s*", "", svg, flags=re.S)
    used = set(re.findall(r'(?:url\(|href=")#([^")]+)', svg))
    svg = re.sub(r' id="([^"]+)"', lambda found: f' id="{prefix}-{found[1]}"' if found[1] in used else "", svg)
    svg = re.sub(r'(url\(|href=")#', rf"\g<1>#{prefix}-", svg)
    svg = svg.replace("'DejaVu Sans'", FONTS).replace("\n", " ")
    svg = re.sub(r">\s+<", "><", COORDINATES.sub(_rounded, svg))
    names = tag("title", title, id=f"{prefix}-title") + tag("desc", description, id=f"{prefix}-desc")
    opened, closed, rest = svg.partition(">")
    points = re.search(r'width="([\d.]+)pt"', opened)
    opened = re.sub(r' (width|height|version|xmlns(:\w+)?)="[^"]*"', "", opened)
    opened += f' style="--points: {points[1]}"' if points else ""
    opened += f' role="img" aria-labelledby="{prefix}-title {prefix}-desc"'
    return Html(opened + closed + names + rest.replace("xlink:href", "href"))


def _rounded(found: re.Match[str]) -> str:
    """Two decimals of a point are finer than any printer."""
    values = re.sub(r"-?\d+\.\d{3,}", lambda number: f"{float(number[0]):.2f}".rstrip("0").rstrip("."), found[2])
    return f' {found[1]}="{" ".join(values.split())}"'
