"""Hyper-parameters that fit a data set of one's own: by rules, each with its reason. `study new` writes them down.

The authors' recipes are of THUMOS14's 200 videos of 2.5 minutes at 4 frames a step. What hangs on lengths and counts is
fitted to the training split; widths, losses and rates stay theirs.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from tal_repro.data.dataset import DataSet
from tal_repro.data.windows import Slicing, training_windows
from tal_repro.models.registry import model_entry

STEPS_OF_A_TRAINING = 3500  # optimizer steps that ActionFormer's authors take: 100 an epoch, 35 epochs
STEPS_ON_SLICES = 6500  # that TadTR's authors take: some 7,000 slices by 16, 15 epochs
MOST_EPOCHS, LEAST_EPOCHS = 200, 10
FIRST_RANGE_STEPS, LAST_RANGE_STEPS = 4, 10_000
MOST_LEVELS, LONGEST_CLIP_STEPS = 8, 2304
SLICES = (32, 64, 128, 256)
LONG = 95  # percentile of lengths that counts as long
SHARES = (10, 20, 40, 60, 80, 100)  # of the training videos, in percent
LEAST_UNITS = 4


@dataclass(frozen=True)
class Choice:
    """A value of a recipe and why it is so."""

    value: Any
    reason: str


def fitted_recipe(dataset: DataSet, model: str, dim: int, engines: Collection[str] = ("native",)) -> dict[str, Choice]:
    """Return what replaces a model's hyper-parameters on a data set with features of `dim` channels.

    Where the authors' code is among the `engines`, clips have a length that it takes.
    """
    choices = {
        "feature_dim": Choice(dim, "channels of the features"),
        "num_classes": Choice(len(dataset.classes), "classes of the annotations"),
    }
    recipe = model_entry(model).recipe
    if recipe.samples == "slices":
        return {**choices, **_slices(dataset, recipe)}
    clips = _clips(dataset, model, recipe, "upstream" in engines)
    return {**choices, **clips, **_epochs(dataset, recipe), **_detections(dataset, recipe)}


def _clips(dataset: DataSet, model: str, recipe: Any, authors: bool) -> dict[str, Choice]:
    """Fit a pyramid: its finest level to short actions, as many levels as long ones need, its clip to the videos."""
    actions, videos = _action_steps(dataset), [video.feature_length for video in dataset.train]
    longest = float(np.percentile(actions, LONG))
    levels = min(max(math.ceil(math.log2(max(longest / FIRST_RANGE_STEPS, 1.0))) + 2, 2), MOST_LEVELS)
    bounds = [0, *(FIRST_RANGE_STEPS * 2**level for level in range(levels - 1)), LAST_RANGE_STEPS]
    coarsest = 2 ** (levels - 1)
    if authors:
        coarsest = dataclasses.replace(recipe, levels=levels).authors_multiple(model)
    enough = float(np.percentile(videos, LONG))
    clip = min(math.ceil(enough / coarsest) * coarsest, LONGEST_CLIP_STEPS // coarsest * coarsest)
    return {
        "levels": Choice(levels, f"95 % of the actions are shorter than {longest:.0f} steps"),
        "regression_ranges": Choice([list(pair) for pair in pairwise(bounds)], "doubled by level"),
        "max_seq_len": Choice(clip, f"95 % of the videos have at most {enough:.0f} steps; a multiple of {coarsest}"),
    }


def _detections(dataset: DataSet, recipe: Any) -> dict[str, Choice]:
    """Keep twice as many detections of a video as the fullest has actions: what is not kept is never found."""
    most = max(len(video.labels) for video in dataset.train)
    kept = max(recipe.max_detections, 2 * most)
    return {"max_detections": Choice(kept, f"of a video; the fullest has {most} actions, twice that at least")}


def _slices(dataset: DataSet, recipe: Any) -> dict[str, Choice]:
    """Fit TadTR's slices: twice as long as long actions, since three quarters of one must lie inside."""
    longest = float(np.percentile(_action_steps(dataset), LONG))
    length = next((length for length in SLICES if length >= 2 * longest), SLICES[-1])
    count = _slice_count(dataset, length)
    epochs = min(max(round(STEPS_ON_SLICES * recipe.batch_size / max(count, 1)), recipe.epochs), MOST_EPOCHS)
    return {
        "slice_length": Choice(length, f"95 % of the actions are shorter than {longest:.0f} steps"),
        "epochs": Choice(
            epochs, f"about {STEPS_ON_SLICES} optimizer steps on {count} slices, at most {MOST_EPOCHS} epochs"
        ),
        "lr_decay_epoch": Choice(epochs - 1, "one before the last, as the authors'"),
    }


def training_unit_count(dataset: DataSet, fitted: Mapping[str, Choice]) -> int:
    """Return how many units a model with a fitted recipe trains on: its slices, where the recipe has any, or videos."""
    return _slice_count(dataset, fitted["slice_length"].value) if "slice_length" in fitted else len(dataset.train)


def _slice_count(dataset: DataSet, slice_length: int) -> int:
    return max(len(training_windows(dataset, Slicing(slice_length=slice_length))), 1)


def _epochs(dataset: DataSet, recipe: Any) -> dict[str, Choice]:
    """Keep the authors' number of optimizer steps: fewer videos, more epochs."""
    videos = len(dataset.train)
    batch = min(recipe.batch_size, max(videos // LEAST_UNITS, 1))
    epochs = round(STEPS_OF_A_TRAINING * batch / videos)
    epochs = min(max(epochs, LEAST_EPOCHS), MOST_EPOCHS)
    return {
        "batch_size": Choice(batch, f"as the authors', or a quarter of the {videos} training videos"),
        "epochs": Choice(epochs, f"about {STEPS_OF_A_TRAINING} optimizer steps, at most {MOST_EPOCHS} epochs"),
    }


def shares(dataset: DataSet) -> list[int]:
    """Return the shares of the training videos that hold enough of them to train on, in percent."""
    videos = len(dataset.train)
    return [share for share in SHARES if videos * share / 100 >= LEAST_UNITS or share == 100]


def measured_lengths(dataset: DataSet) -> list[int]:
    """Return the lengths at which models are counted and timed: median, 95 % and longest video, parts of the median.

    Videos of one length would make a single point, through which no line can be judged.
    """
    steps = [video.feature_length for video in [*dataset.train, *dataset.test]]
    median, long, longest = (float(np.percentile(steps, share)) for share in (50, LONG, 100))
    return sorted({max(int(length), 2) for length in (median / 4, median / 2, 3 * median / 4, median, long, longest)})


def _action_steps(dataset: DataSet) -> np.ndarray:
    return np.concatenate([(v.segments_s[:, 1] - v.segments_s[:, 0]) * v.feature_fps for v in dataset.train])
