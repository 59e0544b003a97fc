"""TadTR's slices: a video cut into windows of feature steps, the training unit of `unit = "slice"`.

How long they are and how they overlap is part of TadTR's recipe; a model whose recipe does not say it gets the default.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from tal_repro.data.dataset import DataSet, FloatArray, IntArray, Video
from tal_repro.errors import InputError

MOST_SLICES = 500_000  # of all training videos: THUMOS14 has some 7,000
Mode = Literal["train", "test"]


@dataclass(frozen=True)
class Slicing:
    """How videos are cut into slices; the fields are named as in TadTR's recipe."""

    slice_length: int = 128  # feature steps
    train_overlap: float = 0.75
    test_overlap: float = 0.25
    min_inside: float = 0.75  # an action belongs to a slice when at least this share of it lies inside

    @classmethod
    def of(cls, recipe: Mapping[str, Any]) -> Slicing:
        """Return the slicing that a run's recipe asks for."""
        fields = (field.name for field in dataclasses.fields(cls))
        return cls(**{name: recipe[name] for name in fields if name in recipe})

    def hop(self, mode: Mode) -> int:
        """Return the steps from one slice to the next."""
        return int(self.slice_length * (1 - (self.train_overlap if mode == "train" else self.test_overlap)))


DEFAULT = Slicing()


@dataclass(frozen=True, eq=False)
class Window:
    """One slice. Steps are TadTR's (stride 8); seconds count from the slice's start."""

    slice_id: str  # as upstream spells it: <video>_window_<start>_<stop>
    video_id: str
    start: int
    stop: int  # exclusive; a slice shorter than the slicing's is padded with zeros
    offset_s: float  # of the slice in its video
    seconds: float  # what normalised positions are relative to: padded slices count as full
    segments_s: FloatArray  # [N, 2], clipped to the slice
    labels: IntArray  # [N]


def training_windows(dataset: DataSet, slicing: Slicing = DEFAULT) -> list[Window]:
    """Return the slices TadTR trains on; those without a whole enough action are left out."""
    _check_count(dataset, slicing)
    windows = (window for video in dataset.train for window in cut_windows(video, "train", slicing))
    return [window for window in windows if len(window.labels)]


def _check_count(dataset: DataSet, slicing: Slicing) -> None:
    """Raise InputError for videos stated to be so long that cutting them would not end."""
    steps = {video.id: tadtr_steps(video)[0] for video in dataset.train}
    if sum(steps.values()) // slicing.hop("train") > MOST_SLICES:
        longest = max(steps, key=lambda video_id: steps[video_id])
        what = f"more than {MOST_SLICES:,} training slices; the longest video, {longest}, has {steps[longest]:,} steps"
        raise InputError(what, dataset.root, "correct its duration and fps")


def cut_windows(video: Video, mode: Mode, slicing: Slicing = DEFAULT) -> list[Window]:
    """Cut one video into slices in order of time, with the actions that lie in each."""
    steps, steps_per_second = tadtr_steps(video)
    # Upstream sorts by the sum of the bounds; its order decides ties of the matcher.
    order = np.argsort(video.segments_s.sum(axis=1), kind="stable")
    segments, labels = video.segments_s[order], video.labels[order]
    return [
        _window(video.id, start, stop, steps_per_second, segments, labels, slicing)
        for start, stop in window_bounds(steps, mode, slicing)
    ]


def window_bounds(steps: int, mode: Mode, slicing: Slicing = DEFAULT) -> list[tuple[int, int]]:
    """Return [start, stop) of each slice of a video with that many steps.

    A rest that fills no slice: training moves the last slice left to end with the video, testing keeps
    the grid and takes a short slice.
    """
    length, hop = slicing.slice_length, slicing.hop(mode)
    if steps <= length:
        return [(0, steps)]
    whole = (steps - length) // hop + 1
    bounds = [(index * hop, index * hop + length) for index in range(whole)]
    if bounds[-1][1] < steps:
        bounds.append((steps - length if mode == "train" else whole * hop, steps))
    return bounds


def tadtr_steps(video: Video) -> tuple[int, float]:
    """Return a video's steps at the stride of its slices (in THUMOS14 TadTR's 8 frames), and steps a second."""
    if video.feature_stride_frames == video.slice_stride_frames:
        return video.feature_length, video.feature_fps
    ratio = video.slice_stride_frames / video.feature_stride_frames
    return math.ceil(video.feature_length / ratio), video.feature_fps / ratio


def _window(
    video_id: str,
    start: int,
    stop: int,
    steps_per_second: float,
    segments: FloatArray,
    labels: IntArray,
    slicing: Slicing,
) -> Window:
    start_s, stop_s = start / steps_per_second, stop / steps_per_second
    clipped = segments.clip(start_s, stop_s)
    share = (clipped[:, 1] - clipped[:, 0]) / (segments[:, 1] - segments[:, 0])
    inside = (segments[:, 1] > start_s) & (segments[:, 0] < stop_s) & (share >= slicing.min_inside)
    full = stop - start >= slicing.slice_length
    return Window(
        slice_id=f"{video_id}_window_{start}_{stop}",
        video_id=video_id,
        start=start,
        stop=stop,
        offset_s=start_s,
        seconds=stop_s - start_s if full else slicing.slice_length / steps_per_second,
        segments_s=clipped[inside] - start_s,
        labels=labels[inside],
    )
