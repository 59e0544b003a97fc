"""Which annotated actions a model can learn or find at all, by its levels, ranges and slices: rows of `describe`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from tal_repro.data.dataset import FloatArray, Video
from tal_repro.data.windows import Slicing, tadtr_steps

Ranges = Sequence[tuple[float, float]]


def reached_by_pyramid(videos: Sequence[Video], ranges: Ranges, radius: float, most_steps: int) -> float:
    """Return the share of actions that some point of some level may claim, and that a clip of `most_steps` holds.

    Level l has a point every 2^l steps. As in training, a point claims an action that it lies in, at most `radius`
    strides from its centre, where its distance to the farther end is in the level's range.
    """
    segments = np.concatenate([_steps_of(video) for video in videos])
    ends = np.concatenate([np.full(len(video.labels), video.feature_length) for video in videos])
    reached = np.zeros(len(segments), bool)
    for level, bounds in enumerate(ranges):
        reached |= _claimed(segments, ends, 2.0**level, bounds, radius)
    return float(np.mean(reached & (segments[:, 1] - segments[:, 0] <= most_steps)))


def _steps_of(video: Video) -> FloatArray:
    """Return a video's actions in feature steps, a step standing for the middle of the frames that it sees."""
    return video.segments_s * video.feature_fps - 0.5 * video.clip_frames / video.feature_stride_frames


def _claimed(
    segments: FloatArray, ends: FloatArray, stride: float, bounds: tuple[float, float], radius: float
) -> npt.NDArray[np.bool_]:
    start, end = segments[:, :1], segments[:, 1:]
    centre, reach = 0.5 * (start + end), stride * radius
    near = np.arange(-np.floor(radius) - 1, np.floor(radius) + 2)  # of the points, those that can lie close enough
    points = (np.round(centre / stride) + near) * stride
    inside = (points > np.maximum(centre - reach, start)) & (points < np.minimum(centre + reach, end))
    inside &= (points >= 0) & (points < ends[:, None])
    farther = np.maximum(points - start, end - points)
    claimed = inside & (farther >= bounds[0]) & (farther <= bounds[1])
    return np.asarray(claimed.any(axis=1), bool)


def held_by_slices(videos: Sequence[Video], slicing: Slicing) -> float:
    """Return the share of actions of which enough can lie in one slice."""
    lengths = np.concatenate(
        [(video.segments_s[:, 1] - video.segments_s[:, 0]) * tadtr_steps(video)[1] for video in videos]
    )
    return float(np.mean(lengths * slicing.min_inside <= slicing.slice_length))
