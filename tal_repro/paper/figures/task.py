"""Figure 1: the task, drawn by us as an illustration: ground truth and detections on a time line."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from tal_repro.paper.figures import style
from tal_repro.paper.figures.drawing import Drawing, Material

VIDEO_SECONDS = 30.0
MATCH_TIOU = 0.5
# (start s, end s, label) and (start s, end s, label, score): made up, chosen to show each outcome once.
TRUTH = ((3.0, 8.4, "CliffDiving"), (14.0, 19.0, "CliffDiving"), (23.5, 28.0, "Diving"))
DETECTIONS = (
    (3.4, 8.9, "CliffDiving", 0.96),
    (15.9, 20.8, "CliffDiving", 0.71),
    (10.0, 12.6, "Diving", 0.34),
    (23.3, 27.4, "Diving", 0.88),
)
HATCHES = {"CliffDiving": "", "Diving": "////"}
TRUTH_COLOUR, HIT_COLOUR, MISS_COLOUR = "#004488", "#ddaa33", "#ffffff"


def draw(_: Material) -> Drawing:
    """Draw the illustration; it needs no numbers of the study."""
    with style.applied():
        figure, axes = style.canvas(style.COLUMN_INCHES, 1.75)
        ax = axes[0, 0]
        _frames(ax)
        for start, end, label in TRUTH:
            _bar(ax, 1.0, start, end, label, TRUTH_COLOUR, "white" if not HATCHES[label] else "#004488")
        for start, end, label, score in DETECTIONS:
            overlap, right = best_overlap(start, end, label)
            hit = right and overlap >= MATCH_TIOU
            _bar(ax, 0.0, start, end, f"{score:.2f}", HIT_COLOUR if hit else MISS_COLOUR, "black", label)
            outcome = f"tIoU {overlap:.2f}\n" + ("counts" if hit else f"below {MATCH_TIOU:g}")
            ax.text((start + end) / 2, -0.36, outcome, ha="center", va="top", fontsize=5.5)
        ax.set(xlim=(-0.3, VIDEO_SECONDS + 0.3), ylim=(-1.05, 2.65), xlabel="time (s)")
        ax.set_yticks([0, 1, 2.1], ["detections", "ground\ntruth", "video"])
        ax.spines["left"].set_visible(False)
        ax.tick_params(axis="y", length=0)
    caption = (
        "The task of temporal action localization, an illustration drawn for this kit (no data): a model labels "
        "actions and marks when they begin and end, with a confidence. Plain bars are one class, hatched bars another. "
        f"At a tIoU threshold of {MATCH_TIOU:g} a detection counts when it overlaps an instance of its class by that "
        "much (filled); mAP averages precision over classes, and the study averages it over thresholds 0.3 to 0.7."
    )
    return Drawing(figure, caption)


def best_overlap(start: float, end: float, label: str) -> tuple[float, bool]:
    """Return the largest tIoU with an instance of the same class, and whether there is any overlap."""
    overlaps = [_tiou(start, end, s, e) for s, e, name in TRUTH if name == label]
    best = max(overlaps, default=0.0)
    return best, best > 0


def _tiou(a: float, b: float, c: float, d: float) -> float:
    shared = max(0.0, min(b, d) - max(a, c))
    return shared / (max(b, d) - min(a, c)) if shared else 0.0


def _frames(ax: Axes) -> None:
    """Draw the video as a strip of frames with a figure that moves where an action is."""
    for left in np.arange(0, VIDEO_SECONDS, 1.5):
        middle = left + 0.75
        ax.add_patch(Rectangle((left + 0.08, 1.75), 1.34, 0.7, facecolor="#e8e8e8", edgecolor="#888888", linewidth=0.4))
        busy = [(s, e) for s, e, _ in TRUTH if s <= middle <= e]
        height = 1.9 + (0.4 * (1 - (middle - busy[0][0]) / (busy[0][1] - busy[0][0])) if busy else 0)
        ax.plot([middle], [height], marker="o", markersize=2, color="#222222" if busy else "#999999", linestyle="none")


def _bar(
    ax: Axes, y: float, start: float, end: float, text: str, face: str, ink: str, label: str | None = None
) -> None:
    hatch = HATCHES[label or text]
    filled = face if not hatch or label else "#ffffff"
    looks: dict[str, Any] = {"facecolor": filled, "edgecolor": "#222222", "linewidth": 0.6, "hatch": hatch}
    ax.add_patch(Rectangle((start, y - 0.28), end - start, 0.56, **looks))
    box = {"facecolor": filled, "edgecolor": "none", "pad": 0.6} if hatch else None
    ax.text((start + end) / 2, y, text, ha="center", va="center", fontsize=5.5, color=ink, bbox=box)
