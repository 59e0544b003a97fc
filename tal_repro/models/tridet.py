"""TriDet's encoder (Shi et al., CVPR 2023): scalable-granularity blocks, depthwise convolutions instead of attention.

Differs from its siblings in: nothing masks a block's output behind the video, and global averages and GroupNorm see the
padding, so a margin of columns is computed; a Trident head (see trident.py); noise on the input in training.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tal_repro.models.block_encoder import BlockEncoder
from tal_repro.models.layers import MaskedNorm, ScaledResidual, group_norm
from tal_repro.models.levels import Level, total_sum
from tal_repro.models.recipes import PyramidRecipe

GROUPS = 16
WIDE = 11  # window 1 times k = 5, (1 + 1) * 5 rounded up to odd


class GranularityBlock(nn.Module):
    """Instant branch gated by a global average, window branch gated by the step itself, then an MLP."""

    def __init__(self, recipe: PyramidRecipe, stride: int) -> None:
        super().__init__()
        channels = recipe.embed_dim

        def depthwise(width: int) -> nn.Conv1d:
            conv = nn.Conv1d(channels, channels, width, padding=width // 2, groups=channels)
            nn.init.zeros_(conv.weight)  # upstream draws them with variance 0
            return conv

        self.stride = stride
        self.norm = MaskedNorm(channels)
        self.window_gate = depthwise(1)
        self.instant = depthwise(1)
        self.window = depthwise(1)
        self.wide_window = depthwise(WIDE)
        self.global_gate = depthwise(1)
        self.group_norm = nn.GroupNorm(GROUPS, channels)
        self.mlp_in = nn.Conv1d(channels, recipe.mlp_dim, 1)
        self.mlp_out = nn.Conv1d(recipe.mlp_dim, channels, 1)
        self.residual = ScaledResidual(channels) if stride > 1 else None
        self.residual_mlp = ScaledResidual(channels) if stride > 1 else None
        self.upstream_arithmetic = False

    def forward(self, x: Tensor, level: Level, keep: list[Tensor] | None) -> Tensor:
        """Map [B, C, T] to [B, C, T / stride]; `level` lays out the result."""
        if self.stride > 1:
            x = F.max_pool1d(x, 3, 2, padding=1)
        mixed = self._mix(self.norm(x, x.new_ones(())), level)
        x = self._add(self.residual, x * level.mask, mixed, keep)
        normal = group_norm(x, GROUPS, level, self.group_norm.weight, self.group_norm.bias)
        return self._add(self.residual_mlp, x, self.mlp_out(F.gelu(self.mlp_in(normal))), keep)

    def _mix(self, x: Tensor, level: Level) -> Tensor:
        gate = torch.relu(self.global_gate(total_sum(x, level) / level.total))
        if self.upstream_arithmetic:
            windows: Tensor = self.window(x) + self.wide_window(x)
            return torch.add(self.instant(x) * gate + windows * self.window_gate(x), x)
        # kernels of width 1 are a scale and a shift, and the two windows add up to one convolution
        kernel = self.wide_window.weight + F.pad(self.window.weight, (WIDE // 2, WIDE // 2))
        bias = _bias(self.wide_window) + _bias(self.window)
        window = F.conv1d(x, kernel, bias, padding=WIDE // 2, groups=x.shape[1])
        window_gate = x * self.window_gate.weight[:, 0] + _bias(self.window_gate)[:, None]
        instant = x * (1 + gate * self.instant.weight[:, 0]) + gate * _bias(self.instant)[:, None]
        return torch.add(instant, window.to(x.dtype) * window_gate)

    @staticmethod
    def _add(scaled: ScaledResidual | None, x: Tensor, branch: Tensor, keep: list[Tensor] | None) -> Tensor:
        if scaled is None:
            return x + branch
        return scaled(x, branch, None if keep is None else keep.pop())  # type: ignore[no-any-return]


def _bias(conv: nn.Conv1d) -> Tensor:
    assert conv.bias is not None
    return conv.bias


class TriDetEncoder(BlockEncoder):
    """Granularity blocks at every level; only the halving ones drop paths."""

    def __init__(self, recipe: PyramidRecipe) -> None:
        super().__init__(recipe, GranularityBlock)
        self.drop_sites = 2 * (recipe.levels - 1)
        # each block carries a difference 5 steps further; halving maps a reach of r to (r + 1) / 2
        reach = WIDE // 2
        self.margin = max(recipe.stem_blocks * reach, 2 * reach + 1)
