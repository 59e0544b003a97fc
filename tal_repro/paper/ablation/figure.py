"""The ablation's figure: a row for each budget, a panel for each model, a curve for each unit and weight set."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from tal_repro.models.registry import MODELS
from tal_repro.paper.ablation.points import Condition, Point, models_of
from tal_repro.paper.figures import style
from tal_repro.paper.figures.drawing import DPI, METADATA
from tal_repro.paper.statistics import describe

BUDGETS = ("epochs", "steps")
ROW_INCHES = 1.75
SPREAD = 0.03  # of the share: curves stand side by side, so that their bars can be told apart
UNITS: dict[tuple[str, str], tuple[str, dict[str, Any]]] = {  # lightness 0, 48, 72 of 100: they differ in grey too
    ("video", "uniform"): ("any videos", {"color": "#000000", "marker": "o"}),
    ("video", "all-classes"): ("videos of all classes", {"color": "#bb5566", "marker": "^"}),
    ("slice", "uniform"): ("slices", {"color": "#ddaa33", "marker": "s"}),
}
LINES: dict[str, tuple[str, dict[str, Any]]] = {
    "raw": ("raw weights", {"linestyle": "-"}),
    "ema": ("moving average", {"linestyle": (0, (3, 1.5)), "markerfacecolor": "white"}),
}


def draw(points: Sequence[Point], path: Path, made_up: bool) -> None:
    """Draw means with standard deviations of runs into .png, .pdf and .svg beside `path`."""
    models = models_of(points)
    with style.applied():
        figure, axes = style.canvas(style.PAGE_INCHES, ROW_INCHES * len(BUDGETS) + 0.5, len(BUDGETS), len(models))
        for (row, budget), (column, model) in itertools.product(enumerate(BUDGETS), enumerate(models)):
            own = [point for point in points if point.model == model]
            _panel(axes[row, column], own, budget)
            axes[row, column].set_title(f"{MODELS[model].title}, equal {budget}", fontsize=7)
        top = max((point.average_map_percent for point in points), default=0.0)
        for ax in axes.flat:
            ax.set_ylim(0, 1.1 * top or 1)
        for ax in axes[:, 0]:
            ax.set_ylabel("average mAP (%)" + (",\nsynthetic data" if made_up else ""))
        for ax in axes[-1]:
            ax.set_xlabel("training data (%)")
        handles, labels = axes[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=3)
        for kind in ("png", "pdf", "svg"):
            figure.savefig(path.with_suffix(f".{kind}"), dpi=DPI, metadata=METADATA[kind])


def _panel(ax: Axes, points: Sequence[Point], budget: str) -> None:
    for place, ((unit, policy), (weights, line)) in enumerate(itertools.product(UNITS, LINES.items())):
        title, look = UNITS[unit, policy]
        condition = Condition(unit, policy, budget, weights)
        label = f"{title}, {line[0]}"
        _curve(ax, [p for p in points if p.of(condition)], place, {**look, **line[1], "label": label})
    ticks = sorted({point.percent for point in points})
    ax.set_xscale("log")
    ax.set_xticks(ticks, [f"{tick:g}" if tick != 12.5 else "" for tick in ticks])
    ax.set_xticks([], minor=True)


def _curve(ax: Axes, points: Sequence[Point], place: int, look: dict[str, Any]) -> None:
    percents = sorted({point.percent for point in points})
    samples = [describe([p.average_map_percent for p in points if p.percent == percent]) for percent in percents]
    shifted = np.array(percents) * (1 + SPREAD * (place - 2.5) / 2.5)
    means, bars = [sample.mean for sample in samples], [sample.std for sample in samples]
    ax.errorbar(shifted, means, bars, linewidth=0.8, elinewidth=0.6, capsize=1.2, markersize=2.6, **look)
