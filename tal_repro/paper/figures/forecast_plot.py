"""The picture of `tal-repro forecast --plot`: points, prediction, interval, told apart in grey; refusals in words."""

from __future__ import annotations

import io
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from tal_repro.curves import Forecast, Points
from tal_repro.errors import InputError
from tal_repro.files import write_bytes
from tal_repro.paper.figures import style
from tal_repro.paper.figures.drawing import DPI, METADATA

FORMATS = ("svg", "png", "pdf")
GRID = 200
HEIGHT_INCHES = 2.4
BAND, EDGE, INK = "#d9d9d9", "#7f7f7f", "#000000"
STEPS = (1, 2, 5)  # of each decade of the axis


def save_plot(points: Points, made: Forecast | None, report: dict[str, Any], path: Path) -> None:
    """Draw a forecast into an SVG, PNG or PDF of column width, whole; InputError for another kind of file.

    `report`: what `curves.report.build_report` says of these points; the picture goes as far as it answers.
    """
    kind = path.suffix.lower().lstrip(".")
    if kind not in FORMATS:
        raise InputError(f"no picture of kind {path.suffix!r}", path, "name it .svg, .png or .pdf")
    buffer = io.BytesIO()
    with style.applied():
        figure, axes = style.canvas(style.COLUMN_INCHES, HEIGHT_INCHES)
        _draw(axes[0, 0], points, made, report)
        figure.savefig(buffer, format=kind, dpi=DPI, metadata=METADATA[kind])
    write_bytes(path, buffer.getvalue())


def _draw(ax: Axes, points: Points, made: Forecast | None, report: dict[str, Any]) -> None:
    units, last = points.units, float(points.percent[-1])
    answers = [(units.percent(x), answer) for x, answer in _questions(report) if answer["answerable"]]
    end = max([last, *(percent for percent, _ in answers)])
    if made is not None and answers:
        _forecast(ax, made, float(points.percent[0]), end)
    x = units.outer_x(1.0) * points.percent
    spread = np.nan_to_num(points.std) * (units.outer_gain(1.0))
    bars = spread if points.has_runs else None
    label = "mean ± std of runs" if points.has_runs else "measured"
    ax.errorbar(
        x, units.outer(points.mean), bars, fmt="o", color=INK, capsize=1.6, elinewidth=0.8, label=label, zorder=4
    )
    for percent, answer in answers:
        if percent > last:
            _answer(ax, units.outer_x(percent), answer)
    ax.axhline(
        report["last_value"], color=EDGE, linewidth=0.6, linestyle=(0, (1, 2)), label="if nothing changed", zorder=1
    )
    _refusals(ax, report)
    _axis(ax, units.outer_x(float(points.percent[0])), units.outer_x(end))
    unit = {"percent": "training data (%)", "fraction": "share of the training data", "count": "training examples"}
    ax.set(xlabel=unit[units.x], ylabel=f"{units.name} (%)" if units.metric == "percent" else units.name)
    ax.margins(y=0.1)
    ax.legend(loc="upper right" if units.falls else "lower right")


def _questions(report: dict[str, Any]) -> list[tuple[float, dict[str, Any]]]:
    return [(report["target"], report), (report["horizon"]["train_percent"], report["horizon"])]


def _forecast(ax: Axes, made: Forecast, start: float, end: float) -> None:
    """Draw the curve through the points, and beyond them the prediction with its interval, edges drawn."""
    units, last = made.points.units, made.last_percent
    seen = np.geomspace(start, last, GRID)
    ax.plot(units.outer_x(1.0) * seen, units.outer(made.predict(seen)), "-", color=INK, linewidth=0.8)
    if end <= last:
        return
    ahead = np.geomspace(last, end, GRID)
    x = units.outer_x(1.0) * ahead
    low, high = (units.outer(side) for side in made.interval(ahead))
    ax.fill_between(x, low, high, color=BAND, linewidth=0, label=f"{made.level:.0%} interval")
    for side in (low, high):
        ax.plot(x, side, color=EDGE, linewidth=0.6)
    ax.plot(x, units.outer(made.predict(ahead)), "--", color=INK, linewidth=1.1, label="predicted")


def _answer(ax: Axes, x: float, answer: dict[str, Any]) -> None:
    """Mark an answer that was asked for: its prediction and the ends of its interval, with their numbers."""
    low, high = answer["interval"]
    middle = answer["prediction"]
    ax.plot([x, x], [low, high], "-", color=INK, linewidth=0.7, marker="_", markersize=5)
    ax.plot([x], [middle], "D", color=INK, markerfacecolor="white", markersize=3.4, zorder=5)
    digits = 3 if high <= 1 else 1
    ax.annotate(
        f"{middle:.{digits}f}", (x, middle), xytext=(-5, 4), textcoords="offset points", ha="right", fontsize=6.5
    )


def _refusals(ax: Axes, report: dict[str, Any]) -> None:
    reasons = list(dict.fromkeys(answer["reason"] for _, answer in _questions(report) if not answer["answerable"]))
    if reasons:
        text = "\n".join(line for reason in reasons for line in textwrap.wrap(f"No forecast: {reason}.", 62))
        ax.set_title(text, loc="left", fontsize=6.5)


def _axis(ax: Axes, start: float, end: float) -> None:
    """Make the axis logarithmic, with ticks that are plain numbers."""
    ax.set_xscale("log")
    decades = range(int(np.floor(np.log10(start))), int(np.ceil(np.log10(end))) + 1)
    ticks = [step * 10.0**decade for decade in decades for step in STEPS]
    inside = [tick for tick in ticks if 0.999 * start <= tick <= 1.001 * end]
    ax.xaxis.set_major_locator(FixedLocator(inside if len(inside) > 1 else [start, end]))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
