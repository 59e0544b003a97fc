"""Tables (csv) of actions, of videos and of classes, each known by its columns; the other tables of a folder are named.

A dialect below is one set of columns. Two that fit, two columns for one thing, or a choice of label columns: refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tal_repro.annotations.problems import AMBIGUOUS
from tal_repro.annotations.rows import Row, read_time
from tal_repro.errors import InputError
from tal_repro.untrusted import check_columns, csv_records, read_bytes, refuse_all, short

Records = list[tuple[int, list[str]]]


@dataclass(frozen=True)
class Dialect:
    """The columns of one kind of table. `labels`: choice -> column; a class called `ambiguous` is Ambiguous."""

    name: str
    video: str
    start: str
    end: str
    labels: dict[str, str]
    ambiguous: str = AMBIGUOUS
    classes: tuple[str, str] | None = None  # columns of number and name in the table of classes of a choice

    def fits(self, header: Sequence[str]) -> bool:
        return {self.video, self.start, self.end} <= set(header) and any(
            name in header for name in self.labels.values()
        )


DIALECTS = (
    Dialect("AFSD's and G-TAD's table", "video", "start", "end", {"": "type"}),
    Dialect("table of t-init, t-end and label-idx", "video-name", "t-init", "t-end", {"": "label-idx"}, "-1"),
    Dialect("EPIC-SOUNDS' table", "video_id", "start_timestamp", "stop_timestamp", {"": "class"}),
    Dialect(
        "EPIC-KITCHENS' table", "video_id", "start_timestamp", "stop_timestamp",
        {"verb": "verb_class", "noun": "noun_class"},
    ),
    Dialect("ActionFormer's columns", "video-id", "t-start", "t-end", {"": "label"}),
    Dialect("the kit's table", "video_id", "start_s", "end_s", {"": "label"}),
)  # fmt: skip
FORM = "write the columns video_id,start_s,end_s,label, and where known subset,duration,fps"
_FACTS = {  # of a video -> the columns that state it
    "subset": ("subset", "split"),
    "duration": ("duration", "duration_s", "duration_second", "seconds", "video-duration"),
    "fps": ("fps", "frame-rate", "frame_rate"),
    "frames": ("count", "frames", "num_frames", "numFrame", "video-frames"),
}
_VIDEO = ("video", "video_id", "video-id", "video-name")
_CLASSES = (("id", "key"), ("verb_id", "class_key"), ("noun_id", "class_key"))  # EPIC-KITCHENS' number and name


@dataclass(frozen=True)
class Table:
    """A table with its header taken off, and what it is: rows of actions, of videos, of classes, or something else."""

    path: Path
    header: list[str]
    records: Records
    dialect: Dialect | None

    @property
    def of_videos(self) -> bool:
        """Tell whether it states facts of videos and no action."""
        timed = {name for dialect in DIALECTS for name in (dialect.start, dialect.end)} & set(self.header)
        facts = any(name in self.header for names in _FACTS.values() for name in names)
        return not timed and facts and any(name in self.header for name in _VIDEO)

    @property
    def of_classes(self) -> bool:
        """Tell whether it numbers classes."""
        return any({*pair} <= set(self.header) for pair in _CLASSES)

    def column(self, names: Sequence[str]) -> int | None:
        """Return the place of the one column that has one of these names (None: there is none)."""
        there = [name for name in names if name in self.header]
        if len(there) > 1:
            what = f"two columns for one thing: {' and '.join(map(short, there))}"
            raise InputError(what, f"{self.path}, line 1", "leave one of them out, in a copy")
        return self.header.index(there[0]) if there else None


def open_table(path: Path) -> Table:
    """Read a table; raise InputError for a repeated column and a row of another number of fields."""
    (_, header), *records = csv_records(read_bytes(path), path, FORM)
    header = [name.strip() for name in header]
    fitting = [dialect for dialect in DIALECTS if dialect.fits(header)]
    if len(fitting) > 1:
        what = f"columns of two kinds of table: {' and of '.join(dialect.name for dialect in fitting)}"
        raise InputError(what, f"{path}, line 1", "leave out the columns of one, in a copy")
    table = Table(path, header, records, fitting[0] if fitting else None)
    if table.dialect or table.of_videos or table.of_classes:
        check_columns(header, (), path, FORM)
        refuse_all(
            (
                f"line {line}: {len(row)} fields, the header names {len(header)}"
                for line, row in records
                if len(row) != len(header)
            ),
            path,
            "one field for each column: see to commas too many or too few, quote a field that holds one",
        )
    return table


def label_column(table: Table, chosen: str) -> str:
    """Return the column of the classes; raise InputError where the table has several and none is chosen."""
    assert table.dialect is not None
    choices = table.dialect.labels
    if chosen not in choices:
        listed = " or ".join(f'"{name}"' for name in choices if name)
        what = f"its classes are in several columns: {', '.join(choices.values())}"
        if not listed:
            what, listed = f"there is no choice of labels {short(chosen)}: one column holds them", '""'
        raise InputError(what, table.path, f"say which: labels = {listed} in the definition, --set labels=... before")
    return choices[chosen]


def rows_of(table: Table, labels: str, names: dict[str, str]) -> Iterator[Row | str]:
    """Yield the action of each row, or what is wrong with it; `names`: class number -> name."""
    dialect = table.dialect
    assert dialect is not None
    video, start, end = (table.header.index(name) for name in (dialect.video, dialect.start, dialect.end))
    label = table.header.index(label_column(table, labels))
    facts = {name: table.column(_FACTS[name]) for name in ("subset", "duration", "fps")}
    for line, row in table.records:
        place = f"{table.path.name}, line {line}"
        times = [read_time(row[start]), read_time(row[end])]
        kind = names.get(row[label].strip(), row[label].strip())
        if times[0] is None or times[1] is None:
            column, text = (dialect.start, row[start]) if times[0] is None else (dialect.end, row[end])
            yield f"{place}: {column} is {short(text)}, not a time"
        elif not row[video].strip() or not kind:
            yield f"{place}: no {dialect.video if kind else 'class'}"
        elif isinstance(stated := _facts_of(row, facts, place), str):
            yield stated
        else:
            kind = AMBIGUOUS if kind == dialect.ambiguous else kind
            yield Row(row[video].strip(), times[0], times[1], kind, place, **stated)  # type: ignore[arg-type]


def _facts_of(row: list[str], columns: dict[str, int | None], place: str) -> dict[str, str | float] | str:
    """Return what a row states of its video (an empty field states nothing), or what is wrong with it."""
    facts: dict[str, str | float] = {}
    for name, column in columns.items():
        text = "" if column is None else row[column].strip()
        if not text:
            continue
        number = None if name == "subset" else read_time(text)
        if name != "subset" and number is None:
            return f"{place}: {name} is {short(text)}, not a number"
        facts[name] = text if number is None else number
    return facts


def videos_of(table: Table) -> dict[str, dict[str, str | float]]:
    """Return video -> subset, duration and fps of a table of videos; frames and fps make a duration.

    Raises InputError naming the line of a bad number, and of a second row that states something else.
    """
    video = table.column(_VIDEO)
    if video is None or not table.of_videos:
        raise InputError("no table of videos", table.path, "write the columns video,duration,fps,subset")
    columns = {name: table.column(names) for name, names in _FACTS.items()}
    videos: dict[str, dict[str, str | float]] = {}
    problems = []
    for line, row in table.records:
        place, video_id = f"line {line}", row[video].strip()
        facts = _facts_of(row, columns, place)
        if isinstance(facts, str):
            problems.append(facts)
            continue
        frames = facts.pop("frames", None)
        if frames is not None and "duration" not in facts and float(facts.get("fps", 0)) > 0:
            facts["duration"] = float(frames) / float(facts["fps"])
        if videos.setdefault(video_id, facts) != facts:
            problems.append(f"{place}: {short(video_id)} again, with other values")
    refuse_all(
        problems, table.path, "correct the lines: one a video, numbers as 30 or 29.97, an empty field where unknown"
    )
    return videos


def names_of(tables: Sequence[Table], labels: str) -> dict[str, str]:
    """Return class number -> name of EPIC-KITCHENS' tables of classes: those whose file is called after the choice.

    Raises InputError where two of them differ.
    """
    chosen: dict[str, str] = {}
    first: Path | None = None
    for table in tables if labels else ():
        if not table.of_classes or labels not in table.path.stem.lower():
            continue
        number, name = next(pair for pair in _CLASSES if {*pair} <= set(table.header))
        places = table.header.index(number), table.header.index(name)
        names = {row[places[0]].strip(): row[places[1]].strip() for _, row in table.records}
        if len(set(names.values())) < len(names):
            raise InputError("two numbers of one class", table.path, "give each class a name of its own, in a copy")
        if first is not None and names != chosen:
            raise InputError(f"names other classes than {first.name}", table.path, "keep one of them in the folder")
        first, chosen = table.path, names
    return chosen
