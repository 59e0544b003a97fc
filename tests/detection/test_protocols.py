"""What counts under each protocol, and that whatever does not count is counted."""

from __future__ import annotations

import pytest

from tal_repro.detection.protocols import (
    PROTOCOLS,
    GroundTruth,
    beyond_end,
    counted_instances,
    counted_videos,
    evaluate,
    find_protocol,
)
from tal_repro.errors import InputError

ROWS = [
    ("video_test_0000270", 0, 5, "Diving"),
    ("video_test_0001496", 0, 5, "Diving"),
    ("video_test_0001292", 0, 5, "Ambiguous"),
    ("good", 0, 10, "Diving"),
    ("good", 0.0005, 10.0005, "Diving"),  # repeats the one before
    ("good", 0, 10, "CliffDiving"),  # another class: no repeat
    ("good", 50, 61, "Diving"),  # beyond the end
    ("good", 20, 20, "Diving"),  # an instant
    ("good", 30, 40, "Ambiguous"),
]


@pytest.fixture
def truth() -> GroundTruth:
    columns = dict(zip(("video_id", "start_s", "end_s", "label"), map(list, zip(*ROWS, strict=True)), strict=True))
    videos = dict.fromkeys([row[0] for row in ROWS] + ["empty"], 60.0)
    return GroundTruth(videos, columns, ("CliffDiving", "Diving", "GolfSwing"))


@pytest.mark.parametrize(
    ("name", "instances", "videos"),
    [
        ("af-212", 5, {"good", "empty", "video_test_0000270", "video_test_0001496"}),
        ("opentad-211", 3, {"good", "empty", "video_test_0001496"}),
        ("tadtr-210", 5, {"good"}),
    ],
)
def test_each_protocol_counts_its_own(truth, name, instances, videos) -> None:
    assert len(counted_instances(truth, PROTOCOLS[name])["label"]) == instances
    assert counted_videos(truth, PROTOCOLS[name]) == videos


def test_an_action_may_end_beyond_its_video_by_what_annotations_are_rounded_to(truth) -> None:
    found = beyond_end({"video_id": ["good"] * 3 + ["unknown"], "end_s": [60.0, 60.05, 60.2, 99.0]}, truth)
    assert found.tolist() == [False, False, True, False]


def test_left_out_rows_are_reported_by_reason(truth) -> None:
    detections = {
        "video_id": ["good", "video_test_0000270", "elsewhere", "good"],
        "start_s": [0, 0, 0, 0],
        "end_s": [10, 5, 5, 10],
        "label": ["Diving", "Diving", "Diving", "GolfSwing"],
        "score": [0.9, 0.8, 0.7, 0.6],
    }
    evaluation = evaluate(detections, truth, "opentad-211")
    assert evaluation.ignored == {
        "instances: Ambiguous": 2,
        "instances: video not counted": 1,
        "instances: beyond the video's end": 1,
        "instances: duplicate or shorter than 1 ms": 2,
        "detections: video not counted": 1,
        "detections: video not in the subset": 1,
        "detections: class without ground truth": 1,
    }
    assert evaluation.result.missing_classes == ("GolfSwing",)
    assert evaluation.videos == 3
    assert evaluation.result.instances == 3
    assert evaluation.result.ap[1].tolist() == pytest.approx([0.5] * 5)  # Diving: one hit of two instances


def test_a_false_positive_in_a_video_without_instances_counts_under_af_but_not_under_tadtr(truth) -> None:
    detections = {"video_id": ["empty", "good"], "start_s": [0, 0], "end_s": [10, 10], "label": ["CliffDiving"] * 2}
    detections["score"] = [0.9, 0.8]
    assert evaluate(detections, truth, "af-212").result.ap[0].tolist() == [0.5] * 5
    assert evaluate(detections, truth, "tadtr-210").result.ap[0].tolist() == [1] * 5


def test_the_counts_are_never_enforced(truth) -> None:
    assert evaluate({c: [] for c in ("video_id", "start_s", "end_s", "label", "score")}, truth).result.average == 0


def test_an_unknown_protocol_names_the_known() -> None:
    with pytest.raises(InputError, match="af-212, opentad-211, tadtr-210"):
        find_protocol("af-213")
