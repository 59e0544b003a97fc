"""At what sizes and on what lengths each model is compared."""

from __future__ import annotations

import dataclasses
import math
import random
import statistics
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from tal_repro.models import recipes


@dataclass(frozen=True)
class Setting:
    """One model's comparison: recipe, lengths, kinds of targets, and what upstream cannot do."""

    name: str
    recipe: Any
    train_lengths: list[list[int]]
    test_lengths: list[int]
    target_kinds: tuple[str, ...] = ("one", "many", "overlapping", "beyond", "none")
    double: bool = False  # upstream runs in float64
    zero_gradients: dict[str, str] = field(default_factory=dict)  # end of a parameter's name -> why its gradient is 0
    slow: dict[str, float] = field(default_factory=dict)  # part of a parameter's name -> learning rate factor

    @property
    def channels(self) -> int:
        """Return the width of the features."""
        return int(self.recipe.feature_dim)

    @property
    def ema_decay(self) -> float:
        """Return the decay of the moving average, 0 for none."""
        return float(self.recipe.ema_decay)

    def zero_gradient(self, key: str) -> bool:
        """Say whether the parameter's gradient is zero by construction, so that only rounding would be compared."""
        return any(key.endswith(end) for end in self.zero_gradients)

    def excluded(self, keys: Iterable[str]) -> dict[str, str]:
        """Return the excluded parameters and why."""
        return {key: why for key in keys for end, why in self.zero_gradients.items() if key.endswith(end)}

    def rate_factor(self, key: str) -> float:
        """Return the parameter's factor on the learning rate."""
        return next((factor for part, factor in self.slow.items() if part in key), 1.0)


def settings(name: str, steps: bool = False) -> Setting:
    """Return the setting of `name`; `steps` asks for the one to train with, on shorter sequences where that is long."""
    if name == "tadtr":
        return _tadtr(steps)
    recipe: recipes.PyramidRecipe = getattr(recipes, name.upper())
    train = [[1500, 2304], [2304, 2304], [1, 40], [2280, 700], [640, 641]]
    test = [1, 700, 2304, 2305, 3000]
    if steps:
        recipe = dataclasses.replace(recipe, max_seq_len=576)
        train = [[500, 576], [576, 300], [123, 570], [576, 576]]
    kinds = ("one", "many", "overlapping", "beyond", "none")
    zero = {}
    if name == "temporalmaxer":
        kinds = kinds[:-1]  # upstream fails on a video without actions
    if name == "actionformer":
        why = "adds the same to all scores of a query, which softmax ignores"
        zero = {"key.pointwise.bias": why, "key.norm.bias": why}
    return Setting(name, recipe, train, test, kinds, double=name == "actionformer", zero_gradients=zero)


def _tadtr(steps: bool) -> Setting:
    """Return what TadTR is compared on: slices of 128 steps, shorter ones under a mask, and whole videos."""
    train = [[128] * 4, [128, 90, 1, 60], [40, 33], [200, 256]]
    test = [1, 60, 128, 200, 300]  # at 500 upstream itself is 1.4e-5 from float64: tests/models/test_tadtr_upstream.py
    if steps:
        train = train[:2]
    kinds = ("one", "many", "overlapping", "beyond")  # upstream fails on a batch without any action
    slow = {".offsets.": recipes.TADTR.slow_lr_factor, "reference.": recipes.TADTR.slow_lr_factor}
    return Setting("tadtr", recipes.TADTR, train, test, kinds, double=True, slow=slow)


# log-normal fits of THUMOS14's video seconds: training and test set
SECONDS = {"train": (4.94, 0.92), "test": (5.02, 0.84)}


def real_lengths(name: str) -> dict[str, Any]:
    """Return lengths to time: full ones, and quantiles of THUMOS14's in feature steps (stride 4 at 30 frames/s).

    Training lengths are cut at 2304, as the crop does, and paired at random (batches of 2).
    """
    if name == "tadtr":
        return {
            "train_full": [[128] * 16],
            "train_real": [[128] * 16],  # upstream pads every slice to 128, and so does the kit
            "test_full": [128],
            "test_real": [100, 128, 1000, 3000],
        }
    train = [min(n, 2304) for n in _quantiles("train", 8)]
    random.Random(1).shuffle(train)
    batches = [train[i : i + 2] for i in range(0, len(train), 2)]
    return {
        "train_full": [[2304, 2304]],
        "train_real": batches,
        "test_full": [2304],
        "test_real": _quantiles("test", 6),
    }


def _quantiles(part: str, count: int) -> list[int]:
    fit = statistics.NormalDist(*SECONDS[part])
    seconds = [math.exp(fit.inv_cdf((i + 0.5) / count)) for i in range(count)]
    return [int((30 * s - 16) / 4) for s in seconds]
