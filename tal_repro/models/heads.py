"""Heads shared by all levels: two hidden convolutions, one output. All levels pass as one sequence with gaps."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from tal_repro.models.layers import ConvNorm
from tal_repro.models.levels import Level

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
