"""What the native engine asks of a recipe: how its network is trained, scored and decoded. Needs no torch.

The engine knows no model by name: whatever differs between two is an attribute or a method here, and a recipe replaces
those that its model needs otherwise. A model of one's own inherits them with their fields (`own_recipe`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

if TYPE_CHECKING:
    from torch import nn

Budget = Literal["epochs", "steps"]
Samples = Literal["clips", "slices"]
MINIMUM_LEARNING_RATE = 1e-8  # a cosine ends there


class NativeRecipe:
    """The answers of a recipe; a subclass is a frozen dataclass with at least the fields that are declared here."""

    # What one sample is. "clips": whole videos, cropped at random in training, Soft-NMS within a video (the fields
    # max_seq_len, crop_ratio, truncation_threshold, nms_sigma, nms_min_score are read). "slices": windows of
    # slice_length steps, hard NMS where they overlap (slice_length, nms_iou).
    samples: ClassVar[Samples] = "clips"
    known_ranges: ClassVar[bool] = False  # the values of fields named as the four's are checked as theirs are

    if TYPE_CHECKING:  # fields of every recipe, in whatever order a dataclass lists them

        @property
        def feature_dim(self) -> int: ...
        @property
        def num_classes(self) -> int: ...
        @property
        def epochs(self) -> int: ...
        @property
        def batch_size(self) -> int: ...
        @property
        def learning_rate(self) -> float: ...
        @property
        def weight_decay(self) -> float: ...
        @property
        def clip_norm(self) -> float: ...
        @property
        def ema_decay(self) -> float: ...
        @property
        def budget(self) -> Budget: ...
        @property
        def max_detections(self) -> int: ...

    @property
    def unit(self) -> Literal["video", "slice"]:
        """Return what its authors count: a training set of it is so many videos, or slices."""
        return "slice" if self.samples == "slices" else "video"

    @property
    def training_length(self) -> int:
        """Return the feature steps of its longest training sample."""
        raise NotImplementedError

    @property
    def padded_to(self) -> int | None:
        """Return the feature steps that a shorter input is padded to; None where nothing is padded."""
        return None

    @property
    def patience(self) -> int | None:
        """Return how many evaluations without a better mAP end a training early; None: it runs to its last epoch."""
        return None

    def problem(self, name: str) -> tuple[str, str] | None:
        """Return what is wrong with values that do not fit together, and its remedy; None: they fit."""
        return None

    def authors_multiple(self, name: str) -> int:
        """Return the steps that the authors' code of model `name` wants `max_seq_len` to be a multiple of."""
        return 1

    def small(self, name: str) -> Mapping[str, Any]:
        """Return the fields that make a training of seconds of it, for `models check` on 16-channel features."""
        return {"epochs": 2}

    def parameter_groups(self, network: nn.Module) -> list[dict[str, Any]]:
        """Return AdamW's groups of parameters, each with its own `lr`."""
        return [{"params": list(network.parameters()), "lr": self.learning_rate}]

    def learning_rate_at(self, base: float, step: int, steps_per_epoch: int) -> float:
        """Return the rate of optimizer step `step` (from 0) for a group whose own rate is `base`."""
        return base

    def is_evaluated(self, epoch: int, every: int | None = None) -> bool:
        """Tell whether a training evaluates after `epoch` (from 0), its last one left aside, which always is.

        `every` (epochs) replaces the model's own interval.
        """
        return is_multiple(epoch, every or 1)


def warmup_and_cosine(base: float, step: int, warmup: int, total: int) -> float:
    """Return a rate that rises in a line over `warmup` steps, whose first changes nothing, then falls as a cosine."""
    if step < warmup:
        return base * step / max(warmup - 1, 1)
    progress = (step - warmup) / max(total - warmup, 1)
    return MINIMUM_LEARNING_RATE + (base - MINIMUM_LEARNING_RATE) * (1 + math.cos(math.pi * progress)) / 2


def is_multiple(epoch: int, every: int) -> bool:
    """Tell whether so many epochs are done, counted from 1, that an interval ends."""
    return (epoch + 1) % every == 0
