"""What `tal-repro evaluate` warns of: half a file, other ids, other classes and frames for seconds have a mAP, too."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from tal_repro.errors import InputError
from tal_repro.untrusted import short

if TYPE_CHECKING:
    from tal_repro.detection.matching import Table
    from tal_repro.detection.protocols import Evaluation, GroundTruth

FRAMES_FACTOR = 2.0  # of the times to the lengths of their videos: no model is that far off


def warnings_of(table: Table, evaluation: Evaluation, truth: GroundTruth) -> Iterator[str]:
    """Yield what a reader of the mAP should know, a line each."""
    missing = ", ".join(name for name in evaluation.result.missing_classes if name in set(truth.classes))
    lines = (
        *truth.notes,
        f"not scored, no ground truth: {missing}" if missing else "",
        _other_classes(table, truth),
        _backwards(evaluation),
        _without_detections(evaluation, truth),
        _beyond_end(evaluation, truth),
        _detected_beyond_end(evaluation, truth),
    )
    yield from filter(None, lines)


def check_any_scored(table: Table, evaluation: Evaluation, truth: GroundTruth, path: Path) -> None:
    """Raise InputError where no detection lies in a video that counts: a mAP of 0 would only say that ids differ."""
    from tal_repro.detection.protocols import counted_videos, find_protocol

    if len(evaluation.detections["video_id"]):
        return
    ids, scored = (
        sorted(set(videos)) for videos in (table["video_id"], counted_videos(truth, find_protocol(evaluation.protocol)))
    )
    if not ids:
        raise InputError("no detection at all", path, "a mAP needs detections: see to the program that wrote the file")
    raise InputError(
        f"no detection is of a scored video: they are of {_examples(ids)}, the scored videos are {_examples(scored)}",
        path,
        "give the ids and the --subset of the annotations",
    )


def _without_detections(evaluation: Evaluation, truth: GroundTruth) -> str:
    """Say in how many counted videos nothing is detected ("" for none): of half a file, too, there is a mAP."""
    from tal_repro.detection.protocols import counted_videos, find_protocol

    scored = counted_videos(truth, find_protocol(evaluation.protocol))
    without = sorted(scored - set(evaluation.detections["video_id"].tolist()))
    if not without:
        return ""
    return f"no detection in {len(without)} of {len(scored)} scored videos, their instances count as missed: " + (
        _examples(without)
    )


def _examples(ids: list[str]) -> str:
    return ", ".join(map(repr, ids[:3])) + (f" and {len(ids) - 3} more" if len(ids) > 3 else "")


def _beyond_end(evaluation: Evaluation, truth: GroundTruth) -> str:
    """Say how many counted instances end beyond their video's end ("" for none)."""
    from tal_repro.detection.protocols import beyond_end

    table = evaluation.ground_truth
    late = beyond_end(table, truth).nonzero()[0]
    if not len(late):
        return ""
    worst = max(late, key=lambda row: table["end_s"][row] - truth.durations_s[table["video_id"][row]])
    video, end = table["video_id"][worst], table["end_s"][worst]
    return (
        f"counted instances that end beyond their video's end: {len(late)}, the farthest at {end:g} s in {video!r} "
        f"of {truth.durations_s[video]:g} s (THUMOS14 has some; opentad-211 leaves them out)"
    )


def _other_classes(table: Table, truth: GroundTruth) -> str:
    """Say how many detections are of classes that the annotations do not have, and of which ("" for none)."""
    known = set(truth.classes)
    counts = Counter(label for label in table["label"] if label not in known)
    if not counts:
        return ""
    listed = ", ".join(f"{short(label)} ({rows})" for label, rows in counts.most_common(5))
    more = f" and {len(counts) - 5} more" if len(counts) > 5 else ""
    return (
        f"{counts.total()} of {len(table['label'])} detections are of {len(counts)} classes that the annotations do "
        f"not have; no AP depends on them: {listed}{more}"
    )


def _backwards(evaluation: Evaluation) -> str:
    """Say how many detections end before they start ("" for none): some models regress both bounds."""
    table = evaluation.detections
    turned = sum(end < start for start, end in zip(table["start_s"], table["end_s"], strict=True))
    if not turned:
        return ""
    return f"{turned} of {len(table['start_s'])} detections end before they start: they overlap nothing, count as false"


def _detected_beyond_end(evaluation: Evaluation, truth: GroundTruth) -> str:
    """Say how many detections start beyond their video's end, and by what factor all times are too large ("": none)."""
    import numpy as np

    from tal_repro.detection.protocols import OUT_OF_RANGE_TOLERANCE_S

    table = evaluation.detections
    seconds = np.array([truth.durations_s.get(video, np.nan) for video in table["video_id"]], float)
    starts, ends = (np.asarray(table[name], float) for name in ("start_s", "end_s"))
    late = starts > seconds + OUT_OF_RANGE_TOLERANCE_S
    if not late.any():
        return ""
    last: dict[str, float] = {}
    for video, share in zip(table["video_id"], ends / seconds, strict=True):
        last[video] = max(share, last.get(video, 0.0))
    factor = float(np.nanmedian(list(last.values())))
    text = f"{int(late.sum())} of {len(late)} detections start beyond their video's end"
    if factor < FRAMES_FACTOR:
        return text
    return f"{text}: times reach to about {factor:.3g} times the videos' lengths; are they frames, or milliseconds?"
