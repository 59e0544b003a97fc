"""What is known of THUMOS14: its oddities, which `data verify` gives as notes, and the lengths of its features."""

from __future__ import annotations

import csv
from functools import cache
from pathlib import Path
from typing import Any

from tal_repro.annotations import Problem
from tal_repro.data.dataset import DataSet, FloatArray, LayoutName, Video
from tal_repro.data.layouts import Layout
from tal_repro.thumos14 import LENGTH_TOLERANCE_STEPS, VIDEOS_AND_ACTIONS

VIDEOS_CSV = Path(__file__).with_name("thumos14_videos.csv")  # facts of the 412 annotated videos
LISTED_STRIDE_FRAMES = 4


@cache
def real_steps() -> dict[str, int]:
    """Return the feature steps at a stride of 4 frames of each annotated video."""
    with VIDEOS_CSV.open(encoding="utf-8", newline="") as stream:
        return {row["video"]: int(row["steps_stride4"]) for row in csv.DictReader(stream)}


def compare_lengths(dataset: DataSet) -> dict[str, Any]:
    """Return how many of the data set's videos are of THUMOS14, and how many of these have other feature lengths."""
    compared = sum(video in real_steps() for video in dataset.videos)
    return {"thumos14_videos": compared, "thumos14_unlike_lengths": len(unlike_lengths(dataset))}


def unlike_lengths(dataset: DataSet) -> list[str]:
    """Return the videos of THUMOS14 in a data set whose features are of another length than the real ones."""
    unlike = []
    for video in dataset.videos.values():
        steps = real_steps().get(video.id)
        if steps is not None:
            real = -(-steps * LISTED_STRIDE_FRAMES // video.feature_stride_frames)
            if abs(real - video.feature_length) > LENGTH_TOLERANCE_STEPS:
                unlike.append(video.id)
    return unlike


ONLY_AMBIGUOUS = "video_test_0001292"
BEYOND_END = ("video_test_0000270",)
WRONG = ("video_test_0001496",)


def known_without_annotation(layout: LayoutName) -> tuple[str, ...]:
    """Return the feature files that rightly have no annotation: ActionFormer leaves out the Ambiguous-only video."""
    return (ONLY_AMBIGUOUS,) if layout == "actionformer" else ()


def known_quirks(layout: Layout, dataset: DataSet, feature_files: int) -> list[Problem]:
    """Note the documented oddities that this data set shows."""
    notes: list[tuple[str, str, str]] = []
    annotated = sum(1 for video in dataset.videos.values() if len(video.labels))
    if feature_files == annotated + 1:
        what = f"{feature_files} feature files for {annotated} videos with actions; this one is only Ambiguous"
        notes.append((ONLY_AMBIGUOUS, what, "nothing to do"))
    twins = _twins(dataset)
    if twins is not None:
        shared, total = twins
        what = f"{shared} of {total} CliffDiving segments are also Diving segments"
        notes.append(("CliffDiving", what, "nothing to do; both classes count" if shared == total else "check them"))
    for video_id in BEYOND_END:
        if video_id in dataset.videos:
            video = dataset.videos[video_id]
            beyond = int((video.segments_s[:, 1] > video.duration_s + 0.1).sum())
            what = f"{beyond} of {len(video.labels)} actions reach beyond the video's end"
            notes.append((video_id, what, "protocols opentad-211 and tadtr-210 leave this video out"))
    for video_id in WRONG:
        if video_id in dataset.videos:
            notes.append((video_id, "known to be wrongly annotated", "protocol tadtr-210 leaves this video out"))
    if not dataset.synthetic:
        notes += _count_notes(dataset)
    return [Problem("note", str(layout.annotation_file), where, what, remedy) for where, what, remedy in notes]


def _twins(dataset: DataSet) -> tuple[int, int] | None:
    """Count the CliffDiving segments that are Diving segments too, and all of them."""
    if not {"CliffDiving", "Diving"} <= set(dataset.classes):
        return None
    cliff, diving = dataset.classes.index("CliffDiving"), dataset.classes.index("Diving")
    shared = total = 0
    for video in dataset.videos.values():
        dives = {tuple(segment) for segment in _of(video, diving).round(3).tolist()}
        cliff_dives = _of(video, cliff).round(3).tolist()
        total += len(cliff_dives)
        shared += sum(tuple(segment) in dives for segment in cliff_dives)
    return shared, total


def _of(video: Video, label: int) -> FloatArray:
    segments: FloatArray = video.segments_s[video.labels == label]
    return segments


def _count_notes(dataset: DataSet) -> list[tuple[str, str, str]]:
    notes = []
    for subset, (videos, instances) in VIDEOS_AND_ACTIONS.items():
        chosen = dataset.train if subset == "train" else dataset.test
        counts = (len(chosen), sum(len(video.labels) for video in chosen))
        if counts != (videos, instances):
            what = f"{counts[0]} videos with {counts[1]} actions; THUMOS14 has {videos} with {instances}"
            notes.append((subset, what, "fine for a part of it or another data set; else restore the annotations"))
    return notes
