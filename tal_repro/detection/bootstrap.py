"""How sure a mAP is: percentile interval over resampled test videos. Matched detections in, an interval out.

Videos are drawn with replacement, each with all its detections and instances. Matching happens within a video, so a
resample only changes how often each row counts; two copies of a video are two videos.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tal_repro.detection.matching import Matched
from tal_repro.detection.tiou import FloatArray, IntArray

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
