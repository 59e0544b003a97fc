"""The paper's figures, redrawn from published numbers with what runs measured beside them: one module a figure."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tal_repro.paper.figures.drawing import Drawing, Material

FIGURES: dict[int, str] = {
    1: "task",
    2: "learning_curves",
    3: "extrapolation",
    4: "inference_time",
    5: "macs",
    6: "hardware_trace",
}


def drawer(number: int) -> Callable[[Material], Drawing]:
    """Return the function that draws a figure (its module is imported now, not before)."""
    module: ModuleType = importlib.import_module(f"tal_repro.paper.figures.{FIGURES[number]}")
    function: Callable[[Material], Drawing] = module.draw
    return function
