"""Gather what the page shows: verdicts, tables, figures, forecasts, runs, costs, deviations and systems. Reads only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from tal_repro.errors import InputError
from tal_repro.models.registry import MODELS
from tal_repro.paper import tables
from tal_repro.paper.captions import code_version
from tal_repro.paper.figures import FIGURES, drawer
from tal_repro.paper.figures.drawing import Material, NotRun
from tal_repro.paper.published import Published
from tal_repro.paper.report.forecasts import CurveForecast, forecasts
from tal_repro.paper.report.inline_svg import inline
from tal_repro.paper.report.markup import Html
from tal_repro.paper.report.run_rows import RunRow, data_name, run_rows
from tal_repro.paper.report.tracing import TraceSummary, summarize
from tal_repro.paper.runs import NO_RUNS, Run, Runs, read_recipe
from tal_repro.paper.verdicts import Verdict, judge_all

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
class Deviation:
    """A way in which what ran here is not what the paper ran."""

    what: str
    where: str
    meaning: str


@dataclass(frozen=True)
class Content:
    """Everything on the page."""

    results: str | None
    published: Published
    runs: Runs
    verdicts: list[Verdict]
    tables: list[tables.TextTable]
    figures: list[FigureShown]
    forecasts: list[CurveForecast]
    rows: list[RunRow]
    trace: TraceSummary | None
    deviations: list[Deviation]
    systems: list[tuple[dict[str, Any], int]]
    version: str
    problems: list[str] = field(default_factory=list)

    @property
    def synthetic(self) -> int:
        """Return how many finished runs used made-up data."""
        return sum(run.synthetic for run in self.runs.runs)


def gather(published: Published, runs: Runs, say: Callable[[str], None] = lambda _: None) -> Content:
    """Read the runs and draw the figures. What cannot be read is named in `problems`, and the rest is shown."""
    problems = list(runs.problems)

    def attempt(what: str, make: Callable[[Runs], Result]) -> Result:
        """Make a part of the page from the runs; where a file of theirs is broken, from published numbers alone."""
        say(what)
        try:
            return make(runs)
        except InputError as error:
            problems.append(f"{what}, shown without runs: {error}".replace("\n  remedy", " Remedy"))
            return make(NO_RUNS)

    return Content(
        results=None if runs.root is None else str(runs.root),
        published=published,
        runs=runs,
        verdicts=attempt("verdicts", lambda those: judge_all(published, those)),
        tables=attempt("tables", lambda those: [tables.table(number, published, those) for number in (1, 2)]),
        figures=[attempt(f"Figure {n}", lambda those, n=n: _figure(n, published, those)) for n in FIGURES],  # type: ignore[misc]
        forecasts=attempt("forecasts", lambda those: forecasts(published, those)),
        rows=attempt("runs", run_rows),
        trace=attempt("trace", summarize),
        deviations=attempt("deviations", deviations),
        systems=attempt("systems", _systems),
        version=code_version(),
        problems=problems,
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


def deviations(runs: Runs) -> list[Deviation]:
    """Return how the finished runs differ from the paper's, found in the runs themselves."""
    found = []
    counts: Counter[tuple[str, str]] = Counter()
    for run in runs.runs:
        for kind, applies in (
            ("synthetic", run.synthetic), ("native", run.engine == "native"), ("shared", not runs.alone(run)),
        ):  # fmt: skip
            counts[kind, run.experiment] += applies
    for kind, what, meaning in KINDS:
        where = {experiment: count for (name, experiment), count in counts.items() if name == kind and count}
        if where:
            told = ", ".join(f"{count} of {experiment}" for experiment, count in sorted(where.items()))
            found.append(Deviation(what, told, meaning))
    flags = Counter(flag for run in runs.runs for flag in run.flags)
    found += [Deviation(f"invalid mAP: {flag}", _count(n), "left out of every mean") for flag, n in flags.items()]
    return found + _recipes(runs)


KINDS = (
    ("synthetic", "Made-up data instead of THUMOS14", "judges no claim about THUMOS14 mAP or training time"),
    ("native", "The kit's own engine instead of the authors' code", "replicates rather than reproduces"),
    ("shared", "The machine was shared while they ran", "their times are not to be compared"),
)


def _recipes(runs: Runs) -> list[Deviation]:
    """Return the hyper-parameters in which trainings differ from the study's recipe of their model."""
    changed: Counter[tuple[str, str]] = Counter()
    for run in [*runs.of("baseline"), *runs.of("data_sweep")]:
        text = _changed(run)
        if text:
            changed[run.model, text] += 1
    meaning = "another network or schedule than the paper's: numbers of its own"
    return [Deviation(f"{MODELS[model].title} with {text}", _count(n), meaning) for (model, text), n in changed.items()]


def _changed(run: Run) -> str:
    if run.model not in MODELS:
        return ""
    standard = MODELS[run.model].recipe
    recipe = {key: value for key, value in read_recipe(run).items() if hasattr(standard, key)}
    pairs = ((key, value, getattr(standard, key)) for key, value in sorted(recipe.items()))
    return ", ".join(f"{key} {value} (not {usual})" for key, value, usual in pairs if _plain(value) != _plain(usual))


def _plain(value: Any) -> Any:
    return [_plain(part) for part in value] if isinstance(value, list | tuple) else value


def _count(count: int) -> str:
    return f"{count} run{'' if count == 1 else 's'}"


def _systems(runs: Runs) -> list[tuple[dict[str, Any], int]]:
    """Return the distinct machines with their software, and how many runs each did."""
    found: dict[str, tuple[dict[str, Any], int]] = {}
    for run in runs.runs:
        system = {key: value for key, value in runs.system(run).items() if key in SYSTEM_KEYS}
        key = repr(sorted(system.items(), key=lambda pair: pair[0]))
        found[key] = (system, found.get(key, (system, 0))[1] + 1)
    return sorted(found.values(), key=lambda pair: -pair[1])


# The host's name is nobody's business; clocks and load differ from run to run and stay in system.json.
SYSTEM_KEYS = ("machine", "os", "cpu", "memory_mib", "python", "packages", "container", "made_up")


def what_ran(content: Content) -> list[str]:
    """Say in sentences what was run where: one for each engine, data set and machine."""
    groups: Counter[tuple[str, str, str]] = Counter()
    for run in content.runs.runs:
        groups[run.engine, data_name(run), content.runs.device(run)] += 1
    told = []
    for (engine, data, machine), count in sorted(groups.items()):
        whose = {"native": "the kit's native engine", "upstream": "the authors' own code"}.get(engine, engine)
        kind = (
            "needing no data"
            if data == "none"
            else f"on synthetic data ({data})"
            if "SYNTHETIC" in data
            else (f"on the real data set {data}")
        )
        told.append(f"{_count(count)} with {whose}, {kind}, on {machine}.")
    return told
