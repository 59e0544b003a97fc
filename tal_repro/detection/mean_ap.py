"""Mean average precision of detections against instances: tables in, a `MapResult` out. Every mAP of the kit is one.

    result = summarize(match(detections, ground_truth, tious), detections)   # DataFrames, or dicts of columns
    result.average, result.map_per_tiou, result.ap[class, tIoU]  # fractions in 0..1

Columns: `video_id, start_s, end_s, label, score` (no score in the ground truth). Which videos and instances count is
the protocol's matter: `protocols.evaluate` filters first.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tal_repro.detection.matching import Matched, Table
from tal_repro.detection.ties import OFFICIAL, by_falling_score
from tal_repro.detection.tiou import FloatArray, IntArray


@dataclass(frozen=True, eq=False)
class MapResult:
    """Average precision per class and tIoU. Classes without ground truth have none and are named, not averaged."""

    tious: tuple[float, ...]
    classes: tuple[str, ...]  # with ground truth, sorted
    ap: FloatArray  # [classes, tIoUs]
    instances_per_class: IntArray
    missing_classes: tuple[str, ...]  # expected or detected, but without ground truth (TadTR's evaluator: NaN)
    videos: int  # with an instance
    detections: int  # counted
    ignored_detections: int  # of missing classes

    @property
    def instances(self) -> int:
        """Return the number of ground-truth instances."""
        return int(self.instances_per_class.sum())

    @property
    def map_per_tiou(self) -> FloatArray:
        """Return the mean over classes at each tIoU; NaN where there is no ground truth at all."""
        return self.ap.mean(axis=0) if len(self.classes) else np.full(len(self.tious), np.nan)

    @property
    def by_class(self) -> dict[str, float]:
        """Return the AP of each class with ground truth, averaged over tIoUs."""
        return dict(zip(self.classes, self.ap.mean(axis=1).tolist(), strict=True))

    @property
    def average(self) -> float:
        """Return the mean over tIoUs of the mAP."""
        return float(self.map_per_tiou.mean())


def summarize(matched: Matched, detections: Table, classes: Iterable[str] = ()) -> MapResult:
    """Return the interpolated average precision (VOC 2011) of every class with ground truth, at every tIoU.

    `classes` names those expected; one without ground truth is reported in `missing_classes`. A detection in a video
    without ground truth is a false positive.
    """
    named = {str(name) for name in {*np.asarray(detections["label"], object).tolist(), *classes}}
    return MapResult(
        matched.tious,
        matched.classes,
        average_precisions(matched),
        matched.instances_per_class,
        tuple(sorted(named - set(matched.classes))),
        len(np.unique(matched.instance_video)),
        len(matched.row),
        len(detections["label"]) - len(matched.row),
    )


def average_precisions(matched: Matched) -> FloatArray:
    """Return the average precision [classes, tIoUs]."""
    positive = matched.hit >= 0
    return np.array(
        [
            [average_precision(flags[part], int(count)) for flags in positive]
            for part, count in zip(matched.class_slices, matched.instances_per_class, strict=True)
        ]
    ).reshape(len(matched.classes), len(matched.tious))


def average_precision(true_positive: npt.NDArray[np.bool_], instances: int) -> float:
    """Return the area under the interpolated precision-recall curve; flags in order of falling score.

    Recall rises only at a true positive, and the highest precision from there on is reached at one.
    """
    rank = np.flatnonzero(true_positive) + 1
    precision = np.arange(1, len(rank) + 1) / rank
    return float(np.maximum.accumulate(precision[::-1]).sum() / instances)


def recalls(matched: Matched, k: Sequence[int] = (1, 5)) -> FloatArray:
    """Return recall [tIoUs, k]: the mean over classes of the share of instances that a top detection overlaps.

    The top detections of a class in a video are the k x n best scored, n being its instances there; one detection may
    find several instances (EPIC-Kitchens' "Recall@kx", as ActionFormer prints it).
    """
    tious, classes = matched.tious, len(matched.classes)
    group = matched.video * classes + matched.label
    instance_group = matched.instance_video * classes + matched.instance_label
    place = _place_of_officials(matched, group) if matched.tie == OFFICIAL else _place_in_group(group)
    population = np.bincount(instance_group, minlength=1)
    detection, instance, overlap = matched.pairs
    recall = np.zeros((len(tious), len(k)))
    for row, threshold in enumerate(tious):
        for column, top in enumerate(k):
            near = (overlap >= threshold) & (place[detection] < top * population[instance_group[instance]])
            recalled = np.unique(instance[near])
            per_class = np.bincount(matched.instance_label[recalled], minlength=classes)
            recall[row, column] = np.mean(per_class / matched.instances_per_class) if classes else np.nan
    return recall


def _place_in_group(group: IntArray) -> IntArray:
    """Return each element's number within its group, in order of appearance."""
    order = np.argsort(group, kind="stable")
    starts = np.flatnonzero(np.diff(group[order], prepend=-1))
    place = np.empty(len(group), np.int64)
    place[order] = np.arange(len(group)) - np.repeat(starts, np.diff(np.append(starts, len(group))))
    return place


def _place_of_officials(matched: Matched, group: IntArray) -> IntArray:
    """Return each detection's rank in its class and video as the official evaluators sort it: anew, from the file."""
    as_given = np.argsort(matched.row)
    order = as_given[by_falling_score(group[as_given], matched.score[as_given], OFFICIAL)]
    place = np.empty(len(group), np.int64)
    place[order] = _place_in_group(group[order])
    return place


_RESAMPLES_AT_ONCE = 50  # bounds memory


@dataclass(frozen=True)
class Interval:
    """A percentile bootstrap interval of the average mAP, as a fraction."""

    low: float
    high: float
    std: float
    confidence: float
    resamples: int


def bootstrap_interval(
    matched: Matched, videos: int, resamples: int = 1000, confidence: float = 0.95, seed: int = 0
) -> Interval:
    """Return the interval of the average mAP over `videos` counted videos (those without any row included).

    A class that a resample left without an instance is left out of that resample's mean.
    """
    if resamples < 2 or not 0 < confidence < 1:
        raise ValueError(f"need at least 2 resamples and a confidence in (0, 1), got {resamples} and {confidence}")
    averages = bootstrap_averages(matched, videos, resamples, seed)
    tail = 100 * (1 - confidence) / 2
    low, high = np.nanpercentile(averages, [tail, 100 - tail])
    return Interval(float(low), float(high), float(np.nanstd(averages, ddof=1)), confidence, resamples)


def bootstrap_averages(matched: Matched, videos: int, resamples: int, seed: int) -> FloatArray:
    """Return the average mAP of each resample [resamples]."""
    total = max(videos, len(matched.videos))
    draws = np.random.default_rng(seed).multinomial(total, np.full(total, 1 / total), size=resamples)
    times = draws[:, : len(matched.videos)]  # how often each video with a row was drawn
    parts = [times[i : i + _RESAMPLES_AT_ONCE] for i in range(0, resamples, _RESAMPLES_AT_ONCE)]
    return np.concatenate([_averages(matched, part) for part in parts])


def _averages(matched: Matched, times: IntArray) -> FloatArray:
    per_class = [_class_precisions(matched, times, label) for label in range(len(matched.classes))]
    with np.errstate(invalid="ignore"):
        precisions = np.stack(per_class)  # [classes, resamples], NaN without an instance
        present = np.isfinite(precisions)
        count = np.where(present.any(axis=0), present.sum(axis=0), np.nan)
        return np.asarray(np.where(present, precisions, 0).sum(axis=0) / count, np.float64)


def _class_precisions(matched: Matched, times: IntArray, label: int) -> FloatArray:
    """Return a class's average precision, averaged over tIoUs, in each resample."""
    rows = matched.class_slices[label]
    weight = times[:, matched.video[rows]]
    instances = times[:, matched.instance_video[matched.instance_label == label]].sum(axis=1)
    counted = np.cumsum(weight, axis=1)
    total = np.zeros(len(times))
    for hit in matched.hit[:, rows]:
        positive = np.flatnonzero(hit >= 0)
        if len(positive):
            gained = weight[:, positive]
            precision = np.cumsum(gained, axis=1) / np.maximum(counted[:, positive], 1)
            envelope = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
            total += (gained * envelope).sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(instances > 0, total / instances / len(matched.tious), np.nan)
