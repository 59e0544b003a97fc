"""Read the annotations of either layout into one DataSet. Every bad entry becomes a Problem; none is lost."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args

from tal_repro.data.annotation_classes import classes_by_id
from tal_repro.data.annotation_entries import (
    MAX_FPS,
    MAX_SECONDS,
    MIN_FEATURE_FPS,
    MIN_FPS,
    EntryReader,
    read_segments,
)
from tal_repro.data.dataset import (
    AMBIGUOUS,
    DataSet,
    LayoutName,
    Problem,
    SubsetName,
    Video,
    hash_annotations,
)
from tal_repro.data.feature_files import read_npy_header
from tal_repro.data.layouts import CLIP_FRAMES, Layout, find_layout, is_safe_id, read_inside
from tal_repro.errors import InputError
from tal_repro.spec import DERIVED_MARK
from tal_repro.untrusted import short

SUBSETS: Mapping[str, SubsetName] = {"validation": "train", "val": "train", "train": "train", "test": "test"}
_LISTED = 10  # problems an error message spells out; `data verify` lists all


def load_dataset(root: str | Path, layout: LayoutName | Literal["auto"] = "auto") -> DataSet:
    """Read the data set in a folder; raise InputError listing what is wrong with it.

    Feature files are not opened but for ActionFormer's headers (T); `tal-repro data verify` checks their content.
    """
    dataset, problems = read_dataset(find_layout(Path(root), layout))
    errors = [problem for problem in problems if problem.severity == "error"]
    if errors:
        lines = [f"{problem.where}: {problem.what}" for problem in errors[:_LISTED]]
        if len(errors) > _LISTED:
            lines.append(f"and {len(errors) - _LISTED} more")
        raise InputError("\n  ".join(lines), errors[0].file, f"list all of them: tal-repro data verify {root}")
    return dataset


def read_dataset(layout: Layout) -> tuple[DataSet, list[Problem]]:
    """Read one layout; return what could be read and every problem of its annotations."""
    reader = EntryReader(layout)
    raw = read_inside(layout.annotation_file, layout.root)
    database = raw.get("database")
    if not isinstance(database, dict):
        raise InputError("no object 'database'", layout.annotation_file, "use the annotations of the archive")
    entries: dict[str, dict[str, Any]] = {}
    for video_id, entry in database.items():
        if not is_safe_id(video_id):
            reader.error(f"database[{short(video_id)}]", "the video id is not a plain file name")
        elif not isinstance(entry, dict):
            reader.error(video_id, "the entry is not an object")
        else:
            entries[video_id] = entry
    classes = _classes(raw, entries, reader)
    info = _feature_info(layout, reader)
    videos = {}
    for video_id, entry in entries.items():
        video = _video(video_id, entry, classes, info, reader)
        if video is not None:
            videos[video_id] = video
    synthetic = raw.get("synthetic") is True
    version = raw.get("version")
    dataset = DataSet(
        name=("synthetic-thumos14" if synthetic else "thumos14") + _derived(raw, reader),
        version=version if isinstance(version, str) else "",
        synthetic=synthetic,
        annotation_hash=hash_annotations(videos.values(), classes),
        classes=classes,
        videos=videos,
        layout=layout.name,
        root=layout.root,
        refused=tuple(video_id for video_id in database if is_safe_id(video_id) and video_id not in videos),
    )
    return dataset, reader.problems


def _derived(raw: Mapping[str, Any], reader: EntryReader) -> str:
    """Return what the name of a data set with derived features ends in, and note it ("" for the authors' own)."""
    if "derived_from" not in raw:
        return ""
    source = raw["derived_from"]
    if source not in get_args(LayoutName) or source == reader.layout.name:
        reader.error("derived_from", f"{short(source)} is not another layout")
        return ""
    what = f"DEVIATION: features derived from the {source} layout's, not the authors' own"
    reader.note("derived_from", what, "runs carry it in their data set's name; they judge no claim about THUMOS14")
    return f"{DERIVED_MARK}{source}"


def _classes(raw: Mapping[str, Any], entries: Mapping[str, Any], reader: EntryReader) -> tuple[str, ...]:
    """Return class names in label order: TadTR's list, or ActionFormer's label ids."""
    if reader.layout.name == "tadtr":
        names = raw.get("classes")
        if not isinstance(names, list) or not names or not all(isinstance(name, str) and name for name in names):
            raise InputError("no list 'classes' of names", reader.layout.annotation_file)
        if len(set(names)) != len(names) or AMBIGUOUS in names:
            raise InputError("'classes' repeats a name or holds Ambiguous", reader.layout.annotation_file)
        return tuple(names)
    return classes_by_id(entries, reader)


def _feature_info(layout: Layout, reader: EntryReader) -> dict[str, Any]:
    """Return TadTR's feature lengths by video id ({} in ActionFormer's layout, whose .npy headers state them)."""
    if layout.feature_info_file is None:
        return {}
    raw = read_inside(layout.feature_info_file, layout.root)
    return {video_id: info for video_id, info in raw.items() if isinstance(info, dict)}


def _video(
    video_id: str,
    entry: Mapping[str, Any],
    classes: tuple[str, ...],
    info: Mapping[str, Any],
    reader: EntryReader,
) -> Video | None:
    subset = SUBSETS.get(str(entry.get("subset")).lower())
    if subset is None:
        reader.error(f"{video_id}.subset", f"{short(entry.get('subset'))} is none of {', '.join(SUBSETS)}")
    duration_s = reader.number(entry.get("duration"), f"{video_id}.duration", above=0, most=MAX_SECONDS)
    fps = reader.number(entry.get("fps"), f"{video_id}.fps", above=MIN_FPS, most=MAX_FPS)
    segments, labels, ambiguous = read_segments(video_id, entry, classes, duration_s or math.inf, reader)
    if subset is None or duration_s is None or fps is None:
        return None
    stride = reader.layout.stride_frames
    feature_fps: float | None = fps / stride
    path = reader.layout.feature_file(video_id)
    length: int | None = estimate_feature_length(duration_s, fps, stride)
    if reader.layout.name == "tadtr":
        length, feature_fps = _stated_length(video_id, info, fps, reader)
    elif path.exists() or path.is_symlink():
        try:
            length = read_npy_header(path, reader.layout.root).shape[0]
        except InputError as error:
            reader.error(video_id, error.what, error.remedy or "", path)
    if length is None or feature_fps is None:
        return None
    return Video(
        video_id, subset, duration_s, fps, stride, feature_fps, length, path.is_file(), segments, labels, ambiguous
    )


def estimate_feature_length(duration_s: float, fps: float, stride_frames: int) -> int:
    """Estimate the steps of a feature file: one per stride, of ActionFormer's clips of 16 frames that fit."""
    clips = max(int(duration_s * fps) - CLIP_FRAMES, 0) // 4 + 1
    return -(-clips * 4 // stride_frames)


def _stated_length(
    video_id: str, info: Mapping[str, Any], fps: float, reader: EntryReader
) -> tuple[int | None, float | None]:
    path = reader.layout.feature_info_file
    entry = info.get(video_id)
    if entry is None:
        reader.error(video_id, "annotated, but no feature length is stated", "add its entry", path)
        return None, None
    length = reader.number(entry.get("feature_length"), f"{video_id}.feature_length", above=0, path=path)
    where = f"{video_id}.feature_fps"
    feature_fps = reader.number(entry.get("feature_fps"), where, above=MIN_FEATURE_FPS, most=MAX_FPS, path=path)
    if length is not None and not (length.is_integer() and length < 2**31):
        reader.error(f"{video_id}.feature_length", f"{length:g} is not a number of steps", path=path)
        return None, None
    if feature_fps is not None and abs(feature_fps * reader.layout.stride_frames / fps - 1) > 0.01:
        reader.note(f"{video_id}.fps", f"{fps:g} frames/s but {feature_fps:g} steps/s: stride is not 8")
    return None if length is None else int(length), feature_fps
