"""The tables of the page as files: CSV and JSON held by the page itself, so that sending the page sends them too."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator

from tal_repro.paper import tables
from tal_repro.paper.report.appendix import verdict_table
from tal_repro.paper.report.content import Content
from tal_repro.paper.report.findings import value_rows
from tal_repro.paper.report.markup import Html, command, join, results_option, tag
from tal_repro.paper.table_text import TextTable

KINDS = {"csv": "text/csv", "json": "application/json"}


def downloads(content: Content) -> Html:
    """Return a link for each file; those of runs and pictures are made by the script from what the page shows."""
    links = [tag("li", _link(name, text), f" ({what})") for name, what, text in _files(content)]
    runs = (
        tag(
            "li",
            tag("button", f"runs.{kind}", type="button", data_runs=kind),
            f" (every run in the list, as {kind.upper()})",
        )
        for kind in KINDS
    )
    pictures = tag("li", "pictures: the buttons PNG and SVG beside each chart and figure")
    scripted = [*runs, pictures] if content.rows else [pictures]
    whole = f"tal-repro verify --json{results_option(content.results)}"
    return join([
        tag("ul", *links, class_="downloads"), tag("ul", *scripted, class_="downloads scripts-only"),
        tag("p", "Every number behind a verdict, with all digits: ", command(whole)),
    ])  # fmt: skip


def _files(content: Content) -> Iterator[tuple[str, str, str]]:
    """Yield the name, description and content of each file."""
    claims = verdict_table(content.verdicts)
    yield "claims.csv", "every claim with its verdicts", tables.render(claims, "csv")
    names = [name.lower().replace(" ", "_") for name in claims.header]
    listed = [dict(zip(names, row, strict=True)) for row in claims.rows]
    about = {"synthetic_runs": content.synthetic, "runs": len(content.runs.runs), "claims": listed}
    yield "claims.json", "the same for programs", json.dumps(about, ensure_ascii=False, allow_nan=False, indent=1)
    for number, text in enumerate(content.tables, 1):
        yield f"table-{number}.csv", f"Table {number} with all columns", tables.render(text, "csv")
    header = ("model", "source", "train_percent", "map_mean", "map_std")
    curves = TextTable("Learning curves", header, tuple(value_rows(content.overlay)))
    yield "learning-curves.csv", "the points of Figure 2, published and measured", tables.render(curves, "csv")


def _link(name: str, text: str) -> Html:
    packed = base64.b64encode(text.encode()).decode()
    return tag("a", name, href=f"data:{KINDS[name.rpartition('.')[2]]};base64,{packed}", download=name)
