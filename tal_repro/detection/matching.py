"""Which detections hit which instances: tables in, true-positive flags out. Mean AP, bootstrap and errors read it.

Rule (ActivityNet's): detections of a class in order of falling score; each takes the free instance of its video with
the highest tIoU, if that is at least the threshold. The order among equals is that of `ties`: the kit's stable one, or
the official evaluators' own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from tal_repro.detection.ties import FIRST, by_falling_score, prefer
from tal_repro.detection.tiou import FloatArray, IntArray, overlapping_pairs

BoolArray = npt.NDArray[np.bool_]


class Table(Protocol):
    """Columns by name: a pandas DataFrame, or a dict of arrays."""

    def __getitem__(self, name: str, /) -> Any: ...


@dataclass(frozen=True, eq=False)
class Matched:
    """Detections and instances as arrays, coded and sorted. `row` leads back to the given detections.

    Detections are sorted by class, then falling score; those of a class without ground truth are left out. `tie` orders
    equals (`ties`).
    """

    videos: tuple[str, ...]
    classes: tuple[str, ...]  # those with ground truth, sorted
    tious: tuple[float, ...]
    row: IntArray  # [N] index into the given detections
    video: IntArray  # [N]
    label: IntArray  # [N]
    score: FloatArray  # [N]
    segment: FloatArray  # [N, 2] seconds
    instance_video: IntArray  # [M]
    instance_label: IntArray  # [M]
    instance_segment: FloatArray  # [M, 2]
    hit: IntArray  # [tIoUs, N] instance taken, -1 for a false positive
    pairs: tuple[IntArray, IntArray, FloatArray]  # detection, instance of the same class, tIoU >= the least threshold
    tie: str = FIRST

    @property
    def class_slices(self) -> list[slice]:
        """Return where each class's detections lie."""
        bounds = np.searchsorted(self.label, np.arange(len(self.classes) + 1))
        return [slice(int(a), int(b)) for a, b in pairwise(bounds)]

    @property
    def instances_per_class(self) -> IntArray:
        """Return the number of instances of each class."""
        return np.bincount(self.instance_label, minlength=len(self.classes))


def match(detections: Table, ground_truth: Table, tious: Sequence[float], tie: str = FIRST) -> Matched:
    """Match detections (video_id, start_s, end_s, label, score) to instances (the same without score).

    Raises ValueError for no thresholds, for one outside (0, 1], and for values that are not finite.
    """
    if len(tious) == 0 or not all(0 < t <= 1 for t in tious):
        raise ValueError(f"tIoU thresholds must lie in (0, 1], got {tuple(tious)}")
    segment, instance_segment = _segments(detections, "detections"), _segments(ground_truth, "ground truth")
    score = _finite(detections, "score", "detections")
    videos, (video, instance_video) = _codes(detections["video_id"], ground_truth["video_id"])
    all_classes, (label, instance_label) = _codes(detections["label"], ground_truth["label"])
    present = sorted({all_classes[code] for code in np.unique(instance_label)})
    recode = np.full(len(all_classes), -1)
    recode[[all_classes.index(name) for name in present]] = np.arange(len(present))
    label, instance_label = recode[label], recode[instance_label]

    order = by_falling_score(label, score, tie)
    order = order[label[order] >= 0]
    video, label, segment = video[order], label[order], segment[order]
    classes = max(len(present), 1)
    instance_group = instance_video * classes + instance_label
    pairs = overlapping_pairs(video * classes + label, segment, instance_group, instance_segment, min(tious))
    pairs = prefer(pairs, tie, segment, instance_group, instance_segment)
    hit = np.stack([assign(*_at_least(pairs, t), len(order), len(instance_segment)) for t in tious])
    return Matched(
        tuple(map(str, videos)),
        tuple(map(str, present)),
        tuple(float(t) for t in tious),
        order,
        video,
        label,
        score[order],
        segment,
        instance_video,
        instance_label,
        instance_segment,
        hit,
        pairs,
        tie,
    )


def assign(detection: IntArray, instance: IntArray, detections: int, instances: int) -> IntArray:
    """Return the instance taken by each detection (-1: none), from pairs in order of priority and preference.

    The greedy rule is a stable matching in which all instances rank detections alike, so deferred acceptance finds
    the same one in a few vectorised rounds: everyone asks for the best instance left, each instance refuses all but
    its first in rank, and a refusal is final.
    """
    taken = np.full(detections, -1)
    while True:
        asks = np.flatnonzero(np.diff(detection, prepend=-1))  # each detection's best pair left
        holder = np.full(instances, detections)
        holder[instance[asks[::-1]]] = detection[asks[::-1]]  # the last write, the first in rank, stays
        accepted = detection <= holder[instance]
        if accepted.all():
            taken[detection[asks]] = instance[asks]
            return taken
        detection, instance = detection[accepted], instance[accepted]


def _at_least(pairs: tuple[IntArray, IntArray, FloatArray], threshold: float) -> tuple[IntArray, IntArray]:
    chosen = np.flatnonzero(pairs[2] >= threshold)
    return pairs[0][chosen], pairs[1][chosen]


def _codes(*columns: Any) -> tuple[list[Any], list[IntArray]]:
    import pandas as pd

    arrays = [np.asarray(column) for column in columns]
    codes, names = pd.factorize(np.concatenate([a.astype(object) for a in arrays]))
    return list(names), np.split(codes.astype(np.int64), np.cumsum([len(a) for a in arrays])[:-1])


def _finite(table: Table, column: str, name: str) -> FloatArray:
    values = np.asarray(table[column], np.float64)
    bad = np.flatnonzero(~np.isfinite(values))
    if len(bad):
        raise ValueError(f"{name}: {column} of row {bad[0]} is not finite")
    return values


def _segments(table: Table, name: str) -> FloatArray:
    return np.stack([_finite(table, "start_s", name), _finite(table, "end_s", name)], axis=1)
