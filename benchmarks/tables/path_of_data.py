"""docs/path-of-data.svg: from annotations and features to a verdict, each station with the module that is it.

What a station does is the first line of its module; that two stations are joined is checked: one must import the
other, itself or through others, or a third module both. The names of a run's files are those of `runs/folder.py`.
"""

from __future__ import annotations

from benchmarks.tables.imports import PACKAGE, module_graph, modules, purpose, reached
from benchmarks.tables.svg import Box, arrow, label, picture
from tal_repro.errors import InputError
from tal_repro.runs.folder import FILE_NAMES

WIDTH, ROW, BOX_WIDTH = 800, 112, 245  # pixels
HERE = "benchmarks/tables/path_of_data.py"
# Station (a module) -> column (pixels of the left edge), row.
STATIONS: dict[str, tuple[float, float]] = {
    "annotations": (277, 0), "data.store": (545, 0),
    "study": (10, 1), "data.subsets": (277, 1), "data.state": (545, 1),
    "run.start": (10, 2), "run.inputs": (411, 2),
    "run.worker": (277, 3),
    "engines.adapter": (277, 4),
    "engines.native.session": (10, 5), "data.geometry": (277, 5), "engines.upstream.adapter": (545, 5),
    "detection.protocols": (277, 6),
    "runs.writer": (277, 7), "runs.record": (545, 7),
    "published.load": (277, 8), "runs.members": (545, 8),
    "curves.forecast": (10, 9), "paper.verdicts": (277, 9), "paper.tables": (545, 9),
    "paper.report.page": (277, 10),
}  # fmt: skip
# From, to, the module that joins them where neither imports the other, and the run's files that carry the data.
JOINED: tuple[tuple[str, str, str, tuple[str, ...]], ...] = (
    ("annotations", "data.subsets", "engines.native.session", ()),
    ("annotations", "data.state", "run.inputs", ()),
    ("data.store", "data.state", "", ()),
    ("data.subsets", "run.inputs", "", ()),
    ("data.state", "run.inputs", "", ()),
    ("study", "run.start", "", ()),
    ("run.start", "run.worker", "", ("spec",)),
    ("run.inputs", "run.worker", "", ("data", "subset")),
    ("run.worker", "engines.adapter", "", ()),
    ("engines.adapter", "engines.native.session", "", ()),
    ("engines.adapter", "engines.upstream.adapter", "", ()),
    ("data.geometry", "engines.native.session", "", ()),
    ("data.geometry", "engines.upstream.adapter", "", ()),
    ("engines.native.session", "detection.protocols", "", ()),
    ("engines.upstream.adapter", "detection.protocols", "", ()),
    ("detection.protocols", "runs.writer", "engines.native.trainer", ("metrics", "detections", "epochs")),
    ("runs.writer", "runs.record", "", ()),
    ("runs.record", "runs.members", "runs.load", ()),
    ("runs.members", "paper.verdicts", "", ()),
    ("runs.members", "paper.tables", "", ()),
    ("published.load", "paper.verdicts", "", ()),
    ("published.load", "paper.tables", "", ()),
    ("curves.forecast", "paper.report.page", "", ()),
    ("paper.verdicts", "paper.report.page", "", ()),
    ("paper.tables", "paper.report.page", "", ()),
)


def check_joined() -> None:
    """Raise InputError for a station that is no module, and for two that no import joins."""
    for station in STATIONS:
        if f"{PACKAGE}.{station}" not in modules():
            raise InputError(f"no module {station}", HERE, "name the module that does this now")
    graph = {name.removeprefix(f"{PACKAGE}."): reached(module_graph(), name) for name in module_graph()}
    for start, end, joiner, _ in JOINED:
        pairs = [(joiner, start), (joiner, end)] if joiner else [(start, end)]
        meet = [f"{PACKAGE}.{b}" in graph[a] or (not joiner and f"{PACKAGE}.{a}" in graph[b]) for a, b in pairs]
        if not all(meet):
            raise InputError(f"nothing joins {start} and {end}", HERE, "draw the way that data take now")


def path_svg() -> str:
    """Return the picture."""
    check_joined()
    boxes = {
        name: Box(name, purpose(f"{PACKAGE}.{name}"), x, 10 + ROW * row, BOX_WIDTH)
        for name, (x, row) in STATIONS.items()
    }
    arrows = [arrow(boxes[start], boxes[end]) for start, end, _, _ in JOINED]
    labels = ""
    for start, end, _, files in JOINED:
        if files:
            (x1, y1), (x2, y2) = boxes[start].centre, boxes[end].centre
            labels += label(", ".join(FILE_NAMES[name] for name in files), (x1 + x2) / 2, (y1 + y2) / 2 + 4)
    bottom = max(box.y + box.height for box in boxes.values()) + 10
    title = "The path of data: from a study, annotations and features through a run's folder to verdicts and the page"
    return picture(title, (WIDTH, bottom), arrows, list(boxes.values()), labels)
