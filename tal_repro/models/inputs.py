"""What a detector accepts: shapes, lengths, labels and values are checked here, with errors that say what and where."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from tal_repro.errors import InputError

if TYPE_CHECKING:
    from tal_repro.models.interface import Target


def check_features(features: Tensor, lengths: Tensor, channels: int, model: str) -> list[int]:
    """Return the lengths as numbers; raise InputError unless features are [B, channels, T], finite, and long enough.

    Values are checked on the CPU only: on an accelerator the check would make every step wait for the device, and the
    data layer has checked them before.
    """
    where = f"{model} forward"
    if features.ndim != 3 or not features.is_floating_point():
        raise InputError(f"features must be float [B, C, T], got {features.dtype} {tuple(features.shape)}", where)
    if features.shape[0] == 0 or features.shape[2] == 0:
        raise InputError(f"empty batch: features {tuple(features.shape)}", where)
    if features.shape[1] != channels:
        raise InputError(
            f"features have {features.shape[1]} channels, the model takes {channels}",
            where,
            f"build the model with feature_dim={features.shape[1]}, or transpose features stored as [T, C]",
        )
    if lengths.shape != features.shape[:1] or lengths.is_floating_point():
        raise InputError(
            f"lengths must be {features.shape[0]} integers, got {lengths.dtype} {tuple(lengths.shape)}", where
        )
    numbers: list[int] = lengths.tolist()
    for index, length in enumerate(numbers):
        if not 1 <= length <= features.shape[2]:
            raise InputError(f"length {length} of sample {index} is not in 1 ... {features.shape[2]}", where)
    if features.device.type == "cpu":
        _check_finite(features, numbers, where)
    return numbers


def _check_finite(features: Tensor, lengths: list[int], where: str) -> None:
    # NaN and infinity survive a sum, which is one pass and no temporary
    if torch.isfinite(features.sum()):
        return
    for index, length in enumerate(lengths):
        bad = ~torch.isfinite(features[index, :, :length]).all(0)
        if bad.any():
            step = int(bad.nonzero()[0])
            raise InputError(f"features of sample {index} are not finite, first at step {step}", where)


def check_targets(targets: list[Target], batch: int, classes: int, model: str) -> None:
    """Raise InputError unless there is one target per sample with valid segments and labels."""
    if len(targets) != batch:
        raise InputError(f"{len(targets)} targets for a batch of {batch}", f"{model} loss")
    for index, target in enumerate(targets):
        where = f"{model} loss, target of sample {index}"
        segments, labels = target["segments"], target["labels"]
        if segments.ndim != 2 or segments.shape[1] != 2 or labels.shape != segments.shape[:1]:
            raise InputError(f"segments {tuple(segments.shape)} and labels {tuple(labels.shape)} do not match", where)
        if len(labels) == 0:
            continue
        if labels.is_floating_point() or int(labels.min()) < 0 or int(labels.max()) >= classes:
            raise InputError(f"labels must be integers in 0 ... {classes - 1}, got {labels.tolist()}", where)
        if not bool((segments[:, 0] < segments[:, 1]).all()):  # false for NaN as well
            raise InputError(f"segments must start before they end, got {segments.tolist()}", where)
