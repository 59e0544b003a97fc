"""Read the annotations of either layout into one DataSet. Every bad entry becomes a Problem; none is lost."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from tal_repro import thumos14
from tal_repro.annotations import (
    AMBIGUOUS,
    Action,
    Classes,
    Document,
    EntryReader,
    Problem,
    read_actions,
    read_classes,
    read_document,
    read_duration,
)
from tal_repro.annotations.problems import as_number
from tal_repro.data.dataset import (
    CLIP_FRAMES,
    DataSet,
    FloatArray,
    LayoutName,
    Video,
    hash_annotations,
)
from tal_repro.data.feature_formats import read_length, video_ids
from tal_repro.data.layouts import Layout, check_inside, find_layout, is_safe_id, read_inside
from tal_repro.data.splits import choose_splits
from tal_repro.errors import InputError
from tal_repro.spec import DERIVED_MARK
from tal_repro.untrusted import short

ACTIVITYNET_ONLY = {"training", "testing"}
MAX_FPS = 1000.0
MIN_FPS, MIN_FEATURE_FPS = 0.1, 0.01  # no video has less: 5e-324 divided by the stride is 0
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


def read_dataset(
    layout: Layout, document: Document | None = None, steps: Mapping[str, int] | None = None
) -> tuple[DataSet, list[Problem]]:
    """Read one layout; return what could be read and every problem of its annotations.

    What the caller has read already is not read again: the `document`, and the `steps` of feature files.
    """
    for path in layout.annotations.files():
        check_inside(path, layout.annotation_root if path != layout.annotations.videos else path.parent)
    document = read_document(layout.annotations) if document is None else document
    reader = EntryReader(layout.annotation_file, places=document.places)
    for what in document.read_as:
        reader.note("annotations", what)
    if not layout.defined:
        _check_subsets(document)
    entries = choose_splits(_entries(document, reader), layout, reader)
    classes = _classes(document, layout, reader)
    info = _stated_lengths(layout)
    there = _with_features(layout)
    videos, numbers = {}, {name: index for index, name in enumerate(classes.names)}
    for video_id, entry in entries.items():
        length = (steps or {}).get(video_id)
        video = _video(video_id, entry, numbers, info, length, video_id in there, layout, reader)
        if video is not None:
            videos[video_id] = video
    if reader.durations_of_features:
        reader.note("duration", f"{reader.durations_of_features} videos state none", "their features' length is taken")
    if reader.texts:
        reader.note("segment", f"{reader.texts} numbers are written as text", "read as the numbers they spell")
    version, digest = document.content.get("version"), hash_annotations(videos.values(), classes.names)
    dataset = DataSet(
        name=_name(document.synthetic, digest, layout) + _derived(document.content, layout, reader),
        version=version if isinstance(version, str) else "",
        synthetic=document.synthetic,
        annotation_hash=digest,
        classes=classes.names,
        videos=videos,
        layout=layout.name,
        root=layout.root,
        defined=layout.defined,
        refused=tuple(video_id for video_id in document.entries if is_safe_id(video_id) and video_id not in videos),
    )
    return dataset, reader.problems


def _name(synthetic: bool, annotation_hash: str, layout: Layout) -> str:
    """Name a data set as its definition does, where its annotations are those that it states.

    Whoever defined it, a set with the annotations of THUMOS14 is `thumos14`, and no other is, or is named alike.
    """
    definition = layout.definition
    if annotation_hash == thumos14.ANNOTATION_HASH:
        return f"synthetic-{thumos14.NAME}" if synthetic else thumos14.NAME
    if synthetic:
        name = f"synthetic-{definition.name}"
    elif definition.annotation_hash in ("", annotation_hash):
        name = definition.name
    else:
        name = f"custom-{annotation_hash[:8]}"
    return f"custom-{name}" if layout.defined and thumos14.NAME in name.lower() else name


def _check_subsets(document: Document) -> None:
    """Refuse ActivityNet's subset names: its `validation` is tested on, THUMOS14's trained on, and both would be."""
    if ACTIVITYNET_ONLY & {name.lower() for name in document.subset_names}:
        raise InputError(
            f"subsets {', '.join(map(short, document.subset_names[:5]))} are named as ActivityNet's, but `validation` "
            "means training here, as in THUMOS14",
            document.path,
            "define it as a set of your own, which keeps its names: tal-repro data describe ANNOTATIONS FEATURES; or "
            "in a copy, write `train` for what to train on (ActivityNet's training) and `test` for what to score "
            "(its validation); leave out the rest",
        )


def _entries(document: Document, reader: EntryReader) -> dict[str, dict[str, Any]]:
    """Return the entries whose video id can name a file; note the others."""
    entries: dict[str, dict[str, Any]] = {}
    for video_id, entry in document.entries.items():
        if not is_safe_id(video_id):
            reader.error(f"database[{short(video_id)}]", "the video id is not a plain file name", "see docs/data.md")
        elif not isinstance(entry, dict):
            reader.error(video_id, "the entry is not an object")
        else:
            entries[video_id] = entry
    if document.entries and not any(map(is_safe_id, document.entries)):
        first = short(next(iter(document.entries)))
        raise InputError(f"no video id is a plain file name, the first: {first}", document.path, "see docs/data.md")
    return entries


def _derived(raw: Mapping[str, Any], layout: Layout, reader: EntryReader) -> str:
    """Return what the name of a data set with derived features ends in, and note it ("" for the authors' own)."""
    if "derived_from" not in raw:
        return ""
    source = raw["derived_from"]
    if source not in get_args(LayoutName) or source == layout.name:
        reader.error("derived_from", f"{short(source)} is not another layout")
        return ""
    what = f"DEVIATION: features derived from the {source} layout's, not the authors' own"
    reader.note("derived_from", what, "runs carry it in their data set's name; they judge no claim about THUMOS14")
    return f"{DERIVED_MARK}{source}"


def _classes(document: Document, layout: Layout, reader: EntryReader) -> Classes:
    """Return the classes in label order; note numbers that a model cannot be trained on."""
    before = len(reader.errors)
    classes = read_classes(document, reader)
    if not classes.names:
        raise InputError("no annotation with a label", layout.annotation_file, "label the annotations")
    for where in classes.unnumbered:
        reader.error(where, "missing, and no other annotation numbers this label", "number it as the others are")
    numbers = sorted(classes.ids)
    if classes.labelled and len(reader.errors) == before and numbers != list(range(len(numbers))):
        listed = ", ".join(f"{classes.ids[number]}={number}" for number in numbers)
        reader.error("label_id", f"class indices are not 0..{len(numbers) - 1}, each once: {listed}")
    if not classes.ids:
        reader.note("classes", "neither label_id nor a list of classes", "numbered in the order of their names")
    return classes


def _stated_lengths(layout: Layout) -> dict[str, Any] | None:
    """Return the lengths of features that a file states, by video id; None where the definition names none."""
    if layout.definition.lengths is None:
        return None
    root = layout.definition.lengths.parent if layout.defined else layout.root
    raw = read_inside(layout.definition.lengths, root)
    return {video_id: info for video_id, info in raw.items() if isinstance(info, dict)}


def _with_features(layout: Layout) -> set[str]:
    """Return the ids of the videos that have features; in THUMOS14's layouts, these may be extracted later."""
    try:
        return set(video_ids(layout))
    except InputError:
        if layout.defined:
            raise
        return set()


def _video(
    video_id: str,
    entry: Mapping[str, Any],
    classes: Mapping[str, int],
    info: Mapping[str, Any] | None,
    length: int | None,
    there: bool,
    layout: Layout,
    reader: EntryReader,
) -> Video | None:
    """Read a video. `info`: stated lengths of all; `length`: its steps where they were read; `there`: its features."""
    definition = layout.definition
    if length is None and there and info is None:
        length = _length_in_file(video_id, layout, reader)
    duration_s = _duration(video_id, entry, length, layout, reader)
    feature_fps = None
    if info is not None:
        length, feature_fps = _stated_length(video_id, info, layout, reader)
    fps = _fps(video_id, entry, feature_fps, layout, reader)
    actions = read_actions(video_id, entry, classes, duration_s or math.inf, reader)
    if entry["subset"] is None or duration_s is None or fps is None:
        return None
    if info is None:
        feature_fps = fps / definition.stride
        length = length or estimate_feature_length(duration_s, fps, definition.stride, definition.clip)
    if length is None or feature_fps is None:
        return None
    labelled = [action for action in actions if action.label != AMBIGUOUS]
    return Video(
        video_id,
        entry["subset"],
        duration_s,
        fps,
        definition.stride,
        feature_fps,
        length,
        there,
        _segments(labelled),
        np.array([classes[action.label] for action in labelled], dtype=np.int64),
        _segments([action for action in actions if action.label == AMBIGUOUS]),
        definition.clip,
        definition.slice_stride,
    )


def _duration(
    video_id: str, entry: Mapping[str, Any], length: int | None, layout: Layout, reader: EntryReader
) -> float | None:
    """Return a video's seconds; in a set of one's own whose annotations state none, those of its features."""
    if not layout.defined or "duration" in entry or "duration_second" in entry:
        return read_duration(video_id, entry, reader)
    definition = layout.definition
    rate = definition.steps_per_second
    fps = as_number(entry.get("fps", definition.fps)) if rate is None else None
    if length is None or (rate is None and not fps):
        remedy = "state it, or give a table of videos (video,duration,fps): videos = FILE.csv in the definition"
        reader.error(f"{video_id}.duration", "missing, and its features do not tell it", remedy)
        return None
    reader.durations_of_features += 1
    return length / rate if rate else ((length - 1) * definition.stride + definition.clip) / float(fps or 1.0)


def _segments(actions: Sequence[Action]) -> FloatArray:
    return np.array([action[:2] for action in actions], dtype=np.float64).reshape(-1, 2)


def _fps(
    video_id: str, entry: Mapping[str, Any], feature_fps: float | None, layout: Layout, reader: EntryReader
) -> float | None:
    """Return a video's frames a second; the file of feature lengths says it where the annotations do not.

    In a set whose stride nobody knows a frame is a feature step; else the definition's `fps` is that of every video.
    """
    definition = layout.definition
    if feature_fps is not None and "fps" not in entry:
        return feature_fps * definition.stride
    if definition.steps_per_second is not None:
        return definition.steps_per_second
    stated = entry.get("fps", definition.fps)
    if stated is None and layout.defined:
        remedy = "state it there, write [time] fps in the definition, or steps_per_second instead of stride_frames"
        reader.error(f"{video_id}.fps", "missing", remedy)
        return None
    fps = reader.number(stated, f"{video_id}.fps", above=MIN_FPS, most=MAX_FPS)
    if fps and feature_fps and abs(feature_fps * definition.stride / fps - 1) > 0.01:
        what = f"{fps:g} frames/s but {feature_fps:g} steps/s: stride is not {definition.stride:g}"
        reader.note(f"{video_id}.fps", what)
    return fps


def _length_in_file(video_id: str, layout: Layout, reader: EntryReader) -> int | None:
    """Return the steps that a feature file states (None: it is no sound one)."""
    try:
        return read_length(layout, video_id)
    except InputError as error:
        reader.error(video_id, error.what, error.remedy or "", layout.feature_file(video_id))
        return None


def estimate_feature_length(
    duration_s: float, fps: float, stride_frames: float, clip_frames: float = CLIP_FRAMES
) -> int:
    """Estimate the steps of a feature file: one per stride of the clips that fit.

    Of I3D's clips of 16 frames there is one every 4 frames, of which a layout of another whole stride takes some.
    """
    whole = clip_frames == CLIP_FRAMES and float(stride_frames).is_integer() and stride_frames % 4 == 0
    every = 4 if whole else stride_frames
    clips = int(max(int(duration_s * fps) - clip_frames, 0) // every) + 1
    return -(-clips * 4 // int(stride_frames)) if whole else clips


def _stated_length(
    video_id: str, info: Mapping[str, Any], layout: Layout, reader: EntryReader
) -> tuple[int | None, float | None]:
    path = layout.definition.lengths
    entry = info.get(video_id)
    if entry is None:
        reader.error(video_id, "annotated, but no feature length is stated", "add its entry", path)
        return None, None
    length = reader.number(entry.get("feature_length"), f"{video_id}.feature_length", above=0, path=path)
    where = f"{video_id}.feature_fps"
    feature_fps = reader.number(entry.get("feature_fps"), where, above=MIN_FEATURE_FPS, most=MAX_FPS, path=path)
    if length is not None and not (length.is_integer() and length < 2**31):
        reader.error(f"{video_id}.feature_length", f"{length:g} is not a number of steps", path=path)
        return None, feature_fps
    return None if length is None else int(length), feature_fps
