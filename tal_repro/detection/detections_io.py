"""Files of detections and annotations to checked tables: the door of `evaluate`. Errors name file, video and field.

Detections: CSV (`video_id,start_s,end_s,label,score`, ActionFormer's names, or a `segment` as text) or ActivityNet's
JSON, also as .gz.
Annotations: see `tal_repro.annotations`. All bad rows are counted, the first few are named.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tal_repro.annotations import EntryReader, Source, read_actions, read_classes, read_document, read_duration
from tal_repro.annotations.problems import MAX_SECONDS, as_number
from tal_repro.detection.protocols import GroundTruth
from tal_repro.errors import InputError
from tal_repro.untrusted import check_columns, csv_records, read_bytes, read_json_object, refuse_all, short

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("video_id", "start_s", "end_s", "label", "score")
_FORM = "give ActivityNet's form, {results: {video: [{label, score, segment}]}}, or a CSV file of: " + ",".join(COLUMNS)
_LISTED = 10
_ALIASES = {"video-id": "video_id", "t-start": "start_s", "t-end": "end_s"}  # ActionFormer's, TriDet's, TemporalMaxer's
_READERS = {  # of files that run code when they are opened -> what to import, and how to open one
    (".pkl", ".pickle"): ("pandas", "pandas.read_pickle('IN')"),
    (".pt", ".pth"): ("pandas, torch", "torch.load('IN', weights_only=False)"),
    (".npy",): ("numpy, pandas", "numpy.load('IN', allow_pickle=True).item()"),
}
_PICKLES = {
    ending: f'where you trust it (a pickle runs code): python -c "import {names}; '
    f"pandas.DataFrame({call}).to_csv('OUT.csv', index=False)\""
    for endings, (names, call) in _READERS.items()
    for ending in endings
}


def read_ground_truth(source: Source | Path, *subsets: str) -> GroundTruth:
    """Read the annotations of subsets (none named: "test", which matches "Test"); of a dialect without any, all videos.

    What is read, left out and refused: `tal_repro.annotations`. InputError names all that is wrong with the subset.
    """
    document = read_document(source)
    path = document.path
    reader = EntryReader(path, places=document.places)
    classes = read_classes(document, reader)
    whole = document.bare and not document.subset_names
    names = {name.lower() for name in subsets or ("test",)}
    durations: dict[str, float] = {}
    rows: list[tuple[str, float, float, str]] = []
    for video, entry in document.entries.items():
        if not isinstance(entry, dict) or not (whole or isinstance(entry.get("subset"), str)):
            reader.error(video, "no subset", "give every video its subset")
        elif whole or entry["subset"].lower() in names:
            stated = "duration" in entry or "duration_second" in entry
            seconds = read_duration(video, entry, reader) if stated else None
            durations[video] = math.nan if seconds is None else seconds
            rows += (
                (video, *action) for action in read_actions(video, entry, classes.names, seconds or math.inf, reader)
            )
    if errors := reader.errors:
        refuse_all((f"{error.where}: {error.what}" for error in errors), path, errors[0].remedy)
    if not durations:
        listed = ", ".join(map(short, document.subset_names[:_LISTED])) or "none"
        asked = " or ".join(map(repr, subsets or ("test",)))
        raise InputError(f"no video of subset {asked}", path, f"name another with --subset; in the file: {listed}")
    notes = (f"the annotations name no subset: all {len(durations)} videos are scored",) if whole else ()
    notes = (*(f"annotations: {what}" for what in document.read_as), *notes)
    table = _table(rows, COLUMNS[:4])
    return GroundTruth(durations, table, classes.names, classes.ids, document.synthetic, reader.left_out, notes)


def read_detections(
    path: Path, ground_truth: GroundTruth, *, other_classes: bool = False, backwards: float = 0.0
) -> pd.DataFrame:
    """Read detections as a table of `COLUMNS`; `label` holds class names, numbers in the file being looked up.

    Raises InputError for an unknown label (with `other_classes`: where most rows have one; else they keep theirs),
    segments that end before they start in more than the share `backwards` (0 to 1) of the rows, a number that is not
    finite, and a time beyond `MAX_SECONDS`. Those that are kept overlap nothing: false, as for the official evaluators.
    """
    endings = {".json": _rows_of_json, ".csv": _rows_of_csv}
    ending = path.with_suffix("").suffix if path.suffix == ".gz" else path.suffix
    if ending not in endings:
        remedy = _PICKLES.get(ending, "give .json, .csv, .json.gz or .csv.gz")
        raise InputError(f"unknown kind of file {path.suffix!r}", path, remedy)
    table, place = endings[ending](path)
    segments = table[["start_s", "end_s"]].to_numpy(float)
    finite = np.isfinite(table[["start_s", "end_s", "score"]].to_numpy(float)).all(1)
    turned = segments[:, 1] < segments[:, 0]
    wrong = {
        "a number is missing or not finite": ~finite,
        f"a time is beyond {MAX_SECONDS:g} s": finite & (np.abs(segments) > MAX_SECONDS).any(1),
        "ends before it starts": turned & (turned.sum() > backwards * len(turned)),
    }
    refuse_all(
        (f"{place(int(row))}: {what}" for what, rows in wrong.items() for row in np.flatnonzero(rows)),
        path,
        "see to the program that wrote them",
    )
    table["label"] = _labels(table["label"], ground_truth, path, place, other_classes)
    return table


def _rows_of_json(path: Path) -> tuple[pd.DataFrame, Callable[[int], str]]:
    document = read_json_object(path, remedy=_FORM)
    key = "database" if "database" in document and "results" not in document else "results"
    results = _member(document, key, path)
    rows: list[tuple[str, float, float, str, float]] = []
    numbers: list[int] = []  # of each row in its video
    problems: list[str] = []
    for video, detections in results.items():
        if not isinstance(detections, list):
            problems.append(f"video {video!r}: not a list of detections")
            continue
        for number, item in enumerate(detections):
            row = _detection(video, item)
            if row is None:
                problems.append(f"video {video!r}, detection {number}: needs label, score and segment [start, end]")
            else:
                rows.append(row)
                numbers.append(number)
    refuse_all(problems, path, _FORM)
    return _table(rows, COLUMNS), lambda row: f"video {rows[row][0]!r}, detection {numbers[row]}"


def _detection(video: str, item: Any) -> tuple[str, float, float, str, float] | None:
    if not isinstance(item, dict):
        return None
    label = item.get("label", item.get("label_id"))
    score = as_number(item.get("score", item.get("scores")))
    start, end = map(as_number, _bounds(item.get("segment")))
    if not isinstance(label, str | int) or isinstance(label, bool) or score is None or start is None or end is None:
        return None
    return video, start, end, str(label), score


def _bounds(segment: Any) -> tuple[Any, Any]:
    """Return start and end of a segment, which may be one text: "[2.1, 5.0]", as pandas writes lists."""
    if isinstance(segment, str) and segment.startswith("[") and segment.endswith("]"):
        segment = [part.strip() for part in segment[1:-1].split(",")]
    return (segment[0], segment[1]) if isinstance(segment, list) and len(segment) == 2 else (None, None)


def _split_segments(header: list[str], rows: list[list[str]]) -> tuple[list[str], list[list[str]]]:
    """Put start_s and end_s in the place of a column of segments as text, where there is one and not these two."""
    if header.count("segment") != 1 or {"start_s", "end_s"} & set(header):
        return header, rows
    at = header.index("segment")
    split = [[*row[:at], *(str(bound) for bound in _bounds(row[at])), *row[at + 1 :]] for row in rows]
    return [*header[:at], "start_s", "end_s", *header[at + 1 :]], split


def _rows_of_csv(path: Path) -> tuple[pd.DataFrame, Callable[[int], str]]:
    import pandas as pd

    remedy = f"columns: {','.join(COLUMNS)}"
    (_, header), *records = csv_records(read_bytes(path), path, remedy)
    header = [name if _ALIASES.get(name, name) in header else _ALIASES.get(name, name) for name in header]
    if "segment" not in header:
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
    header, rows = _split_segments(header, rows)
    check_columns(header, COLUMNS, path, remedy)
    columns = list(zip(*rows, strict=True)) or [()] * len(header)
    table = pd.DataFrame({name: np.array(columns[header.index(name)], object) for name in COLUMNS})
    for name in ("start_s", "end_s", "score"):
        table[name] = pd.to_numeric(table[name], errors="coerce").astype(float)
    return table, lambda row: f"line {lines[row]}"


def _labels(
    labels: pd.Series, ground_truth: GroundTruth, path: Path, place: Callable[[int], str], other_classes: bool
) -> list[str]:
    names = {str(number): name for number, name in ground_truth.class_ids.items()}
    names |= {name: name for name in ground_truth.classes}
    unknown = [row for row, label in enumerate(labels) if label not in names]
    if unknown and not (other_classes and len(unknown) * 2 <= len(labels)):
        problems = (
            f"{place(row)}: label {short(labels.iloc[row])} is not a class of the annotations" for row in unknown
        )
        known = ", ".join(map(short, ground_truth.classes[:_LISTED]))
        remedy = f"use one of: {known}{', ...' if len(ground_truth.classes) > _LISTED else ''}"
        refuse_all(problems, path, remedy + ("" if ground_truth.class_ids else " (the annotations do not number them)"))
    return [names.get(label, label) for label in labels]


def _table(rows: list[Any], names: tuple[str, ...]) -> pd.DataFrame:
    import pandas as pd

    columns = list(zip(*rows, strict=True)) or [()] * len(names)
    types: tuple[Any, ...] = (object, float, float, object, float)
    return pd.DataFrame(
        {name: np.array(column, kind) for name, column, kind in zip(names, columns, types, strict=False)}
    )


def _member(document: Mapping[str, Any], name: str, path: Path) -> dict[str, Any]:
    if not isinstance(document.get(name), dict):
        raise InputError(f"no object {name!r}", path, _FORM)
    member: dict[str, Any] = document[name]
    return member
