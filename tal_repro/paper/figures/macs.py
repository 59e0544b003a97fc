"""Figure 5: multiply-accumulates against input length: published counts filled, those counted here open."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from tal_repro.paper.figures import style
from tal_repro.paper.figures.drawing import Drawing, Material, NotRun, used
from tal_repro.paper.measured_tables import macs_rows, padded_to
from tal_repro.paper.statistics import r_squared
from tal_repro.runs.run import Run
from tal_repro.thumos14 import CLASSES, FEATURE_DIM

HOW = "run: tal-repro run --only experiment=macs, then give --results DIR"
LONGEST_LINEAR = 5000  # feature steps; beyond, both axes are logarithmic
RING = 5.8  # points: around the marker of a published count
COUNTED_NOW = (200, 1000, 3000)  # TadTR's, counted while drawing where torch is there and no run is


class Count(NamedTuple):
    """GMACs of one inference, from a run or (run None) counted while the figure is drawn."""

    model: str
    feature_length: int
    gmacs: float
    run: Run | None


def draw(material: Material) -> Drawing:
    """Draw GMACs by length, published and counted here."""
    counts = measured_gmacs(material) if material.draws_measured else []
    if not counts and not material.draws_published:
        raise NotRun("not run: no finished run of macs", material.runs.root, HOW)
    if material.draws_published and material.draws_measured and not any(count.model == "tadtr" for count in counts):
        counts += count_tadtr()
    with style.applied():
        figure, axes = style.canvas(style.COLUMN_INCHES, 2.5)
        drawing = Drawing(figure, _caption(material, counts))
        ax = axes[0, 0]
        if material.draws_published:
            _published(ax, material, drawing)
        _counted(ax, counts, material, drawing)
        longest = max([3000 if material.draws_published else 0, *(count.feature_length for count in counts)])
        set_axes(ax, longest, "GMACs (fvcore's count)")
        _legend(ax, material, counts)
    return drawing


def measured_gmacs(material: Material) -> list[Count]:
    """Return the counts of macs runs, one for each model and length."""
    return [Count(row.run.model, row.feature_length, row.value, row.run) for row in macs_rows(material.runs.of("macs"))]


def count_tadtr() -> list[Count]:
    """Count TadTR's MACs now; none where torch or fvcore is not installed (the light environment)."""
    if any(importlib.util.find_spec(name) is None for name in ("torch", "fvcore")):
        return []
    from tal_repro.measure.macs import count_macs

    return [Count("tadtr", length, count_macs("tadtr", length).macs / 1e9, None) for length in COUNTED_NOW]


def _published(ax: Axes, material: Material, drawing: Drawing) -> None:
    table = material.published["gmacs"]
    for model in style.ordered(table["model"]):
        rows, look = table.where(model=model), style.look(model)
        ax.plot(rows["feature_length"], rows["gmacs"], color=look.colour, marker=look.marker, linestyle=look.line,
                markeredgecolor="black", markeredgewidth=0.5)  # fmt: skip
        r2 = r_squared(rows["feature_length"], rows["gmacs"])
        drawing.notes.append(f"R2 of a line through the published counts of {model}: {r2:.4f}.")
    drawing.rows.append(table)


def _counted(ax: Axes, counts: Sequence[Count], material: Material, drawing: Drawing) -> None:
    for model in style.ordered(count.model for count in counts):
        mine, look = [count for count in counts if count.model == model], style.look(model)
        published = material.draws_published and model in material.published["gmacs"]["model"]
        lengths, values = np.array([c.feature_length for c in mine]), np.array([c.gmacs for c in mine])
        if published:  # rings around the published; a line through fewer lengths would hide their steps
            ax.plot(lengths, values, color=look.colour, marker=look.marker, markerfacecolor="none", markersize=RING,
                    markeredgewidth=0.9, linestyle="none")  # fmt: skip
        else:
            ax.plot(lengths, values, color=look.colour, marker=look.marker, markerfacecolor="white",
                    markeredgecolor="black", markeredgewidth=0.5, linestyle=look.line)  # fmt: skip
        if len(mine) > 2 and np.ptp(values) == 0:
            drawing.notes.append(f"The counts of {model} made here are all the same: inputs so short are padded.")
        elif len(mine) > 2:
            r2 = r_squared(lengths, values)
            drawing.notes.append(f"R2 of a line through the counts of {model} made here: {r2:.4f}.")
    drawing.runs = used([*drawing.runs, *(count.run for count in counts if count.run is not None)])


def set_axes(ax: Axes, longest: int, ylabel: str) -> None:
    """Label the axes of a figure against input length; logarithmic where the longest input asks for it."""
    ax.set(xlabel="input length (feature steps)", ylabel=ylabel)
    if longest > LONGEST_LINEAR:
        ax.set_xscale("log")
        ax.set_yscale("log")
    else:
        ax.set(xlim=(0, None), ylim=(0, None))


def _legend(ax: Axes, material: Material, counts: Sequence[Count]) -> None:
    """Name each model once above the axes, and say once what filled and open markers are, where both occur."""
    published = material.published["gmacs"]["model"].tolist() if material.draws_published else []
    counted = [count.model for count in counts]
    models = style.ordered([*published, *counted])
    handles = []
    for model in models:
        look = style.look(model)
        marks: dict[str, Any] = {"marker": look.marker, "markeredgecolor": "black", "markeredgewidth": 0.5}
        marks["markerfacecolor"] = look.colour if model in published else "white"
        alone = " (counted here)" if published and model not in published else ""
        handles.append(Line2D([], [], color=look.colour, linestyle=look.line, label=look.title + alone, **marks))
    if set(published) & set(counted):
        ring: dict[str, Any] = {"marker": "o", "markersize": RING, "markerfacecolor": "none", "linestyle": "none"}
        handles.append(Line2D([], [], color="#444444", label="counted here too", **ring))
    ax.legend(handles=handles, loc="lower left", bbox_to_anchor=(0, 1), ncols=2, borderaxespad=0.2, columnspacing=1)


def _caption(material: Material, counts: Sequence[Count]) -> str:
    text = "Multiply-accumulates of one inference against input length; operators fvcore cannot count add nothing. "
    if material.draws_published:
        text += (
            "Filled: published counts of the sibling studies (none of TadTR), in which the three pyramid models pad "
            "inputs to 576 steps and ActionFormer to multiples of it. "
        )
    if counts:
        now = "" if any(count.run for count in counts) else " while this figure was drawn"
        text += f"Open: counted here{now}{_padding(counts)}{_widths(counts)}; MACs depend on neither hardware nor data."
    elif material.draws_published:
        text += "TadTR is missing: counting it needs torch and fvcore, or a run of the macs experiment."
    return text.rstrip()


def _widths(counts: Sequence[Count]) -> str:
    """Say for which channels and classes networks were counted, where those are not THUMOS14's."""
    usual = (FEATURE_DIM, CLASSES)
    recipes = [count.run.spec.recipe for count in counts if count.run]
    widths = {(recipe.get("feature_dim", usual[0]), recipe.get("num_classes", usual[1])) for recipe in recipes}
    named = [f"{channels} channels and {classes} classes" for channels, classes in sorted(widths)]
    return f", for {' or '.join(named)}" if widths - {usual} else ""


def _padding(counts: Sequence[Count]) -> str:
    """Say what the pyramid models of the counts pad to."""
    paddings = (padded_to(run) for run in {c.run.run_id: c.run for c in counts if c.run}.values())
    lengths = {length for length in paddings if length is not None}
    return f", pyramid models padding to {' or '.join(map(str, sorted(lengths)))} steps" if lengths else ""
