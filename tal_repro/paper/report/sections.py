"""The sections below the verdicts, each from the gathered content: tables, figures, curves, trace, machines."""

from __future__ import annotations

from collections.abc import Sequence

from tal_repro.paper import released_runs
from tal_repro.paper import tables as paper_tables
from tal_repro.paper.changes import changes, count_text, models_text
from tal_repro.paper.figures.style import look
from tal_repro.paper.report import curve_chart
from tal_repro.paper.report.content import COLUMNS as TRACE_COLUMNS
from tal_repro.paper.report.content import Content, FigureShown
from tal_repro.paper.report.cost_section import steps
from tal_repro.paper.report.markup import (
    NOTHING,
    Html,
    command,
    join,
    number,
    region,
    rest,
    results_option,
    shortened,
    table,
    tag,
)

IDS_SHOWN = 12
KEYS = {"os": "System", "cpu": "Processor", "memory_mib": "Memory (MiB)", "python": "Python", "packages": "Packages",
        "container": "Container"}  # fmt: skip


def tables(content: Content) -> Html:
    """Return Table 1, Table 2 in five columns, and all that is known of its lines on demand."""
    first, second, *more = content.tables
    if own_set := content.runs.own_set:
        return _own(second, own_set)
    whole = rest("All columns of Table 2: selection, protocol, what the seconds are of, energy, runs", _table(second))
    return join([_table(first), _side_by_side(second), whole, *map(_table, more)])


OWN = ("Model", "Training (s)", "mAP (%)", "n", "± is", "Selection", "Protocol", "Engine", "Seconds are of", "Machine")


def _own(text: paper_tables.TextTable, own_set: str) -> Html:
    """Return the measured lines of Table 2: what the paper prints is of other data."""
    lines = [dict(zip(text.header, cells, strict=True)) for cells in text.rows]
    rows = [[line[name] for name in OWN] for line in lines if line["Source"] != "paper" and line["n"] != "0"]
    caption = f"Training time and mAP on {own_set}, measured here (as Table 2)"
    return table(caption, OWN, rows) if rows else tag("p", f"No baseline of {own_set} was run yet.")


SIDE_BY_SIDE = ("Model", "Training: paper (s)", "Training: here (s)", "mAP: paper (%)", "mAP: here (%)")


def _side_by_side(text: paper_tables.TextTable) -> Html:
    """Set each measured line of Table 2 beside the paper's line of its model."""
    rows: list[list[object]] = []
    paper: dict[str, str] | None = None
    for cells in text.rows:
        line = dict(zip(text.header, cells, strict=True))
        if line["Source"] == "paper":
            paper = line
            continue
        if paper is not None and paper["Model"] != line["Model"]:
            paper = None
        printed = [paper[name] if paper else NOTHING for name in ("Training (s)", "mAP (%)")]
        ran = line["n"] != "0"
        origin = f"{line['Engine']}, {line['Data']}, {line['Machine']}, n = {line['n']}" if ran else "not run here"
        here = [line[name] if ran and line[name] != "-" else NOTHING for name in ("Training (s)", "mAP (%)")]
        model = join([line["Model"], tag("span", origin, class_="why")])
        rows.append([model, printed[0], here[0], printed[1], here[1]])
    notes = [note for note in text.notes if "SYNTHETIC" in note]
    note = " ".join(["The seconds are of different machines, and not of the same work in each line.", *notes])
    return table("Training time and mAP on THUMOS14, the paper beside runs here (Table 2)", SIDE_BY_SIDE, rows, note)


def _table(text: paper_tables.TextTable) -> Html:
    last = len(text.header) - 1
    rows = [
        [shortened(cell.split(), IDS_SHOWN) if index == last and len(cell) > 200 else cell
         for index, cell in enumerate(row)]
        for row in text.rows
    ]  # fmt: skip
    notes = tag("ul", *(tag("li", note) for note in text.notes), class_="note") if text.notes else None
    return join([table(text.caption, text.header, rows), notes])


def figure(figure: FigureShown, results: str | None) -> Html:
    """Return a figure with its caption, its runs and its command; a sentence where it is missing."""
    title = tag("h3", f"Figure {figure.number}. {figure.title}", id=f"figure-{figure.number}")
    where = results_option(results)
    redo = tag("p", "Draw it: ", command(f"tal-repro figure {figure.number}{where}"))
    if figure.svg is None:
        return tag("figure", title, tag("p", f"{figure.missing}."), redo)
    notes = rest("What was computed for it", tag("ul", *(tag("li", note) for note in figure.notes), class_="note"))
    runs = None
    if figure.run_ids:
        runs = tag("details", tag("summary", f"{len(figure.run_ids)} runs behind it"),
                   tag("p", shortened(figure.run_ids, 60), class_="ids"))  # fmt: skip
    caption = tag("figcaption", figure.caption)
    return tag("figure", title, region(f"Figure {figure.number}", figure.svg, class_="paper"), caption,
               notes if figure.notes else None, runs, redo)  # fmt: skip


def released(compared: Sequence[released_runs.Comparison]) -> Html:
    """Return the table of released checkpoints."""
    header = ("Model", "Engine", "Protocol", "mAP here (%)", "Published (%)", "Source", "Verdict", "Run")
    rows = [
        [look(row.model).title, row.engine, row.protocol, number(row.measured), number(row.published), row.source,
         row.verdict, row.run_id] for row in compared
    ]  # fmt: skip
    note = "The authors' own weights, evaluated here and trained by nobody: the same to rounding, or something differs."
    return table("Released checkpoints beside the mAPs printed of them", header, rows, note)


def curves(content: Content) -> Html:
    """Return one chart of all learning curves with their forecasts, and a table of what each says."""
    if not content.forecasts:
        return tag("p", "No curve has points enough.")
    picture = tag("figure", tag("h3", "All models: means, fits and forecasts"),
                  curve_chart.chart(content.forecasts, "forecasts"), curve_chart.legend())  # fmt: skip
    own = tag("p", "Forecast from points of your own: ", command("tal-repro forecast points.csv"))
    return join([picture, curve_chart.forecast_table(content.forecasts), own])


def trace(content: Content) -> Html:
    """Return mean use in each phase of the traced run."""
    if content.trace is None:
        return tag("p", "No trace yet: the paper's is a picture without data. ", command(
            "tal-repro run --only experiment=trace"))  # fmt: skip
    trace = content.trace
    header = ("Phase", "Times (count)", "Time (s)", *(TRACE_COLUMNS[name] for name in trace.columns))
    rows = [[name, count or "", number(seconds), *(number(value, 1) for value in use)]
            for name, count, seconds, use in trace.rows]  # fmt: skip
    made_up = ", SYNTHETIC data" if trace.run.synthetic else ""
    machine = trace.run.device
    caption = f"Mean use in each phase, run {trace.run.run_id}, {trace.run.model}, {machine}{made_up}"
    return join([tag("p", "Drawn over time in ", tag("a", "Figure 6", href="#figure-6"), "."),
                 table(caption, header, rows), steps(content.runs)])  # fmt: skip


def deviations(content: Content) -> Html:
    """Return how runs here, and numbers of the paper, differ from what is stated."""
    corrected = [v for v in content.verdicts if v.published == "consistent with correction"]
    rows = [[item.what, item.where, item.meaning] for item in content.deviations]
    parts = [table("How the runs here differ from the paper's", ("What", "Where", "Meaning"), rows) if rows else tag(
        "p", "No run here differs from the paper's setting, as far as run folders tell." if content.runs.runs else
        "Nothing was run, so nothing deviates."
    )]  # fmt: skip
    if corrected:
        lines = [[v.claim.id, v.claim.statement, v.recomputed.label if v.recomputed else "", v.reason]
                 for v in corrected]  # fmt: skip
        parts.append(table("Numbers of the paper that follow under another label than the stated one",
                           ("Claim", "Statement", "It is", "Reason"), lines))  # fmt: skip
    changed = [[c.severity, c.kind, c.name, models_text(c), c.what] for c in changes()]
    parts.append(table(count_text(changes()), ("Severity", "Kind", "Name", "Models", "What and why"), changed))
    return join(parts)


def environment(content: Content) -> Html:
    """Return the machines and their software."""
    if not content.systems:
        return tag("p", "No run has recorded a machine yet.")
    rows = [[system.get("machine") or "not recorded", count, *(_flat(system.get(key)) for key in KEYS)]
            for system, count in content.systems]  # fmt: skip
    return table("Machines and software of the runs", ("Machine", "Runs", *KEYS.values()), rows)


def _flat(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_flat(part)}" for key, part in value.items() if part not in ("", None, [], {}))
    if isinstance(value, list | tuple):
        return " ".join(map(_flat, value))
    return "" if value is None else str(value)


def repeat(content: Content) -> Html:
    """Return the commands that make each part again."""
    where = results_option(content.results)
    rows = [
        ["A verdict", command(f"tal-repro verify --claim ID{where}")],
        ["All verdicts", command(f"tal-repro verify{where}")],
        ["A figure", command(f"tal-repro figure NUMBER{where}")],
        ["A table", command(f"tal-repro table NUMBER{where}")],
        ["A run: everything about it", command(f"tal-repro show RUN_ID{where}")],
        ["A run: once more", command("tal-repro run --only id=RUN_ID --results OTHER_FOLDER")],
        ["These tables in a paper's appendix", command(f"tal-repro table claims --format latex{where}")],
        ["This page", command(f"tal-repro report{where}")],
    ]
    return join([tag("p", "Each claim, figure and run above carries its own command. In general:"),
                 table("Commands", ("What", "Command"), rows)])  # fmt: skip
