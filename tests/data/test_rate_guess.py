"""The rate of a set of unknown step is fitted finely enough that hour-long videos do not drift. SYNTHETIC."""

from __future__ import annotations

import numpy as np
import pytest

from tal_repro.data.rate_guess import guess_rate


@pytest.mark.parametrize(
    ("fps", "stride", "clip"), [(25, 8, 16), (30, 4, 16), (29.97, 16, 32), (5, 1, 1), (24, 12, 64)]
)
def test_a_rate_is_found_to_a_tenth_of_a_percent_whatever_the_clip(fps: float, stride: int, clip: int) -> None:
    seconds = np.random.default_rng(0).uniform(30, 300, 40)
    steps = [max(int((duration * fps - clip) // stride) + 1, 1) for duration in seconds]
    found = guess_rate(steps, seconds.tolist())
    assert found == pytest.approx(fps / stride, rel=1e-3)


def test_videos_of_one_length_give_their_ratio_and_short_ones_a_whole_number() -> None:
    assert guess_rate([5625] * 9, [3600.0] * 9) == 1.5625, "1.56 would be 6 s off at the end"
    assert guess_rate([59] * 9, [12.0] * 9) == 5.0


def test_videos_without_a_rate_in_common_give_none() -> None:
    assert guess_rate([100, 200, 400, 800], [100.0] * 4) is None


def test_a_few_odd_files_do_not_matter() -> None:
    seconds = np.linspace(30, 200, 30)
    steps = [int(2.5 * duration) for duration in seconds]
    steps[3], steps[20] = 7, 5000
    assert guess_rate(steps, seconds.tolist()) == pytest.approx(2.5, rel=2e-3)
