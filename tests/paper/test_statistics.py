"""The tests and intervals equal SciPy's, and behave at the edges."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from tal_repro.paper.statistics import Sample, describe, mean_interval, trend_p, welch

ONE, OTHER = [55.2, 55.9, 54.8, 56.1], [54.1, 55.0, 53.9, 54.6, 54.4]


def test_welch_equals_scipy() -> None:
    ours = welch(describe(ONE), describe(OTHER))
    assert ours == pytest.approx(stats.ttest_ind(ONE, OTHER, equal_var=False).pvalue)


def test_the_kind_of_std_changes_the_label_not_the_test() -> None:
    sample, population = (welch(describe(ONE, kind), describe(OTHER, kind)) for kind in ("sample", "population"))
    assert sample == pytest.approx(population)
    assert describe(ONE, "population").std == pytest.approx(np.std(ONE))


def test_the_interval_equals_scipy() -> None:
    low, high = mean_interval(describe(ONE), 0.9)
    assert (low, high) == pytest.approx(stats.t.interval(0.9, 3, np.mean(ONE), stats.sem(ONE)))


def test_a_trend_is_tested_as_scipy_does() -> None:
    percent, value = np.array([70.0, 75, 80, 85, 90, 95, 100]), np.array([54.4, 56.0, 55.5, 54.8, 55.7, 55.2, 55.5])
    assert trend_p(percent, value) == pytest.approx(stats.linregress(percent, value).pvalue)
    assert trend_p(percent, 2 * percent) < 1e-12
    assert trend_p(percent[:2], value[:2]) == 1  # two points always make a line


def test_edges() -> None:
    assert welch(Sample(1, 0, 5), Sample(1, 0, 5)) == 1
    assert welch(Sample(1, 0, 5), Sample(2, 0, 5)) == 0
    assert welch(Sample(1, 0, 1), Sample(2, 1, 5)) == 1  # one value cannot contradict anything
    assert mean_interval(Sample(1, 0, 1)) == (-math.inf, math.inf)
