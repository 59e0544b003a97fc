"""Non-maximum suppression in one dimension: hard, soft, per class, and segment voting. numpy in, numpy out.

    index, score = multiclass_soft_nms(segments, scores, labels, max_detections=200)   # the pyramid models' own
    index = hard_nms(segments, scores, iou_threshold)
    nms(segs, scores, iou_threshold); softnms(segs, scores, dets, ...)                 # torch, upstream's signatures

The results, ties and degenerate segments included, are those of the compiled extension `nms_1d_cpu` that
ActionFormer, TriDet and TemporalMaxer share; no compiler is needed.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tal_repro.detection.decay import METHODS, Float32Array, areas
from tal_repro.detection.settings import check_most, check_share, checked_labels
from tal_repro.detection.soft_nms import SoftNms, select

if TYPE_CHECKING:
    from torch import Tensor

IndexArray = npt.NDArray[np.int64]


def hard_nms(segments: Any, scores: Any, iou_threshold: float) -> IndexArray:
    """Return the kept indices by falling score (equal scores: the earlier first).

    A segment is dropped when its tIoU with a kept one is at least `iou_threshold`, in float32.
    """
    check_share("iou_threshold", iou_threshold)
    segments, scores = checked_candidates(segments, scores)
    order = np.argsort(-scores, kind="stable")
    start, end, area = segments[order, 0], segments[order, 1], areas(segments)[order]
    threshold = np.float32(iou_threshold)
    alive = np.ones(len(order), bool)
    for i in range(len(order)):
        if not alive[i]:
            continue
        rest = slice(i + 1, None)
        shared = np.maximum(np.minimum(end[i], end[rest]) - np.maximum(start[i], start[rest]), np.float32(0))
        with np.errstate(divide="ignore", invalid="ignore"):
            alive[rest] &= ~(shared / (area[i] + area[rest] - shared) >= threshold)
    return order[alive]


def soft_nms(
    segments: Any, scores: Any, settings: SoftNms | None = None, max_detections: int | None = None
) -> tuple[IndexArray, Float32Array]:
    """Return (index, score) of the selections of one class, best first, at most `max_detections` of them."""
    check_most("max_detections", max_detections)
    segments, scores = checked_candidates(segments, scores)
    return _columns(islice(select(segments, scores, settings or SoftNms()), max_detections))


def multiclass_soft_nms(
    segments: Any, scores: Any, labels: Any, max_detections: int, settings: SoftNms | None = None
) -> tuple[IndexArray, Float32Array]:
    """Return (index, score) of the best `max_detections` after soft-NMS within each class.

    Only the class that holds the best score left is advanced, so the work follows what is kept, not what is offered.
    Equal scores of two classes: the lower label first.
    """
    check_most("max_detections", max_detections)
    segments, scores = checked_candidates(segments, scores)
    labels = checked_labels(labels, scores)
    settings = settings or SoftNms()
    by_label = np.argsort(labels, kind="stable")
    bounds = np.flatnonzero(np.diff(labels[by_label])) + 1
    streams = [_ranked(members, segments, scores, settings) for members in np.split(by_label, bounds) if len(members)]
    merged = heapq.merge(*streams, key=_by_falling_score)
    return _columns(islice(merged, max_detections))


def multiclass_hard_nms(
    segments: Any, scores: Any, labels: Any, iou_threshold: float, max_detections: int | None = None
) -> IndexArray:
    """Return the indices kept by hard NMS within each class, best first; equal scores: the lower label first."""
    check_most("max_detections", max_detections)
    segments, scores = checked_candidates(segments, scores)
    labels = checked_labels(labels, scores)
    kept = []
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        kept.append(members[hard_nms(segments[members], scores[members], iou_threshold)])
    index = np.concatenate(kept) if kept else np.zeros(0, np.int64)
    return index[np.argsort(-scores[index], kind="stable")][:max_detections]


def vote(kept: Any, segments: Any, scores: Any, iou_threshold: float = 0.75, weigh_by_iou: bool = True) -> Float32Array:
    """Return the kept segments [K, 2], each replaced by the mean of all segments that overlap it enough.

    Weights are score times tIoU (ActionFormer, TemporalMaxer) or the score alone (TriDet). A kept segment without
    length overlaps nothing and stays (a NaN upstream). Upstream votes in class-agnostic NMS only.
    """
    check_share("iou_threshold", iou_threshold)
    segments, scores = checked_candidates(segments, scores)
    kept = np.asarray(kept, np.float32).reshape(-1, 2)
    shared = np.minimum(kept[:, None, 1], segments[:, 1]) - np.maximum(kept[:, None, 0], segments[:, 0])
    shared = np.maximum(shared, np.float32(0))
    union = (kept[:, 1] - kept[:, 0])[:, None] + (segments[:, 1] - segments[:, 0]) - shared
    overlap = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    weight = np.where(overlap >= np.float32(iou_threshold), scores * (overlap if weigh_by_iou else 1), np.float32(0))
    total = weight.sum(axis=1, keepdims=True)
    mean = np.divide(weight, total, out=np.zeros_like(weight), where=total > 0) @ segments
    return np.asarray(np.where(total > 0, mean, kept), np.float32)


def nms(segs: Tensor, scores: Tensor, iou_threshold: float) -> Tensor:
    """Return the indices (long) kept by hard NMS: `nms_1d_cpu.nms`. segs [N, 2] and scores [N] float32 on the CPU."""
    import torch

    return torch.from_numpy(hard_nms(_array(segs), _array(scores), iou_threshold))


def softnms(
    segs: Tensor, scores: Tensor, dets: Tensor, iou_threshold: float, sigma: float, min_score: float, method: int
) -> Tensor:
    """Return the indices (long) in order of selection: `nms_1d_cpu.softnms`; method 0 vanilla, 1 linear, 2 gaussian.

    Writes a row (start, end, score when selected) of `dets` [N, 3] for each selection, and leaves its other rows.
    """
    import torch

    if method not in range(len(METHODS)):
        raise ValueError(f"method must be 0, 1 or 2, got {method}")
    segments = _array(segs)
    index, score = soft_nms(segments, _array(scores), SoftNms(METHODS[method], iou_threshold, sigma, min_score))
    if len(index):
        dets[: len(index)] = torch.from_numpy(np.column_stack([segments[index], score]))
    return torch.from_numpy(index)


def _ranked(
    members: IndexArray, segments: Float32Array, scores: Float32Array, settings: SoftNms
) -> Iterator[tuple[int, float]]:
    return ((int(members[i]), score) for i, score in select(segments[members], scores[members], settings))


def _by_falling_score(selection: tuple[int, float]) -> float:
    return -selection[1]


def _columns(selections: Iterator[tuple[int, float]]) -> tuple[IndexArray, Float32Array]:
    chosen = list(selections)
    return np.array([i for i, _ in chosen], np.int64), np.array([s for _, s in chosen], np.float32)


def _array(tensor: Tensor) -> Float32Array:
    import torch

    if tensor.dtype != torch.float32 or tensor.is_cuda:
        raise ValueError(f"expected a float32 tensor on the CPU, got {tensor.dtype} on {tensor.device}")
    return np.asarray(tensor.detach().numpy())


def checked_candidates(segments: Any, scores: Any) -> tuple[Float32Array, Float32Array]:
    """Return float32 arrays [N, 2] and [N]; ValueError for other shapes and for values that are not finite."""
    segments, scores = np.asarray(segments, np.float32), np.asarray(scores, np.float32)
    if segments.size == 0:
        segments = segments.reshape(0, 2)
    if segments.ndim != 2 or segments.shape[1] != 2 or scores.shape != segments.shape[:1]:
        raise ValueError(f"expected segments [N, 2] and scores [N], got {segments.shape} and {scores.shape}")
    if not (np.isfinite(segments).all() and np.isfinite(scores).all()):
        raise ValueError("segments and scores must be finite")
    return segments, scores
