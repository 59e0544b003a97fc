"""What the models' levels and slices can reach is what their own rules assign."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from tal_repro.data.coverage import held_by_slices, reached_by_pyramid
from tal_repro.data.dataset import Video
from tal_repro.data.described_facts import _overlapping
from tal_repro.data.fitting import fitted_slice_length
from tal_repro.data.windows import Slicing, cut_windows
from tal_repro.models.levels import lay_points
from tal_repro.models.pyramid_loss import candidate_lengths, distances


def video_of(segments: np.ndarray, steps: int) -> Video:
    """Return a video of one step a second whose steps see one frame, with an action for each segment in steps."""
    return Video("v", "train", float(steps), 1.0, 1.0, 1.0, steps, True, segments + 0.5, np.zeros(len(segments), int),
                 np.zeros((0, 2)), 1.0, 1.0)  # fmt: skip


def test_an_action_is_reached_where_the_loss_lets_a_point_claim_it() -> None:
    rng, steps, levels, radius = np.random.default_rng(0), 64, 4, 1.5
    ranges = list(pairwise([0, 4, 8, 16, 24]))
    starts = rng.uniform(-2, 66, 400)
    segments = np.stack([starts, starts + rng.exponential(9, 400) + 0.01], 1)
    points = lay_points([steps >> level for level in range(levels)], ranges)
    truth = torch.tensor(segments, dtype=torch.float32)
    claimed = candidate_lengths(points, truth, distances(points, truth), radius).isfinite().any(0).numpy()
    assert 50 < claimed.sum() < 350
    mine = [reached_by_pyramid([video_of(segment[None], steps)], ranges, radius, 999) for segment in segments]
    assert np.array_equal(np.array(mine) == 1, claimed)
    together = reached_by_pyramid([video_of(segments[:9], steps), video_of(segments[9:], steps)], ranges, radius, 999)
    assert np.isclose(together, claimed.mean())
    assert reached_by_pyramid([video_of(np.array([[0.0, 20.0], [30.0, 40.0]]), steps)], ranges, radius, 15) == 0.5


def test_a_slice_holds_what_cutting_leaves_in_one() -> None:
    slicing = Slicing(slice_length=16, train_overlap=15 / 16)
    segments = np.array([[3.0, 10.0], [20.0, 41.0], [20.0, 42.0]]) - 0.5  # 16 of 21 steps are enough, 16 of 22 are not
    video = replace(video_of(segments, 64), labels=np.arange(3))
    kept = {label for window in cut_windows(video, "train", slicing) for label in window.labels}
    assert kept == {0, 1} and held_by_slices([video], slicing) == 2 / 3


def test_a_slice_is_twice_as_long_as_a_long_action() -> None:
    dataset: Any = SimpleNamespace(train=[video_of(np.array([[0.0, 40.0]]), 64)])
    assert fitted_slice_length(dataset) == (128, 40.0)


def test_actions_that_meet_do_not_overlap() -> None:
    segments = [[0.0, 4.0], [4.0, 6.0], [5.0, 7.0], [1.0, 2.0]]
    assert _overlapping([video_of(np.array(segments), 8), video_of(np.zeros((0, 2)), 8)]) == 0.5
