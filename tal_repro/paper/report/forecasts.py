"""Learning curves with their forecasts: the published ones, and those of each engine and kind of data run here."""

from __future__ import annotations

from collections.abc import Iterator
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
from tal_repro.paper.figures.drawing import Material
from tal_repro.paper.figures.learning_curves import Panel, measured_panels
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
            points, report, grid = _forecast(percent, tuple(rows["map_mean"]), tuple(rows["map_std"]), runs)
        except InputError:  # points that no forecast can be made of are drawn in Figure 2 all the same
            continue
        yield CurveForecast(model, part.title, part.synthetic, points, report, grid)


@lru_cache(64)  # seconds a curve; a page that follows a study asks again for curves that have not changed
def _forecast(
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
