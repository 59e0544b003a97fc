"""The order among equals: the official evaluators' rule against a literal loop, and where it differs from the kit's."""

from __future__ import annotations

import numpy as np
import pytest

from tal_repro.detection.matching import match
from tal_repro.detection.mean_ap import average_precision, recalls, summarize
from tal_repro.detection.ties import FIRST, OFFICIAL
from tal_repro.detection.tious import read_tious
from tal_repro.errors import InputError
from tests.detection.scalar_oracles import segment_tiou
from tests.detection.test_mean_ap import random_tables, table

TIOUS = read_tious("0.1:0.9:0.2", OFFICIAL)


def official_ap(found, truth, label, tiou) -> float:
    """Go through the detections of a class as the official evaluators do: numpy's default sort, turned round."""
    mine = found[found["label"] == label].reset_index(drop=True)
    instances = truth[truth["label"] == label].reset_index(drop=True)
    taken: set[int] = set()
    hits = []
    for row in mine["score"].to_numpy().argsort()[::-1]:
        there = instances[instances["video_id"] == mine["video_id"][row]]
        segment = mine["start_s"][row], mine["end_s"][row]
        overlaps = np.array([segment_tiou(segment, other) for other in there[["start_s", "end_s"]].to_numpy()])
        hit = False
        for place in overlaps.argsort()[::-1]:
            if overlaps[place] < tiou:
                break
            if there.index[place] not in taken:
                taken.add(there.index[place])
                hit = True
                break
        hits.append(hit)
    return average_precision(np.array(hits, bool), len(instances))


@pytest.mark.parametrize(("distinct_scores", "grid"), [(True, None), (True, 4.0), (False, 4.0)])
def test_the_official_order_is_numpys_own(distinct_scores, grid) -> None:
    found, truth = random_tables(3, distinct_scores=distinct_scores, grid=grid)
    result = summarize(match(found, truth, TIOUS, OFFICIAL), found)
    literal = [[official_ap(found, truth, label, tiou) for tiou in TIOUS] for label in result.classes]
    np.testing.assert_allclose(result.ap, literal, atol=1e-12)
    first = summarize(match(found, truth, TIOUS, FIRST), found)
    if grid is None:  # without equals the rules agree
        np.testing.assert_array_equal(first.ap, result.ap)


def test_of_two_instances_with_one_tiou_the_rules_take_different_ones() -> None:
    truth = table(("v", 0, 10, "a"), ("v", 10, 20, "a"))
    found = table(("v", 5, 15, "a", 0.9))
    taken = {tie: match(found, truth, (0.3,), tie).hit.tolist() for tie in (FIRST, OFFICIAL)}
    last = int(np.argsort(np.array([1 / 3, 1 / 3]))[::-1][0])
    assert taken == {FIRST: [[0]], OFFICIAL: [[last]]}


def test_recall_ranks_each_videos_detections_by_the_same_sort() -> None:
    truth = table(*[("v", 10 * i, 10 * i + 5, "a") for i in range(3)])
    found = table(*[("v", 10 * i, 10 * i + 5, "a", 0.5) for i in range(9)])
    top = np.full(9, 0.5).argsort()[::-1][:3]
    matched = match(found, truth, (0.5,), OFFICIAL)
    assert recalls(matched, (1,)).tolist() == [[pytest.approx((top < 3).sum() / 3)]]


@pytest.mark.parametrize(
    ("text", "tious"),
    [
        ("0.5:0.95:0.05", (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)),
        ("0.1:0.7:0.1", (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)),
        ("0.3,0.5", (0.3, 0.5)),
        (" 0.5 ", (0.5,)),
        ("1", (1.0,)),
    ],
)
def test_thresholds_are_the_decimals_that_are_written(text, tious) -> None:
    assert read_tious(text) == tious


def test_officially_a_range_is_numpys() -> None:
    assert read_tious("0.5:0.95:0.05", OFFICIAL) == tuple(np.linspace(0.5, 0.95, 10))
    assert read_tious("0.3,0.9", OFFICIAL) == (0.3, 0.9)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "not a number"),
        ("half", "'half' is not a number"),
        ("nan", "not finite"),
        ("0.5:0.95", "not START:STOP:STEP"),
        ("0.5:0.9:0", "not START:STOP:STEP"),
        ("0.9:0.5:0.1", "not START:STOP:STEP"),
        ("0.5:0.95:0.1", "no whole number of steps"),
        ("0:1:0.1", "above 0 and at most 1"),
        ("50:95:5", "above 0 and at most 1"),
        ("0.5,0.3", "do not rise"),
        ("0.5,0.5000001", "do not rise"),
        ("0.1:1:1e-9", "more than 100"),
    ],
)
def test_thresholds_that_are_none_are_refused_with_how_to_write_them(text, what) -> None:
    with pytest.raises(InputError, match=what) as refused:
        read_tious(text)
    assert "0.5:0.95:0.05" in str(refused.value)
