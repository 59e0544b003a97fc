"""What one factor does to the mAP at one share of the data, all others held: a difference with its 95 % interval.

Weights and budget are compared within a subset and seed (paired t). Units are compared between subsets that share
nothing but the seed of the training (Welch). Shares are never pooled: an effect at 10 % is no effect at 50 %.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from tal_repro.models.registry import MODELS
from tal_repro.paper.ablation.points import Condition, Point, models_of, published_weights
from tal_repro.paper.statistics import describe, difference_interval, mean_interval

LEVEL = 0.95


@dataclass(frozen=True)
class Contrast:
    """Two conditions that differ in one factor. `paired`: their runs share subset and seed."""

    name: str
    base: Condition
    other: Condition
    paired: bool


@dataclass(frozen=True)
class Effect:
    """The other condition's mAP less the base's (points) for one model at one share, as mean and 95 % interval."""

    contrast: Contrast
    model: str
    percent: float
    base: tuple[Point, ...]
    other: tuple[Point, ...]
    mean: float
    low: float
    high: float

    @property
    def runs(self) -> int:
        """Return how many runs the smaller side has."""
        return min(len(self.base), len(self.other))

    @property
    def direction(self) -> int:
        """Return 1 or -1 where the interval lies above or below 0, else 0."""
        if self.low <= 0 <= self.high:
            return 0
        return 1 if self.mean > 0 else -1


ALL_CLASSES_AT_STEPS = "videos of all classes instead of any videos, at equal steps and raw weights"
SLICES_AT_STEPS = "slices instead of videos, at equal steps and raw weights"
ALL_CLASSES = "videos of all classes instead of any videos, as published"
SLICES = "slices instead of videos, as published"
STEPS_RAW = "equal steps instead of equal epochs, raw weights"
STEPS_EMA = "equal steps instead of equal epochs, moving average"
RAW_AT_EPOCHS = "raw weights instead of the moving average, at equal epochs"
RAW_AT_STEPS = "raw weights instead of the moving average, at equal steps"


def contrasts(model: str) -> list[Contrast]:
    """Return what is compared for a model. As published: equal epochs, EMA (TadTR: raw weights)."""
    own, weights = partial(Condition, MODELS[model].unit, "uniform"), published_weights(model)
    videos = partial(Condition, "video", "uniform")
    complete, slices = partial(Condition, "video", "all-classes"), partial(Condition, "slice", "uniform")
    published, equal = ("epochs", weights), ("steps", "raw")
    return [
        Contrast(ALL_CLASSES, videos(*published), complete(*published), False),
        Contrast(ALL_CLASSES_AT_STEPS, videos(*equal), complete(*equal), False),
        Contrast(SLICES, videos(*published), slices(*published), False),
        Contrast(SLICES_AT_STEPS, videos(*equal), slices(*equal), False),
        Contrast(STEPS_EMA, own("epochs", "ema"), own("steps", "ema"), True),
        Contrast(STEPS_RAW, own("epochs", "raw"), own("steps", "raw"), True),
        Contrast(RAW_AT_EPOCHS, own("epochs", "ema"), own("epochs", "raw"), True),
        Contrast(RAW_AT_STEPS, own("steps", "ema"), own("steps", "raw"), True),
    ]


def effects(points: Sequence[Point]) -> list[Effect]:
    """Return every contrast of every model at every share below 100 % that has runs on both sides."""
    result = []
    for model in models_of(points):
        for percent in sorted({point.percent for point in points if point.percent < 100}):
            here = [point for point in points if (point.model, point.percent) == (model, percent)]
            result += [effect for c in contrasts(model) if (effect := _effect(c, model, percent, here)) is not None]
    return result


def over_models(measured: Sequence[Effect], level: float) -> tuple[float, float, float] | None:
    """Return mean and interval of one contrast at one share, of the mean mAP over its models; None: too few runs.

    Models are trained on the same subsets, so a subset counts once: as the mean over models of its seed.
    """
    base, other = (_by_seed(measured, side) for side in ("base", "other"))
    mean = statistics.fmean(other.values()) - statistics.fmean(base.values()) if base and other else math.nan
    if min(len(base), len(other)) < 2:
        return None
    if all(effect.contrast.paired for effect in measured):
        return mean, *mean_interval(describe([other[seed] - base[seed] for seed in base]), level)
    return mean, *difference_interval(describe([*base.values()]), describe([*other.values()]), level)


def _by_seed(measured: Sequence[Effect], side: str) -> dict[int, float]:
    """Return the mean mAP over the models of each seed that all of them have."""
    values: dict[int, list[float]] = {}
    for effect in measured:
        for point in getattr(effect, side):
            values.setdefault(point.seed, []).append(point.average_map_percent)
    return {seed: statistics.fmean(maps) for seed, maps in sorted(values.items()) if len(maps) == len(measured)}


def _effect(contrast: Contrast, model: str, percent: float, points: Sequence[Point]) -> Effect | None:
    base, other = ([p for p in points if p.of(side)] for side in (contrast.base, contrast.other))
    if contrast.paired:
        seeds = sorted({p.seed for p in base} & {p.seed for p in other})
        base, other = ([p for seed in seeds for p in side if p.seed == seed] for side in (base, other))
    if not base or not other:
        return None
    before, after = ([p.average_map_percent for p in side] for side in (base, other))
    mean = statistics.fmean(after) - statistics.fmean(before)
    if min(len(before), len(after)) < 2:
        low, high = -math.inf, math.inf
    elif contrast.paired:
        low, high = mean_interval(describe([b - a for a, b in zip(before, after, strict=True)]), LEVEL)
    else:
        low, high = difference_interval(describe(before), describe(after), LEVEL)
    return Effect(contrast, model, percent, tuple(base), tuple(other), mean, low, high)


def listed(parts: Sequence[str]) -> str:
    """Write one or more things as a sentence does: "10, 12.5 and 20"."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
