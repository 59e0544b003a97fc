"""The table of a described data set: what -> of all its videos, of those that train, of those that test."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from tal_repro.data.coverage import held_by_slices, reached_by_pyramid
from tal_repro.data.dataset import DataSet, Video
from tal_repro.data.describe import Description
from tal_repro.data.fitting import fitted_ranges, fitted_slice_length
from tal_repro.data.geometry import TRAINED_AND_TESTED
from tal_repro.data.windows import Slicing
from tal_repro.models.recipes import PyramidRecipe


def facts(description: Description) -> dict[str, tuple[str, str, str]]:
    """Return the table: what -> (all, train, test)."""
    dataset = description.dataset
    sides = ([*dataset.train, *dataset.test], dataset.train, dataset.test)
    rows: dict[str, tuple[str, str, str]] = {}

    def row(name: str, of: Any) -> None:
        first, second, third = (of(videos) if videos else "-" for videos in sides)
        rows[name] = (first, second, third)

    row("videos with actions", lambda videos: str(len(videos)))
    row("instances", lambda videos: str(sum(len(video.labels) for video in videos)))
    row("classes", lambda videos: str(len({label for video in videos for label in video.labels.tolist()})))
    row("rarest class (instances)", _rarest(dataset))
    row("video length, median (s)", lambda videos: f"{np.median([video.duration_s for video in videos]):.4g}")
    row("video length, longest (s)", lambda videos: f"{max(video.duration_s for video in videos):.4g}")
    if description.definition.steps_per_second is None:  # else nobody knows it
        row("frames a second, median", _rates)
    row("feature steps, median", lambda videos: f"{np.median([video.feature_length for video in videos]):.0f}")
    row("feature steps, most", lambda videos: str(max(video.feature_length for video in videos)))
    row("action length, median (s)", lambda videos: f"{np.median(_lengths_s(videos)):.3g}")
    row("action length, median (steps)", lambda videos: f"{np.median(_lengths_steps(videos)):.3g}")
    row("actions under 2 steps (%)", lambda videos: f"{100 * np.mean(_lengths_steps(videos) < 2):.1f}")
    row("overlapping actions (%)", lambda videos: f"{100 * _overlapping(videos):.1f}")
    if dataset.train:
        ranges, most_steps = fitted_ranges(dataset)
        radius, slicing = PyramidRecipe.center_radius, Slicing(slice_length=fitted_slice_length(dataset)[0])
        row("reached by the pyramids (%)", lambda v: f"{100 * reached_by_pyramid(v, ranges, radius, most_steps):.1f}")
        row("held by TadTR's slices (%)", lambda videos: f"{100 * held_by_slices(videos, slicing):.1f}")
    background = [v for v in dataset.videos.values() if not len(v.labels) and not len(v.ambiguous_s)]
    count = Counter(video.subset for video in background)
    rows["videos without any action"] = (str(len(background)), str(count["train"]), str(count["test"]))
    leaks = sum(TRAINED_AND_TESTED in problem.what for problem in description.problems)
    rows["videos trained and tested on"] = (str(leaks), "-", "-")
    return rows


def _rates(videos: Sequence[Video]) -> str:
    """Return the frames a second, with the least and the most where they differ."""
    rates = np.array([video.fps for video in videos])
    low, middle, high = np.percentile(rates, (0, 50, 100))
    return f"{middle:.4g}" if low == high else f"{middle:.4g} ({low:.4g} to {high:.4g})"


def _rarest(dataset: DataSet) -> Any:
    def of(videos: list[Video]) -> str:
        counts = Counter(label for video in videos for label in video.labels.tolist())
        label = min(range(len(dataset.classes)), key=lambda index: counts[index])
        return f"{dataset.classes[label]} ({counts[label]})"

    return of


def _lengths_s(videos: list[Video]) -> np.ndarray:
    return np.concatenate([video.segments_s[:, 1] - video.segments_s[:, 0] for video in videos])


def _lengths_steps(videos: list[Video]) -> np.ndarray:
    return np.concatenate([(v.segments_s[:, 1] - v.segments_s[:, 0]) * v.feature_fps for v in videos])


def _overlapping(videos: list[Video]) -> float:
    """Return the share of actions that begin before an earlier one of their video has ended."""
    overlapping = total = 0
    for video in videos:
        segments = video.segments_s[np.argsort(video.segments_s[:, 0], kind="stable")]
        ends = np.maximum.accumulate(segments[:, 1]) if len(segments) else segments[:, 1]
        overlapping += int((segments[1:, 0] < ends[:-1]).sum())
        total += len(segments)
    return overlapping / max(total, 1)
