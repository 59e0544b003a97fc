"""From raw outputs to candidate detections: scores above a threshold, the best of each level, segments in steps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from tal_repro.models.heads import offsets_at
from tal_repro.models.interface import Candidates

if TYPE_CHECKING:
    from tal_repro.models.pyramid import PyramidDetector, PyramidOutputs


@torch.no_grad()
def decode(model: PyramidDetector, outputs: PyramidOutputs, lengths: Sequence[int]) -> list[Candidates]:
    """Return the candidates of each sample; see `PyramidDetector.decode`."""
    return [_decode_sample(model, outputs, index, length) for index, length in enumerate(lengths)]


def _decode_sample(model: PyramidDetector, outputs: PyramidOutputs, sample: int, length: int) -> Candidates:
    parts = []
    for level in range(model.recipe.levels):
        valid = -(-length // 2**level)
        parts.append(_decode_level(model, outputs, sample, level, valid))
    return Candidates(*(torch.cat(field) for field in zip(*parts, strict=True)))


def _decode_level(model: PyramidDetector, outputs: PyramidOutputs, sample: int, level: int, valid: int) -> Candidates:
    recipe, stride = model.recipe, 2.0**level
    scores = outputs.logits[level][sample, :, :valid].T.sigmoid().flatten()  # point by point, as upstream orders them
    above = (scores > recipe.pre_nms_score).nonzero()[:, 0]
    scores, order = scores[above].sort(descending=True)  # not stable: upstream's order among equal scores
    order, scores = above[order[: recipe.pre_nms_topk]], scores[: recipe.pre_nms_topk]
    point = torch.div(order, recipe.num_classes, rounding_mode="floor")
    label = order % recipe.num_classes
    offsets = _offsets(model, outputs, sample, level, label, point).to(scores.dtype)
    time = point.to(scores.dtype) * stride
    segments = torch.stack([time - offsets[:, 0] * stride, time + offsets[:, 1] * stride], dim=-1)
    long_enough = segments[:, 1] - segments[:, 0] > recipe.min_duration
    return Candidates(segments[long_enough], scores[long_enough], label[long_enough])


def _offsets(
    model: PyramidDetector, outputs: PyramidOutputs, sample: int, level: int, label: Tensor, point: Tensor
) -> Tensor:
    if not model.trident:
        return outputs.offsets[level][sample, :, point].T
    only = slice(level, level + 1)
    at = (torch.full_like(point, sample), label, point)
    return offsets_at(outputs.starts[only], outputs.ends[only], outputs.offsets[only], at)
