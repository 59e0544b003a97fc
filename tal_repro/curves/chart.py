"""A learning curve with its forecast in plain characters, for a terminal or a log file."""

from __future__ import annotations

import numpy as np

from tal_repro.curves.forecast import Forecast
from tal_repro.curves.units import Units

MOST_WIDTH, HEIGHT = 58, 11
LABEL_WIDTH = 8  # of a value, and the axis
INTERVAL, CURVE, POINT = ":", "-", "o"


def draw(forecast: Forecast, end: float, columns: int = MOST_WIDTH + LABEL_WIDTH) -> list[str]:
    """Return a chart up to `end` percent (logarithmic x), lines of at most `columns`: points, prediction, interval."""
    width = min(MOST_WIDTH, columns - LABEL_WIDTH)
    points, units = forecast.points, forecast.points.units
    x = np.geomspace(points.percent[0], max(end, forecast.last_percent), width)
    middle, low, high, mean = (units.outer(v) for v in (forecast.predict(x), *forecast.interval(x), points.mean))
    low, high = np.minimum(low, high), np.maximum(low, high)  # an error rate turns them round
    top = float(max(high.max(), mean.max()))
    bottom = float(min(low.min(), mean.min()))
    span = max(top - bottom, 1e-9)

    def row(value: float) -> int:
        return int(np.clip(round((top - value) / span * (HEIGHT - 1)), 0, HEIGHT - 1))

    canvas = [[" "] * width for _ in range(HEIGHT)]
    for column in range(width):
        if x[column] > forecast.last_percent:
            for line in range(row(high[column]), row(low[column]) + 1):
                canvas[line][column] = INTERVAL
        canvas[row(middle[column])][column] = CURVE
    for percent, value in zip(points.percent, mean, strict=True):
        canvas[row(float(value))][_column(x, float(percent))] = POINT
    labels = [
        f"{top - span * line / (HEIGHT - 1):6.{units.decimals}f}" if line % 5 == 0 else " " * 6
        for line in range(HEIGHT)
    ]
    body = [f"{label} |{''.join(cells).rstrip()}" for label, cells in zip(labels, canvas, strict=True)]
    return [*body, " " * 7 + "+" + "-" * width, _axis(x, forecast.last_percent, end, units)]


def _column(x: np.ndarray[tuple[int], np.dtype[np.float64]], percent: float) -> int:
    return int(np.argmin(np.abs(np.log(x / percent))))


def _axis(x: np.ndarray[tuple[int], np.dtype[np.float64]], last: float, end: float, units: Units) -> str:
    line = [" "] * (len(x) + LABEL_WIDTH)
    for percent in (x[0], end, last):
        rounded = units.percent(float(f"{units.outer_x(percent):.3g}"))
        label = f"{units.amount(rounded)} {'%' if units.x == 'percent' else ''}".rstrip()
        start = max(min(_column(x, float(percent)) + LABEL_WIDTH - len(label) // 2, len(line) - len(label)), 0)
        if all(cell == " " for cell in line[max(start - 1, 0) : start + len(label) + 1]):
            line[start : start + len(label)] = label
    return "".join(line).rstrip()
