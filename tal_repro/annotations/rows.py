"""Actions read line by line, from texts or tables, to the entries of an ActivityNet-like document."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from tal_repro.annotations.problems import as_number
from tal_repro.annotations.source import Source
from tal_repro.untrusted import refuse_all, short

Entries = dict[str, dict[str, Any]]
Facts = Mapping[str, Mapping[str, Any]]  # video -> subset, duration, fps, as far as a table of videos states them
_NOTHING: Mapping[str, Any] = {}
_CLOCK = re.compile(r"\s*(\d{1,3}):([0-5]?\d):([0-5]?\d(?:\.\d*)?)\s*", re.ASCII)
_THUMOS_ID = re.compile(r"video_(validation|test)_\d{7}", re.ASCII)  # THUMOS', MultiTHUMOS' ids name their subset
OF_IDS = "the subset of a video is that of its id (video_validation_..., video_test_...)"


class Row(NamedTuple):
    """One action as a line states it; a fact that the line does not state is None. `place`: its file and line."""

    video_id: str
    start: float
    end: float
    label: str
    place: str
    subset: str | None = None
    duration: float | None = None
    fps: float | None = None


class Read(NamedTuple):
    """What the reader of a dialect makes of its files. `tables`: name of a table -> its videos, where several are read.

    `bare`: the dialect has no place for a subset.
    """

    entries: Entries
    dialect: str  # in words
    content: Mapping[str, Any] = _NOTHING  # facts of the set, but its videos
    places: Mapping[str, list[str]] = _NOTHING
    bare: bool = True
    remarks: tuple[str, ...] = ()
    tables: Mapping[str, list[str]] = _NOTHING


def read_time(text: str) -> float | None:
    """Return a number, or the seconds of a clock's HH:MM:SS.ss; None for anything else."""
    if clock := _CLOCK.fullmatch(text):
        return int(clock[1]) * 3600 + int(clock[2]) * 60 + float(clock[3])
    return as_number(text)


def sort_out(read: Iterable[Row | str], problems: list[str]) -> list[Row]:
    """Return the rows of what a reader of lines yields; its texts say what is wrong with a line: to `problems`."""
    rows = []
    for item in read:
        if isinstance(item, Row):
            rows.append(item)
        else:
            problems.append(item)
    return rows


def entries_of(rows: Iterable[Row], path: Path) -> tuple[Entries, dict[str, list[str]]]:
    """Return video -> entry, and video -> the place of each of its actions.

    Raises InputError where two lines state different subsets, durations or fps of one video.
    """
    entries: Entries = {}
    places: dict[str, list[str]] = defaultdict(list)
    stated: dict[tuple[str, str], str] = {}  # video and fact -> the place that states it
    problems: list[str] = []
    for row in rows:
        entry = entries.setdefault(row.video_id, {"annotations": []})
        for name in ("subset", "duration", "fps"):
            value = getattr(row, name)
            if value is not None and entry.setdefault(name, value) != value:
                first = stated[row.video_id, name]
                problems.append(f"{row.place}: {name} {short(value)} of {short(row.video_id)}, but another in {first}")
            elif value is not None:
                stated.setdefault((row.video_id, name), row.place)
        entry["annotations"].append({"label": row.label, "segment": [row.start, row.end]})
        places[row.video_id].append(row.place)
    refuse_all(problems, path, "keep one of the two in a folder of its own, or correct the wrong one")
    return entries, dict(places)


def add_facts(entries: Entries, facts: Facts, path: Path) -> list[str]:
    """Write what a table of videos states into the entries that lack it; return what there is to say about it.

    A video without an action is added where the table states its subset. Raises InputError where both state a subset
    and differ.
    """
    problems = []
    for video_id, fact in facts.items():
        entry = entries.get(video_id)
        own = entry.get("subset") if isinstance(entry, dict) else None
        if own is not None and own != fact.get("subset", own):
            what = (
                f"{short(video_id)} is of subset {short(own)} by its actions, of {short(fact['subset'])} by the table"
            )
            problems.append(what)
    refuse_all(problems, path, "correct one of them, or leave the table's column subset out")
    for video_id, entry in entries.items():
        for name, value in facts.get(video_id, {}).items() if isinstance(entry, dict) else ():
            if name != "duration" or "duration_second" not in entry:
                entry.setdefault(name, value)
    others = [video_id for video_id in facts if video_id not in entries]
    without = [video_id for video_id in others if "subset" not in facts[video_id]]
    entries |= {video_id: {**facts[video_id], "annotations": []} for video_id in others if "subset" in facts[video_id]}
    unknown = sum(video_id not in facts for video_id in entries) if facts else 0
    return [
        *([f"{len(without)} videos of the table have neither action nor subset: left out"] if without else []),
        *([f"{unknown} videos with actions are not in the table of videos"] if unknown else []),
    ]


def to_seconds(entries: Entries, source: Source) -> None:
    """Write segments in seconds. A value that is not a number is left as it is: the reader that checks it reports it.

    Raises InputError where they are in frames and a video's frames a second are not known.
    """
    if source.unit == "seconds":
        return
    unknown = []
    for video_id, entry in entries.items():
        if not isinstance(entry, dict) or not isinstance(entry.get("annotations"), list):
            continue
        rate = 1000.0 if source.unit == "milliseconds" else as_number(entry.get("fps", source.fps))
        if rate is None or rate <= 0:
            unknown.append(f"{short(video_id)} states no fps, and its segments are in frames")
        else:
            entry["annotations"] = _scaled(entry["annotations"], rate)
    refuse_all(
        unknown, source.path, "state fps in this file, in the table of videos, or as [time] fps in the data definition"
    )


def _scaled(items: list[Any], rate: float) -> list[Any]:
    annotations = []
    for item in items:
        segment = item.get("segment") if isinstance(item, dict) else None
        bounds = list(map(as_number, segment)) if isinstance(segment, list) else []
        if bounds and None not in bounds:
            item = {**item, "segment": [bound / rate for bound in bounds if bound is not None]}
        annotations.append(item)
    return annotations


def subsets_of_ids(entries: Entries) -> list[str]:
    """Write the subset that THUMOS' ids name, where no entry states one and every id is of that form."""
    ids = {video_id: _THUMOS_ID.fullmatch(video_id) for video_id in entries}
    if not ids or not all(ids.values()) or any("subset" in entry for entry in entries.values()):
        return []
    for video_id, subsets in ids.items():
        entries[video_id]["subset"] = subsets[1] if subsets else ""
    return [OF_IDS]
