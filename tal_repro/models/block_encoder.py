"""The encoder that ActionFormer and TriDet share: stem blocks, then one halving block per level. The block differs."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

from torch import Tensor, nn

from tal_repro.models.layers import MaskedNorm
from tal_repro.models.levels import Level, grow
from tal_repro.models.recipes import PyramidRecipe


class BlockEncoder(nn.Module):
    """Stem blocks at full resolution, then one halving block per further level, a norm at each.

    `block(recipe, stride)` makes a module that maps ([B, C, T], level, keep) to [B, C, T / stride].
    """

    def __init__(self, recipe: PyramidRecipe, block: Callable[[PyramidRecipe, int], nn.Module]) -> None:
        super().__init__()
        self.stem = nn.ModuleList(block(recipe, 1) for _ in range(recipe.stem_blocks))
        self.branch = nn.ModuleList(block(recipe, 2) for _ in range(recipe.levels - 1))
        self.level_norms = nn.ModuleList(MaskedNorm(recipe.embed_dim) for _ in range(recipe.levels))

    def forward(self, x: Tensor, levels: list[Level], keep: list[Tensor] | None) -> list[Tensor]:
        """Map embedded features [B, C, T] to one normalised tensor per level."""
        for block in self.stem:
            x = block(x, levels[0], keep)
        features = [x]
        for block, (before, level) in zip(self.branch, pairwise(levels), strict=True):
            x = block(grow(x, before, 2 * level.columns), level, keep)
            features.append(x)
        scale = x.new_ones(())
        return [norm(f, scale) for norm, f in zip(self.level_norms, features, strict=True)]
