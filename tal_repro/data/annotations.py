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
    SLICE_STRIDE_FRAMES,
    DataSet,
    FloatArray,
    LayoutName,
    SubsetName,
    Video,
    hash_annotations,
)
from tal_repro.data.definition import Definition
from tal_repro.data.feature_formats import read_length, video_ids
from tal_repro.data.layouts import Layout, check_inside, find_layout, is_safe_id, read_inside
from tal_repro.data.splits import choose_splits
from tal_repro.errors import InputError
from tal_repro.spec import DERIVED_MARK
from tal_repro.untrusted import short

SUBSETS: Mapping[str, SubsetName] = {"validation": "train", "val": "train", "train": "train", "test": "test"}
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


def read_dataset(layout: Layout) -> tuple[DataSet, list[Problem]]:
    """Read one layout; return what could be read and every problem of its annotations."""
    for path in layout.annotations.files():
        check_inside(path, layout.annotation_root if path != layout.annotations.videos else path.parent)
    document = read_document(layout.annotations)
    reader = EntryReader(layout.annotation_file, places=document.places)
    for what in document.read_as:
        reader.note("annotations", what)
    if layout.definition is None:
        _check_subsets(document)
    entries = _entries(document, reader)
    if layout.definition is not None:
        entries = choose_splits(entries, layout.definition, reader)
    classes = _classes(document, layout, reader)
    info = _feature_info(layout)
    videos = {}
    for video_id, entry in entries.items():
        video = _video(video_id, entry, classes.names, info, layout, reader)
        if video is not None:
            videos[video_id] = video
    if reader.durations_of_features:
        reader.note("duration", f"{reader.durations_of_features} videos state none", "their features' length is taken")
    if reader.texts:
        reader.note("segment", f"{reader.texts} numbers are written as text", "read as the numbers they spell")
    version, digest = document.content.get("version"), hash_annotations(videos.values(), classes.names)
    dataset = DataSet(
        name=_name(document.synthetic, digest, layout.definition) + _derived(document.content, layout, reader),
        version=version if isinstance(version, str) else "",
        synthetic=document.synthetic,
        annotation_hash=digest,
        classes=classes.names,
        videos=videos,
        layout=layout.name,
        root=layout.root,
        defined=layout.definition is not None,
        refused=tuple(video_id for video_id in document.entries if is_safe_id(video_id) and video_id not in videos),
    )
    return dataset, reader.problems


def _name(synthetic: bool, annotation_hash: str, definition: Definition | None) -> str:
    """Name a data set: `thumos14` where its annotations hash to the real ones, else as its definition does."""
    if definition is not None and annotation_hash != thumos14.ANNOTATION_HASH:
        made = f"synthetic-{definition.name}" if synthetic else definition.name
        return f"custom-{made}" if thumos14.NAME in made.lower() else made
    return f"synthetic-{thumos14.NAME}" if synthetic else thumos14.name_of(annotation_hash)


def _check_subsets(document: Document) -> None:
    """Refuse ActivityNet's subset names: its `validation` is tested on, THUMOS14's trained on, and both would be."""
    if ACTIVITYNET_ONLY & {name.lower() for name in document.subset_names}:
        raise InputError(
            f"subsets {', '.join(map(short, document.subset_names[:5]))} are named as ActivityNet's, but `validation` "
            "means training here, as in THUMOS14",
            document.path,
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


def _feature_info(layout: Layout) -> dict[str, Any]:
    """Return TadTR's feature lengths by video id ({} in ActionFormer's layout, whose .npy headers state them).

    Of a defined set: which videos have features.
    """
    if layout.definition is not None:
        return dict.fromkeys(video_ids(layout.definition), True)
    if layout.feature_info_file is None:
        return {}
    raw = read_inside(layout.feature_info_file, layout.root)
    return {video_id: info for video_id, info in raw.items() if isinstance(info, dict)}


def _video(
    video_id: str,
    entry: Mapping[str, Any],
    classes: tuple[str, ...],
    info: Mapping[str, Any],
    layout: Layout,
    reader: EntryReader,
) -> Video | None:
    subset = SUBSETS.get(str(entry.get("subset")).lower())
    if subset is None:
        remedy = "write validation for a video to train on, test for one to score"
        reader.error(f"{video_id}.subset", f"{short(entry.get('subset'))} is none of {', '.join(SUBSETS)}", remedy)
    duration_s = _duration(video_id, entry, info, layout, reader)
    length, feature_fps = _stated_length(video_id, info, layout, reader) if layout.feature_info_file else (None, None)
    fps = _fps(video_id, entry, feature_fps, layout, reader)
    actions = read_actions(video_id, entry, classes, duration_s or math.inf, reader)
    if subset is None or duration_s is None or fps is None:
        return None
    stride, defined = layout.stride_frames, layout.definition
    clip = CLIP_FRAMES if defined is None else defined.clip
    there = info.get(video_id, False) if defined is not None else layout.feature_file(video_id).is_file()
    if layout.feature_info_file is None:
        feature_fps = fps / stride
        length = _length_in_file(video_id, layout, bool(there), reader)
        length = length or estimate_feature_length(duration_s, fps, stride, clip)
    if length is None or feature_fps is None:
        return None
    known = {name: index for index, name in enumerate(classes)}
    labelled = [action for action in actions if action.label != AMBIGUOUS]
    return Video(
        video_id,
        subset,
        duration_s,
        fps,
        stride,
        feature_fps,
        length,
        bool(there),
        _segments(labelled),
        np.array([known[action.label] for action in labelled], dtype=np.int64),
        _segments([action for action in actions if action.label == AMBIGUOUS]),
        clip,
        SLICE_STRIDE_FRAMES if defined is None else stride,
    )


def _duration(
    video_id: str, entry: Mapping[str, Any], info: Mapping[str, Any], layout: Layout, reader: EntryReader
) -> float | None:
    """Return a video's seconds; in a defined set whose annotations state none, those of its features."""
    defined = layout.definition
    if defined is None or "duration" in entry or "duration_second" in entry:
        return read_duration(video_id, entry, reader)
    rate = defined.steps_per_second
    fps = as_number(entry.get("fps", defined.fps)) if rate is None else None
    length = _length_in_file(video_id, layout, bool(info.get(video_id)), reader)
    if length is None or (rate is None and not fps):
        remedy = "state it, or give a table of videos (video,duration,fps): videos = FILE.csv in the definition"
        reader.error(f"{video_id}.duration", "missing, and its features do not tell it", remedy)
        return None
    reader.durations_of_features += 1
    return length / rate if rate else ((length - 1) * defined.stride + defined.clip) / float(fps or 1.0)


def _segments(actions: Sequence[Action]) -> FloatArray:
    return np.array([action[:2] for action in actions], dtype=np.float64).reshape(-1, 2)


def _fps(
    video_id: str, entry: Mapping[str, Any], feature_fps: float | None, layout: Layout, reader: EntryReader
) -> float | None:
    """Return a video's frames a second; TadTR's file of feature lengths says it where the annotations do not.

    In a defined set whose stride nobody knows a frame is a feature step; else its `fps` is that of every video.
    """
    if feature_fps is not None and "fps" not in entry:
        return feature_fps * layout.stride_frames
    if layout.definition is not None and layout.definition.steps_per_second is not None:
        return layout.definition.steps_per_second
    stated = entry.get("fps", None if layout.definition is None else layout.definition.fps)
    if stated is None and layout.definition is not None:
        remedy = "state it there, write [time] fps in the definition, or steps_per_second instead of stride_frames"
        reader.error(f"{video_id}.fps", "missing", remedy)
        return None
    fps = reader.number(stated, f"{video_id}.fps", above=MIN_FPS, most=MAX_FPS)
    if fps and feature_fps and abs(feature_fps * layout.stride_frames / fps - 1) > 0.01:
        reader.note(f"{video_id}.fps", f"{fps:g} frames/s but {feature_fps:g} steps/s: stride is not 8")
    return fps


def _length_in_file(video_id: str, layout: Layout, there: bool, reader: EntryReader) -> int | None:
    """Return the steps that a feature file states (None: there is no such file, or no sound one)."""
    path = layout.feature_file(video_id)
    if not there and not path.is_symlink():
        return None
    try:
        return read_length(layout, video_id)
    except InputError as error:
        reader.error(video_id, error.what, error.remedy or "", path)
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
    path = layout.feature_info_file
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
