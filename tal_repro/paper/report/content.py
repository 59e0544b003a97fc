"""Gather what the page shows: verdicts, tables, figures, forecasts, runs, costs, deviations and systems. Reads only."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeVar

import numpy as np

from tal_repro.advice.section import Section
from tal_repro.advice.section import section as advice_section
from tal_repro.errors import InputError
from tal_repro.paper import tables
from tal_repro.paper.figures import FIGURES, drawer
from tal_repro.paper.figures.drawing import METADATA, Drawing, Material, NotRun, code_version
from tal_repro.paper.figures.hardware_trace import traced
from tal_repro.paper.report.chart import Series
from tal_repro.paper.report.compare import Compared, compare
from tal_repro.paper.report.curve_chart import CurveForecast, forecasts, overlay, sweep_panels
from tal_repro.paper.report.markup import Html, tag
from tal_repro.paper.report.provenance import Deviation, deviations, systems
from tal_repro.paper.report.run_rows import RunRow, run_rows
from tal_repro.paper.table_text import TextTable
from tal_repro.paper.verdicts import Verdict, judge_all
from tal_repro.published.load import Published, load_published
from tal_repro.runs.load import NO_RUNS, Runs, load_system
from tal_repro.runs.portable import Clean, cleaner
from tal_repro.runs.record import DamagedRun
from tal_repro.runs.run import Run
from tal_repro.runs.trace import Phase, trace_of

NAMES = {"train": "training", "eval": "evaluation", "": "outside both"}
COLUMNS = {
    "cpu_mean_percent": "CPU, all cores (%)",
    "cpu_busiest_percent": "CPU, busiest core (%)",
    "gpu_percent": "GPU (%)",
}


@dataclass(frozen=True)
class TraceSummary:
    """One traced run: a row (phase, times it came, seconds, mean use by column) for each kind of phase."""

    run: Run
    columns: tuple[str, ...]
    rows: tuple[tuple[str, int, float, tuple[float, ...]], ...]


def summarize(runs: Runs) -> TraceSummary | None:
    """Return the means over each phase of the traced run; None where none was traced."""
    run = traced(Material(load_published(), runs))
    if run is None:
        return None
    traced_run = trace_of(run)
    if traced_run is None:
        return None
    trace, phases = traced_run
    columns = tuple(name for name in COLUMNS if name in trace and np.isfinite(trace[name]).any())
    kinds = _kinds(trace["time_s"], phases)
    rows = []
    for kind, name in NAMES.items():
        inside = kinds == kind
        if inside.any():
            of_kind = [phase for phase in phases if phase.kind == kind]
            seconds = sum(phase.end_s - phase.start_s for phase in of_kind)
            use = tuple(float(np.mean(_finite(trace[column][inside]))) for column in columns)
            rows.append((name, len(of_kind), seconds if of_kind else float("nan"), use))
    return TraceSummary(run, columns, tuple(rows))


def _kinds(time_s: np.ndarray, phases: list[Phase]) -> np.ndarray:
    """Name the phase of each sample ("" outside all)."""
    kinds = np.full(len(time_s), "", dtype=object)
    for phase in phases:
        kinds[(time_s >= phase.start_s) & (time_s < phase.end_s)] = phase.kind
    return kinds


def _finite(values: np.ndarray) -> np.ndarray:
    kept = values[np.isfinite(values)]
    return kept if len(kept) else np.array([np.nan])


FONTS = "'DejaVu Sans', Verdana, sans-serif"  # the last two where the first is missing: as wide, then any
COORDINATES = re.compile(r' (d|x|y)="([^"]*)"')


def inline(drawing: Drawing, number: int, title: str) -> Html:
    """Return the drawing as an <svg> element."""
    import matplotlib

    from tal_repro.paper.figures.style import applied

    buffer = io.BytesIO()
    with applied(), matplotlib.rc_context({"svg.fonttype": "none"}):
        drawing.figure.savefig(buffer, format="svg", metadata=METADATA["svg"])
    return embedded(buffer.getvalue().decode(), f"f{number}", title, drawing.caption)


def embedded(svg: str, prefix: str, title: str, description: str) -> Html:
    """Make matplotlib's SVG fit for a page that holds others: `prefix` goes before every id."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg, flags=re.S)
    svg = re.sub(r"<style.*?</style>\s*", "", svg, flags=re.S)
    used = set(re.findall(r'(?:url\(|href=")#([^")]+)', svg))
    svg = re.sub(r' id="([^"]+)"', lambda match: f' id="{prefix}-{match[1]}"' if match[1] in used else "", svg)
    svg = re.sub(r'(url\(|href=")#', rf"\g<1>#{prefix}-", svg)
    svg = svg.replace("'DejaVu Sans'", FONTS).replace("\n", " ")
    svg = re.sub(r">\s+<", "><", COORDINATES.sub(_rounded, svg))
    names = tag("title", title, id=f"{prefix}-title") + tag("desc", description, id=f"{prefix}-desc")
    opened, closed, rest = svg.partition(">")
    points = re.search(r'width="([\d.]+)pt"', opened)
    opened = re.sub(r' (width|height|version|xmlns(:\w+)?)="[^"]*"', "", opened)
    opened += f' style="--points: {points[1]}"' if points else ""
    opened += f' role="img" aria-labelledby="{prefix}-title {prefix}-desc"'
    return Html(opened + closed + names + rest.replace("xlink:href", "href"))


def _rounded(match: re.Match[str]) -> str:
    """Two decimals of a point are finer than any printer."""
    values = re.sub(r"-?\d+\.\d{3,}", lambda number: f"{float(number[0]):.2f}".rstrip("0").rstrip("."), match[2])
    return f' {match[1]}="{" ".join(values.split())}"'


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
    advice: Section | None = None
    problems: list[str] = field(default_factory=list)
    overlay: list[Series] = field(default_factory=list)
    made: str = ""  # the day, UTC

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

    def part(what: str, make: Callable[[Runs], Result]) -> Result:
        """Make a part of the page from the runs; where they cannot be used, from published numbers alone.

        A DamagedRun goes up: the caller names that run and starts again without it.
        """
        say(what)
        try:
            return make(runs)
        except DamagedRun:
            raise
        except InputError as error:
            problems.append(f"{what}, shown without runs: {error}".replace("\n  remedy", " Remedy"))
            return make(NO_RUNS)

    return Content(
        results=None if runs.root is None else clean(str(runs.root)),
        published=published,
        runs=runs,
        verdicts=part("verdicts", lambda those: judge_all(published, those)),
        tables=part("tables", lambda those: [tables.table(number, published, those) for number in (1, 2)]),
        figures=[part(f"Figure {n}", lambda those, n=n: _figure(n, published, those, clean)) for n in FIGURES],  # type: ignore[misc]
        forecasts=part("forecasts", lambda those: forecasts(published, those)),
        rows=part("runs", lambda those: run_rows(those, with_host)),
        trace=part("trace", summarize),
        deviations=part("deviations", deviations),
        systems=part("systems", systems),
        version=code_version(),
        compared=None if system is None else (clean(system), compare(runs, load_system(system)[1])),
        overlay=part("curves", lambda those: overlay(sweep_panels(published, those))),
        advice=part("advice", advice_section),
        problems=[clean(problem) for problem in problems],
        made=datetime.now(UTC).date().isoformat(),
    )


def _figure(number: int, published: Published, runs: Runs, clean: Clean) -> FigureShown:
    title = FIGURES[number].title
    try:
        drawing = drawer(number)(Material(published, runs))
    except NotRun as missing:
        return FigureShown(number, title, missing=clean(str(missing).replace("\n  remedy", ". To do")))
    svg = inline(drawing, number, f"Figure {number}: {title}")
    ids = tuple(run.run_id for run in drawing.runs)
    return FigureShown(number, title, drawing.caption, tuple(drawing.notes), svg, run_ids=ids)
