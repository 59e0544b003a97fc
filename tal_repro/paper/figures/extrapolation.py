"""Figure 3: what a few points predict: TadTR from at most 10 % of the data, and every model beyond all of it."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from tal_repro.curves import Fit, fit
from tal_repro.errors import InputError
from tal_repro.paper.claims.curves import FIT_UP_TO_PERCENT, curve
from tal_repro.paper.figures import style
from tal_repro.paper.figures.drawing import Drawing, Material, used
from tal_repro.paper.figures.learning_curves import (
    THIN_WIDTH,
    WIDTH,
    Panel,
    draw_fit,
    draw_points,
    full_fit,
    identified_text,
    name_curves,
    panels,
)
from tal_repro.published.table import Table

LEVEL = 0.8
HORIZON_PERCENT = 300.0
SHARE = 0.5  # of the percentages, where a measured sweep has too few points up to 10 %
FAMILIES = {"exponential": ("#bb5566", (0, (5, 1.5)), "exponential"), "5pl": ("#004488", "-", "5PL")}
TICKS = (1, 2, 5, 10, 20, 50, 100, 300)


def draw(material: Material) -> Drawing:
    """Draw, for the published and each measured sweep, (left) partial-data fits and (right) the horizon."""
    shown = panels(material)
    with style.applied():
        figure, axes = style.canvas(style.PAGE_INCHES, 2.55 * len(shown), len(shown), 2)
        drawing = Drawing(figure, _caption(shown))
        for row, part in enumerate(shown):
            letters = "abcdefghijkl"[2 * row : 2 * row + 2]
            _partial(axes[row, 0], part, drawing)
            style.panel(axes[row, 0], letters[0], f"{part.short}: from part of the data")
            _horizon(axes[row, 1], part, drawing)
            style.panel(axes[row, 1], letters[1], f"{part.short}: beyond all of it")
            drawing.rows.append(part.curves)
            drawing.runs = used([*drawing.runs, *part.runs])
        drawing.notes += filter(None, [identified_text(drawing.fits)])
    return drawing


def _partial(ax: Axes, part: Panel, drawing: Drawing) -> None:
    model = "tadtr" if "tadtr" in part.models else part.models[0]
    table = curve(part.curves, model)
    seen_up_to = partial_limit(table)
    _frame(ax, part, float(table["train_percent"].min()), 100.0)
    grid = np.geomspace(table["train_percent"].min(), 100, 160)
    for family, (colour, line, title) in FAMILIES.items():
        fit = _fit(family, table.where(lambda row: row["train_percent"] <= seen_up_to))
        if fit is None:
            drawing.notes.append(f"{part.title}: too few points for the {title} in the left panel.")
            continue
        width = WIDTH if fit.identified else THIN_WIDTH
        label = f"{title}, p ≤ {seen_up_to:g} %"
        ax.plot(grid, fit.predict(grid), color=colour, linestyle=line, linewidth=width, label=label)
        _band(ax, fit, grid, colour)
        drawing.fits[f"{part.title}: {model} {family}, p <= {seen_up_to:g} %"] = fit
    seen = table["train_percent"] <= seen_up_to
    _marks(ax, table.take(np.flatnonzero(seen)), model, True, f"{style.look(model).title}, fitted")
    _marks(ax, table.take(np.flatnonzero(~seen)), model, False, f"{style.look(model).title}, unseen")
    ax.axvline(seen_up_to, color="#999999", linewidth=0.6, linestyle=":")
    name_curves(ax, drawing.fits, "lower right" if part.runs else "upper left")


def partial_limit(table: Table) -> float:
    """Return the largest percentage that is fitted: 10 % as in the paper, else what leaves half the curve unseen."""
    percent = table["train_percent"]
    if (percent <= FIT_UP_TO_PERCENT).sum() >= 4:
        return FIT_UP_TO_PERCENT
    return float(percent[max(3, int(SHARE * len(percent)))]) if len(percent) > 4 else float(percent[-1])


def _marks(ax: Axes, table: Table, model: str, filled: bool, label: str) -> None:
    look = style.look(model)
    ax.errorbar(
        table["train_percent"], table["map_mean"], table["map_std"], linestyle="none", marker=look.marker,
        color="black", markerfacecolor=look.colour if filled else "white", markeredgewidth=0.6, elinewidth=0.6,
        label=label, markersize=3.2, zorder=3,
    )  # fmt: skip


def _horizon(ax: Axes, part: Panel, drawing: Drawing) -> None:
    smallest = float(part.curves["train_percent"].min())
    _frame(ax, part, smallest, HORIZON_PERCENT)
    for model in part.models:
        table, look = curve(part.curves, model), style.look(model)
        fit = full_fit(part, model)
        draw_points(ax, table, model, fit)
        if fit is None:
            continue
        grid = np.geomspace(table["train_percent"].min(), HORIZON_PERCENT, 200)
        draw_fit(ax, fit, model, grid)
        _band(ax, fit, grid[grid >= 100], look.colour)
        _whisker(ax, fit, model)
        drawing.fits[f"{part.title}: {model} 5pl, all points"] = fit
    ax.axvline(100, color="#999999", linewidth=0.6, linestyle=":")
    name_curves(ax, drawing.fits, "lower right" if part.runs else "upper left")


def _whisker(ax: Axes, fit: Fit, model: str) -> None:
    """Draw the interval at the horizon, where it holds; wider caps for the models behind keep them apart."""
    bounds = fit.interval([HORIZON_PERCENT], LEVEL)
    if bounds is None:
        return
    look, place = style.look(model), style.place(model)
    value = float(fit.predict(HORIZON_PERCENT)[0])
    low, high = (float(np.clip(bound[0], 0, 100)) for bound in bounds)
    ax.errorbar(
        HORIZON_PERCENT, value, [[max(0.0, value - low)], [max(0.0, high - value)]], color=look.colour,
        elinewidth=0.7, capsize=1.6 + place, capthick=0.7, marker=look.marker, markeredgecolor="black",
        markeredgewidth=0.5, clip_on=False, zorder=3,
    )  # fmt: skip


def _frame(ax: Axes, part: Panel, low: float, high: float) -> None:
    if part.synthetic:
        style.mark_synthetic(ax)
    ax.set_xscale("log")
    ticks = [tick for tick in TICKS if low <= tick <= high]
    ax.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    ax.set_xticks([], minor=True)
    ax.set(
        xlabel="training data used, p (%)",
        ylabel="average mAP (%)",
        xlim=(0.85 * low, 1.12 * high),
    )
    ax.set_ylim(0, 100 if part.runs else 85)


def _band(ax: Axes, fit: Fit, grid: np.ndarray, colour: str) -> None:
    bounds = fit.interval(grid, LEVEL)
    if bounds is None:
        return
    low, high = (np.clip(bound, 0, 100) for bound in bounds)
    ax.fill_between(grid, low, high, color=colour, alpha=0.13, linewidth=0)


def _fit(family: str, table: Table) -> Fit | None:
    try:
        return fit(family, table["train_percent"], table["map_mean"])
    except InputError:
        return None


def _caption(shown: list[Panel]) -> str:
    measured = " Measured sweeps with too few points up to 10 % are fitted on the lower half of their percentages."
    return (
        "Extrapolating learning curves. Left: the exponential and the 5PL fitted to TadTR's points up to "
        f"{FIT_UP_TO_PERCENT:g} % of the data (filled) against the points they have not seen (open, bars are standard "
        f"deviations). Right: 5PL fits to all points, continued to {HORIZON_PERCENT:g} % of the data, whiskers there. "
        f"Bands and whiskers are {100 * LEVEL:.0f} % intervals of the curve, by profiling the prediction where the "
        "points do not identify the parameters; they hold only if the family does, so the forecast command averages "
        "families instead. ActionFormer is the series that the paper plots (oprescu2023); TriDet's 100 % point is "
        "Table 2's." + (measured if any(part.runs for part in shown) else "")
    )
