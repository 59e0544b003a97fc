"""Where a learning curve gains most for a percent of data, and how surely: both answers bear a p."""

from __future__ import annotations

import numpy as np
import pytest

from tal_repro.paper.claims.acceleration import Bend, bend

AROUND = (-1.0, 0.0, 1.0)


def _runs(means: dict[float, float], spread: float) -> Bend:
    return bend({percent: [mean + spread * off for off in AROUND] for percent, mean in means.items()})


def test_the_first_stretch_begins_without_data() -> None:
    """ActionFormer's published points: from the origin 0.35, then 2.1 and 1.1 mAP a percent; without it no growth."""
    published = _runs({10: 3.5, 20: 24.5, 30: 35.5, 100: 66.0}, 0.5)
    assert (published.start, published.end) == (10, 20) and published.accelerates
    assert published.excess == pytest.approx(2.1 - 0.35)


def test_the_first_gain_is_said_to_be_largest_as_carefully_as_a_later_one() -> None:
    flat = _runs({10: 20.5, 20: 40.0, 40: 60.0}, 2.0)
    assert flat.excess == 0 and not flat.slows and "first 10 % gain most (p = " in flat.words
    assert flat.words.endswith("which these runs cannot tell from chance)")
    steep = _runs({10: 40.0, 20: 50.0, 40: 60.0}, 1.0)
    assert steep.slows and not steep.accelerates and "chance" not in steep.words
    assert not _runs({10: 20.0, 20: 40.0}, 0.0).slows  # exactly a line


def test_single_runs_exclude_nothing() -> None:
    assert bend({10: [3.0], 20: [30.0], 40: [40.0]}).p == 1
    assert bend({10: [30.0], 20: [33.0]}).p == 1
    assert bend({10: [30.0, 31.0]}).p == 1  # one stretch: nothing to compare it with


def test_a_straight_line_is_seldom_bent_by_noise() -> None:
    """Whichever stretch is the steepest, at most 5 % of such studies say that it surely is."""
    random = np.random.default_rng(0)
    bends = [
        bend({percent: [2.0 * percent + off for off in random.normal(0, 2, 5)] for percent in (5.0, 10.0, 20.0, 40.0)})
        for _ in range(1500)
    ]
    assert 0 < sum(found.accelerates for found in bends) <= 0.05 * len(bends)
    assert sum(found.slows for found in bends) <= 0.05 * len(bends)
