"""The learning curves of the page: all of Figure 2 in one chart, all forecasts in another, each beside its numbers."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
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
from tal_repro.paper.report.chart import Mark, Place, Series, draw
from tal_repro.paper.report.markup import Html, table, tag
from tal_repro.published.load import Published
from tal_repro.runs.load import Runs

FULL = 100.0  # percent
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
    shown = sweep_panels(published, runs)
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


def sweep_panels(published: Published, runs: Runs) -> list[Panel]:
    """Return the curves of Figure 2: the published ones, and those of each engine and kind of data run here."""
    shown = [Panel("Published", published["learning_curves"], published["table2"])]
    return shown + measured_panels(Material(published, runs))


def overlay(panels: Iterable[Panel]) -> list[Series]:
    """Return every curve of Figure 2 for one chart: means joined by lines, as many as there are."""
    return [_overlaid(part, model) for part in panels for model in part.models]


def _overlaid(part: Panel, model: str) -> Series:
    rows = curve(part.curves, model)
    values = zip(rows["train_percent"].tolist(), rows["map_mean"].tolist(), rows["map_std"].tolist(), strict=True)
    name = f"{style.look(model).title}, {_source(part)}"
    marks = [
        _mark(name, *value, part.counts.get((model, value[0]), 0 if part.runs else RUNS_WANTED)) for value in values
    ]
    if not part.runs and marks[-1].x < FULL and len(row := part.table2.where(model=model)):  # TriDet's is in Table 2
        marks.append(_mark(f"{name} (Table 2)", FULL, float(row["map_mean"][0]), float(row["map_std"][0]), RUNS_WANTED))
    line = [(mark.x, mark.y) for mark in marks]
    return Series(model, _source(part), not part.runs, part.synthetic, marks, line)


def _source(part: Panel) -> str:
    return part.title[:1].lower() + part.title[1:]


def _mark(name: str, percent: float, mean: float, std: float, runs: float) -> Mark:
    spread = f" ± {std:.2f}" if math.isfinite(std) and runs != 1 else ""
    counted = f", n = {runs:g}" if runs else ""
    return Mark(percent, mean, std, f"{name}: {mean:.2f}{spread} % mAP at {percent:g} % of the data{counted}")


def chart(shown: Sequence[CurveForecast], prefix: str) -> Html:
    """Draw all curves with their forecasts in one chart on a logarithmic axis of percentages."""
    made_up = (
        "Curves measured here are of SYNTHETIC data. "
        if any(curve_forecast.synthetic for curve_forecast in shown)
        else ""
    )
    description = f"{made_up}{len(shown)} curves; the table below has what each forecasts."
    title = "Learning curves of all models and their forecasts"
    return draw(
        [_forecast_series(curve_forecast) for curve_forecast in shown], prefix, title, description, logarithmic=True
    )


def _forecast_series(curve_forecast: CurveForecast) -> Series:
    source = curve_forecast.source[:1].lower() + curve_forecast.source[1:]
    name = f"{style.look(curve_forecast.model).title}, {source}"
    points = curve_forecast.points
    marks = [
        _mark(name, float(percent), float(mean), float(std), float(runs))
        for percent, mean, std, runs in zip(points.percent, points.mean, points.std, points.runs, strict=True)
    ]
    line: list[Place] = [(mark.x, mark.y) for mark in marks]
    ahead: list[Place] = []
    band: list[Place] = []
    if curve_forecast.grid is not None:
        percent, middle, low, high = curve_forecast.grid
        beyond = percent >= float(points.percent[-1]) * 0.999
        line = _places(percent[~beyond | (np.cumsum(beyond) == 1)], middle[~beyond | (np.cumsum(beyond) == 1)])
        if beyond.sum() > 1:
            ahead = _places(percent[beyond], middle[beyond])
            band = [*_places(percent[beyond], high[beyond]), *reversed(_places(percent[beyond], low[beyond]))]
    return Series(
        curve_forecast.model,
        source,
        curve_forecast.source == "Published",
        curve_forecast.synthetic,
        marks,
        line,
        ahead,
        band,
    )


def _places(x: Array, y: Array) -> list[Place]:
    return [(float(a), float(b)) for a, b in zip(x, y, strict=True)]


def forecast_table(shown: Sequence[CurveForecast]) -> Html:
    """Return what each curve forecasts at three times the data, with the ends of its points."""
    header = (
        "Model",
        "Source",
        "Points",
        "First (% of data: % mAP)",
        "Last (% of data: % mAP)",
        f"Forecast at {HORIZON:g} % of the data",
    )
    rows = []
    for curve_forecast in shown:
        points = curve_forecast.points
        ends = [f"{points.percent[i]:g} %: {points.mean[i]:.2f}" for i in (0, -1)]
        rows.append(
            [
                style.look(curve_forecast.model).title,
                curve_forecast.source,
                len(points),
                *ends,
                in_words(curve_forecast),
            ]
        )
    return table("What each curve forecasts", header, rows)


def in_words(curve_forecast: CurveForecast) -> str:
    """Say in a sentence what the forecast is at three times the data."""
    far = curve_forecast.report["horizon"]
    if not far["answerable"]:
        return f"none: {far['reason']}"
    low, high = far["interval"]
    level = f"{100 * curve_forecast.report['level']:.0f} % interval"
    return f"{far['prediction']:.1f} % mAP, {level} {low:.1f} to {high:.1f}"


def legend() -> Html:
    """Say what the chart shows."""
    text = (
        "Marks are means over runs, bars their standard deviation: filled as published, open as measured here. "
        "Dotted lines are forecasts beyond the data, bands their intervals, "
        "calibrated on public learning curves of other tasks. The axis of percentages is logarithmic."
    )
    return tag("figcaption", text)
