"""Temporal intersection over union, the one measure that NMS voting, matching and the error types share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

_PAIRS_AT_ONCE = 1 << 20  # bounds memory: 8 MiB a column


def tiou(start: Any, end: Any, other_start: Any, other_end: Any) -> Any:
    """Return the tIoU of segments, element by element with broadcasting.

    Intersection (not below 0) over union, the union being the sum of both lengths less the intersection, in that
    order of operations (ActivityNet's). Two segments without any length have tIoU 0 (0/0 upstream, where a NaN then
    passes every threshold).
    """
    intersection = np.maximum(np.minimum(end, other_end) - np.maximum(start, other_start), 0)
    union = (other_end - other_start) + (end - start) - intersection
    return np.divide(intersection, union, out=np.zeros(np.shape(union), np.result_type(union)), where=union > 0)


def overlapping_pairs(
    groups: IntArray, segments: FloatArray, other_groups: IntArray, other_segments: FloatArray, least_tiou: float
) -> tuple[IntArray, IntArray, FloatArray]:
    """Return the pairs (i, j, tIoU) of one group whose tIoU is at least `least_tiou` (above 0), in order of i."""
    pairs: list[tuple[IntArray, IntArray, FloatArray]] = []
    for i, j in _near_pairs(groups, segments, other_groups, other_segments[:, 0], least_tiou):
        overlap = tiou(segments[i, 0], segments[i, 1], other_segments[j, 0], other_segments[j, 1])
        keep = np.flatnonzero((overlap >= least_tiou) & (overlap > 0))
        pairs.append((i[keep], j[keep], overlap[keep]))
    if not pairs:
        return np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0)
    i, j, overlap = (np.concatenate(column) for column in zip(*pairs, strict=True))
    return i, j, overlap


def _near_pairs(
    groups: IntArray, segments: FloatArray, other_groups: IntArray, other_starts: FloatArray, least_tiou: float
) -> Iterator[tuple[IntArray, IntArray]]:
    """Yield the pairs (i, j) of one group in which j starts near enough to i for the tIoU, a block at a time.

    A tIoU of t bounds j's length by i's length L / t and its start to [start - L (1 - t) / t, start + L (1 - t)].
    """
    starts = np.sort(other_starts)
    ranks = len(starts) + 1
    key = other_groups * ranks + np.searchsorted(starts, other_starts)  # by group, then start
    by_key = np.argsort(key, kind="stable")
    key = key[by_key]
    length = segments[:, 1] - segments[:, 0]
    slack = 1e-9 * (np.abs(segments).sum(axis=1) + 1)
    earliest = segments[:, 0] - length * (1 - least_tiou) / least_tiou - slack
    latest = segments[:, 0] + length * (1 - least_tiou) + slack
    first = np.searchsorted(key, groups * ranks + np.searchsorted(starts, earliest, side="left"))
    count = np.searchsorted(key, groups * ranks + np.searchsorted(starts, latest, side="right")) - first
    with_pairs = np.flatnonzero(count > 0)
    ends = np.cumsum(count[with_pairs])
    begin = 0
    while begin < len(with_pairs):
        done = int(ends[begin - 1]) if begin else 0
        stop = max(begin + 1, int(np.searchsorted(ends, done + _PAIRS_AT_ONCE, side="right")))
        rows = with_pairs[begin:stop]
        repeats = count[rows]
        offset = np.arange(repeats.sum()) - np.repeat(np.cumsum(repeats) - repeats, repeats)
        yield np.repeat(rows, repeats), by_key[np.repeat(first[rows], repeats) + offset]
        begin = stop
