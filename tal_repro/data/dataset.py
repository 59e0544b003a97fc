"""The words of a data set: DataSet, Video. Readers fill them; subsets, windows and trainers read them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from tal_repro.spec import DERIVED_MARK

if TYPE_CHECKING:
    import pandas as pd

CLIP_FRAMES = 16  # an I3D feature sees 16 frames
SubsetName = Literal["train", "test"]
LayoutName = Literal["actionformer", "tadtr"]
FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Video:
    """One annotated video. `subset` is 'train' (THUMOS14 calls it validation) or 'test'."""

    id: str
    subset: SubsetName
    duration_s: float
    fps: float
    feature_stride_frames: float
    feature_fps: float  # feature steps a second, as the layout states them: fps / stride
    feature_length: int  # steps T of the feature file; estimated from duration and fps where there is no file
    has_features: bool
    segments_s: FloatArray  # [N, 2] start and end of each action in seconds; may lie beyond the video's end
    labels: IntArray  # [N] index into DataSet.classes
    ambiguous_s: FloatArray  # [M, 2] segments labelled Ambiguous, kept apart: never trained on or scored
    clip_frames: float = CLIP_FRAMES  # that a feature step sees
    slice_stride_frames: float = 8  # from step to step of a slice: TadTR reads every second of I3D's


@dataclass(frozen=True, eq=False)
class DataSet:
    """A read data set. Videos keep the order of the annotation file; `train` and `test` are sorted by id."""

    name: str
    version: str
    synthetic: bool
    annotation_hash: str
    classes: tuple[str, ...]
    videos: Mapping[str, Video]
    layout: LayoutName
    root: Path
    defined: bool = False  # by a definition of its own, and not one of THUMOS14's two layouts
    refused: tuple[str, ...] = ()  # video ids whose entry is too wrong to be a Video; each has its Problem

    @property
    def derived(self) -> bool:
        """Tell whether the features stand in for the authors' own (data derive-tadtr)."""
        return DERIVED_MARK in self.name

    @property
    def train(self) -> list[Video]:
        """Return the training videos that hold at least one action, by id."""
        return self._subset("train")

    @property
    def test(self) -> list[Video]:
        """Return the test videos that hold at least one action, by id."""
        return self._subset("test")

    @property
    def detected(self) -> list[Video]:
        """Return the test videos that models run on, by id: all but those that hold nothing but Ambiguous segments.

        A detection in a video without any annotation is a false positive, so it must be looked for.
        """
        test = (video for video in self.videos.values() if video.subset == "test")
        return sorted((v for v in test if len(v.labels) or not len(v.ambiguous_s)), key=lambda video: video.id)

    def _subset(self, subset: SubsetName) -> list[Video]:
        chosen = (video for video in self.videos.values() if video.subset == subset and len(video.labels))
        return sorted(chosen, key=lambda video: video.id)


def ground_truth(dataset: DataSet, subset: SubsetName) -> pd.DataFrame:
    """Tabulate the actions of a subset: columns video_id, start_s, end_s, label (a class name).

    Ambiguous segments are left out; duplicates and out-of-range actions stay (protocols decide about them).
    """
    import pandas as pd

    videos = [video for video in dataset.videos.values() if video.subset == subset]
    segments = np.concatenate([video.segments_s for video in videos] or [np.zeros((0, 2))])
    return pd.DataFrame(
        {
            "video_id": [video.id for video in videos for _ in video.labels],
            "start_s": segments[:, 0],
            "end_s": segments[:, 1],
            "label": [dataset.classes[label] for video in videos for label in video.labels],
        }
    )


def hash_annotations(videos: Iterable[Video], classes: tuple[str, ...]) -> str:
    """Hash what is learnt and scored: subset, class and millisecond segment of every action (SHA-256, hex).

    Independent of layout, file formatting and order. Fps, duration and Ambiguous segments are left to the
    fingerprint: the two layouts of THUMOS14 state them differently.
    """
    rows = []
    for video in videos:
        actions = [
            [classes[label], round(start * 1000), round(end * 1000)]
            for label, (start, end) in zip(video.labels.tolist(), video.segments_s.tolist(), strict=True)
        ]
        if actions:
            rows.append([video.id, video.subset, sorted(actions)])
    text = json.dumps([list(classes), sorted(rows)], separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
