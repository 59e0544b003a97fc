"""The verdict on whether two engines reach the same mAP: equivalent, different or open, by means or by pairs."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from benchmarks.comparing import MARGIN, compare

DRAWS = np.random.default_rng(5).normal(size=(3, 20))
STARTS = 90 + 6 * DRAWS[0]  # what a start decides; one that never learns would be such a difference


@pytest.mark.parametrize(
    ("shift", "paired", "verdict"),
    [
        (0.2, True, "equivalent within 1.5 mAP"),
        (0.2, False, "inconclusive (std 5.8 above 1)"),
        (2.5, True, "different"),
    ],
)
def test_pairs_take_out_what_the_starts_decide(shift: float, paired: bool, verdict: str) -> None:
    native, upstream = STARTS + DRAWS[1] + shift, STARTS + DRAWS[2]
    found = compare(native.tolist(), upstream.tolist(), paired)
    assert found["verdict"] == verdict
    assert found["difference"] == pytest.approx(native.mean() - upstream.mean())


def test_numbers_are_those_of_scipy() -> None:
    a, b = DRAWS[1] + 90, 0.5 * DRAWS[2] + 90.4
    for paired, test in (
        (True, stats.ttest_rel),
        (False, lambda x, y, **k: stats.ttest_ind(x, y, equal_var=False, **k)),
    ):
        found = compare(a.tolist(), b.tolist(), paired)
        p = max(test(a, b - MARGIN, alternative="greater").pvalue, test(a, b + MARGIN, alternative="less").pvalue)
        assert found["tost_p"] == pytest.approx(p)
        interval = test(a, b).confidence_interval(0.95)
        assert found["half_width_95"] == pytest.approx((interval.high - interval.low) / 2)


def test_ten_runs_a_side_are_needed_and_one_says_nothing() -> None:
    assert compare([90.0, 90.1, 90.2], [90.1, 90.0, 90.2])["verdict"] == "inconclusive"
    assert compare([90.0], [90.0])["verdict"] == "inconclusive (one run a side)"
