"""One style for all figures: print size, embedded fonts, and models told apart by lightness, marker and line alike."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tal_repro.models.registry import MODELS

COLUMN_INCHES = 3.35  # one column of a two-column paper
PAGE_INCHES = 6.9  # both columns
RC: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 7,
    "axes.titlesize": 7.5,
    "axes.labelsize": 7,
    "xtick.labelsize": 6.5,
    "ytick.labelsize": 6.5,
    "legend.fontsize": 6.5,
    "legend.frameon": False,
    "legend.handlelength": 2.6,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "lines.linewidth": 1.1,
    "lines.markersize": 3.4,
    "pdf.fonttype": 42,  # whole TrueType fonts: text stays text
    "svg.fonttype": "path",  # looks the same where the font is missing
    "svg.hashsalt": "tal-repro",
}


@dataclass(frozen=True)
class Look:
    """How one model is drawn. Lightness of the colours: 0, 29, 48, 72 of 100, so that they differ in grey too."""

    title: str
    colour: str
    marker: str
    line: Any


LOOKS = {
    "tadtr": Look("TadTR", "#004488", "o", "-"),
    "actionformer": Look("ActionFormer", "#bb5566", "s", (0, (5, 1.5))),
    "tridet": Look("TriDet", "#000000", "^", (0, (5, 1.5, 1, 1.5))),
    "temporalmaxer": Look("TemporalMaxer", "#ddaa33", "D", (0, (1.5, 1))),
}
ORDER = tuple(LOOKS)
SPARE = (("#5d8aa8", "v"), ("#7a7a7a", "P"), ("#228833", "X"), ("#aa3377", "p"))  # models beyond the paper's four


def look(model: str) -> Look:
    """Return how a model is drawn; a model beyond the four gets a look of its own, the same in every figure."""
    if model in LOOKS:
        return LOOKS[model]
    colour, marker = SPARE[sum(model.encode()) % len(SPARE)]
    title = MODELS[model].title if model in MODELS else model
    return Look(title.replace("$", r"\$"), colour, marker, (0, (3, 1, 1, 1, 1, 1)))


def ordered(models: Any) -> list[str]:
    """Return models in the order of the legend: the paper's four, then others by name."""
    return sorted(set(models), key=lambda model: (ORDER.index(model) if model in ORDER else len(ORDER), model))


def place(model: str) -> int:
    """Return a model's place in the order of the legend."""
    return ORDER.index(model) if model in ORDER else len(ORDER)


@contextmanager
def applied() -> Iterator[None]:
    """Draw and save in this style."""
    with matplotlib.rc_context(RC):
        yield


def canvas(width: float, height: float, rows: int = 1, columns: int = 1, **options: Any) -> tuple[Figure, Any]:
    """Return a figure in print size (inches) and its axes, without touching pyplot's state."""
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, **options)
    return figure, axes


def panel(axes: Axes, letter: str, title: str) -> None:
    """Title a panel at its left edge."""
    axes.set_title(f"({letter}) {title}" if letter else title, loc="left")


def mark_synthetic(axes: Axes) -> None:
    """Write across a panel, in the picture itself, that its data are made up."""
    axes.set_facecolor("#f4f4f4")
    axes.text(
        0.5, 0.5, "SYNTHETIC DATA", transform=axes.transAxes, ha="center", va="center", rotation=24, fontsize=17,
        fontweight="bold", color="#000000", alpha=0.13, zorder=0,
    )  # fmt: skip


def say(axes: Axes, text: str) -> None:
    """Fill an empty panel with a sentence."""
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", color="#444444", wrap=True)
    axes.set_xticks([])
    axes.set_yticks([])
