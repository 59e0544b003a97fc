"""From candidates in feature steps to detections in seconds: NMS within a video, or the merging of TadTR's slices.

    segments_s, scores, labels = pyramid_detections(*candidates, fps=29.97, duration_s=51.2, max_detections=200)
    segments_s, scores, labels = merge_slices([SliceCandidates(...), ...], feature_fps=3.75)
    table = detections_table([("video_test_0000004", segments_s, scores, labels), ...], classes)

Inputs are numpy arrays or CPU tensors; outputs numpy.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tal_repro.detection.decay import Float32Array
from tal_repro.detection.nms import (
    IndexArray,
    checked_candidates,
    hard_nms,
    multiclass_hard_nms,
    multiclass_soft_nms,
    soft_nms,
    vote,
)
from tal_repro.detection.settings import check_finite, check_most, check_positive, check_share, checked_labels
from tal_repro.detection.soft_nms import SoftNms
from tal_repro.detection.tiou import FloatArray

if TYPE_CHECKING:
    import pandas as pd

PYRAMID_STRIDE_FRAMES = 4
CLIP_FRAMES = 16
SLICE_NMS_IOU = 0.4
SLICE_MAX_DETECTIONS = 200


class VideoDetections(NamedTuple):
    """Detections of one video: segments [N, 2] (seconds unless said), scores [N], labels [N]."""

    segments: Any
    scores: Any
    labels: Any


@dataclass(frozen=True)
class Suppression:
    """How candidates of a video suppress each other. The defaults are those of all three pyramid models.

    `voting_iou` above 0 averages each kept segment with its neighbours; only without `per_class`, as upstream.
    """

    soft: SoftNms = field(default_factory=SoftNms)
    hard: bool = False  # at soft.iou_threshold, on scores above soft.min_score
    per_class: bool = True
    voting_iou: float = 0.0
    vote_weigh_by_iou: bool = True  # TriDet: False

    def __post_init__(self) -> None:
        check_share("voting_iou", self.voting_iou)


PYRAMID_SUPPRESSION = Suppression()


def suppress(
    segments: Any, scores: Any, labels: Any, max_detections: int, how: Suppression = PYRAMID_SUPPRESSION
) -> VideoDetections:
    """Return at most `max_detections` of a video's candidates after NMS, best first, in the candidates' own unit."""
    check_most("max_detections", max_detections)
    segments, scores = checked_candidates(segments, scores)
    labels = checked_labels(labels, scores)
    index, new_scores = _select(segments, scores, labels, max_detections, how)
    kept: Float32Array = segments[index]
    if how.voting_iou > 0 and not how.per_class and len(index):
        kept = vote(kept, segments, scores, how.voting_iou, how.vote_weigh_by_iou)
    return VideoDetections(kept, new_scores, labels[index])


def _select(
    segments: Float32Array, scores: Float32Array, labels: Any, most: int, how: Suppression
) -> tuple[IndexArray, Float32Array]:
    if not how.hard and how.per_class:
        return multiclass_soft_nms(segments, scores, labels, most, how.soft)
    if not how.hard:
        return soft_nms(segments, scores, how.soft, most)
    valid = (
        np.flatnonzero(scores > np.float32(how.soft.min_score)) if how.soft.min_score > 0 else np.arange(len(scores))
    )
    given = segments[valid], scores[valid]
    if how.per_class:
        index = multiclass_hard_nms(*given, labels[valid], how.soft.iou_threshold, most)
    else:
        index = hard_nms(*given, how.soft.iou_threshold)[:most]
    return valid[index], scores[valid[index]]


def pyramid_detections(
    segments: Any,
    scores: Any,
    labels: Any,
    *,
    fps: float,
    duration_s: float,
    max_detections: int,
    stride_frames: float = PYRAMID_STRIDE_FRAMES,
    clip_frames: float = CLIP_FRAMES,
    how: Suppression = PYRAMID_SUPPRESSION,
) -> VideoDetections:
    """Return a video's detections in seconds, best first, from a pyramid model's candidates in feature steps."""
    check_positive("fps", fps)
    check_positive("stride_frames", stride_frames)
    check_finite("duration_s", duration_s)
    if duration_s < 0:
        raise ValueError(f"duration_s must not be negative, got {duration_s}")
    kept = suppress(segments, scores, labels, max_detections, how)
    return kept._replace(segments=steps_to_seconds(kept.segments, fps, duration_s, stride_frames, clip_frames))


def steps_to_seconds(
    segments: Float32Array, fps: float, duration_s: float, stride_frames: float, clip_frames: float
) -> Float32Array:
    """Return float32 seconds, clipped to [0, duration]: step t is centred on frame t x stride + clip / 2."""
    seconds = (segments * np.float32(stride_frames) + np.float32(0.5 * clip_frames)) / np.float32(fps)
    return np.asarray(np.clip(seconds, np.float32(0), np.float32(duration_s)), np.float32)


@dataclass(frozen=True, eq=False)
class SliceCandidates:
    """A slice's detections: segments in feature steps from the slice's start; `start`, `stop` steps of its video."""

    start: int
    stop: int
    segments: Any
    scores: Any
    labels: Any


def merge_slices(
    slices: Sequence[SliceCandidates],
    feature_fps: float,
    iou_threshold: float = SLICE_NMS_IOU,
    max_per_slice: int = SLICE_MAX_DETECTIONS,
) -> VideoDetections:
    """Return a video's detections in seconds (float64) from its overlapping slices (TadTR).

    Where two neighbouring slices overlap, the detections of the whole video that touch the overlap go through hard
    NMS per class; the others stay as they are. As upstream, a detection that touches two overlaps and survives both
    is listed twice. Order: overlap by overlap, best first, then the untouched.
    """
    check_positive("feature_fps", feature_fps)
    check_share("iou_threshold", iou_threshold)
    check_most("max_per_slice", max_per_slice)
    if not slices:
        return VideoDetections(np.zeros((0, 2)), np.zeros(0), np.zeros(0, np.int64))
    in_time = sorted(slices, key=lambda candidates: candidates.start)
    parts = [_best_of_slice(candidates, feature_fps, max_per_slice) for candidates in slices]
    segments, scores, labels = (np.concatenate(column) for column in zip(*parts, strict=True))
    untouched = np.ones(len(scores), bool)
    order: list[IndexArray] = []
    for this, following in pairwise(in_time):
        begin, end = following.start / feature_fps, this.stop / feature_fps
        touching = np.minimum(segments[:, 1], end) - np.maximum(segments[:, 0], begin) > 0
        members = np.flatnonzero(touching)
        order.append(members[_keep_per_class(segments[members], scores[members], labels[members], iou_threshold)])
        untouched &= ~touching
    chosen = np.concatenate([*order, np.flatnonzero(untouched)])
    return VideoDetections(segments[chosen], scores[chosen], labels[chosen])


def _best_of_slice(
    of_slice: SliceCandidates, feature_fps: float, most: int
) -> tuple[FloatArray, FloatArray, IndexArray]:
    scores = np.asarray(of_slice.scores, np.float64)
    segments = np.asarray(of_slice.segments, np.float64).reshape(-1, 2)
    if not (np.isfinite(segments).all() and np.isfinite(scores).all()):
        raise ValueError(f"slice at step {of_slice.start}: segments and scores must be finite")
    if len(segments) != len(scores) or np.shape(of_slice.labels) != scores.shape:
        sizes = f"{len(segments)} segments, {scores.shape} scores, {np.shape(of_slice.labels)} labels"
        raise ValueError(f"slice at step {of_slice.start}: {sizes} do not match")
    order = np.argsort(-scores, kind="stable")[:most]
    seconds = (segments[order] + of_slice.start) / feature_fps
    return seconds, scores[order], np.asarray(of_slice.labels, np.int64)[order]


def _keep_per_class(segments: FloatArray, scores: FloatArray, labels: IndexArray, iou_threshold: float) -> IndexArray:
    """Return the indices that hard NMS keeps within each class, best first; dropped when tIoU is above the threshold.

    The intersection is not cut at 0 and two equal instants drop each other, as in TadTR's own NMS (not the pyramid
    models').
    """
    order = np.lexsort((labels, -scores))
    start, end, label = segments[order, 0], segments[order, 1], labels[order]
    shared = np.minimum(end[:, None], end) - np.maximum(start[:, None], start)
    length = end - start
    with np.errstate(divide="ignore", invalid="ignore"):
        drops = ~(shared / (length[:, None] + length - shared) <= iou_threshold) & (label[:, None] == label)
    drops = np.triu(drops, 1)
    alive = np.ones(len(order), bool)
    for i in np.flatnonzero(drops.any(axis=1)):
        if alive[i]:
            alive &= ~drops[i]
    return order[alive]


def detections_table(videos: Iterable[tuple[str, Any, Any, Any]], classes: Sequence[str]) -> pd.DataFrame:
    """Return the table video_id, start_s, end_s, label, score of (video id, segments, scores, label numbers)."""
    import pandas as pd

    arrays = [(video, np.asarray(s).reshape(-1, 2), np.asarray(p), np.asarray(c)) for video, s, p, c in videos]
    names = np.asarray(classes, object)
    for video, segments, scores, labels in arrays:
        if len(segments) != len(scores) or labels.shape != scores.shape:
            sizes = f"{len(segments)} segments, {scores.shape} scores, {labels.shape} labels"
            raise ValueError(f"{video}: {sizes} do not match")
        if len(labels) and not 0 <= labels.min() <= labels.max() < len(names):
            raise ValueError(
                f"{video}: labels must be in 0 ... {len(names) - 1}, got {labels.min()} ... {labels.max()}"
            )
    return pd.DataFrame(
        {
            "video_id": np.repeat(np.array([v for v, *_ in arrays], object), [len(p) for _, _, p, _ in arrays]),
            "start_s": np.concatenate([np.zeros(0), *(s[:, 0] for _, s, _, _ in arrays)]),
            "end_s": np.concatenate([np.zeros(0), *(s[:, 1] for _, s, _, _ in arrays)]),
            "label": np.concatenate([names[:0], *(names[c.astype(np.int64)] for *_, c in arrays)]),
            "score": np.concatenate([np.zeros(0), *(p for _, _, p, _ in arrays)]),
        }
    )
