"""TemporalMaxer's encoder (Tang et al., 2023): max-pooling and nothing else; it has no parameters.

Differs from its siblings in: no blocks, GroupNorm (4 groups, no affine) on every level, targets by lowest cost.
"""

from __future__ import annotations

from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

from tal_repro.models.layers import group_norm
from tal_repro.models.levels import Level, grow
from tal_repro.models.recipes import PyramidRecipe

GROUPS = 4


class TemporalMaxerEncoder(nn.Module):
    """Halve the steps by max-pooling, level after level."""

    margin = 0
    drop_sites = 0

    def __init__(self, recipe: PyramidRecipe) -> None:
        super().__init__()
        self.levels = recipe.levels

    def forward(self, x: Tensor, levels: list[Level], keep: list[Tensor] | None) -> list[Tensor]:
        """Map embedded features [B, C, T] to one normalised tensor per level."""
        features = [x]
        for before, level in pairwise(levels):
            x = F.max_pool1d(grow(x, before, 2 * level.columns), 3, 2, padding=1) * level.mask
            features.append(x)
        return [group_norm(f, GROUPS, level, None, None) for f, level in zip(features, levels, strict=True)]
