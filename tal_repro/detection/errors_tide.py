"""Why detections are wrong: each false positive and each missed instance gets one type, and each type its cost in mAP.

After TIDE (Bolya et al., ECCV 2020), in one dimension. At the foreground tIoU t and the background tIoU b (0.1):
duplicate (tIoU >= t with an instance of its class that a better detection has), localisation (b <= tIoU < t, right
class), confusion (tIoU >= t with another class), both (b <= tIoU < t with another class only), background (all else),
missed (an instance that nothing found, and that no localisation or confusion error explains).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from tal_repro.detection.matching import BoolArray, Matched, Table, match
from tal_repro.detection.mean_ap import average_precision, average_precisions
from tal_repro.detection.ties import FIRST
from tal_repro.detection.tiou import FloatArray, IntArray, overlapping_pairs

FALSE_POSITIVE_TYPES = ("duplicate", "localisation", "confusion", "both", "background")
TYPES = (*FALSE_POSITIVE_TYPES, "missed")
BACKGROUND_TIOU = 0.1


@dataclass(frozen=True, eq=False)
class ErrorTypes:
    """Counts of each type, and how much the mAP at `tiou` would rise if that type alone were mended."""

    tiou: float
    counts: Mapping[str, int]
    map_gain: Mapping[str, float]
    kind: np.ndarray  # type of each matched detection, "" for a true positive


def error_types(detections: Table, ground_truth: Table, tiou: float = 0.5, tie: str = FIRST) -> ErrorTypes:
    """Type every error at one tIoU. Mending: a localisation or confusion error becomes a hit on its instance if that
    is not found already (else it goes); the other false positives go; missed instances are not asked for."""
    matched = match(detections, ground_truth, (tiou,), tie)
    if not len(matched.classes):
        return ErrorTypes(tiou, dict.fromkeys(TYPES, 0), dict.fromkeys(TYPES, 0.0), np.zeros(0, object))
    same = _best_pairs(matched, same_class=True)
    other = _best_pairs(matched, same_class=False)
    hits = matched.hit[0] >= 0
    near_same, near_other = same[1] >= BACKGROUND_TIOU, other[1] >= BACKGROUND_TIOU
    kind = np.select(
        [hits, same[1] >= tiou, near_same, other[1] >= tiou, near_other],
        ["", "duplicate", "localisation", "confusion", "both"],
        "background",
    ).astype(object)
    taken = np.zeros(len(matched.instance_label), bool)
    taken[matched.hit[0][hits]] = True
    explained = taken.copy()
    explained[same[0][kind == "localisation"]] = True
    explained[other[0][kind == "confusion"]] = True
    counts = {name: int((kind == name).sum()) for name in FALSE_POSITIVE_TYPES} | {"missed": int((~explained).sum())}
    base = float(average_precisions(matched).mean())
    targets = {"localisation": same[0], "confusion": other[0]}
    gains = {name: _mended(matched, kind == name, taken, targets.get(name)) - base for name in FALSE_POSITIVE_TYPES}
    gains["missed"] = _without_missed(matched, explained) - base
    return ErrorTypes(tiou, counts, gains, kind)


def _best_pairs(matched: Matched, same_class: bool) -> tuple[IntArray, FloatArray]:
    """Return, for each detection, the instance of (not) its class with the highest tIoU, and that tIoU (0: none)."""
    detection, instance, overlap = overlapping_pairs(
        matched.video, matched.segment, matched.instance_video, matched.instance_segment, BACKGROUND_TIOU
    )
    chosen = (matched.label[detection] == matched.instance_label[instance]) == same_class
    detection, instance, overlap = detection[chosen], instance[chosen], overlap[chosen]
    order = np.lexsort((-instance, overlap, detection))  # the last of a detection is its best
    best, value = np.zeros(len(matched.row), np.int64), np.zeros(len(matched.row))
    best[detection[order]], value[detection[order]] = instance[order], overlap[order]
    return best, value


def _mended(matched: Matched, wrong: BoolArray, taken: BoolArray, target: IntArray | None) -> float:
    """Return the mAP once the wrong detections are mended onto `target` instances (None: removed)."""
    hit, label = matched.hit[0].copy(), matched.label.copy()
    if target is not None:
        by_score = np.flatnonzero(wrong)[np.argsort(-matched.score[wrong], kind="stable")]
        free = by_score[~taken[target[by_score]]]
        first = free[np.sort(np.unique(target[free], return_index=True)[1])]
        hit[first] = target[first]
        label[first] = matched.instance_label[target[first]]
    keep = ~wrong | (hit >= 0)
    return _mean_precision(label[keep], matched.score[keep], hit[keep] >= 0, matched.instances_per_class)


def _without_missed(matched: Matched, explained: BoolArray) -> float:
    rest = np.bincount(matched.instance_label[explained], minlength=len(matched.classes))
    return _mean_precision(matched.label, matched.score, matched.hit[0] >= 0, rest)


def _mean_precision(label: IntArray, score: FloatArray, positive: BoolArray, instances: IntArray) -> float:
    order = np.lexsort((-score, label))
    label, positive = label[order], positive[order]
    per_class = [average_precision(positive[label == c], int(n)) if n else 1.0 for c, n in enumerate(instances)]
    return float(np.mean(per_class))
