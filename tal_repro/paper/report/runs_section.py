"""The runs table: the first hundred as HTML with the end of their logs, all of them as compact data for the pager."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from tal_repro.paper.report.markup import Html, command, duration, join, number, region, tag
from tal_repro.paper.report.run_rows import RunRow, tail

PAGE = 100  # rows shown at once; the script pages through the rest
LISTED = 20_000  # rows in the page's data: 1.2 MB; more are counted, not listed
COLUMNS = (
    "Run", "Experiment", "Model", "Engine", "Data", "Train %", "Seed", "mAP (%)", "Duration", "Energy (J)", "Machine",
    "Status",
)  # fmt: skip


def runs_table(rows: Sequence[RunRow]) -> Html:
    """Return search, table, pager and data; a sentence where there are no runs."""
    if not rows:
        return tag("p", "No runs yet. ", command("tal-repro demo"), " makes some in minutes, on synthetic data; ",
                   command("tal-repro run"), " runs the study.")  # fmt: skip
    caption = tag("caption", _counted(rows))
    head = tag("thead", tag("tr", *(tag("th", name, scope="col") for name in COLUMNS)))
    body = join(_body(row) for row in rows[:PAGE])
    whole = tag("table", caption, head, body, id="runs-table", class_="wide")
    return join([_search(rows), region("List of runs", whole), _data(rows)])


def _counted(rows: Sequence[RunRow]) -> str:
    states: dict[str, int] = {}
    for row in rows:
        states[row.status] = states.get(row.status, 0) + 1
    told = ", ".join(f"{count} {state}" for state, count in states.items())
    cut = f"; the first {PAGE} here, the rest with scripts or from run folders" if len(rows) > PAGE else ""
    cut += f"; {len(rows) - LISTED} more are not listed" if len(rows) > LISTED else ""
    return f"{len(rows)} runs: {told}{cut}. Open a line for the end of its log and the command that repeats it"


def _search(rows: Sequence[RunRow]) -> Html:
    options = [tag("option", "all", value="")]
    options += [tag("option", name, value=name) for name in dict.fromkeys(row.experiment for row in rows)]
    choose = tag("label", "Experiment ", tag("select", *options, id="runs-experiment", aria_controls="runs-table"))
    words = tag("label", "Words ", tag("input", type="search", id="runs-words", aria_controls="runs-table"))
    pager = tag(
        "span", tag("button", "Previous", type="button", id="runs-previous"), " ",
        tag("span", role="status", id="runs-count", class_="count"), " ",
        tag("button", "Next", type="button", id="runs-next"), class_="pager",
    )  # fmt: skip
    return tag("form", choose, words, pager, class_="filters", id="runs-filters", aria_label="Filter the runs")


def cells(row: RunRow) -> list[str]:
    """Return the texts of a row, in the order of the columns."""
    return [
        row.run_id, row.experiment, row.model, row.engine, row.data,
        "" if row.percent is None else f"{row.percent:g}", "" if row.seed is None else str(row.seed),
        number(row.average_map), duration(row.seconds), number(row.energy_joules, 0), row.machine, row.status,
    ]  # fmt: skip


def _body(row: RunRow) -> Html:
    texts = cells(row)
    line = tag("tr", tag("th", tag("code", texts[0]), scope="row"), *(tag("td", text) for text in texts[1:]))
    story = tag("details", tag("summary", f"{row.run_id}: log, how to repeat"), *_story(row))
    return tag("tbody", line, tag("tr", tag("td", story, colspan=len(COLUMNS)), class_="more"))


def _story(row: RunRow) -> Iterator[Html]:
    if row.why:
        yield tag("p", tag("strong", "Why: "), row.why[:1000])
    if row.ended:
        yield tag("p", f"Ended {row.ended}.")
    lines = [row.clean(line) for line in tail(row.folder)]
    if lines:
        yield tag("pre", "\n".join(lines), tabindex="0", role="region", aria_label=f"End of the log of {row.run_id}")
    else:
        yield tag("p", "It left no log.")
    yield tag("p", "Repeat it: ", command(row.repeat))


def _data(rows: Sequence[RunRow]) -> Html:
    """Return all rows as JSON: a list of words, and for each row the numbers of its words (or the text itself)."""
    words: dict[str, int] = {}
    packed: list[list[Any]] = []
    for row in rows[:LISTED]:
        first, *rest = cells(row)
        packed.append([first, *(words.setdefault(text, len(words)) for text in rest)])
    return data("runs-data", {"words": list(words), "rows": packed, "page": PAGE})


def data(name: str, value: Any) -> Html:
    """Return JSON that no content can break out of."""
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    for letter in "<>&":
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    return Html(f'<script type="application/json" id="{name}">{text}</script>')
