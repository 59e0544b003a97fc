"""A learning curve with its forecast as a small SVG in the page's own colours: points can be pointed at, none move."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tal_repro.curves import Forecast, Points, forecast, make_points
from tal_repro.curves.forecast import too_few
from tal_repro.curves.report import build_report
from tal_repro.errors import InputError
from tal_repro.paper.claims.curves import curve
from tal_repro.paper.claims.means import RUNS_WANTED
from tal_repro.paper.figures import style
from tal_repro.paper.figures.drawing import Material
from tal_repro.paper.figures.learning_curves import Panel, measured_panels
from tal_repro.paper.report.markup import Html, tag
from tal_repro.published.load import Published
from tal_repro.runs.load import Runs

HORIZON = 300.0  # percent: what three times the data would give
GRID = 60
Array = NDArray[np.float64]
Grid = tuple[Array, Array, Array, Array]  # percent, middle, low, high


@dataclass(frozen=True)
class CurveForecast:
    """One curve: its points, what `tal-repro forecast` says of them, and a grid (percent, middle, low, high)."""

    model: str
    source: str
    synthetic: bool
    points: Points
    report: dict[str, Any]
    grid: Grid | None


def forecasts(published: Published, runs: Runs) -> list[CurveForecast]:
    """Return the forecast of each curve there is."""
    shown = [Panel("Published", published["learning_curves"], published["table2"])]
    shown += measured_panels(Material(published, runs))
    return [made for part in shown for made in _of(part)]


def _of(part: Panel) -> Iterator[CurveForecast]:
    for model in part.models:
        rows = curve(part.curves, model)
        percent = tuple(rows["train_percent"].astype(float).tolist())
        runs = tuple(part.counts.get((model, p), RUNS_WANTED) for p in percent)
        try:
            points, report, grid = _made(percent, tuple(rows["map_mean"]), tuple(rows["map_std"]), runs)
        except InputError:  # points that no forecast can be made of are drawn in Figure 2 all the same
            continue
        yield CurveForecast(model, part.title, part.synthetic, points, report, grid)


@lru_cache(64)  # seconds a curve; a page that follows a study asks again for curves that have not changed
def _made(
    percent: tuple[float, ...], mean: tuple[float, ...], std: tuple[float, ...], runs: tuple[int, ...]
) -> tuple[Points, dict[str, Any], Grid | None]:
    points = make_points(percent, mean, std, runs)
    made = None if too_few(points) else forecast(points)
    return points, build_report(points, made, 100.0, HORIZON), _grid(made, points)


def _grid(made: Forecast | None, points: Points) -> Grid | None:
    if made is None:
        return None
    end = HORIZON if made.refusal(HORIZON) is None else max(float(points.percent[-1]), 100.0)
    x = np.geomspace(float(points.percent[0]), end, GRID)
    low, high = made.interval(x)
    return x, made.predict(x), low, high


WIDTH, HEIGHT = 320, 210
LEFT, RIGHT, TOP, BOTTOM = 34, 14, 10, 34
PERCENTS = (1, 3, 10, 30, 100, 300)


def chart(one: CurveForecast, prefix: str) -> Html:
    """Draw one curve on a logarithmic axis of percentages; the band is the interval of the forecast."""
    x, y = _axes(one)
    name = f"{style.look(one.model).title}, {one.source}"
    last = float(one.points.percent[-1])
    parts = [
        tag("title", f"Learning curve of {name}", id=f"{prefix}-title"),
        tag("desc", _description(one), id=f"{prefix}-desc"),
        *_frame(one, x, y),
        *([] if one.grid is None else _forecast(one.grid, x, y, last)),
        *_points(one, x, y),
    ]
    if one.synthetic:
        parts.append(tag("text", "SYNTHETIC DATA", x=WIDTH / 2 + 12, y=HEIGHT / 2, class_="watermark"))
    return tag(
        "svg", *parts, viewBox=f"0 0 {WIDTH} {HEIGHT}", role="img", aria_labelledby=f"{prefix}-title {prefix}-desc"
    )


class _Scale:
    """From a value to a place."""

    def __init__(self, low: float, high: float, start: float, end: float, logarithmic: bool = False) -> None:
        self.change = math.log if logarithmic else float
        self.low, self.start = self.change(low), start
        self.slope = (end - start) / ((self.change(high) - self.low) or 1.0)

    def __call__(self, value: float) -> float:
        return round(self.start + self.slope * (self.change(value) - self.low), 1)


def _axes(one: CurveForecast) -> tuple[_Scale, _Scale]:
    percent = [float(one.points.percent[0]), 100.0]
    values = [0.0, float(np.max(one.points.mean))]
    if one.grid is not None:
        percent.append(float(one.grid[0][-1]))
        values.append(min(100.0, float(np.max(one.grid[3]))))
    top = min(100.0, 10 * math.ceil(max(values) / 10 + 0.1))
    x = _Scale(min(percent), max(percent), LEFT, WIDTH - RIGHT, logarithmic=True)
    return x, _Scale(0.0, max(top, 10.0), HEIGHT - BOTTOM, TOP)


def _frame(one: CurveForecast, x: _Scale, y: _Scale) -> Iterable[Html]:
    base, right = HEIGHT - BOTTOM, WIDTH - RIGHT
    for value in range(0, 101, 20):
        if y(value) >= TOP - 1:
            yield tag("line", x1=LEFT, x2=right, y1=y(value), y2=y(value), class_="grid")
            yield tag("text", value, x=LEFT - 5, y=y(value) + 3, text_anchor="end")
    for value in PERCENTS:
        if LEFT - 1 <= x(value) <= right + 1:
            yield tag("line", x1=x(value), x2=x(value), y1=base, y2=base + 4, class_="axis")
            yield tag("text", value, x=x(value), y=base + 14, text_anchor="middle")
    yield tag("line", x1=LEFT, x2=right, y1=base, y2=base, class_="axis")
    yield tag("text", "training data (%)", x=(LEFT + right) / 2, y=HEIGHT - 6, text_anchor="middle")
    middle = (TOP + base) / 2
    yield tag("text", "average mAP (%)", x=9, y=middle, text_anchor="middle", transform=f"rotate(-90 9 {middle})")


def _forecast(grid: tuple[np.ndarray, ...], x: _Scale, y: _Scale, last: float) -> Iterable[Html]:
    percent, middle, low, high = grid
    ahead = percent >= last * 0.999
    if ahead.sum() > 1:
        up = [(x(p), y(min(v, 100.0))) for p, v in zip(percent[ahead], high[ahead], strict=True)]
        down = [(x(p), y(max(v, 0.0))) for p, v in zip(percent[ahead], low[ahead], strict=True)]
        yield tag("polygon", points=_path([*up, *reversed(down)]), class_="band")
    for part, kind in ((~ahead | (np.cumsum(ahead) == 1), "curve"), (ahead, "curve ahead")):
        if part.sum() > 1:
            line = [(x(p), y(float(np.clip(v, 0, 100)))) for p, v in zip(percent[part], middle[part], strict=True)]
            yield tag("polyline", points=_path(line), class_=kind)


def _points(one: CurveForecast, x: _Scale, y: _Scale) -> Iterable[Html]:
    points = one.points
    for percent, mean, std, runs in zip(points.percent, points.mean, points.std, points.runs, strict=True):
        spread = "" if not math.isfinite(std) else f" ± {std:.2f}"
        told = f"{percent:g} % of the data: {mean:.2f}{spread} % mAP, n = {runs:g}"
        bar = None
        if math.isfinite(std) and std > 0:
            ends = (y(max(mean - std, 0.0)), y(min(mean + std, 100.0)))
            bar = tag("line", x1=x(percent), x2=x(percent), y1=ends[0], y2=ends[1], class_="spread")
        yield tag("g", tag("title", told), bar, tag("circle", cx=x(percent), cy=y(mean), r=3.2), class_="point")


def _path(points: Iterable[tuple[float, float]]) -> str:
    return " ".join(f"{a},{b}" for a, b in points)


def _description(one: CurveForecast) -> str:
    points = one.points
    ends = [f"{points.mean[i]:.1f} % mAP at {points.percent[i]:g} % of the data" for i in (0, -1)]
    made_up = "Synthetic data. " if one.synthetic else ""
    return f"{made_up}{len(points)} points, from {ends[0]} to {ends[1]}. {told(one)}"


def told(one: CurveForecast) -> str:
    """Say in a sentence what the forecast is at three times the data."""
    far = one.report["horizon"]
    if not far["answerable"]:
        return f"No forecast at {far['train_percent']:g} %: {far['reason']}."
    low, high = far["interval"]
    level = f"{100 * one.report['level']:.0f} % interval"
    return f"Forecast at {far['train_percent']:g} %: {far['prediction']:.1f} % mAP, {level} {low:.1f} to {high:.1f}."


def legend() -> Html:
    """Say once what all these charts show."""
    told = (
        "Dots are means over runs and bars their standard deviation; the band is the interval of the forecast, "
        "calibrated on public learning curves of other tasks. The axis of percentages is logarithmic."
    )
    return tag("p", told, class_="note")
