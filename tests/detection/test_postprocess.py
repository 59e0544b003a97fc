"""Post-processing of a video: settings of the pyramid models, seconds and clipping, and the merging of slices."""

from __future__ import annotations

import numpy as np
import pytest

from tal_repro.detection.postprocess import (
    SliceCandidates,
    Suppression,
    _keep_per_class,
    detections_table,
    merge_slices,
    pyramid_detections,
    steps_to_seconds,
    suppress,
)
from tal_repro.detection.soft_nms import SoftNms
from tests.detection.scalar_oracles import scalar_soft_nms


def candidates(seed, n=200, classes=3):
    rng = np.random.default_rng(seed)
    start = rng.random(n) * 100
    segments = np.stack([start, start + rng.exponential(10, n)], axis=1).astype(np.float32)
    return segments, rng.random(n).astype(np.float32) ** 2, rng.integers(0, classes, n)


@pytest.mark.parametrize("most", [5, 80, 1000])
def test_the_pyramid_models_list_equals_a_plain_per_class_loop(most) -> None:
    segments, scores, labels = candidates(0)
    expected = []
    for label in range(3):
        members = np.flatnonzero(labels == label)
        chosen = scalar_soft_nms(segments[members], scores[members], 0.1, 0.5, 0.001, 2)[:most]
        expected += [(score, label, members[i]) for i, score in chosen]
    expected.sort(key=lambda item: -item[0])
    kept = suppress(segments, scores, labels, most)
    assert kept.scores.tolist() == [s for s, _, _ in expected[:most]]
    assert kept.labels.tolist() == [c for _, c, _ in expected[:most]]
    np.testing.assert_array_equal(kept.segments, segments[[i for *_, i in expected[:most]]])


def test_steps_become_seconds_as_torch_computes_them() -> None:
    torch = pytest.importorskip("torch", reason="pip install the torch extra to run it")
    segments = candidates(1)[0] - 20
    seconds = (torch.from_numpy(segments) * 4 + 0.5 * 16) / 29.97
    seconds = torch.where(seconds <= 0, torch.zeros(()), torch.where(seconds >= 11.3, torch.tensor(11.3), seconds))
    np.testing.assert_array_equal(steps_to_seconds(segments, 29.97, 11.3, 4, 16), seconds.numpy())


def test_a_step_is_centred_on_its_clip_and_clipped_to_the_video() -> None:
    found = pyramid_detections([[-9.0, 7.0], [0, 1e4]], [0.9, 0.8], [0, 1], fps=10, duration_s=30, max_detections=9)
    np.testing.assert_allclose(found.segments, [[0, 3.6], [0.8, 30]], rtol=1e-6)
    assert found.labels.tolist() == [0, 1]


def test_hard_nms_leaves_out_low_scores_and_overlaps() -> None:
    given = [[0, 10], [1, 10], [20, 30], [40, 50]], [0.9, 0.8, 0.7, 0.0005], [0, 0, 0, 0]
    assert suppress(*given, 9, Suppression(hard=True)).scores.tolist() == pytest.approx([0.9, 0.7])
    assert len(suppress(*given, 1, Suppression(hard=True)).scores) == 1
    per_class = suppress(given[0], given[1], [0, 1, 0, 0], 9, Suppression(hard=True))
    assert per_class.scores.tolist() == pytest.approx([0.9, 0.8, 0.7])


def test_voting_moves_segments_only_without_classes() -> None:
    given = [[0, 10], [1, 10]], [0.5, 0.5], [0, 0]
    moved = suppress(*given, 1, Suppression(per_class=False, voting_iou=0.75))
    np.testing.assert_allclose(moved.segments, [[0.9 / 1.9, 10]], rtol=1e-6)
    kept = suppress(*given, 1, Suppression(voting_iou=0.75))
    np.testing.assert_array_equal(kept.segments, [[0, 10]])


def test_a_limit_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="max_detections"):
        suppress([[0, 1]], [0.5], [0], 0)


def merged_by_hand(slices, fps, threshold=0.4):
    """Detections as tuples (start, end, score, label), overlap by overlap, then the untouched."""
    everything = []
    for one in slices:
        rows = [
            ((s + one.start) / fps, (e + one.start) / fps, float(p), int(c))
            for (s, e), p, c in zip(one.segments.astype(float), one.scores, one.labels, strict=True)
        ]
        everything += sorted(rows, key=lambda r: -r[2])[:200]
    ordered = sorted(slices, key=lambda one: one.start)
    result, touched = [], set()
    for k in range(len(ordered) - 1):
        begin, end = ordered[k + 1].start / fps, ordered[k].stop / fps
        inside = [r for r in everything if min(r[1], end) - max(r[0], begin) > 0]
        touched |= set(inside)
        kept: list[tuple] = []
        for row in sorted(inside, key=lambda r: (-r[2], r[3])):
            for other in kept:
                shared = min(row[1], other[1]) - max(row[0], other[0])
                if other[3] == row[3] and shared / (row[1] - row[0] + other[1] - other[0] - shared) > threshold:
                    break
            else:
                kept.append(row)
        result += kept
    return result + [r for r in everything if r not in touched]


@pytest.mark.parametrize("seed", range(5))
def test_slices_merge_as_by_hand(seed) -> None:
    rng = np.random.default_rng(seed)
    slices = []
    for start in (0, 96, 192, 288):
        begin = rng.random(40) * 128
        segments = np.stack([begin, begin + rng.exponential(20, 40)], axis=1)
        slices.append(SliceCandidates(start, start + 128, segments, rng.random(40), rng.integers(0, 3, 40)))
    found = merge_slices(slices, feature_fps=3.75)
    rows = list(zip(*found.segments.T.tolist(), found.scores.tolist(), found.labels.tolist(), strict=True))
    assert rows == merged_by_hand(slices, 3.75)


def test_a_detection_in_two_overlaps_is_listed_twice() -> None:
    empty = np.zeros((0, 2)), np.zeros(0), np.zeros(0)
    long = SliceCandidates(96, 224, np.array([[0.0, 128.0]]), np.array([0.5]), np.array([1]))
    found = merge_slices([SliceCandidates(0, 128, *empty), long, SliceCandidates(192, 320, *empty)], 1.0)
    assert found.segments.tolist() == [[96, 224], [96, 224]]


def test_one_slice_is_left_as_it_is_and_none_gives_nothing() -> None:
    one = SliceCandidates(0, 100, np.array([[1.0, 2], [1, 2]]), np.array([0.2, 0.5]), np.array([0, 0]))
    assert merge_slices([one], 2.0).scores.tolist() == [0.5, 0.2]
    assert merge_slices([one], 2.0).segments.tolist() == [[0.5, 1], [0.5, 1]]
    assert merge_slices([one], 2.0, max_per_slice=1).scores.tolist() == [0.5]
    assert merge_slices([], 2.0).scores.tolist() == []


@pytest.mark.parametrize(("threshold", "kept"), [(0.5, [0, 1]), (0.49, [0])])
def test_detections_of_slices_may_overlap_by_the_threshold_itself(threshold, kept) -> None:
    found = _keep_per_class(np.array([[0.0, 10.0], [0.0, 5.0]]), np.array([0.9, 0.8]), np.zeros(2, int), threshold)
    assert found.tolist() == kept


def test_a_nan_names_its_slice() -> None:
    bad = SliceCandidates(96, 100, np.array([[np.nan, 2]]), np.array([0.2]), np.array([0]))
    with pytest.raises(ValueError, match="slice at step 96"):
        merge_slices([bad], 2.0)


def test_the_table_names_videos_and_classes() -> None:
    table = detections_table([("v", [[0, 1]], [0.5], [1]), ("w", np.zeros((0, 2)), [], [])], ("a", "b"))
    assert table.to_dict("list") == {"video_id": ["v"], "start_s": [0], "end_s": [1], "label": ["b"], "score": [0.5]}
    assert len(detections_table([], ("a",))) == 0


def test_settings_reach_the_soft_nms() -> None:
    given = [[0, 10], [0, 10]], [0.9, 0.8], [0, 0]
    assert len(suppress(*given, 9, Suppression(SoftNms("vanilla", iou_threshold=0.5))).scores) == 1


@pytest.mark.parametrize("how", [Suppression(), Suppression(per_class=False), Suppression(hard=True)])
def test_candidates_that_do_not_belong_together_are_refused(how) -> None:
    for segments, scores, labels, words in (
        ([[0, 1], [2, 3]], [0.5, 0.4], [0], "labels must have the shape"),
        ([[0, 1], [2, 3]], [0.5, np.nan], [0, 0], "finite"),
        ([[0, 1], [2, 3]], [0.5], [0], "expected segments"),
    ):
        with pytest.raises(ValueError, match=words):
            suppress(segments, scores, labels, 9, how)


@pytest.mark.parametrize("bad", [{"fps": 0}, {"fps": -25}, {"fps": np.nan}, {"duration_s": np.nan}, {"duration_s": -1}])
def test_a_video_without_rate_or_duration_is_refused(bad) -> None:
    with pytest.raises(ValueError, match=next(iter(bad))):
        pyramid_detections([[0, 1]], [0.5], [0], **{"fps": 25, "duration_s": 9, "max_detections": 5, **bad})


@pytest.mark.parametrize(("name", "value"), [("feature_fps", 0), ("iou_threshold", np.nan), ("max_per_slice", -1)])
def test_impossible_settings_of_a_merge_are_named(name, value) -> None:
    with pytest.raises(ValueError, match=name):
        merge_slices([], **{"feature_fps": 2.0, name: value})


def test_labels_of_a_slice_match_its_scores() -> None:
    bad = SliceCandidates(96, 100, np.array([[1.0, 2]]), np.array([0.2]), np.array([0, 1]))
    with pytest.raises(ValueError, match="slice at step 96: 1 segments"):
        merge_slices([bad], 2.0)


def test_voting_is_by_a_tiou() -> None:
    with pytest.raises(ValueError, match="voting_iou"):
        Suppression(voting_iou=np.nan)


@pytest.mark.parametrize("label", [-1, 2])
def test_a_label_without_a_class_names_its_video(label) -> None:
    with pytest.raises(ValueError, match="v: labels must be in 0"):
        detections_table([("v", [[0, 1]], [0.5], [label])], ("a", "b"))
    with pytest.raises(ValueError, match="v: 1 segments"):
        detections_table([("v", [[0, 1]], [0.5, 0.6], [0, 0])], ("a", "b"))
