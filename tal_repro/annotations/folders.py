"""Texts, tables and folders of them to entries: which files hold actions, which only facts, which are passed over."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tal_repro.annotations.rows import Facts, Read, Row, add_facts, entries_of, sort_out
from tal_repro.annotations.source import TABLES, TEXTS, Source
from tal_repro.annotations.tables import FORM, Table, names_of, open_table, rows_of, videos_of
from tal_repro.annotations.texts import read_texts
from tal_repro.errors import InputError
from tal_repro.untrusted import refuse_all, short

_SHOWN = 5


def read_folder(source: Source) -> Read:
    """Read a folder of tables, or of text files with tables of videos beside them."""
    files = [path for path in source.files() if path != source.videos]
    tables = [open_table(path) for path in files if path.suffix.lower() == TABLES]
    texts = [path for path in files if path.suffix.lower() == TEXTS]
    if any(table.dialect for table in tables):
        return _of_tables(tables, source)
    if not texts:
        listed = ", ".join(path.name for path in files[:_SHOWN]) or "none"
        what = f"a folder without annotations that the kit knows (texts and tables there: {listed})"
        raise InputError(what, source.path, f"name the JSON file itself; in a table, {FORM}")
    return _with_facts(_of_texts(texts, source.path), tables, source.path)


def read_table(source: Source) -> Read:
    """Read one table of actions."""
    return _of_tables([open_table(source.path)], source)


def read_text(path: Path) -> Read:
    """Read one text file of a class."""
    return _of_texts([path], path.parent)


def _of_texts(files: Sequence[Path], root: Path) -> Read:
    rows, remarks = read_texts(files, root)
    entries, places = entries_of(rows, root)
    return Read(entries, f"THUMOS' text files ({len(files)})", places=places, remarks=tuple(remarks))


def _of_tables(tables: Sequence[Table], source: Source) -> Read:
    """Read the tables of actions; the others state facts, or are passed over."""
    actions = [table for table in tables if table.dialect]
    if not actions:
        (table,) = tables
        what = f"no table of actions that the kit knows; its columns: {short(','.join(table.header))}"
        raise InputError(what, f"{table.path}, line 1", FORM)
    if len(kinds := sorted({table.dialect.name for table in actions if table.dialect})) > 1:
        what = (
            f"tables of several kinds: {', '.join(f'{t.path.name} ({t.dialect.name})' for t in actions if t.dialect)}"
        )
        raise InputError(what, source.path, "keep those of one kind in a folder of their own")
    names = names_of(tables, source.labels)
    rows: list[Row] = []
    problems: list[str] = []
    videos: dict[str, list[str]] = {}  # file -> its videos
    for table in actions:
        sorted_rows = sort_out(rows_of(table, source.labels, names), problems)
        rows += sorted_rows
        videos[table.path.name] = list(dict.fromkeys(row.video_id for row in sorted_rows))
    refuse_all(problems, source.path, f"correct the lines, or {FORM}")
    if not rows:
        raise InputError("no action: nothing but a header", actions[0].path, FORM)
    _refuse_videos_of_two_tables(videos, source.path)
    entries, places = entries_of(rows, source.path)
    subsets = {Path(name).stem: ids for name, ids in videos.items()} if len(videos) > 1 else {}
    dialect = f"{kinds[0]} ({', '.join(videos)})"
    read = Read(entries, dialect, {"classes": list(names.values())} if names else {}, places, tables=subsets)
    return _with_facts(read, [table for table in tables if not table.dialect], source.path)


def _refuse_videos_of_two_tables(videos: dict[str, list[str]], path: Path) -> None:
    first: dict[str, str] = {}
    for name, ids in videos.items():
        for video_id in ids:
            if (other := first.setdefault(video_id, name)) != name:
                what = f"video {short(video_id)} is in two tables: {other} and {name}"
                raise InputError(what, path, "keep one of the two in a folder of its own, with the other tables")


def _with_facts(read: Read, tables: Sequence[Table], path: Path) -> Read:
    """Add what tables of videos state; name the tables that state nothing the kit knows."""
    facts: dict[str, dict[str, str | float]] = {}
    of_videos = [table for table in tables if table.of_videos]
    for table in of_videos:
        for video_id, stated in videos_of(table).items():
            if facts.setdefault(video_id, stated) != stated:
                what = f"{short(video_id)} is in two tables of videos, with other values"
                raise InputError(what, table.path, "keep one of them in the folder")
    remarks = [*read.remarks, *_add(read, facts, path)]
    if of_videos:
        remarks.append(f"durations, fps and subsets from {', '.join(table.path.name for table in of_videos)}")
    if passed := [table.path.name for table in tables if not table.of_videos and not table.of_classes]:
        more = f" and {len(passed) - _SHOWN} more" if len(passed) > _SHOWN else ""
        remarks.append(f"not read, of other columns: {', '.join(passed[:_SHOWN])}{more}")
    return read._replace(remarks=tuple(remarks))


def _add(read: Read, facts: Facts, path: Path) -> list[str]:
    return add_facts(read.entries, facts, path) if facts else []
