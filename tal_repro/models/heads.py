"""Heads shared by all levels: two hidden convolutions, one output; and from raw outputs to candidates.

All levels pass as one sequence with gaps. TriDet's Trident head: an offset is the mean of a distribution over bins.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tal_repro.models.interface import Candidates
from tal_repro.models.layers import ConvNorm
from tal_repro.models.levels import Level
from tal_repro.models.outputs import PyramidOutputs
from tal_repro.models.recipes import PyramidRecipe

PRIOR = 0.01  # probability the classifiers start with


class Head(nn.Module):
    """Two hidden units of width 3 and an output convolution, applied to packed levels."""

    def __init__(self, inputs: int, hidden: int, outputs: int, prior: float | None = None) -> None:
        super().__init__()
        self.hidden = nn.ModuleList([ConvNorm(inputs, hidden), ConvNorm(hidden, hidden)])
        self.output = nn.Conv1d(hidden, outputs, 3, padding=1)
        assert self.output.bias is not None
        nn.init.constant_(self.output.bias, 0.0 if prior is None else -math.log((1 - prior) / prior))

    def forward(self, x: Tensor, mask: Tensor, gaps: Tensor | None) -> Tensor:
        """Map [B, inputs, S] to [B, outputs, S], zero where `mask` [B, 1, S] is."""
        for unit in self.hidden:
            x = unit(x, mask, gaps)
        return self.output(x) * mask  # type: ignore[no-any-return]


class PackedLevels:
    """Levels side by side with one zero column after each, so that a convolution of width 3 keeps them apart."""

    def __init__(self, features: list[Tensor], levels: list[Level], gap: bool = True) -> None:
        self.widths = [level.visible if gap else level.columns for level in levels]
        ends = [sum(self.widths[: i + 1]) + i for i in range(len(levels))] if gap else []
        self._starts = [0, *(end + 1 for end in ends[:-1])]
        self.gaps = torch.tensor(ends).to(features[0].device, non_blocking=True) if gap else None
        zero = features[0].new_zeros(*features[0].shape[:2], int(gap))
        parts, masks = [], []
        for x, level, width in zip(features, levels, self.widths, strict=True):
            parts += [x[..., :width], zero]
            masks += [level.mask[..., :width], zero[:, :1]]
        self.features = torch.cat(parts, dim=-1)
        self.mask = torch.cat(masks, dim=-1)

    def split(self, packed: Tensor) -> list[Tensor]:
        """Return one tensor [B, outputs, width] per level."""
        return [packed[..., start : start + width] for start, width in zip(self._starts, self.widths, strict=True)]


def expected_offset(start: Tensor, end: Tensor, centre: Tensor) -> Tensor:
    """Return left and right offsets [..., 2] in strides.

    `start` and `end` [..., bins + 1] are the boundary responses at the point and its neighbours on that side, in
    order of time; `centre` [..., 2, bins + 1] is the point's own response for each side.
    """
    right_bins = torch.arange(end.shape[-1], device=end.device, dtype=end.dtype)
    left = torch.softmax(start + centre[..., 0, :], dim=-1) @ right_bins.flip(0)[:, None]
    right = torch.softmax(end + centre[..., 1, :], dim=-1) @ right_bins[:, None]
    return torch.cat([left, right], dim=-1)


def offsets_at(
    starts: Sequence[Tensor], ends: Sequence[Tensor], centres: Sequence[Tensor], at: tuple[Tensor, Tensor, Tensor]
) -> Tensor:
    """Decode offsets [n, 2] at samples, classes and points `at`, each [n]; points count through all levels.

    `starts` and `ends` hold [B, K, T_l] per level, `centres` [B, 2 * (bins + 1), T_l]. Beyond a level's ends responses
    are 0.
    """
    device = centres[0].device
    sample, label, point = (index.to(device, non_blocking=True) for index in at)
    bins = centres[0].shape[1] // 2 - 1
    ends_of_levels = torch.tensor([s.shape[-1] for s in starts]).cumsum(0)
    level = torch.bucketize(point, ends_of_levels.to(device, non_blocking=True), right=True)
    window = (point + level * bins)[:, None] + torch.arange(bins + 1, device=device)
    place = (sample[:, None], label[:, None], window)
    start = torch.cat([F.pad(s, (bins, 0)) for s in starts], dim=-1)[place]
    end = torch.cat([F.pad(e, (0, bins)) for e in ends], dim=-1)[place]
    centre = torch.cat(list(centres), dim=-1)[sample, :, point].view(-1, 2, bins + 1)
    return expected_offset(start, end, centre)


def all_offsets(starts: Sequence[Tensor], ends: Sequence[Tensor], centres: Sequence[Tensor]) -> list[Tensor]:
    """Decode every class at every point, [B, K, T_l, 2] per level: upstream's arithmetic, for MAC counts."""
    decoded = []
    for start, end, centre in zip(starts, ends, centres, strict=True):
        bins = centre.shape[1] // 2
        start_bins = F.pad(start, (bins - 1, 0)).unfold(-1, bins, 1)
        end_bins = F.pad(end, (0, bins - 1)).unfold(-1, bins, 1)
        own = centre.reshape(len(centre), 1, 2, bins, -1).permute(0, 1, 4, 2, 3)
        decoded.append(expected_offset(start_bins, end_bins, own))
    return decoded


@torch.no_grad()
def decode(outputs: PyramidOutputs, lengths: Sequence[int], recipe: PyramidRecipe) -> list[Candidates]:
    """Return the candidates of each sample; see `PyramidDetector.decode`."""
    return [_decode_sample(outputs, index, length, recipe) for index, length in enumerate(lengths)]


def _decode_sample(outputs: PyramidOutputs, sample: int, length: int, recipe: PyramidRecipe) -> Candidates:
    parts = []
    for level in range(recipe.levels):
        valid = -(-length // 2**level)
        parts.append(_decode_level(outputs, sample, level, valid, recipe))
    return Candidates(*(torch.cat(field) for field in zip(*parts, strict=True)))


def _decode_level(outputs: PyramidOutputs, sample: int, level: int, valid: int, recipe: PyramidRecipe) -> Candidates:
    stride = 2.0**level
    scores = outputs.logits[level][sample, :, :valid].T.sigmoid().flatten()  # point by point, as upstream orders them
    above = (scores > recipe.pre_nms_score).nonzero()[:, 0]
    scores, order = scores[above].sort(descending=True)  # not stable: upstream's order among equal scores
    order, scores = above[order[: recipe.pre_nms_topk]], scores[: recipe.pre_nms_topk]
    point = torch.div(order, recipe.num_classes, rounding_mode="floor")
    label = order % recipe.num_classes
    offsets = _offsets(outputs, sample, level, label, point).to(scores.dtype)
    time = point.to(scores.dtype) * stride
    segments = torch.stack([time - offsets[:, 0] * stride, time + offsets[:, 1] * stride], dim=-1)
    long_enough = segments[:, 1] - segments[:, 0] > recipe.min_duration
    return Candidates(segments[long_enough], scores[long_enough], label[long_enough])


def _offsets(outputs: PyramidOutputs, sample: int, level: int, label: Tensor, point: Tensor) -> Tensor:
    if not outputs.trident:
        return outputs.offsets[level][sample, :, point].T
    only = slice(level, level + 1)
    at = (torch.full_like(point, sample), label, point)
    return offsets_at(outputs.starts[only], outputs.ends[only], outputs.offsets[only], at)
