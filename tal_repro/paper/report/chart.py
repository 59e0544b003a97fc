"""One chart of many curves as an SVG in the page's own colours: models by colour, mark and dash, sources by filling."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from tal_repro.paper.figures import style
from tal_repro.paper.report.markup import Html, join, tag

WIDTH, HEIGHT = 760, 400
LEFT, RIGHT, TOP, BOTTOM = 58, 16, 12, 56
MARK = 4.4  # half the size of a marker, in units of the view box
PAPERS = ("tadtr", "actionformer", "tridet", "temporalmaxer")
SPARE = 4  # further looks, shared by models beyond the paper's four
Place = tuple[float, float]


@dataclass(frozen=True)
class Mark:
    """A point: share of the data and mean mAP in percent, standard deviation (NaN: none), and what hovering says."""

    x: float
    y: float
    std: float
    text: str


@dataclass(frozen=True)
class Series:
    """One curve: its marks, a line in two parts (the second dashed), a band's outline, and whose it is."""

    model: str
    source: str
    published: bool
    synthetic: bool
    marks: Sequence[Mark]
    line: Sequence[Place] = ()
    ahead: Sequence[Place] = ()
    band: Sequence[Place] = ()

    @property
    def name(self) -> str:
        return f"{style.look(self.model).title}, {self.source}"

    @property
    def kind(self) -> str:
        """Return the classes of its look: the model's, and whether it is published or measured."""
        number = PAPERS.index(self.model) if self.model in PAPERS else len(PAPERS) + sum(self.model.encode()) % SPARE
        return f"m{number} {'published' if self.published else 'measured'}"


class Scale:
    """From a value to a place."""

    def __init__(self, low: float, high: float, start: float, end: float, logarithmic: bool = False) -> None:
        self.change = math.log if logarithmic else float
        self.low, self.start = self.change(low), start
        self.slope = (end - start) / ((self.change(high) - self.low) or 1.0)

    def __call__(self, value: float) -> float:
        return round(self.start + self.slope * (self.change(value) - self.low), 1)


def draw(series: Sequence[Series], prefix: str, title: str, description: str, logarithmic: bool = False) -> Html:
    """Draw mAP against the share of training data; `prefix` begins the ids."""
    x, y, ticks = _axes(series, logarithmic)
    made_up = any(each.synthetic for each in series)
    parts = [
        tag("title", title, id=f"{prefix}-title"),
        tag("desc", description, id=f"{prefix}-desc"),
        *_frame(x, y, ticks),
        *(_series(each, x, y) for each in series),
    ]
    if made_up:
        note = "measured here: SYNTHETIC DATA" if any(each.published for each in series) else "SYNTHETIC DATA"
        parts.append(tag("text", note, x=LEFT + 12, y=TOP + 20, class_="watermark"))
    picture = tag("svg", *parts, viewBox=f"0 0 {WIDTH} {HEIGHT}", role="img",
                  aria_labelledby=f"{prefix}-title {prefix}-desc")  # fmt: skip
    return join([tag("div", picture, class_="chart", data_name=prefix), _legend(series)])


def _axes(series: Sequence[Series], logarithmic: bool) -> tuple[Scale, Scale, list[float]]:
    places = [place for each in series for place in (*each.line, *each.ahead, *each.band)]
    places += [
        (mark.x, mark.y + (mark.std if math.isfinite(mark.std) else 0.0)) for each in series for mark in each.marks
    ]
    top = min(100.0, 10 * math.ceil(max((value for _, value in places), default=100.0) / 10 + 0.1))
    y = Scale(0.0, max(top, 10.0), HEIGHT - BOTTOM, TOP)
    low, high = min((p for p, _ in places), default=1.0), max((p for p, _ in places), default=100.0)
    if logarithmic:
        shown = [tick for tick in (1, 3, 10, 30, 100, 300) if low * 0.99 <= tick <= high * 1.01]
        return Scale(low, max(high, low * 2), LEFT + 8, WIDTH - RIGHT - 8, True), y, [float(tick) for tick in shown]
    return Scale(0.0, max(high, 100.0) * 1.02, LEFT, WIDTH - RIGHT), y, [0.0, 20.0, 40.0, 60.0, 80.0, 100.0]


def _frame(x: Scale, y: Scale, ticks: Iterable[float]) -> Iterator[Html]:
    base, right = HEIGHT - BOTTOM, WIDTH - RIGHT
    for value in range(0, 101, 20):
        if y(value) >= TOP - 1:
            yield tag("line", x1=LEFT, x2=right, y1=y(value), y2=y(value), class_="grid")
            yield tag("text", value, x=LEFT - 7, y=y(value) + 4, text_anchor="end")
    for tick in ticks:
        yield tag("line", x1=x(tick), x2=x(tick), y1=base, y2=base + 5, class_="axis")
        yield tag("text", f"{tick:g}", x=x(tick), y=base + 22, text_anchor="middle")
    yield tag("line", x1=LEFT, x2=right, y1=base, y2=base, class_="axis")
    yield tag("text", "training data used (%)", x=(LEFT + right) / 2, y=HEIGHT - 10, text_anchor="middle")
    middle = (TOP + base) / 2
    yield tag("text", "average mAP (%)", x=16, y=middle, text_anchor="middle", transform=f"rotate(-90 16 {middle})")


def _series(series: Series, x: Scale, y: Scale) -> Html:
    def path(places: Iterable[Place]) -> str:
        return " ".join(f"{x(p):g},{y(min(max(v, 0.0), 100.0)):g}" for p, v in places)

    parts = [tag("polygon", points=path(series.band), class_="band")] if series.band else []
    parts += [tag("polyline", points=path(series.line), class_="curve")] if series.line else []
    parts += [tag("polyline", points=path(series.ahead), class_="curve ahead")] if series.ahead else []
    for mark in series.marks:
        bar = None
        if math.isfinite(mark.std) and mark.std > 0:
            ends = (y(max(mark.y - mark.std, 0.0)), y(min(mark.y + mark.std, 100.0)))
            bar = tag("line", x1=x(mark.x), x2=x(mark.x), y1=ends[0], y2=ends[1], class_="spread")
        shape = tag("path", d=_shape(series.model, x(mark.x), y(mark.y)))
        parts.append(tag("g", tag("title", mark.text), bar, shape, class_="point"))
    return tag("g", *parts, class_=series.kind, data_series=series.name)


def _shape(model: str, x: float, y: float) -> str:
    """Return the outline of a model's marker around a place: those of the printed figures."""
    r = MARK
    outlines = {
        "s": f"M{x - r:.1f} {y - r:.1f}h{2 * r:g}v{2 * r:g}h{-2 * r:g}z",
        "^": f"M{x:.1f} {y - 1.2 * r:.1f}l{1.15 * r:g} {2.1 * r:g}h{-2.3 * r:g}z",
        "v": f"M{x:.1f} {y + 1.2 * r:.1f}l{1.15 * r:g} {-2.1 * r:g}h{-2.3 * r:g}z",
        "D": f"M{x:.1f} {y - 1.3 * r:.1f}l{1.3 * r:g} {1.3 * r:g}l{-1.3 * r:g} {1.3 * r:g}l{-1.3 * r:g} {-1.3 * r:g}z",
    }
    circle = f"M{x - r:.1f} {y:.1f}a{r:g} {r:g} 0 1 0 {2 * r:g} 0a{r:g} {r:g} 0 1 0 {-2 * r:g} 0z"
    return outlines.get(style.look(model).marker, circle)


def _legend(series: Sequence[Series]) -> Html:
    """Return one entry a curve; the script lets each be hidden."""
    entries = []
    for each in series:
        line = tag("line", x1=0, x2=34, y1=8, y2=8, class_="curve")
        swatch = tag("svg", tag("g", line, tag("path", d=_shape(each.model, 17, 8)), class_=each.kind),
                     viewBox="0 0 34 16", aria_hidden="true", class_="swatch")  # fmt: skip
        entries.append(tag("li", swatch, " ", each.name, data_series=each.name))
    return tag("ul", *entries, class_="legend")
