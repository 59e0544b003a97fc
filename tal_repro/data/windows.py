"""TadTR's slices: a video cut into windows of 128 feature steps, the training unit of `unit = "slice"`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from tal_repro.data.dataset import DataSet, FloatArray, IntArray, Video

WINDOW_STEPS = 128
TRAIN_OVERLAP = 0.75
TEST_OVERLAP = 0.25
KEPT_SHARE = 0.75  # an action belongs to a slice when at least this share of it lies inside
TADTR_STRIDE_FRAMES = 8


@dataclass(frozen=True, eq=False)
class Window:
    """One slice. Steps are TadTR's (stride 8); seconds count from the slice's start."""

    slice_id: str  # as upstream spells it: <video>_window_<start>_<stop>
    video_id: str
    start: int
    stop: int  # exclusive; a slice shorter than 128 steps is padded with zeros
    offset_s: float  # of the slice in its video
    seconds: float  # what normalised positions are relative to: padded slices count as full
    segments_s: FloatArray  # [N, 2], clipped to the slice
    labels: IntArray  # [N]


def training_windows(dataset: DataSet) -> list[Window]:
    """Return the slices TadTR trains on: 75 % overlap, those without a whole enough action left out."""
    windows = (window for video in dataset.train for window in cut_windows(video, "train"))
    return [window for window in windows if len(window.labels)]


def test_windows(video: Video) -> list[Window]:
    """Return the slices TadTR tests a video on: 25 % overlap, all of them."""
    return cut_windows(video, "test")


def cut_windows(video: Video, mode: Literal["train", "test"]) -> list[Window]:
    """Cut one video into slices in order of time, with the actions that lie in each."""
    steps, steps_per_second = tadtr_steps(video)
    # Upstream sorts by the sum of the bounds; its order decides ties of the matcher.
    order = np.argsort(video.segments_s.sum(axis=1), kind="stable")
    segments, labels = video.segments_s[order], video.labels[order]
    return [
        _window(video.id, start, stop, steps, steps_per_second, segments, labels)
        for start, stop in window_bounds(steps, mode)
    ]


def window_bounds(steps: int, mode: Literal["train", "test"]) -> list[tuple[int, int]]:
    """Return [start, stop) of each slice of a video with that many steps.

    A rest that fills no slice: training moves the last slice left to end with the video, testing keeps
    the grid and takes a short slice.
    """
    if steps <= WINDOW_STEPS:
        return [(0, steps)]
    overlap = TRAIN_OVERLAP if mode == "train" else TEST_OVERLAP
    hop = int(WINDOW_STEPS * (1 - overlap))
    whole = (steps - WINDOW_STEPS) // hop + 1
    bounds = [(index * hop, index * hop + WINDOW_STEPS) for index in range(whole)]
    if bounds[-1][1] < steps:
        bounds.append((steps - WINDOW_STEPS if mode == "train" else whole * hop, steps))
    return bounds


def tadtr_steps(video: Video) -> tuple[int, float]:
    """Return a video's steps at TadTR's stride of 8 frames, and steps a second."""
    if video.feature_stride_frames == TADTR_STRIDE_FRAMES:
        return video.feature_length, video.feature_fps
    ratio = TADTR_STRIDE_FRAMES / video.feature_stride_frames
    return math.ceil(video.feature_length / ratio), video.feature_fps / ratio


def _window(
    video_id: str,
    start: int,
    stop: int,
    steps: int,
    steps_per_second: float,
    segments: FloatArray,
    labels: IntArray,
) -> Window:
    start_s, stop_s = start / steps_per_second, stop / steps_per_second
    clipped = segments.clip(start_s, stop_s)
    share = (clipped[:, 1] - clipped[:, 0]) / (segments[:, 1] - segments[:, 0])
    inside = (segments[:, 1] > start_s) & (segments[:, 0] < stop_s) & (share >= KEPT_SHARE)
    full = stop - start >= WINDOW_STEPS
    return Window(
        slice_id=f"{video_id}_window_{start}_{stop}",
        video_id=video_id,
        start=start,
        stop=stop,
        offset_s=start_s,
        seconds=stop_s - start_s if full else WINDOW_STEPS / steps_per_second,
        segments_s=clipped[inside] - start_s,
        labels=labels[inside],
    )
