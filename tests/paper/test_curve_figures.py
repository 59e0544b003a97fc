"""Figures 2 and 3: bars at the points, marks at their percentage, fits that say when they are not identified."""

from __future__ import annotations

import pytest
from matplotlib.axes import Axes
from matplotlib.container import ErrorbarContainer

from tal_repro.paper.figures import extrapolation, learning_curves
from tal_repro.paper.figures.drawing import Drawing, Material
from tal_repro.published.load import load_published
from tal_repro.runs.load import NO_RUNS

MATERIAL = Material(load_published(), NO_RUNS)


@pytest.fixture(scope="module")
def figure_3() -> Drawing:
    return extrapolation.draw(MATERIAL)


def bars(ax: Axes) -> list[ErrorbarContainer]:
    return [container for container in ax.containers if isinstance(container, ErrorbarContainer)]


def test_spread_is_a_bar_at_its_point_and_no_band_between() -> None:
    drawing = learning_curves.draw(MATERIAL)
    ax = drawing.figure.axes[0]
    assert [len(bar.lines[0].get_xdata()) for bar in bars(ax)] == [24, 6, 5, 6]
    assert not any(type(collection).__name__ == "FillBetweenPolyCollection" for collection in ax.collections)


def test_marks_at_300_percent_stand_at_300(figure_3: Drawing) -> None:
    ax = figure_3.figure.axes[1]
    last = [bar for bar in bars(ax) if len(bar.lines[0].get_xdata()) == 1]
    assert len(last) == 4 and {float(bar.lines[0].get_xdata()[0]) for bar in last} == {300.0}
    assert ax.get_xlim()[1] < 350


def test_a_fit_that_is_not_identified_is_thin_and_said_to_be(figure_3: Drawing) -> None:
    thin = [name for name, found in figure_3.fits.items() if not found.identified]
    assert thin and len(thin) < len(figure_3.fits)
    assert any("do not determine" in note and all(name in note for name in thin) for note in figure_3.notes)
    widths = {line.get_label(): line.get_linewidth() for line in figure_3.figure.axes[0].lines}
    assert widths["5PL, p ≤ 10 %"] == learning_curves.THIN_WIDTH < widths["exponential, p ≤ 10 %"]
    named = figure_3.figure.axes[1].lines  # the legend shows a curve as it is drawn
    assert {line.get_linewidth() for line in named if line.get_label() == "TriDet"} == {learning_curves.THIN_WIDTH}
    legend = figure_3.figure.axes[0].get_legend()
    assert legend is not None and "not identified" in legend.get_title().get_text()
