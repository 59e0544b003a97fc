"""Training units: a video or a slice of one, with its actions in feature steps and the augmentation of its recipe.

Every random draw comes from a generator seeded by (seed, pass over the data, unit id): neither the number of loader
threads nor the other units of a subset change it. Order of a video's draws: the length of the crop, then starts until
one keeps an action. A video that keeps its whole length draws no start.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from tal_repro.data import FeatureStore, Video
from tal_repro.data.dataset import IntArray
from tal_repro.data.store import RESIDENT_SHARE, available_memory_bytes
from tal_repro.data.windows import Window
from tal_repro.errors import InputError
from tal_repro.models.registry import model_entry

CROP_TRIALS = 200


class Cropping(Protocol):
    """What a recipe says of random crops of a clip."""

    @property
    def max_seq_len(self) -> int: ...
    @property
    def crop_ratio(self) -> tuple[float, float]: ...
    @property
    def truncation_threshold(self) -> float: ...


Float32Array = npt.NDArray[np.float32]


class Sample(NamedTuple):
    """One unit as a model sees it: `features [C, T]`; `segments [N, 2]` in feature steps; `labels [N]`."""

    id: str
    features: Tensor
    segments: Tensor
    labels: Tensor


class Units(Protocol):
    """The training units of a run, in the order of their ids."""

    ids: list[str]
    labels: list[IntArray]  # of each unit's actions
    video_ids: list[str]  # of the videos that the units are cut from

    def sample(self, index: int, draws: np.random.Generator) -> Sample:
        """Return unit `index`, augmented by `draws`."""


def draws_for(seed: int, passage: int, unit_id: str) -> np.random.Generator:
    """Return the generator of one unit in one pass over the data; the id "" is the order of the pass."""
    return np.random.Generator(np.random.Philox(np.random.SeedSequence((seed, passage, zlib.crc32(unit_id.encode())))))


class VideoFeatures:
    """Features by video as [C, T] tensors, kept in memory after the first reading as far as half of it allows."""

    def __init__(self, store: FeatureStore, stride_frames: float, device: str = "cpu") -> None:
        if stride_frames % store.stride_frames:
            raise InputError(
                f"features at a stride of {store.stride_frames} frames, {stride_frames} needed",
                store.source,
                "use the layout of the other models' features",
            )
        self.store, self.device = store, torch.device(device)
        self._every = int(stride_frames // store.stride_frames)
        self._kept: dict[str, Tensor] = {}
        self._room = int(RESIDENT_SHARE * _free_bytes(self.device))

    def length(self, video_id: str) -> int:
        """Return the steps of a video at the wanted stride."""
        return math.ceil(self.store.length(video_id) / self._every)

    def read(self, video_id: str, start: int = 0, stop: int | None = None) -> Tensor:
        """Return steps [start, stop) as [C, T], cut at the video's end."""
        if video_id not in self._kept:
            length = self.length(video_id)
            size = 4 * self.store.dim * length
            if size > self._room:
                return self._load(video_id, start, length if stop is None else min(stop, length))
            self._room -= size
            self._kept[video_id] = self._load(video_id, 0, length)
        return self._kept[video_id][:, start:stop]

    def _load(self, video_id: str, start: int, stop: int) -> Tensor:
        rows = self.store.read(video_id, start * self._every, stop * self._every)[:: self._every]
        return torch.from_numpy(np.ascontiguousarray(rows.T)).to(self.device)


def _free_bytes(device: torch.device) -> int:
    return int(torch.cuda.mem_get_info(device)[0]) if device.type == "cuda" else available_memory_bytes()


@dataclass(frozen=True, eq=False)
class Clip:
    """A stretch of a video that a model of clips trains on: steps [start, stop) and the actions in it."""

    id: str
    video_id: str
    start: int
    stop: int
    segments: Float32Array  # [N, 2] in steps from the clip's start
    labels: IntArray


def whole_video(video: Video, features: VideoFeatures) -> Clip:
    """Return a video as one clip: what ActionFormer, TriDet and TemporalMaxer train on."""
    return Clip(video.id, video.id, 0, features.length(video.id), video_segments(video), video.labels)


def slice_clip(window: Window, video: Video, features: VideoFeatures) -> Clip:
    """Return one of TadTR's slices as a clip, for a pyramid model that is trained on slices."""
    scale = int(video.slice_stride_frames // video.feature_stride_frames)
    start, stop = window.start * scale, min(window.stop * scale, features.length(video.id))
    steps = (window.segments_s + window.offset_s) * video.fps / video.feature_stride_frames - clip_offset(video)
    return Clip(window.slice_id, video.id, start, stop, (steps - start).astype(np.float32), window.labels)


class ClipUnits:
    """Clips cropped at random: the training units of the pyramid models."""

    def __init__(self, clips: Sequence[Clip], features: VideoFeatures, recipe: Cropping, margin: float = 0.0) -> None:
        self.clips, self.features, self.recipe = list(clips), features, recipe
        self.ids = [clip.id for clip in self.clips]
        self.video_ids = [clip.video_id for clip in self.clips]
        self.labels = [clip.labels for clip in self.clips]
        self._margin = margin  # steps by which the window test of a crop reaches over both ends

    def sample(self, index: int, draws: np.random.Generator) -> Sample:
        """Return a clip cut to at most `max_seq_len` steps, with the actions that stay inside for half or more."""
        clip, recipe = self.clips[index], self.recipe
        segments, labels = clip.segments, clip.labels
        length = clip.stop - clip.start
        kept, start = crop_length(length, recipe, draws), 0
        if kept < length:
            start, segments, inside = draw_crop(
                segments, length, kept, self._margin, recipe.truncation_threshold, draws
            )
            labels = labels[inside]
        features = self.features.read(clip.video_id, clip.start + start, clip.start + start + kept)
        return Sample(clip.id, features, torch.from_numpy(segments), torch.from_numpy(labels))


class SliceUnits:
    """TadTR's slices, zero-padded to their full length and not augmented."""

    def __init__(self, windows: Sequence[Window], features: VideoFeatures, steps: int) -> None:
        self.windows, self.features, self.steps = list(windows), features, steps
        self.ids = [window.slice_id for window in self.windows]
        self.video_ids = [window.video_id for window in self.windows]
        self.labels = [window.labels for window in self.windows]

    def sample(self, index: int, draws: np.random.Generator) -> Sample:
        """Return a slice with the actions that lie in it."""
        window = self.windows[index]
        # A padded slice counts as full, so its segments, too, are steps of the slice.
        segments = window.segments_s / window.seconds * self.steps
        features = window_features(self.features, window, self.steps)
        return Sample(window.slice_id, features, torch.from_numpy(segments), torch.from_numpy(window.labels))


def window_features(features: VideoFeatures, window: Window, steps: int) -> Tensor:
    """Return the features of a slice, [C, steps], with zeros behind a short one."""
    rows = features.read(window.video_id, window.start, window.stop)
    missing = steps - rows.shape[1]
    if missing <= 0:
        return rows
    if rows.device.type != "cpu":
        return torch.nn.functional.pad(rows, (0, missing))
    return torch.from_numpy(np.pad(rows.numpy(), ((0, 0), (0, missing))))  # no OpenMP: see batches._stack_by_numpy


def crop_margin(model: str, videos: Sequence[Video]) -> float:
    """Return by how many steps a crop's window test reaches over its ends: half a clip, in TriDet's code nothing."""
    return clip_offset(videos[0]) if model_entry(model).crops_reach_out and videos else 0.0


def clip_offset(video: Video) -> float:
    """Return how many steps the middle of the first clip lies behind the video's start."""
    return 0.5 * video.clip_frames / video.feature_stride_frames


def video_segments(video: Video) -> Float32Array:
    """Return a video's actions in feature steps (slightly negative starts are possible), float32 as upstream."""
    segments = video.segments_s.astype(np.float32)
    return (segments * video.fps / video.feature_stride_frames - clip_offset(video)).astype(np.float32)


def crop_length(length: int, recipe: Cropping, draws: np.random.Generator) -> int:
    """Draw how many steps of a video are kept: all at most, `max_seq_len` of one that is longer."""
    if length > recipe.max_seq_len:
        return recipe.max_seq_len
    least, most = (round(ratio * length) for ratio in recipe.crop_ratio)
    return int(draws.integers(max(least, 1), min(most, length), endpoint=True))


def draw_crop(
    segments: Float32Array,
    length: int,
    kept: int,
    margin: float,
    threshold: float,
    draws: np.random.Generator,
) -> tuple[int, Float32Array, npt.NDArray[np.bool_]]:
    """Draw windows until one keeps an action; return its start, its actions relative to it, and which they are.

    An action is kept when at least `threshold` of it lies in the window, widened by `margin` steps at both ends.
    After 200 windows without an action the last one is taken, as upstream does.
    """
    for _ in range(CROP_TRIALS):
        start = int(draws.integers(0, length - kept, endpoint=True))
        left = np.maximum(np.float32(start - margin), segments[:, 0])
        right = np.minimum(np.float32(start + kept + margin), segments[:, 1])
        share = np.maximum(right - left, 0) / np.abs(segments[:, 1] - segments[:, 0])
        inside = share >= np.float32(threshold)
        if inside.any():
            break
    return start, np.stack([left[inside], right[inside]], axis=1) - np.float32(start), inside
