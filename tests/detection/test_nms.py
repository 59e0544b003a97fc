"""NMS against a literal scalar port of the compiled loop: bit for bit, degenerate segments and ties included."""

from __future__ import annotations

import numpy as np
import pytest

from tal_repro.detection import soft_nms as streams
from tal_repro.detection.decay import METHODS, expf
from tal_repro.detection.nms import hard_nms, multiclass_hard_nms, multiclass_soft_nms, soft_nms, vote
from tal_repro.detection.soft_nms import SoftNms
from tests.detection.scalar_oracles import exp_of_the_c_library, scalar_hard_nms, scalar_soft_nms

CASES = 10_000


def random_case(rng, kind):
    """ordinary; on a grid, with ties and instants; swapped ends; lengths that cancel (0/0); steep scores."""
    n = int(rng.integers(0, 10)) if rng.random() < 0.99 else int(rng.integers(10, 50))
    start, length = rng.random(n) * 60, rng.exponential(10, n)
    scores = rng.random(n)
    if kind == 1:
        start, length, scores = np.floor(start / 5) * 5, np.floor(length / 5) * 5, np.round(scores * 8) / 8
    elif kind == 2:
        length = rng.normal(5, 20, n)
    elif kind == 3:
        start, length, scores = np.floor(start / 32) * 32, rng.integers(-2, 3, n) * 32.0, np.round(scores * 4) / 4
    elif kind == 4:
        scores = scores**4
    return np.stack([start, start + length], axis=1).astype(np.float32), scores.astype(np.float32)


def test_ten_thousand_random_cases_equal_the_scalar_port() -> None:
    rng = np.random.default_rng(20260801)
    for case in range(CASES):
        segments, scores = random_case(rng, case % 5)
        threshold, sigma = float(rng.choice([0.0, 0.1, 0.5, 0.75])), float(rng.choice([0.1, 0.5, 0.9]))
        min_score, method = float(rng.choice([0.0, 0.001, 0.1, 0.5])), int(rng.integers(0, 3))
        expected = scalar_soft_nms(segments, scores, threshold, sigma, min_score, method)
        index, score = soft_nms(segments, scores, SoftNms(METHODS[method], threshold, sigma, min_score))
        assert index.tolist() == [i for i, _ in expected], case
        np.testing.assert_array_equal(score, np.array([s for _, s in expected], np.float32), err_msg=str(case))
        assert hard_nms(segments, scores, threshold).tolist() == scalar_hard_nms(segments, scores, threshold), case


@pytest.mark.parametrize("seed", range(6))
def test_the_lazy_stream_equals_the_loop_beyond_its_first_candidates(seed, monkeypatch) -> None:
    """Small pools make every path run: admission, rows that are kept, dropped competitors, the tie's hand-over."""
    monkeypatch.setattr(streams, "_FIRST_CANDIDATES", 7)
    monkeypatch.setattr(streams, "_MATRIX_ELEMENTS", 64)
    rng = np.random.default_rng(seed)
    start = rng.random(400) * 300
    segments = np.stack([start, start + rng.exponential(8, 400)], axis=1).astype(np.float32)
    scores = (rng.random(400) ** 3).astype(np.float32)
    if seed % 2:
        scores[rng.integers(0, 400, 8)] = scores[rng.integers(0, 400, 8)]  # some ties
    settings = SoftNms(min_score=0.01)
    assert list(streams.lazily(segments, scores, settings)) == list(streams.by_position(segments, scores, settings))


def test_the_exponential_is_the_c_librarys() -> None:
    x = -np.concatenate([np.random.default_rng(0).random(20_000) * 4, [0, 1e-30, 50, 79]]).astype(np.float32)
    np.testing.assert_array_equal(expf(x), np.array([exp_of_the_c_library(v) for v in x]))


def test_per_class_soft_nms_is_each_class_alone_then_merged() -> None:
    rng = np.random.default_rng(1)
    start = rng.random(300) * 100
    segments = np.stack([start, start + 5], axis=1).astype(np.float32)
    scores, labels = rng.random(300).astype(np.float32), rng.integers(0, 4, 300)
    alone = []
    for label in range(4):
        members = np.flatnonzero(labels == label)
        index, score = soft_nms(segments[members], scores[members])
        alone += list(zip(members[index], score, strict=True))
    alone.sort(key=lambda pair: -pair[1])
    index, score = multiclass_soft_nms(segments, scores, labels, 50)
    assert index.tolist() == [i for i, _ in alone[:50]]
    assert score.tolist() == [s for _, s in alone[:50]]


def test_equal_scores_of_two_classes_put_the_lower_label_first() -> None:
    segments, scores = [[0, 1], [5, 6], [10, 11]], [0.5, 0.5, 0.5]
    assert multiclass_soft_nms(segments, scores, [2, 1, 1], 3)[0].tolist() == [1, 2, 0]
    assert multiclass_hard_nms(segments, scores, [2, 1, 1], 0.5).tolist() == [1, 2, 0]


def test_two_identical_segments_decay_by_exp_minus_two() -> None:
    index, score = soft_nms([[0, 10], [0, 10]], [0.9, 0.8])
    assert index.tolist() == [0, 1]
    assert score[1] == pytest.approx(0.8 * np.exp(-2), rel=1e-5)


def test_the_best_is_kept_even_below_the_least_score() -> None:
    assert soft_nms([[0, 1], [5, 6]], [1e-4, 1e-5])[0].tolist() == [0]


def test_voting_averages_neighbours_by_score_and_tiou() -> None:
    segments, scores = np.array([[0, 10], [1, 10], [50, 60]], np.float32), np.array([0.5, 0.5, 0.9], np.float32)
    by_both = vote(segments[:1], segments, scores, 0.75)
    by_score = vote(segments[:1], segments, scores, 0.75, weigh_by_iou=False)
    np.testing.assert_allclose(by_both, [[0.9 / 1.9, 10]], rtol=1e-6)
    np.testing.assert_allclose(by_score, [[0.5, 10]], rtol=1e-6)


def test_voting_leaves_an_instant_where_it_is() -> None:
    instant = np.array([[3, 3]], np.float32)
    np.testing.assert_array_equal(vote(instant, instant, [0.5]), instant)


def test_nothing_in_nothing_out() -> None:
    assert soft_nms(np.zeros((0, 2)), [])[0].tolist() == []
    assert multiclass_soft_nms([], [], [], 5)[0].tolist() == []
    assert hard_nms([], [], 0.5).tolist() == []


@pytest.mark.parametrize(
    ("segments", "scores"),
    [([[0, np.nan]], [0.5]), ([[0, 1]], [np.inf]), ([[0, 1, 2]], [0.5]), ([[0, 1]], [0.5, 0.6])],
)
def test_bad_values_and_shapes_are_refused(segments, scores) -> None:
    with pytest.raises(ValueError, match=r"finite|expected"):
        soft_nms(segments, scores)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("sigma", bad) for bad in (0.0, -1.0, 1e-50, np.nan, np.inf, 1e39)),
        ("method", "foo"),
        *(("iou_threshold", bad) for bad in (np.nan, -0.1, 1.1)),
        ("min_score", np.nan),
    ],
)
def test_impossible_settings_are_named(name, value) -> None:
    with pytest.raises(ValueError, match=name):
        SoftNms(**{name: value})


@pytest.mark.parametrize("limit", [0, -1])
def test_a_limit_below_one_is_refused(limit) -> None:
    given = [[0, 1]], [0.5]
    for call in (
        lambda: soft_nms(*given, max_detections=limit),
        lambda: multiclass_soft_nms(*given, [0], limit),
        lambda: multiclass_hard_nms(*given, [0], 0.5, limit),
    ):
        with pytest.raises(ValueError, match="max_detections must be at least 1"):
            call()


@pytest.mark.parametrize("labels", [[0], [0, 1, 2], [0.0, 1.0]])
def test_labels_are_whole_numbers_one_for_each_score(labels) -> None:
    given = [[0, 1], [2, 3]], [0.5, 0.4], labels
    for call in (lambda: multiclass_soft_nms(*given, 5), lambda: multiclass_hard_nms(*given, 0.5)):
        with pytest.raises(ValueError, match="labels must"):
            call()


def test_a_threshold_that_is_no_number_is_refused() -> None:
    for call in (lambda: hard_nms([[0, 1]], [0.5], np.nan), lambda: vote([[0, 1]], [[0, 1]], [0.5], np.nan)):
        with pytest.raises(ValueError, match="iou_threshold"):
            call()


def test_upstreams_signatures_write_the_given_buffer() -> None:
    torch = pytest.importorskip("torch", reason="pip install the torch extra to run it")
    from tal_repro.detection.nms import nms, softnms

    segments, scores = torch.tensor([[0.0, 10], [0, 10], [20, 30]]), torch.tensor([0.9, 0.0011, 0.8])
    buffer = torch.full((3, 3), -1.0)
    index = softnms(segments, scores, buffer, iou_threshold=0.1, sigma=0.5, min_score=0.001, method=2)
    assert index.dtype == torch.int64
    assert index.tolist() == [0, 2]
    torch.testing.assert_close(buffer, torch.tensor([[0, 10, 0.9], [20, 30, 0.8], [-1, -1, -1]]))
    assert nms(segments, scores, iou_threshold=0.5).tolist() == [0, 2]
    for method in (-1, 3):
        with pytest.raises(ValueError, match="method must be 0, 1 or 2"):
            softnms(segments, scores, buffer, iou_threshold=0.1, sigma=0.5, min_score=0.001, method=method)
    with pytest.raises(ValueError, match="float32"):
        nms(segments.double(), scores, iou_threshold=0.5)
