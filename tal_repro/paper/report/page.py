"""The page: sections in the order in which a reader asks, style and script inlined: one file that needs no other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from importlib.resources import files

from tal_repro.paper import released_runs
from tal_repro.paper import tables as paper_tables
from tal_repro.paper.changes import changes, count_text, models_text
from tal_repro.paper.claims.statements import MEASURED_VERDICTS, PUBLISHED_VERDICTS
from tal_repro.paper.figures import FIGURES
from tal_repro.paper.figures.style import look
from tal_repro.paper.report import curve_chart
from tal_repro.paper.report.advice_section import advice
from tal_repro.paper.report.claims_section import badge, claims, quoted
from tal_repro.paper.report.compare import comparison
from tal_repro.paper.report.content import COLUMNS as TRACE_COLUMNS
from tal_repro.paper.report.content import Content, FigureShown
from tal_repro.paper.report.cost_section import costs, steps
from tal_repro.paper.report.markup import Html, command, join, number, region, shortened, table, tag
from tal_repro.paper.report.provenance import what_ran
from tal_repro.paper.report.run_rows import runs_table
from tal_repro.paper.verdict_words import headline_published_text, headline_text, multiplicity_text
from tal_repro.paper.verdicts import Verdict

TITLE = "tal-repro report"
IDS_SHOWN = 12
SECTIONS = {
    "tables": "Tables 1 and 2", "figures": f"Figures 1 to {max(FIGURES)}", "claims": "Claims and verdicts",
    "released": "Released checkpoints", "runs": "Runs", "curves": "Learning curves and forecasts",
    "advice": "Would more data pay?",
    "trace": "Trace and phases", "cost": "Cost and time", "comparison": "Another system",
    "deviations": "Deviations", "environment": "Environment", "repeat": "Repeat any number",
}  # fmt: skip


def page(content: Content, live: bool = False) -> str:
    """Return the whole document. `live`: it loads itself again every few seconds, keeping what the reader chose."""
    parts = {
        "tables": join(_table(text) for text in content.tables),
        "figures": join(_figure(figure, content.results) for figure in content.figures),
        "claims": claims(content.verdicts, content.results),
        **({"released": _released(compared)} if (compared := list(released_runs.comparisons(content.runs))) else {}),
        "runs": runs_table(content.rows),
        "curves": _curves(content),
        "advice": advice(content.advice),
        "trace": _trace(content),
        "cost": costs(content),
        **({"comparison": comparison(*content.compared)} if content.compared else {}),
        "deviations": _deviations(content),
        "environment": _environment(content),
        "repeat": _repeat(content),
    }
    sections = [_section(name, SECTIONS[name], body) for name, body in parts.items()]
    main = tag("main", *_top(content), *sections, id="main")
    skip = tag("a", "Skip to the verdicts", href="#verdicts", class_="skip")
    script = tag("script", Html(_resource("script.js")))
    body = tag("body", skip, _header(), _contents(parts), main, _footer(content), script)
    return f"<!DOCTYPE html>\n{tag('html', _head(), body, lang='en', data_live=live)}\n"


def _head() -> Html:
    return tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", http_equiv="Content-Security-Policy",
            content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("link", rel="icon", href="data:,"),
        tag("title", TITLE),
        tag("style", Html(_resource("style.css"))),
    )  # fmt: skip


def _resource(name: str) -> str:
    return files("tal_repro.paper.report").joinpath(name).read_text(encoding="utf-8")


def _header() -> Html:
    lead = (
        "Data- and compute-efficiency of TadTR, ActionFormer, TriDet and TemporalMaxer on THUMOS14: what the paper "
        "prints, what its published measurements give when computed again, and what was measured here."
    )
    return tag("header", tag("h1", "Reproduction report"), tag("p", lead, class_="lead"))


def _contents(names: Iterable[str]) -> Html:
    links = [tag("li", tag("a", SECTIONS[name], href=f"#{name}")) for name in names]
    return tag("nav", tag("ul", *links), aria_label="Sections")


def _top(content: Content) -> Iterator[Html]:
    if content.synthetic:
        share = f"{content.synthetic} of {len(content.runs.runs)} runs used SYNTHETIC data."
        yield tag("p", tag("strong", share), " They show that the kit works and say nothing about THUMOS14.",
                  class_="warning")  # fmt: skip
    told = what_ran(content.runs)
    ran: Html = (
        tag("ul", *(tag("li", line) for line in told))
        if told
        else tag("p", "Nothing was run yet: everything below is from the published measurements.")
    )
    where = f" (runs in {content.results})" if content.results else ""
    yield tag("section", tag("h2", "What was run where", id="ran"), tag("p", f"By tal-repro {content.version}{where}."),
              ran, *_problems(content), aria_labelledby="ran")  # fmt: skip
    yield tag("section", tag("h2", "Verdicts", id="verdicts", tabindex="-1"), *_verdicts(content.verdicts),
              aria_labelledby="verdicts")  # fmt: skip


def _problems(content: Content) -> Iterator[Html]:
    if content.problems:
        shown = [tag("li", problem[:600]) for problem in content.problems[:50]]
        more = len(content.problems) - len(shown)
        told = f"{len(content.problems)} things could not be read" + (f" ({more} not shown)" if more else "")
        yield tag("div", tag("p", tag("strong", told)), tag("ul", *shown), class_="warning", role="note")


def _verdicts(verdicts: Sequence[Verdict]) -> Iterator[Html]:
    published = Counter(verdict.published for verdict in verdicts)
    measured = Counter(verdict.measured.verdict for verdict in verdicts)
    yield tag("p", tag("strong", headline_text(verdicts)), f" {headline_published_text(verdicts)}")
    yield tag("p", f"{len(verdicts)} claims of the paper, each judged twice.")
    yield _counts("In the published data", published, PUBLISHED_VERDICTS)
    yield _counts("Measured here", measured, MEASURED_VERDICTS)
    if told := multiplicity_text(verdicts):
        yield tag("p", told)
    reasons = Counter(v.measured.reason for v in verdicts if v.measured.verdict == "not run")
    if reasons:
        listed = [tag("li", f"{count}: {reason}") for reason, count in reasons.most_common()]
        yield tag("details", tag("summary", f"Why {measured['not run']} were not run"), tag("ul", *listed))
    flipped = [verdict.claim.id for verdict in verdicts if not verdict.as_expected]
    text = (
        f"Verdicts on the published data that differ from the expected: {', '.join(flipped)}."
        if flipped
        else ("Every verdict on the published data is the expected one.")
    )
    yield tag("p", text, class_="warning" if flipped else None)


def _counts(title: str, counts: Counter[str], order: Sequence[str]) -> Html:
    tiles = [tag("li", tag("b", counts[name]), " ", badge(name)) for name in order]
    return join([tag("h3", title), tag("ul", *tiles, class_="tiles")])


def _section(name: str, title: str, body: Html) -> Html:
    return tag("section", tag("h2", title, id=name), body, aria_labelledby=name)


def _table(text: paper_tables.TextTable) -> Html:
    last = len(text.header) - 1
    rows = [
        [shortened(cell.split(), IDS_SHOWN) if index == last and len(cell) > 200 else cell
         for index, cell in enumerate(row)]
        for row in text.rows
    ]  # fmt: skip
    notes = tag("ul", *(tag("li", note) for note in text.notes), class_="note") if text.notes else None
    return join([table(text.caption, text.header, rows), notes])


def _figure(figure: FigureShown, results: str | None) -> Html:
    title = tag("h3", f"Figure {figure.number}. {figure.title}", id=f"figure-{figure.number}")
    where = f" --results {quoted(results)}" if results else ""
    redo = tag("p", "Draw it: ", command(f"tal-repro figure {figure.number}{where}"))
    if figure.svg is None:
        return tag("figure", title, tag("p", f"{figure.missing}."), redo)
    notes = [tag("span", f" {note}") for note in figure.notes]
    runs = None
    if figure.run_ids:
        runs = tag("details", tag("summary", f"{len(figure.run_ids)} runs behind it"),
                   tag("p", shortened(figure.run_ids, 60), class_="ids"))  # fmt: skip
    caption = tag("figcaption", figure.caption, *notes)
    return tag("figure", title, region(f"Figure {figure.number}", figure.svg, class_="paper"), caption, runs, redo)


def _released(compared: Sequence[released_runs.Comparison]) -> Html:
    header = ("Model", "Engine", "Protocol", "mAP here (%)", "Published (%)", "Source", "Verdict", "Run")
    rows = [[look(one.model).title, one.engine, one.protocol, number(one.measured), number(one.published), one.source,
             one.verdict, one.run_id] for one in compared]  # fmt: skip
    note = "The authors' own weights, evaluated here and trained by nobody: the same to rounding, or something differs."
    return table("Released checkpoints beside the mAPs printed of them", header, rows, note)


def _curves(content: Content) -> Html:
    if not content.forecasts:
        return tag("p", "No curve has points enough.")
    cards = []
    for place, one in enumerate(content.forecasts):
        name = f"{look(one.model).title}: {one.source}"
        cards.append(tag("figure", tag("h3", name), curve_chart.chart(one, f"c{place}"),
                         tag("figcaption", curve_chart.told(one)), class_="card"))  # fmt: skip
    return join([curve_chart.legend(), tag("div", *cards, class_="cards"), tag(
        "p", "Forecast from points of your own: ", command("tal-repro forecast points.csv"))])  # fmt: skip


def _trace(content: Content) -> Html:
    if content.trace is None:
        return tag("p", "No trace yet: the paper's is a picture without data. ", command(
            "tal-repro run --only experiment=trace"))  # fmt: skip
    trace = content.trace
    header = ("Phase", "Times", "Seconds", *(TRACE_COLUMNS[name] for name in trace.columns))
    rows = [[name, count or "", number(seconds), *(number(value, 1) for value in use)]
            for name, count, seconds, use in trace.rows]  # fmt: skip
    made_up = ", SYNTHETIC data" if trace.run.synthetic else ""
    machine = trace.run.device
    caption = f"Mean use in each phase, run {trace.run.run_id}, {trace.run.model}, {machine}{made_up}"
    return join([tag("p", "Drawn over time in ", tag("a", "Figure 6", href="#figure-6"), "."),
                 table(caption, header, rows), steps(content.runs)])  # fmt: skip


def _deviations(content: Content) -> Html:
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


def _environment(content: Content) -> Html:
    if not content.systems:
        return tag("p", "No run has recorded a machine yet.")
    rows = [[system.get("machine") or "not recorded", count, *(_flat(system.get(key)) for key in KEYS)]
            for system, count in content.systems]  # fmt: skip
    return table("Machines and software of the runs", ("Machine", "Runs", *KEYS.values()), rows)


KEYS = {"os": "System", "cpu": "Processor", "memory_mib": "Memory (MiB)", "python": "Python", "packages": "Packages",
        "container": "Container"}  # fmt: skip


def _flat(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {part}" for key, part in value.items() if part not in ("", None))
    return "" if value is None else str(value)


def _repeat(content: Content) -> Html:
    where = f" --results {quoted(content.results)}" if content.results else ""
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


def _footer(content: Content) -> Html:
    told = f"Made by tal-repro {content.version} from published numbers and run folders; none was typed by hand."
    return tag("footer", tag("p", f"{told} This page loads nothing and sends nothing."))
