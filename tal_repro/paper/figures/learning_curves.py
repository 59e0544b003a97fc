"""Figure 2: mAP of each model on parts of the training data, published and (in a panel of its own) measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes

from tal_repro.curves import Fit, fit
from tal_repro.errors import InputError
from tal_repro.paper.claims.curves import completed, curve
from tal_repro.paper.figures import style
from tal_repro.paper.figures.drawing import Drawing, Material, NotRun, used
from tal_repro.paper.measured_tables import measured_tables, sweeps
from tal_repro.paper.table_text import upper_first
from tal_repro.published.table import Table
from tal_repro.runs.apart import pooled
from tal_repro.runs.run import Run

Place = Literal["lower right", "upper left", "best"]
FAMILY = "5pl"
WIDTH, THIN_WIDTH = 0.9, 0.4  # points
HOW = "run: tal-repro run --only experiment=data_sweep, then give --results DIR"


@dataclass
class Panel:
    """The curves of one panel: their points, what they are called, and whether they are made up."""

    title: str
    curves: Table
    table2: Table
    synthetic: bool = False
    runs: list[Run] = field(default_factory=list)
    counts: dict[tuple[str, float], int] = field(default_factory=dict)

    @property
    def short(self) -> str:
        """Return the title without what the caption says."""
        return self.title.replace("Measured here, ", "Here, ").replace(" engine", "")

    @property
    def models(self) -> list[str]:
        return style.ordered(self.curves["model"].tolist())


def panels(material: Material) -> list[Panel]:
    """Return the published panel and one for each engine and kind of data that was run; raise NotRun for none."""
    drawn = []
    if material.draws_published:
        published = material.published
        drawn.append(Panel("Published", published["learning_curves"], published["table2"]))
    if material.draws_measured:
        drawn += measured_panels(material)
    if not drawn:
        raise NotRun("not run: no finished run of data_sweep", material.runs.root, HOW)
    return drawn


def measured_panels(material: Material) -> list[Panel]:
    """Return a panel for each engine and kind of data with at least one scored run of the sweep."""
    drawn = []
    for engine in ("upstream", "native"):
        for synthetic in (False, True):
            chosen = pooled(r for r in material.runs.runs if r.engine == engine and r.synthetic == synthetic)
            tables = measured_tables(chosen)
            if "learning_curves" not in tables:
                continue
            points = sweeps(chosen)
            runs = [run for group in points.values() for run in group]
            own = f"{chosen[0].data_name}, " if chosen and chosen[0].other_data else ""
            title = f"Measured here, {own}{engine} engine" + (", SYNTHETIC" if synthetic else "")
            table2 = tables.get("table2", material.published["table2"].take([]))
            counts = {key: len(group) for key, group in points.items()}
            drawn.append(Panel(title, tables["learning_curves"], table2, synthetic, runs, counts))
    return drawn


def draw(material: Material) -> Drawing:
    """Draw means, standard deviations and a 5PL through all points of each model."""
    shown = panels(material)
    with style.applied():
        wide, rows = len(shown) > 1, (len(shown) + 1) // 2
        figure, axes = style.canvas(
            style.PAGE_INCHES if wide else style.COLUMN_INCHES, 2.5 * rows, rows, min(len(shown), 2)
        )
        drawing = Drawing(figure, _caption(shown))
        places = list(axes.flat)
        for letter, part in zip("abcdefgh", shown, strict=False):
            ax = places.pop(0)
            _draw_panel(ax, part, drawing)
            style.panel(ax, letter if wide else "", part.title if wide or part.runs else "")
            name_curves(ax, drawing.fits, "lower right" if not part.runs else "best")
        for ax in places:
            ax.remove()
        drawing.notes += filter(None, [identified_text(drawing.fits)])
    return drawing


def _draw_panel(ax: Axes, part: Panel, drawing: Drawing) -> None:
    if part.synthetic:
        style.mark_synthetic(ax)
    for model in part.models:
        table = curve(part.curves, model)
        fit = full_fit(part, model)
        draw_points(ax, table, model, fit)
        if fit is not None:
            draw_fit(ax, fit, model, np.geomspace(table["train_percent"].min(), 100, 200))
            drawing.fits[f"{part.title}: {model}, all points"] = fit
    if not part.runs and "tridet" in part.models:
        row = part.table2.where(model="tridet")
        look = style.look("tridet")
        ax.plot([100], row["map_mean"], look.marker, color=look.colour, markerfacecolor="white")
        drawing.rows.append(row)
    ax.set(xlabel="training data used, p (%)", ylabel="average mAP (%)", xlim=(0, 103), ylim=(0, None))
    drawing.rows.append(part.curves)
    drawing.runs = used([*drawing.runs, *part.runs])


def draw_points(ax: Axes, table: Table, model: str, fit: Fit | None) -> None:
    """Draw one curve's means as markers with their standard deviations as bars; name it beside its line as drawn."""
    look = style.look(model)
    percent, mean, std = table["train_percent"], table["map_mean"], table["map_std"]
    marks: dict[str, Any] = {"marker": look.marker, "markeredgewidth": 0.5, "markeredgecolor": "black"}
    ax.errorbar(percent, mean, std, color=look.colour, linestyle="none", elinewidth=0.8, capsize=1.4, **marks)
    ax.plot([], [], color=look.colour, linestyle=look.line, linewidth=_width(fit), label=look.title, **marks)


def draw_fit(ax: Axes, fit: Fit, model: str, grid: np.ndarray) -> None:
    """Draw a fit through all points: thin where the points do not determine its parameters."""
    look = style.look(model)
    ax.plot(grid, fit.predict(grid), color=look.colour, linestyle=look.line, linewidth=_width(fit))


def _width(fit: Fit | None) -> float:
    """Return the width of a fit's line in points."""
    return THIN_WIDTH if fit is not None and not fit.identified else WIDTH


def name_curves(ax: Axes, fits: Mapping[str, Fit], place: Place) -> None:
    """Name what is drawn, and what a thin curve means where there is one."""
    thin = any(not fit.identified for fit in fits.values())
    legend = ax.legend(loc=place)
    legend.set_title("thin: fit not identified" if thin else "")
    legend.get_title().set_fontsize("small")


def identified_text(fits: Mapping[str, Fit]) -> str:
    """Say which of the drawn fits are thin, and why; "" where none is."""
    thin = [name for name, fit in fits.items() if not fit.identified]
    return f"Thin curves: their points do not determine the parameters ({'; '.join(thin)})." if thin else ""


def full_fit(part: Panel, model: str) -> Fit | None:
    """Fit the 5PL to all points of a curve; None where there are too few."""
    try:
        _, percent, value = completed(part.curves, part.table2, model)
        return fit(FAMILY, percent, value)
    except (InputError, IndexError):
        return None


def spread_text(part: Panel) -> str:
    """Say what the bars of a panel mean."""
    if not part.runs:
        return (
            "published: bars = standard deviation as published, 5 runs a point (the caption of the paper says 3; kind "
            "not stated, TemporalMaxer's is the sample std); ActionFormer is the series that the paper plots "
            "(oprescu2023: 3.54, 24.69, ...), not the mean of the single runs (warchocki2023); TriDet's open marker at "
            "100 % is Table 2's"
        )
    counts = sorted(set(part.counts.values()))
    n = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    return f"{part.title[0].lower()}{part.title[1:]}: bars = sample standard deviation, n = {n} runs a point"


def _caption(shown: list[Panel]) -> str:
    return (
        "mAP (average over tIoU 0.3 to 0.7) of the models trained on parts of the data. Markers are means, curves are "
        f"5PL fits to all points. {upper_first('; '.join(map(spread_text, shown)))}."
    )
