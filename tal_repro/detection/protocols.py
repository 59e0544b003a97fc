"""Which test videos and instances count: ground truth in, filtered ground truth and mAP out. Every mAP carries one.

    truth = GroundTruth(durations_s={"video_test_0000004": 33.7, ...}, instances=table, classes=names)
    evaluation = evaluate(detections, truth, "af-212")       # detections: video_id, start_s, end_s, label, score
    evaluation.result.average, evaluation.videos, evaluation.ignored

A protocol filters; the counts it leaves (212 videos and 3358 instances on the whole THUMOS14, say) are reported, never
enforced, so that any subset can be scored.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from tal_repro.annotations import AMBIGUOUS
from tal_repro.detection.matching import BoolArray, Matched, Table, match
from tal_repro.detection.mean_ap import MapResult, summarize
from tal_repro.detection.ties import FIRST
from tal_repro.detection.tiou import FloatArray
from tal_repro.errors import InputError
from tal_repro.thumos14 import PROTOCOL, TIOUS

DUPLICATE_TOLERANCE_S = 1e-3
OUT_OF_RANGE_TOLERANCE_S = 0.1  # annotations are rounded to 0.1 s

WRONG_TEST_VIDEOS = ("video_test_0000270", "video_test_0001292", "video_test_0001496")


@dataclass(frozen=True, eq=False)
class GroundTruth:
    """The annotations of one subset as read: every video, every instance, `Ambiguous` ones included.

    `instances` has the columns video_id, start_s, end_s, label; a duration is NaN where the file states none.
    """

    durations_s: Mapping[str, float]
    instances: Table
    classes: tuple[str, ...] = ()  # those expected; without `Ambiguous`
    class_ids: Mapping[int, str] = field(default_factory=dict)  # how files that number classes number them
    synthetic: bool = False  # as the file says; every output of it must say so too
    left_out: Mapping[str, int] = field(default_factory=dict)  # actions that the reader's rules left out, by reason
    notes: tuple[str, ...] = ()  # what its reader took for granted


@dataclass(frozen=True)
class Protocol:
    """A rule of what counts, and where it comes from."""

    name: str
    source: str
    ignored_videos: tuple[str, ...] = ()
    drops_duplicates: bool = False  # the same class, start and end within 1 ms; and instances shorter than that
    drops_out_of_range: bool = False  # ending beyond the video's end
    needs_instances: bool = False  # a video without any counted instance is left out, with its detections
    tious: str = "0.3:0.7:0.1"  # that its owner averages over, for `tious.read_tious`


PROTOCOLS: Mapping[str, Protocol] = {
    protocol.name: protocol
    for protocol in (
        Protocol(
            "af-212",
            "ActionFormer, TriDet, TemporalMaxer: 212 videos, 3358 instances",
            drops_duplicates=True,
        ),
        Protocol(
            "opentad-211",
            "OpenTAD: 211 videos, 3325 instances",
            ignored_videos=("video_test_0000270",),
            drops_duplicates=True,
            drops_out_of_range=True,
        ),
        Protocol(
            "tadtr-210",
            "TadTR (after SSN, P-GCN): 210 videos, about 3311 instances",
            ignored_videos=WRONG_TEST_VIDEOS,
            needs_instances=True,
            tious="0.3,0.4,0.5,0.6,0.7",
        ),
    )
}
# of any data set: trainings are not scored under them
SCORED_ONLY: Mapping[str, Protocol] = {
    "activitynet": Protocol(
        "activitynet", "ActivityNet, HACS: every video and instance of the subset", tious="0.5:0.95:0.05"
    ),
}


@dataclass(frozen=True, eq=False)
class Evaluation:
    """A mAP with the protocol it is under and the rows that the protocol left out."""

    protocol: str
    result: MapResult
    matched: Matched  # for the bootstrap
    detections: Table  # that count
    ground_truth: Table  # that counts
    videos: int  # counted, with or without an instance
    ignored: Mapping[str, int]  # rows left out, by reason


def find_protocol(name: str) -> Protocol:
    """Return the protocol of a name; raise InputError with the known names otherwise."""
    known = {**PROTOCOLS, **SCORED_ONLY}
    if name not in known:
        raise InputError(f"unknown protocol {name!r}", remedy=f"use one of: {', '.join(known)}")
    return known[name]


def evaluate(
    detections: Table,
    ground_truth: GroundTruth,
    protocol: str | Protocol = PROTOCOL,
    tious: Sequence[float] = TIOUS,
    tie: str = FIRST,
) -> Evaluation:
    """Return the mAP of detections under a protocol. Detections of videos that do not count are left out, counted."""
    rule = find_protocol(protocol) if isinstance(protocol, str) else protocol
    reasons = _instance_reasons(ground_truth, rule)
    counted = {name: column[reasons == ""] for name, column in _columns(ground_truth.instances).items()}
    videos = counted_videos(ground_truth, rule)
    video_ids = np.asarray(detections["video_id"], object)
    known = _isin(video_ids, videos)
    kept = {name: np.asarray(detections[name])[known] for name in (*_TIMED_LABEL, "score")}
    matched = match(kept, counted, tious, tie)
    result = summarize(matched, kept, ground_truth.classes)
    ignored = {f"instances: {reason}": int((reasons == reason).sum()) for reason in np.unique(reasons) if reason}
    ignored |= {f"instances: {reason}": count for reason, count in ground_truth.left_out.items()}
    in_file = _isin(video_ids, ground_truth.durations_s.keys())
    ignored |= {
        "detections: video not counted": int((in_file & ~known).sum()),
        "detections: video not in the subset": int((~in_file).sum()),
        "detections: class without ground truth": result.ignored_detections,
    }
    left_out = {reason: rows for reason, rows in ignored.items() if rows}
    return Evaluation(rule.name, result, matched, kept, counted, len(videos), left_out)


def counted_instances(ground_truth: GroundTruth, protocol: Protocol) -> dict[str, np.ndarray]:
    """Return the columns video_id, start_s, end_s, label of the instances that count, in the file's order."""
    keep = _instance_reasons(ground_truth, protocol) == ""
    return {name: column[keep] for name, column in _columns(ground_truth.instances).items()}


def counted_videos(ground_truth: GroundTruth, protocol: Protocol) -> set[str]:
    """Return the videos whose detections count.

    A video whose every annotation is `Ambiguous` never counts; one without annotations does (its detections are false
    positives) unless the protocol needs instances.
    """
    with_instances = set(counted_instances(ground_truth, protocol)["video_id"].tolist())
    if protocol.needs_instances:
        return with_instances
    columns = _columns(ground_truth.instances)
    ambiguous = set(columns["video_id"][columns["label"] == AMBIGUOUS].tolist())
    actions = set(columns["video_id"][columns["label"] != AMBIGUOUS].tolist())
    return set(ground_truth.durations_s) - (ambiguous - actions) - set(protocol.ignored_videos)


def beyond_end(instances: Table, ground_truth: GroundTruth) -> BoolArray:
    """Return which instances end beyond their video's end, where the file states one; THUMOS14 has a few dozen."""
    end_of_video = np.array([ground_truth.durations_s.get(v, np.nan) for v in instances["video_id"]], float)
    return np.asarray(np.asarray(instances["end_s"], float) > end_of_video + OUT_OF_RANGE_TOLERANCE_S, bool)


_TIMED_LABEL = ("video_id", "start_s", "end_s", "label")


def _instance_reasons(ground_truth: GroundTruth, protocol: Protocol) -> np.ndarray:
    """Return, for each instance, why it does not count ("" if it does)."""
    columns = _columns(ground_truth.instances)
    reasons = np.full(len(columns["label"]), "", object)
    if protocol.drops_duplicates:
        reasons[_repeated(columns)] = "duplicate or shorter than 1 ms"
    if protocol.drops_out_of_range:
        reasons[beyond_end(columns, ground_truth)] = "beyond the video's end"
    reasons[_isin(columns["video_id"], protocol.ignored_videos)] = "video not counted"
    reasons[columns["label"] == AMBIGUOUS] = "Ambiguous"
    return reasons


def _repeated(columns: Mapping[str, np.ndarray]) -> BoolArray:
    """Return which instances are too short or repeat an earlier one that is kept."""
    drop = columns["end_s"] - columns["start_s"] < DUPLICATE_TOLERANCE_S
    kept: dict[tuple[str, str], list[FloatArray]] = {}
    segments = np.stack([columns["start_s"], columns["end_s"]], axis=1)
    for row, key in enumerate(zip(columns["video_id"], columns["label"], strict=True)):
        if drop[row]:
            continue
        earlier = kept.setdefault(key, [])
        drop[row] = any((np.abs(segments[row] - other) <= DUPLICATE_TOLERANCE_S).all() for other in earlier)
        if not drop[row]:
            earlier.append(segments[row])
    return np.asarray(drop, bool)


def _columns(instances: Table) -> dict[str, np.ndarray]:
    types = (object, np.float64, np.float64, object)
    return {name: np.asarray(instances[name], kind) for name, kind in zip(_TIMED_LABEL, types, strict=True)}


def _isin(values: np.ndarray, chosen: Iterable[str]) -> BoolArray:
    names = set(chosen)
    return np.fromiter((value in names for value in values), bool, len(values))
