"""The paper's figures, redrawn from published numbers with what runs measured beside them: a module each.

One of your own is a line of `FIGURES` and a module with `draw(material: Material) -> Drawing` (CONTRIBUTING.md).
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tal_repro.paper.figures.drawing import Drawing, Material


@dataclass(frozen=True)
class Entry:
    """One figure: the module of this folder whose `draw(material)` makes it, and its title on the report page."""

    module: str
    title: str


FIGURES: dict[int, Entry] = {
    1: Entry("task", "The task: segments of actions in an untrimmed video"),
    2: Entry("learning_curves", "mAP against the share of training data"),
    3: Entry("extrapolation", "Fits and extrapolation"),
    4: Entry("inference_time", "Inference time"),
    5: Entry("macs", "MACs"),
    6: Entry("hardware_trace", "Hardware use while training"),
    # A figure of your own, a line: 7: Entry("mine", "What it shows"),
}


def drawer(number: int) -> Callable[[Material], Drawing]:
    """Return the function that draws a figure (its module is imported now, not before)."""
    module: ModuleType = importlib.import_module(f"tal_repro.paper.figures.{FIGURES[number].module}")
    function: Callable[[Material], Drawing] = module.draw
    return function
