"""The claims table: one line a claim, opening to its rule, readings, rows and runs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from tal_repro.models.registry import MODELS
from tal_repro.paper.claims.statements import IMPORTANCE, PUBLISHED_VERDICTS
from tal_repro.paper.report.markup import Html, command, join, region, results_option, shortened, tag
from tal_repro.paper.verdict_story import story_lines
from tal_repro.paper.verdict_text import WIDTH
from tal_repro.paper.verdict_words import (
    MEASURED_WORDS,
    follows_text,
    measured_with_unit,
    measured_word,
    recomputed_with_unit,
    why,
)
from tal_repro.paper.verdicts import Verdict
from tal_repro.published.table import spans
from tal_repro.text_lines import wrapped

IDS_SHOWN = 60
BARE_MAP = re.compile(r"(\d) mAP\b")
HEADER = ("Claim", "Statement", "Paper", "Recomputed", "Published data", "Measured here", "Verdict here")
TONES = {
    "consistent": "good", "reproduced": "good", "consistent with correction": "fair", "inconclusive": "fair",
    "not comparable here": "fair",
    "inconsistent": "bad", "not reproduced": "bad",
}  # fmt: skip
SIGNS = {"good": "✓", "fair": "~", "bad": "✗", "none": "·"}  # colour is never the only difference


def badge(verdict: str) -> Html:
    """Return a verdict as a coloured word with a sign."""
    tone = TONES.get(verdict, "none")
    return tag("span", tag("span", SIGNS[tone], aria_hidden="true"), " ", verdict, class_=f"badge {tone}")


def severity(verdict: Verdict) -> int:
    """Rank a claim by how much it asks for a look: what does not follow or reproduce first, then what is open."""
    tones = {TONES.get(verdict.published), TONES.get(verdict.measured.verdict)}
    return 0 if "bad" in tones else 1 if "fair" in tones else 2


def claims(verdicts: Sequence[Verdict], results: str | None) -> Html:
    """Return filters and table, inconsistent claims first, else in the order of the paper."""
    verdicts = sorted(verdicts, key=severity)
    head = tag("thead", tag("tr", *(tag("th", name, scope="col", role="columnheader") for name in HEADER), role="row"),
               role="rowgroup")  # fmt: skip
    caption = tag(
        "caption",
        "Every quantitative statement of the paper, inconsistent ones first; open a line for derivation, rows and runs",
    )
    body = join(_claim(verdict, results) for verdict in verdicts)
    whole = tag("table", caption, head, body, id="claims-table", class_="stacking", role="table")
    return join([_filters(verdicts), region("Claims", whole)])


def _filters(verdicts: Sequence[Verdict]) -> Html:
    models = [model for model in MODELS if any(model in models_of(verdict) for verdict in verdicts)]
    options = {
        "importance": list(IMPORTANCE),
        "section": list(dict.fromkeys(verdict.claim.section for verdict in verdicts)),
        "published": list(PUBLISHED_VERDICTS),
        "measured": list(MEASURED_WORDS),
        "model": models,
    }
    titles = {
        "importance": "Importance",
        "section": "Section",
        "published": "Published data",
        "measured": "Measured here",
        "model": "Model",
    }
    selects = [_select(name, titles[name], values) for name, values in options.items()]
    search = tag("label", "Words ", tag("input", type="search", data_filter="words", aria_controls="claims-table"))
    count = tag("span", role="status", class_="count", id="claims-count")
    clear = tag("button", "Show all", type="button", id="claims-clear")
    return tag(
        "form", *selects, search, clear, count, class_="filters", id="claims-filters", aria_label="Filter the claims"
    )


def _select(name: str, title: str, values: list[str]) -> Html:
    options = [tag("option", "all", value="")]
    options += [tag("option", MODELS[v].title if v in MODELS else v, value=v) for v in values]
    return tag("label", title, " ", tag("select", *options, data_filter=name, aria_controls="claims-table"))


def _claim(verdict: Verdict, results: str | None) -> Html:
    claim = verdict.claim
    printed, computed, measured_here = map(
        _in_percent, (claim.printed_with_unit, recomputed_with_unit(verdict), measured_with_unit(verdict))
    )
    statement = join([claim.statement, tag("span", why(verdict), class_="why")])
    cells = (
        statement, printed, computed, badge(verdict.published),
        measured_here, join([badge(measured_word(verdict)), _measured_why(verdict)]),
    )  # fmt: skip
    line = tag(
        "tr",
        tag("th", claim.id, scope="row", role="rowheader"),
        *(tag("td", cell, role="cell", data_label=name) for name, cell in zip(HEADER[1:], cells, strict=True)),
        role="row",
    )
    story = tag(
        "details",
        tag("summary", f"{claim.id}: derivation, rows, runs"),
        *_story(verdict, results),
    )
    more = tag("tr", tag("td", story, colspan=len(HEADER), role="cell"), role="row", class_="more")
    return tag(
        "tbody", line, more, role="rowgroup", id=f"claim-{claim.id}", data_section=claim.section,
        data_importance=claim.importance,
        data_published=verdict.published, data_measured=measured_word(verdict), data_model=" ".join(models_of(verdict)),
    )  # fmt: skip


def _in_percent(text: str) -> str:
    """Give mAPs their unit: the paper writes "56.7 mAP" for 56.7 %."""
    return BARE_MAP.sub(r"\1 % mAP", text)


def _measured_why(verdict: Verdict) -> Html | None:
    """Return the reason of the verdict; that runs are synthetic the verdict says itself."""
    if verdict.measured.unlike:
        return None
    return tag("span", f"{verdict.measured.reason}.", class_="why")


def models_of(verdict: Verdict) -> list[str]:
    """Return the models that a claim is about: those it is measured on, and those it names."""
    claim = verdict.claim
    return [name for name, entry in MODELS.items() if name in claim.models or entry.title in claim.statement]


def _story(verdict: Verdict, results: str | None) -> Iterator[Html]:
    """Yield what `tal-repro verify --claim` tells, with the run ids cut to what a page can hold."""
    lines = ["".join(text for text, _ in line) for line in story_lines(verdict)]
    yield tag("p", f"How the printed number follows: {follows_text(verdict)}. {verdict.reason}")
    yield tag("p", f"Measured here: {verdict.measured.reason}.")
    shown = lines[1:]
    first_table = next((i for i, line in enumerate(shown) if not line), len(shown))
    ids = " ".join(run.run_id for run in verdict.measured.runs)
    kept = shown[:first_table]
    for label, text in (("follows ", follows_text(verdict)), ("reason ", verdict.reason), ("runs ", ids)):
        kept = _without(kept, label, text)
    yield tag("pre", "\n".join([*kept, *shown[first_table:]]), tabindex="0", role="region",
              aria_label=f"Derivation of {verdict.claim.id}")  # fmt: skip
    if verdict.derivation and verdict.derivation.rows:
        yield tag("p", "Source rows: ", "; ".join(spans(table) for table in verdict.derivation.rows), ".")
    if verdict.measured.runs:
        yield tag("p", "Runs: ", tag("span", shortened(ids.split(), IDS_SHOWN), class_="ids"))
    yield tag("p", "Repeat it: ", command(f"tal-repro verify --claim {verdict.claim.id}{results_option(results)}"))


def _without(lines: list[str], label: str, text: str) -> list[str]:
    """Drop the lines that the story wraps a labelled text over: the page says it in its own way."""
    start = next((place for place, line in enumerate(lines) if line.startswith(label)), len(lines))
    return lines[:start] + lines[start + len(wrapped(text, WIDTH - 10)) :]
