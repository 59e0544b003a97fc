"""One annotated video: its entry, its rates and the length of its features; `annotations` reads sets of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tal_repro.annotations import AMBIGUOUS, Action, EntryReader, read_actions, read_duration
from tal_repro.annotations.problems import as_number
from tal_repro.data.dataset import CLIP_FRAMES, FloatArray, Video
from tal_repro.data.feature_formats import read_length, video_ids
from tal_repro.data.layouts import Layout, read_inside
from tal_repro.errors import InputError

MAX_FPS = 1000.0
MIN_FPS, MIN_FEATURE_FPS = 0.1, 0.01  # no video has less: 5e-324 divided by the stride is 0


def stated_lengths(layout: Layout) -> dict[str, Any] | None:
    """Return the lengths of features that a file states, by video id; None where the definition names none."""
    if layout.definition.lengths is None:
        return None
    root = layout.definition.lengths.parent if layout.defined else layout.root
    raw = read_inside(layout.definition.lengths, root)
    return {video_id: info for video_id, info in raw.items() if isinstance(info, dict)}


def with_features(layout: Layout) -> set[str]:
    """Return the ids of the videos that have features; in THUMOS14's layouts, these may be extracted later."""
    try:
        return set(video_ids(layout))
    except InputError:
        if layout.defined:
            raise
        return set()


def states_duration(entry: Mapping[str, Any]) -> bool:
    """Tell whether an entry says how long its video is."""
    return "duration" in entry or "duration_second" in entry


def read_video(
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
    if not layout.defined or states_duration(entry):
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
