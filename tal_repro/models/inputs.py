"""What a detector accepts: shapes, lengths, labels and values are checked here, with errors that say what and where."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from tal_repro.errors import InputError

if TYPE_CHECKING:
    from tal_repro.models.interface import Target

WHOLE = (torch.int8, torch.int16, torch.int32, torch.int64)  # bool and uint8 would be read as masks
LONGEST = 2**31 - 1  # a length whose bound is on an accelerator, which is not waited for
AUTOCAST = (torch.float32, torch.float16, torch.bfloat16)  # what it turns into its own type


def check_features(features: Tensor, lengths: Tensor, channels: int, model: str, dtype: torch.dtype) -> list[int]:
    """Return the lengths as numbers; raise InputError unless features are [B, channels, T], finite, and long enough.

    Features have the weights' `dtype`; under autocast they may be float32, float16 or bfloat16.

    Values are checked on the CPU only: on an accelerator the check would make every step wait for the device, and the
    data layer has checked them before.
    """
    where = f"{model} forward"
    if not isinstance(features, Tensor):
        raise InputError(f"features must be a tensor, got {type(features).__name__}", where)
    if features.ndim != 3 or not features.is_floating_point():
        raise InputError(f"features must be float [B, C, T], got {features.dtype} {tuple(features.shape)}", where)
    if features.layout != torch.strided or features.is_meta:
        kind = "without content" if features.is_meta else str(features.layout).removeprefix("torch.")
        raise InputError(f"features are a tensor of another kind ({kind})", where, "give a plain tensor of numbers")
    if features.dtype != dtype and not (features.dtype in AUTOCAST and torch.is_autocast_enabled(features.device.type)):
        raise InputError(f"features are {features.dtype}, the model's weights {dtype}", where, f"give them as {dtype}")
    if features.shape[0] == 0 or features.shape[2] == 0:
        raise InputError(f"empty batch: features {tuple(features.shape)}", where)
    if features.shape[1] != channels:
        raise InputError(
            f"features have {features.shape[1]} channels, the model takes {channels}",
            where,
            f"build the model with feature_dim={features.shape[1]}, or transpose features stored as [T, C]",
        )
    numbers = read_lengths(lengths, [features.shape[2]] * features.shape[0], where)
    if features.device.type == "cpu":
        _check_finite(features, numbers, where)
    return numbers


def read_lengths(lengths: Tensor, longest: Sequence[int], where: str) -> list[int]:
    """Return the lengths as numbers; raise InputError unless there is one of 1 ... `longest` for each sample."""
    if not isinstance(lengths, Tensor):
        raise InputError(f"lengths must be a tensor of integers, got {type(lengths).__name__}", where)
    if lengths.shape != (len(longest),) or lengths.dtype not in WHOLE:
        raise InputError(f"lengths must be {len(longest)} integers, got {lengths.dtype} {tuple(lengths.shape)}", where)
    numbers: list[int] = lengths.tolist()
    for index, (length, most) in enumerate(zip(numbers, longest, strict=True)):
        if not 1 <= length <= most:
            raise InputError(f"length {length} of sample {index} is not in 1 ... {most}", where)
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


def check_outputs(outputs: Any, kind: type, where: str) -> None:
    """Raise InputError unless `outputs` are what the model's `forward` returns."""
    if not isinstance(outputs, kind):
        raise InputError(f"outputs must be {kind.__name__}, got {type(outputs).__name__}", where)


def check_finite_outputs(samples: Iterable[tuple[Tensor, ...]], where: str) -> None:
    """Raise InputError for a sample whose outputs hold NaN or infinity: no score of it would pass a threshold.

    On an accelerator, too: what is decoded goes to the host in any case.
    """
    if torch.jit.is_tracing():  # type: ignore[attr-defined, no-untyped-call]  # MACs are counted by name
        return
    for index, tensors in enumerate(samples):
        if not torch.stack([x.sum() for x in tensors]).isfinite().all():
            raise InputError(f"outputs of sample {index} are not finite", where, "look at the weights and features")


def check_targets(targets: list[Target], batch: int, classes: int, model: str) -> None:
    """Raise InputError unless there is one target per sample with valid segments and labels."""
    if not isinstance(targets, list | tuple):
        raise InputError(f"targets must be a list of one per sample, got {type(targets).__name__}", f"{model} loss")
    if len(targets) != batch:
        raise InputError(f"{len(targets)} targets for a batch of {batch}", f"{model} loss")
    for index, target in enumerate(targets):
        where = f"{model} loss, target of sample {index}"
        segments, labels = (_tensor_of(target, field, where) for field in ("segments", "labels"))
        if segments.ndim != 2 or segments.shape[1] != 2 or labels.shape != segments.shape[:1]:
            raise InputError(f"segments {tuple(segments.shape)} and labels {tuple(labels.shape)} do not match", where)
        if len(labels) == 0:
            continue
        if labels.dtype not in WHOLE or int(labels.min()) < 0 or int(labels.max()) >= classes:
            shown = f"{labels.dtype} {labels.tolist()}"
            raise InputError(f"labels must be integers in 0 ... {classes - 1}, got {shown}", where)
        if not bool((segments[:, 0] < segments[:, 1]).all()):  # false for NaN as well
            raise InputError(f"segments must start before they end, got {segments.tolist()}", where)
        if not bool(segments.isfinite().all()):
            raise InputError(f"segments must be finite, got {segments.tolist()}", where)


def _tensor_of(target: Any, field: str, where: str) -> Tensor:
    if not isinstance(target, Mapping) or field not in target:
        raise InputError(f"no {field!r}", where, "give each target as {'segments': [N, 2], 'labels': [N]}")
    value = target[field]
    if not isinstance(value, Tensor) or value.is_complex():
        raise InputError(f"{field} must be a tensor of real numbers, got {type(value).__name__}", where)
    return value
