"""The order among equals, which decides a mAP by thousandths: of equal scores, and of instances with one tIoU.

`first` (the kit's rule, the same on every machine): equal scores keep the order of the file, of equal tIoUs the
earlier instance comes first. `official`: what the evaluators of ActivityNet, TadTR and ActionFormer do, which sort with
numpy's default sort and turn the result round (`values.argsort()[::-1]`). That sort keeps no order among equals: which
one comes first depends on how many values there are and on numpy's version and the processor's instructions. The same
call on the same values is the one way to be equal to them, so it is what this module makes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from tal_repro.detection.tiou import FloatArray, IntArray, tiou

FIRST, OFFICIAL = "first", "official"
TIES = (FIRST, OFFICIAL)


def by_falling_score(group: IntArray, score: FloatArray, tie: str = FIRST) -> IntArray:
    """Return the order [N] of detections by group, then falling score; `tie` orders equal scores within a group."""
    if tie == FIRST:
        return np.lexsort((-score, group))
    members = np.argsort(group, kind="stable")
    bounds = np.flatnonzero(np.diff(group[members])) + 1
    return np.concatenate([_reversed_sort(score, part) for part in np.split(members, bounds)])


def _reversed_sort(values: FloatArray, members: IntArray) -> IntArray:
    return members[np.argsort(values[members])[::-1]]


def prefer(
    pairs: tuple[IntArray, IntArray, FloatArray],
    tie: str,
    segment: FloatArray,
    instance_group: IntArray,
    instance_segment: FloatArray,
) -> tuple[IntArray, IntArray, FloatArray]:
    """Return pairs (detection, instance, tIoU), given by detection, with each detection's best instance first.

    `segment` [N, 2] and `instance_segment` [M, 2] are in seconds; `instance_group` [M] holds instances of one video and
    class together, in the order of the file.
    """
    detection, instance, overlap = pairs
    repeats = np.diff(detection) == 0
    several = np.flatnonzero(np.append(repeats, False) | np.insert(repeats, 0, False))
    order = np.arange(len(detection))
    order[several] = several[np.lexsort((instance[several], -overlap[several], detection[several]))]
    detection, instance, overlap = detection[order], instance[order], overlap[order]
    if tie == OFFICIAL:
        _as_sorted_by_numpy(detection, instance, overlap, segment, instance_group, instance_segment)
    return detection, instance, overlap


def _as_sorted_by_numpy(
    detection: IntArray,
    instance: IntArray,
    overlap: FloatArray,
    segment: FloatArray,
    instance_group: IntArray,
    instance_segment: FloatArray,
) -> None:
    """Reorder, in place, the pairs of each detection that has two equal tIoUs, among all instances of its group."""
    equal = (np.diff(detection) == 0) & (np.diff(overlap) == 0)
    by_group = np.argsort(instance_group, kind="stable")
    sorted_groups = instance_group[by_group]
    for index in np.unique(detection[:-1][equal]):
        rows = slice(*np.searchsorted(detection, [index, index + 1]))
        group = instance_group[instance[rows.start]]
        members = by_group[slice(*np.searchsorted(sorted_groups, [group, group + 1]))]
        all_overlaps = _tious(segment[index], instance_segment[members])
        place = {int(members[at]): rank for rank, at in enumerate(np.argsort(all_overlaps)[::-1])}
        turned = sorted(range(rows.start, rows.stop), key=lambda row: place[int(instance[row])])
        instance[rows], overlap[rows] = instance[turned], overlap[turned]


def _tious(segment: FloatArray, others: FloatArray) -> npt.NDArray[Any]:
    return np.asarray(tiou(segment[0], segment[1], others[:, 0], others[:, 1]), np.float64)
