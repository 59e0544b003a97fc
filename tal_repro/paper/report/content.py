"""Gather what the page shows: verdicts, tables, figures, forecasts, runs, costs, deviations and systems. Reads only."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from tal_repro.errors import InputError
from tal_repro.paper import tables
from tal_repro.paper.captions import code_version
from tal_repro.paper.figures import FIGURES, drawer
from tal_repro.paper.figures.drawing import Material, NotRun
from tal_repro.paper.report.compare import Compared, compare, other_system
from tal_repro.paper.report.forecasts import CurveForecast, forecasts
from tal_repro.paper.report.inline_svg import inline
from tal_repro.paper.report.markup import Html
from tal_repro.paper.report.provenance import Deviation, deviations, systems
from tal_repro.paper.report.run_rows import RunRow, run_rows
from tal_repro.paper.report.tracing import TraceSummary, summarize
from tal_repro.paper.table_text import TextTable
from tal_repro.paper.verdicts import Verdict, judge_all
from tal_repro.published.load import Published
from tal_repro.runs.load import NO_RUNS, Runs
from tal_repro.runs.portable import cleaner
from tal_repro.runs.record import DamagedRun

FIGURE_TITLES = {
    1: "The task: segments of actions in an untrimmed video",
    2: "mAP against the share of training data",
    3: "Fits and extrapolation",
    4: "Inference time",
    5: "MACs",
    6: "Hardware use while training",
}
Result = TypeVar("Result")


@dataclass(frozen=True)
class FigureShown:
    """A figure as it stands on the page; without SVG, `missing` says why and what to do."""

    number: int
    title: str
    caption: str = ""
    notes: tuple[str, ...] = ()
    svg: Html | None = None
    missing: str = ""
    run_ids: tuple[str, ...] = ()


@dataclass(frozen=True)
class Content:
    """Everything on the page."""

    results: str | None
    published: Published
    runs: Runs
    verdicts: list[Verdict]
    tables: list[TextTable]
    figures: list[FigureShown]
    forecasts: list[CurveForecast]
    rows: list[RunRow]
    trace: TraceSummary | None
    deviations: list[Deviation]
    systems: list[tuple[dict[str, Any], int]]
    version: str
    compared: tuple[str, list[Compared]] | None = None
    problems: list[str] = field(default_factory=list)

    @property
    def synthetic(self) -> int:
        """Return how many finished runs used made-up data."""
        return sum(run.synthetic for run in self.runs.runs)


def gather(
    published: Published, runs: Runs, say: Callable[[str], None] = lambda _: None, system: str | None = None,
    with_host: bool = False,
) -> Content:  # fmt: skip
    """Read the runs and draw the figures. What cannot be read is named in `problems`, and the rest is shown.

    `system`: compare with the runs of this one too (a folder, or a name under results/reference).
    """
    problems, clean = runs.notes, str if with_host else cleaner()

    def attempt(what: str, make: Callable[[Runs], Result]) -> Result:
        """Make a part of the page from the runs; where a file of theirs is broken, from published numbers alone."""
        say(what)
        try:
            return make(runs)
        except DamagedRun:  # the caller names the run and starts again without it
            raise
        except InputError as error:
            problems.append(f"{what}, shown without runs: {error}".replace("\n  remedy", " Remedy"))
            return make(NO_RUNS)

    return Content(
        results=None if runs.root is None else clean(str(runs.root)),
        published=published,
        runs=runs,
        verdicts=attempt("verdicts", lambda those: judge_all(published, those)),
        tables=attempt("tables", lambda those: [tables.table(number, published, those) for number in (1, 2)]),
        figures=[attempt(f"Figure {n}", lambda those, n=n: _figure(n, published, those)) for n in FIGURES],  # type: ignore[misc]
        forecasts=attempt("forecasts", lambda those: forecasts(published, those)),
        rows=attempt("runs", lambda those: run_rows(those, with_host)),
        trace=attempt("trace", summarize),
        deviations=attempt("deviations", deviations),
        systems=attempt("systems", systems),
        version=code_version(),
        compared=None if system is None else (clean(system), compare(runs, other_system(system))),
        problems=[clean(problem) for problem in problems],
    )


def _figure(number: int, published: Published, runs: Runs) -> FigureShown:
    title = FIGURE_TITLES[number]
    try:
        drawing = drawer(number)(Material(published, runs))
    except NotRun as missing:
        return FigureShown(number, title, missing=str(missing).replace("\n  remedy", ". To do"))
    svg = inline(drawing, number, f"Figure {number}: {title}")
    ids = tuple(run.run_id for run in drawing.runs)
    return FigureShown(number, title, drawing.caption, tuple(drawing.notes), svg, run_ids=ids)
