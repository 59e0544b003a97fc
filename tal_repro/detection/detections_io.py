"""Files of detections and annotations to checked tables: the door of `evaluate`. Errors name file, video and field.

Detections: CSV (`video_id,start_s,end_s,label,score`) or ActivityNet's JSON, also as .gz. Annotations: ActivityNet-like
JSON, ActionFormer's and TadTR's THUMOS14 files among them. All bad rows are counted, the first few are named.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tal_repro.detection.protocols import AMBIGUOUS, GroundTruth
from tal_repro.errors import InputError
from tal_repro.untrusted import check_columns, csv_records, is_number, read_bytes, read_json_object, refuse_all

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("video_id", "start_s", "end_s", "label", "score")
Row = tuple[str, float, float, str]
MAX_SECONDS = 1e6  # 11 days: no video is longer


def read_ground_truth(path: Path, subset: str = "test") -> GroundTruth:
    """Read the annotations of one subset ("test" matches "Test").

    The file is `{"database": {video: {"subset", "duration"?, "annotations": [{"label", "label_id"?, "segment":
    [start, end]}]}}, "classes"?}`, times in seconds. Raises InputError for anything else, for negative, swapped or
    NaN segments, for a label that `classes` does not name, and when the subset holds no video.
    """
    document = read_json_object(path, remedy="see docs/data.md for both forms")
    database = member(document, "database", dict, path, "the top level")
    names = _classes(document, database, path)
    problems: list[str] = []
    durations: dict[str, float] = {}
    rows: list[Row] = []
    for video, entry in database.items():
        if not isinstance(entry, dict) or not isinstance(entry.get("subset"), str):
            problems.append(f"video {video!r}: no subset")
        elif entry["subset"].lower() == subset.lower():
            durations[video] = seconds_or_nan(entry.get("duration", math.nan), f"video {video!r}: duration", problems)
            rows += _instances(video, entry, names, problems)
    refuse_all(problems, path, "correct or remove these annotations")
    if not durations:
        found = sorted({e["subset"] for e in database.values()})
        raise InputError(f"no video of subset {subset!r}", path, f"subsets in the file: {', '.join(found) or 'none'}")
    ids = _class_ids(database, names if document.get("classes") is not None else (), path)
    return GroundTruth(durations, _table(rows, COLUMNS[:4]), names, ids, document.get("synthetic") is True)


def read_detections(path: Path, ground_truth: GroundTruth) -> pd.DataFrame:
    """Read detections as a table of `COLUMNS`; `label` holds class names, numbers in the file being looked up.

    Raises InputError for an unknown label, a segment that ends before it starts, a number that is not finite, and a
    time beyond `MAX_SECONDS`.
    """
    endings = {".json": _rows_of_json, ".csv": _rows_of_csv}
    ending = path.with_suffix("").suffix if path.suffix == ".gz" else path.suffix
    if not path.exists():
        raise InputError("no such file", path, "give the detections to evaluate")
    if ending not in endings:
        raise InputError(f"unknown kind of file {path.suffix!r}", path, "give .json, .csv, .json.gz or .csv.gz")
    table, place = endings[ending](path)
    segments = table[["start_s", "end_s"]].to_numpy(float)
    finite = np.isfinite(table[["start_s", "end_s", "score"]].to_numpy(float)).all(1)
    wrong = {
        "a number is missing or not finite": ~finite,
        f"a time is beyond {MAX_SECONDS:g} s": finite & (np.abs(segments) > MAX_SECONDS).any(1),
        "ends before it starts": segments[:, 1] < segments[:, 0],
    }
    refuse_all(
        (f"{place(int(row))}: {what}" for what, rows in wrong.items() for row in np.flatnonzero(rows)),
        path,
        "remove or correct these detections",
    )
    table["label"] = _labels(table["label"], ground_truth, path, place)
    return table


def _rows_of_json(path: Path) -> tuple[pd.DataFrame, Callable[[int], str]]:
    document = read_json_object(path, remedy="see docs/data.md for both forms")
    key = "database" if "database" in document and "results" not in document else "results"
    results = member(document, key, dict, path, "the top level")
    rows: list[tuple[str, Any, Any, Any, Any]] = []
    numbers: list[int] = []  # of each row in its video
    problems: list[str] = []
    for video, found in results.items():
        if not isinstance(found, list):
            problems.append(f"video {video!r}: not a list of detections")
            continue
        for number, item in enumerate(found):
            row = _detection(video, item)
            if row is None:
                problems.append(f"video {video!r}, detection {number}: needs label, score and segment [start, end]")
            else:
                rows.append(row)
                numbers.append(number)
    refuse_all(problems, path, "see ActivityNet's format: {results: {video: [{label, score, segment}]}}")
    return _table(rows, COLUMNS), lambda row: f"video {rows[row][0]!r}, detection {numbers[row]}"


def _detection(video: str, item: Any) -> tuple[str, Any, Any, Any, Any] | None:
    if not isinstance(item, dict):
        return None
    label = item.get("label", item.get("label_id"))
    score: Any = item.get("score", item.get("scores"))
    segment: Any = item.get("segment")
    if not (isinstance(label, str) or is_integer(label)) or not is_number(score) or not is_pair(segment):
        return None
    return (video, float(segment[0]), float(segment[1]), str(label), float(score))


def _rows_of_csv(path: Path) -> tuple[pd.DataFrame, Callable[[int], str]]:
    import pandas as pd

    remedy = f"columns: {','.join(COLUMNS)}"
    (_, header), *records = csv_records(read_bytes(path), path, remedy)
    check_columns(header, COLUMNS, path, remedy)
    lines, rows = [line for line, _ in records], [row for _, row in records]
    refuse_all(
        (
            f"line {line}: {len(row)} fields, the header names {len(header)}"
            for line, row in zip(lines, rows, strict=True)
            if len(row) != len(header)
        ),
        path,
        "one field for each column: see to commas too many or too few, quote a field that holds one",
    )
    columns = list(zip(*rows, strict=True)) or [()] * len(header)
    table = pd.DataFrame({name: np.array(columns[header.index(name)], object) for name in COLUMNS})
    for name in ("start_s", "end_s", "score"):
        table[name] = pd.to_numeric(table[name], errors="coerce").astype(float)
    return table, lambda row: f"line {lines[row]}"


def _labels(labels: pd.Series, ground_truth: GroundTruth, path: Path, place: Callable[[int], str]) -> list[str]:
    names = {name: name for name in ground_truth.classes}
    names = {str(number): name for number, name in ground_truth.class_ids.items()} | names
    refuse_all(
        (
            f"{place(row)}: label {label!r} is not a class of the annotations"
            for row, label in enumerate(labels)
            if label not in names
        ),
        path,
        f"use one of: {', '.join(ground_truth.classes)}"
        + ("" if ground_truth.class_ids else " (the annotations do not number them)"),
    )
    return [names[label] for label in labels]


def _instances(video: str, entry: Mapping[str, Any], classes: tuple[str, ...], problems: list[str]) -> list[Row]:
    annotations = entry.get("annotations", [])
    if not isinstance(annotations, list):
        problems.append(f"video {video!r}: annotations is not a list")
        return []
    rows = []
    known = {*classes, AMBIGUOUS}
    for number, item in enumerate(annotations):
        place = f"video {video!r}, annotation {number}"
        if not isinstance(item, dict) or not isinstance(item.get("label"), str):
            problems.append(f"{place}: no label")
        elif item["label"] not in known:
            problems.append(f"{place}: label {item['label']!r} is not in the file's own classes")
        elif not is_pair(item.get("segment")):
            problems.append(f"{place}: segment is not [start, end] in seconds")
        elif not 0 <= item["segment"][0] <= item["segment"][1]:
            problems.append(f"{place}: segment {item['segment']} is negative or swapped")
        elif item["segment"][1] > MAX_SECONDS:
            problems.append(f"{place}: segment {item['segment']} ends beyond {MAX_SECONDS:g} s")
        else:
            rows.append((video, float(item["segment"][0]), float(item["segment"][1]), item["label"]))
    return rows


def _classes(document: Mapping[str, Any], database: Mapping[str, Any], path: Path) -> tuple[str, ...]:
    """Return the class names: the file's list in its order, else all labels of all subsets, sorted."""
    listed = document.get("classes")
    if listed is not None:
        if not isinstance(listed, list) or not all(isinstance(name, str) for name in listed):
            raise InputError("classes is not a list of names", path, "list the names, or leave classes out")
        if not set(listed) - {AMBIGUOUS}:
            raise InputError("classes is empty", path, "name the classes of the labels, or leave classes out")
        return tuple(dict.fromkeys(name for name in listed if name != AMBIGUOUS))
    return tuple(sorted({item["label"] for item in _annotations(database)} - {AMBIGUOUS}))


def _class_ids(database: Mapping[str, Any], listed: tuple[str, ...], path: Path) -> dict[int, str]:
    """Return names by number: `label_id` where annotations carry it, else the position in the file's own list.

    None at all where the file has neither: numbers would be guessed, and a wrong guess is a wrong mAP.
    """
    stated = {(item["label_id"], item["label"]) for item in _annotations(database) if is_integer(item.get("label_id"))}
    ids = {number: name for number, name in sorted(stated) if name != AMBIGUOUS}
    if len(ids) < sum(name != AMBIGUOUS for _, name in stated):
        raise InputError("one label_id stands for two labels", path, "correct the annotations")
    return ids or dict(enumerate(listed))


def _annotations(database: Mapping[str, Any]) -> Iterable[Mapping[str, Any]]:
    for entry in database.values():
        found = entry.get("annotations") if isinstance(entry, dict) else None
        for item in found if isinstance(found, list) else ():
            if isinstance(item, dict) and isinstance(item.get("label"), str):
                yield item


def _table(rows: list[Any], names: tuple[str, ...]) -> pd.DataFrame:
    import pandas as pd

    columns = list(zip(*rows, strict=True)) or [()] * len(names)
    types: tuple[Any, ...] = (object, float, float, object, float)
    return pd.DataFrame(
        {name: np.array(column, kind) for name, column, kind in zip(names, columns, types, strict=False)}
    )


def member(document: Mapping[str, Any], name: str, kind: type, path: Path, place: str) -> Any:
    """Return a member of a document; InputError if it is absent or of another kind."""
    if not isinstance(document.get(name), kind):
        raise InputError(f"{place} has no object {name!r}", path, "give an ActivityNet-like JSON file")
    return document[name]


def seconds_or_nan(value: Any, place: str, problems: list[str]) -> float:
    """Return a duration, NaN for none; note a problem for anything that is not a number of seconds."""
    if isinstance(value, float) and math.isnan(value):  # absent: JSON itself cannot hold a NaN here
        return value
    if not is_number(value) or not 0 <= value <= MAX_SECONDS:
        problems.append(f"{place} is not a number of seconds from 0 to {MAX_SECONDS:g}")
        return math.nan
    return float(value)


def is_pair(value: Any) -> bool:
    """Tell whether a JSON value is a list of two finite numbers."""
    return isinstance(value, list) and len(value) == 2 and all(is_number(v) for v in value)


def is_integer(value: Any) -> bool:
    """Tell whether a JSON value is an integer (true is none)."""
    return isinstance(value, int) and not isinstance(value, bool)
