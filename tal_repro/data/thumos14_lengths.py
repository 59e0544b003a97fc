"""Compare feature lengths with those of the real THUMOS14: features of another extractor or stride are others."""

from __future__ import annotations

import csv
from functools import cache
from pathlib import Path
from typing import Any

from tal_repro.data.dataset import DataSet
from tal_repro.thumos14 import LENGTH_TOLERANCE_STEPS

VIDEOS_CSV = Path(__file__).with_name("thumos14_videos.csv")  # facts of the 412 annotated videos
LISTED_STRIDE_FRAMES = 4


@cache
def real_steps() -> dict[str, int]:
    """Return the feature steps at a stride of 4 frames of each annotated video."""
    with VIDEOS_CSV.open(encoding="utf-8", newline="") as stream:
        return {row["video"]: int(row["steps_stride4"]) for row in csv.DictReader(stream)}


def compare_lengths(dataset: DataSet) -> dict[str, Any]:
    """Return how many of the data set's videos are of THUMOS14, and how many of these have other feature lengths."""
    compared = unlike = 0
    for video in dataset.videos.values():
        steps = real_steps().get(video.id)
        if steps is None:
            continue
        compared += 1
        real = -(-steps * LISTED_STRIDE_FRAMES // video.feature_stride_frames)
        unlike += abs(real - video.feature_length) > LENGTH_TOLERANCE_STEPS
    return {"thumos14_videos": compared, "thumos14_unlike_lengths": unlike}
