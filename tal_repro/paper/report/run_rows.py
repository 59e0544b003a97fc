"""The runs table: a row for each run, finished or failed, the first hundred as HTML, all as data for the pager."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tal_repro.errors import InputError
from tal_repro.paper.energy import joules_of
from tal_repro.paper.report.markup import Html, command, duration, join, number, region, results_option, tag
from tal_repro.paper.report.run_details import details, log
from tal_repro.run.repeat import repeat_command
from tal_repro.runs.folder import name_of
from tal_repro.runs.load import Runs
from tal_repro.runs.portable import Clean, cleaner
from tal_repro.runs.record import RunRecord, read_json
from tal_repro.runs.run import Run, finite
from tal_repro.runs.store import RunStore
from tal_repro.spec import RunSpec

JOULES_PER_WH = 3600.0


@dataclass(frozen=True)
class RunRow:
    """What the page shows of a run. `folder` holds its log; NaN never gets here: what is not finite is None."""

    run_id: str
    experiment: str
    model: str
    engine: str
    data: str
    percent: float | None
    seed: int | None
    average_map: float | None
    seconds: float | None
    energy_joules: float | None
    machine: str
    status: str
    study: str
    ended: str
    folder: Path
    repeat: str  # the command that runs it again, into another folder
    why: str = ""
    host: str = ""
    record: RunRecord | None = None  # its folder's reader, where it can be read
    per_class: Mapping[str, Any] = field(default_factory=dict)
    clean: Clean = str  # takes out of a text what tells of the machine


def run_rows(runs: Runs, with_host: bool = False) -> list[RunRow]:
    """Return failed runs first (they want a look), then finished ones in the order of their paths.

    Names of host and user and absolute paths are left out unless `with_host`.
    """
    rows = [*_failed(runs), *(_finished(run, runs) for run in runs.runs)]
    return rows if with_host else [_without_host(row) for row in rows]


def _without_host(row: RunRow) -> RunRow:
    clean = cleaner(row.host)
    return replace(row, study=clean(row.study), repeat=clean(row.repeat), why=clean(row.why), clean=clean)


def _finished(run: Run, runs: Runs) -> RunRow:
    status, alone = run.record.status, "" if run.alone else " (not alone)"
    return RunRow(
        run.run_id, run.experiment, run.model, run.engine, run.data_title,
        run.percent if run.unit else None, run.seed, finite(run.average_map), finite(status.get("seconds")),
        _energy(run, runs), f"{run.device}{alone}",
        "invalid" if run.flags else "done", str(status.get("study") or ""), str(status.get("finished") or ""),
        run.folder, repeat_command(run.spec, status), "; ".join(run.flags), str(status.get("host") or ""),
        run.record, run.per_class,
    )  # fmt: skip


def _failed(runs: Runs) -> Iterator[RunRow]:
    folders = [] if runs.root is None else list(RunStore(runs.root).leftovers())
    done = {run.run_id for run in runs.runs}
    for folder in folders:
        if name_of(folder) not in done:  # else an earlier attempt of a run that is done since
            yield _unfinished(folder)


def _unfinished(folder: Path) -> RunRow:
    """Return what can be read of a run that failed or is under way; its files may be spoilt."""
    record, kind = RunRecord(folder), folder.name.partition(".")[2]
    status, system = _read(record.paths.status), _read(record.paths.system)
    try:
        spec: RunSpec | None = record.spec
    except InputError:
        spec = None
    data, subset = (spec.data, spec.subset) if spec else (None, None)
    name = f"{data.name}{' (SYNTHETIC)' if data.synthetic else ''}" if data else "none"
    return RunRow(
        name_of(folder), folder.parent.parent.name, folder.parent.name, spec.engine if spec else "", name,
        subset.percent if subset else None, None, None, finite(status.get("seconds")), None,
        str(system.get("machine") or "unknown machine"), "unfinished" if kind == "partial" else kind,
        str(status.get("study") or ""), str(status.get("finished") or ""), folder,
        repeat_command(spec, status) if spec else "", str(status.get("reason") or ""), str(status.get("host") or ""),
        record,
    )  # fmt: skip


def _energy(run: Run, runs: Runs) -> float | None:
    """Return the joules that counters of the machine counted for this run alone, all parts together."""
    joules = joules_of(run, runs)
    return sum(joules.values()) if joules else None


def _read(path: Path) -> dict[str, Any]:
    try:
        return read_json(path)
    except InputError:
        return {}


def groups(rows: Iterable[RunRow]) -> dict[tuple[str, str, str, str, str], list[RunRow]]:
    """Group rows by what makes their figures comparable: experiment, model, engine, data, machine."""
    grouped: dict[tuple[str, str, str, str, str], list[RunRow]] = {}
    for row in rows:
        grouped.setdefault((row.experiment, row.model, row.engine, row.data, row.machine), []).append(row)
    return dict(sorted(grouped.items()))


PAGE = 100  # rows shown at once; the script pages through the rest
DETAILED = 200  # runs whose curves, classes, settings and log the page holds: about 1 MB; `tal-repro show` has all
LISTED = 20_000  # rows in the page's data: 1.2 MB; more are counted, not listed
COLUMNS = (
    "Run", "Experiment", "Model", "Engine", "Data", "Training data (%)", "Seed", "mAP (%)", "Duration", "Energy (Wh)",
    "Machine", "Status",
)  # fmt: skip


def runs_table(rows: Sequence[RunRow], results: str | None = None) -> Html:
    """Return search, table, pager and data; a sentence where there are no runs."""
    if not rows:
        return tag("p", "No runs yet. ", command("tal-repro demo"), " makes some in minutes, on synthetic data; ",
                   command("tal-repro run"), " runs the study.")  # fmt: skip
    caption = tag("caption", _counted(rows))
    head = tag("thead", tag("tr", *(tag("th", name, scope="col", role="columnheader") for name in COLUMNS), role="row"),
               role="rowgroup")  # fmt: skip
    body = join(_body(row) for row in rows[:PAGE])
    where = results_option(results) or None
    whole = tag("table", caption, head, body, id="runs-table", class_="wide stacking", role="table", data_where=where)
    kept = (tag("template", *_story(row), id=f"run-{row.run_id}") for row in rows[PAGE:DETAILED])
    return join([_search(rows), region("List of runs", whole), _data(rows), *kept])


def _counted(rows: Sequence[RunRow]) -> str:
    states: dict[str, int] = {}
    for row in rows:
        states[row.status] = states.get(row.status, 0) + 1
    counts = ", ".join(f"{count} {state}" for state, count in states.items())
    cut = f"; the first {PAGE} here, the rest with scripts or from run folders" if len(rows) > PAGE else ""
    cut += f"; {len(rows) - LISTED} more are not listed" if len(rows) > LISTED else ""
    cut += f"; the first {DETAILED} open to curves and log, the others name a command" if len(rows) > DETAILED else ""
    return f"{len(rows)} runs: {counts}{cut}. Open a line for loss, mAP, AP of each class, settings, log and command"


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
    energy = None if row.energy_joules is None else row.energy_joules / JOULES_PER_WH
    return [
        row.run_id, row.experiment, row.model, row.engine, row.data,
        "" if row.percent is None else f"{row.percent:g}", "" if row.seed is None else str(row.seed),
        number(row.average_map), duration(row.seconds), number(energy, 3), row.machine, row.status,
    ]  # fmt: skip


def _body(row: RunRow) -> Html:
    texts = cells(row)
    head = tag("th", tag("code", texts[0]), scope="row", role="rowheader")
    rest = (tag("td", text, role="cell", data_label=name) for name, text in zip(COLUMNS[1:], texts[1:], strict=True))
    kept = "curves, classes, settings, log" if row.record and row.record.has("epochs") else "settings, log"
    story = tag("details", tag("summary", f"{row.run_id}: {kept}"), *_story(row))
    more = tag("tr", tag("td", story, colspan=len(COLUMNS), role="cell"), class_="more", role="row")
    return tag("tbody", tag("tr", head, *rest, role="row"), more, role="rowgroup")


def _story(row: RunRow) -> Iterator[Html]:
    if row.why:
        yield tag("p", tag("strong", "Why: "), row.why[:1000])
    if row.record is not None:
        yield from details(row.record, row.per_class, row.clean)
    yield log(row.folder, row.run_id, row.clean)
    ended = f"Ended {row.ended}. " if row.ended else ""
    yield tag("p", f"{ended}Repeat it: ", command(row.repeat))


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
