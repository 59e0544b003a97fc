"""The page: sections in the order in which a reader asks, style and script inlined: one file that needs no other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files

from tal_repro.models.registry import MODELS
from tal_repro.paper import released_runs
from tal_repro.paper.claims.statements import PUBLISHED_VERDICTS
from tal_repro.paper.figures import FIGURES
from tal_repro.paper.report import sections, study
from tal_repro.paper.report.advice_section import advice
from tal_repro.paper.report.claims_section import badge, claims
from tal_repro.paper.report.compare import comparison
from tal_repro.paper.report.content import Content
from tal_repro.paper.report.cost_section import costs
from tal_repro.paper.report.downloads import downloads
from tal_repro.paper.report.findings import findings, own_findings
from tal_repro.paper.report.markup import Html, join, tag
from tal_repro.paper.report.provenance import what_ran
from tal_repro.paper.report.run_rows import runs_table
from tal_repro.paper.report.units import units
from tal_repro.paper.verdict_words import (
    MEASURED_WORDS,
    headline_text,
    measured_word,
    multiplicity_text,
    not_judged_reasons,
)
from tal_repro.paper.verdicts import Verdict

SECTIONS = {
    "findings": "Findings", "verdicts": "Verdicts", "claims": "Claims, one by one", "tables": "Tables 1 and 2",
    "figures": f"Figures 1 to {max(FIGURES)}", "curves": "Learning curves and forecasts",
    "advice": "Would more data pay?",
    "released": "Released checkpoints", "runs": "Runs", "trace": "Trace and phases", "cost": "Cost and time",
    "comparison": "Another system", "deviations": "Deviations", "environment": "Environment",
    "units": "Units and terms", "downloads": "Downloads", "repeat": "Repeat any number",
}  # fmt: skip


def page(content: Content, live: bool = False) -> str:
    """Return the whole document. `live`: it loads itself again every few seconds, keeping what the reader chose."""
    own_set = content.runs.own_set
    judged = {
        "findings": findings(content.verdicts, content.runs, content.overlay),
        "verdicts": join(_verdicts(content.verdicts)),
        "claims": claims(content.verdicts, content.results),
    }
    parts = {
        **({"findings": own_findings(own_set, content.advice, content.overlay)} if own_set else judged),
        "tables": sections.tables(content),
        "figures": join(sections.figure(figure, content.results) for figure in content.figures),
        "curves": sections.curves(content),
        "advice": advice(content.advice),
        **(
            {"released": sections.released(comparisons)}
            if (comparisons := list(released_runs.comparisons(content.runs)))
            else {}
        ),
        "runs": runs_table(content.rows, content.results),
        "trace": sections.trace(content),
        "cost": costs(content),
        **({"comparison": comparison(*content.compared)} if content.compared else {}),
        "deviations": sections.deviations(content),
        "environment": sections.environment(content),
        "units": units(),
        "downloads": downloads(content),
        "repeat": sections.repeat(content),
    }
    titles = {**SECTIONS, **({"tables": "Training time and mAP"} if own_set else {})}
    made = [_section(name, titles[name], body) for name, body in parts.items()]
    main = tag("main", *_top(content), *made, id="main")
    skip = tag("a", "Skip to the findings", href="#findings", class_="skip")
    script = tag("script", Html(_resource("script.js")))
    body = tag(
        "body",
        skip,
        _header(content),
        _contents({name: titles[name] for name in parts}),
        main,
        _footer(content),
        script,
    )
    return f"<!DOCTYPE html>\n{tag('html', _head(content), body, lang='en', data_live=live)}\n"


def _head(content: Content) -> Html:
    return tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", http_equiv="Content-Security-Policy",
            content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("link", rel="icon", href="data:,"),
        tag("title", ": ".join(_titles(content))),
        tag("style", Html(_resource("style.css"))),
    )  # fmt: skip


def _resource(name: str) -> str:
    return files("tal_repro.paper.report").joinpath(name).read_text(encoding="utf-8")


def _header(content: Content) -> Html:
    link = tag("a", study.LINK.removeprefix("https://"), href=study.LINK, rel="noopener noreferrer")
    whose = f"{study.SUBTITLE} ({study.YEAR}), by {study.AUTHORS}: "
    if content.runs.own_set:
        whose = f"By the method of {study.TITLE} ({study.YEAR}), by {study.AUTHORS}: "
    kind, title = _titles(content)
    return tag("header", tag("p", kind, class_="kind"), tag("h1", title), tag("p", whose, link, class_="lead"),
               tag("dl", *_facts(content), class_="facts"))  # fmt: skip


def _titles(content: Content) -> tuple[str, str]:
    """Return what kind of page it is, and of what."""
    if own_set := content.runs.own_set:
        return "Report on a data set of your own", f"{own_set}: mAP and cost against its data"
    return "Reproduction report", study.TITLE


def _facts(content: Content) -> Iterator[Html]:
    """Yield what a reader asks of a page that was sent: of which models, data and runs, when and with what made."""
    models, own_set = "TadTR, ActionFormer, TriDet and TemporalMaxer", content.runs.own_set
    if own_set:
        models = ", ".join(MODELS[name].title for name in sorted({run.model for run in content.runs.runs}))
    names = sorted({run.data_title for run in content.runs.runs if run.data_name})
    here = f"; runs here: {', '.join(names)}" if names else "; no run here used data"
    last = max((row.ended for row in content.rows), default="")
    ran = f"{len(content.runs.runs)} finished here" + (f", the last on {last[:10]}" if last else "")
    for name, text in (
        ("Models", models),
        ("Data", own_set or f"published measurements on {study.DATA}{here}"),
        ("Runs", ran),
        ("This page", f"made on {content.made} by tal-repro {content.version}"),
    ):
        yield tag("div", tag("dt", name), tag("dd", text))


def _contents(titles: Mapping[str, str]) -> Html:
    links = [tag("li", tag("a", title, href=f"#{name}")) for name, title in titles.items()]
    return tag("nav", tag("ul", *links), aria_label="Contents")


def _top(content: Content) -> Iterator[Html]:
    if content.synthetic:
        share = f"{content.synthetic} of {len(content.runs.runs)} runs used SYNTHETIC data."
        yield tag("p", tag("strong", share), " They show that the kit works and say nothing about THUMOS14.",
                  class_="warning")  # fmt: skip
    if own_set := content.runs.own_set:
        of = f"Every run with data is of {own_set}, not of THUMOS14: no claim of the paper is judged by them."
        yield tag("p", tag("strong", of), " What is published of THUMOS14 is left out of the figures and curves.",
                  class_="note")  # fmt: skip
    yield from _problems(content)
    lines = what_ran(content.runs)
    where = f" Runs in {content.results}." if content.results else ""
    listed: Html = (
        tag("details", tag("summary", f"What was run where: {len(content.runs.runs)} runs.{where}"),
            tag("ul", *(tag("li", line) for line in lines)))
        if lines
        else tag("p", "Nothing was run yet: everything below is from the published measurements.")
    )  # fmt: skip
    yield tag("div", listed, id="ran")


def _problems(content: Content) -> Iterator[Html]:
    if content.problems:
        shown = [tag("li", problem[:600]) for problem in content.problems[:50]]
        more = len(content.problems) - len(shown)
        counted = f"{len(content.problems)} things could not be read" + (f" ({more} not shown)" if more else "")
        yield tag("div", tag("p", tag("strong", counted)), tag("ul", *shown), class_="warning", role="note")


def _verdicts(verdicts: Sequence[Verdict]) -> Iterator[Html]:
    published = Counter(verdict.published for verdict in verdicts)
    measured = Counter(map(measured_word, verdicts))
    yield tag("p", tag("strong", headline_text(verdicts)), f" {len(verdicts)} claims of the paper, each judged twice. ",
              "A count opens its claims.")  # fmt: skip
    yield _counts("In the published data", "published", published, PUBLISHED_VERDICTS)
    yield _counts("Measured here", "measured", measured, MEASURED_WORDS)
    if explained := multiplicity_text(verdicts):
        yield tag("p", explained)
    if reasons := not_judged_reasons(verdicts):
        lines = (tag("li", f"{len(ids)}: {reason}. ", _ids(ids)) for reason, ids in reasons.items())
        total = sum(map(len, reasons.values()))
        yield tag("details", tag("summary", f"Why {total} have no measured verdict"), tag("ul", *lines))
    flipped = [verdict.claim.id for verdict in verdicts if not verdict.as_expected]
    text = (
        f"Verdicts on the published data that differ from the expected: {', '.join(flipped)}."
        if flipped
        else "Every verdict on the published data is the expected one."
    )
    yield tag("p", text, class_="warning" if flipped else None)


def _ids(ids: Sequence[str]) -> Html:
    return tag("span", join((tag("a", name, href=f"#claim-{name}") for name in ids), " "), class_="ids")


def _counts(title: str, name: str, counts: Counter[str], order: Sequence[str]) -> Html:
    """Return a tile for each verdict; the script lets it filter the claims."""
    tiles = [
        tag("li", tag("a", tag("b", counts[word]), " ", badge(word), href="#claims", data_name=name, data_value=word))
        for word in order
        if counts[word]
    ]
    return join([tag("h3", title), tag("ul", *tiles, class_="tiles")])


def _section(name: str, title: str, body: Html) -> Html:
    heading = tag("h2", title, id=name, tabindex="-1" if name == "findings" else None)
    return tag("section", heading, body, aria_labelledby=name)


def _footer(content: Content) -> Html:
    origin = f"Made by tal-repro {content.version} from published numbers and run folders; none was typed by hand."
    return tag("footer", tag("p", f"{origin} This page loads nothing and sends nothing."))
