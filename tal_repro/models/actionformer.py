"""ActionFormer's encoder (Zhang et al., ECCV 2022): pre-norm transformer blocks with local attention, one per level.

Differs from its siblings in: attention within a window, an MLP four times as wide, LayerNorm on every level.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from tal_repro.models.attention import banded_attention, chunked_attention
from tal_repro.models.block_encoder import BlockEncoder
from tal_repro.models.layers import MaskedNorm, ScaledResidual
from tal_repro.models.levels import Level
from tal_repro.models.recipes import PyramidRecipe


class Projection(nn.Module):
    """Depthwise convolution (which also halves the steps), mask, norm, linear map: queries, keys or values."""

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv1d(channels, channels, 3, stride, padding=1, groups=channels, bias=False)
        self.norm = MaskedNorm(channels)
        self.pointwise = nn.Conv1d(channels, channels, 1)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Map [B, C, T] to [B, C, T / stride]."""
        return self.pointwise(self.norm(self.depthwise(x), mask))  # type: ignore[no-any-return]


class WindowAttention(nn.Module):
    """Multi-head self-attention inside a centred window."""

    def __init__(self, recipe: PyramidRecipe, stride: int) -> None:
        super().__init__()
        channels = recipe.embed_dim
        self.heads, self.reach = recipe.attention_heads, recipe.attention_window // 2
        self.query = Projection(channels, stride)
        self.key = Projection(channels, stride)
        self.value = Projection(channels, stride)
        self.output = nn.Conv1d(channels, channels, 1)
        self.upstream_arithmetic = False

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Map normalised features [B, C, T] to [B, C, T / stride]; arbitrary behind the video."""
        query, key, value = self.query(x, mask), self.key(x, mask), self.value(x, mask)
        attend = chunked_attention if self.upstream_arithmetic else banded_attention
        size = query.shape[1] // self.heads
        out = attend(query * size**-0.5, key, value, self.heads, self.reach, mask)
        return self.output(out)  # type: ignore[no-any-return]


class WindowBlock(nn.Module):
    """Pre-norm transformer block; with stride 2 the skip path is a max-pool."""

    def __init__(self, recipe: PyramidRecipe, stride: int) -> None:
        super().__init__()
        channels = recipe.embed_dim
        self.stride = stride
        self.norm_attention = MaskedNorm(channels)
        self.attention = WindowAttention(recipe, stride)
        self.residual_attention = ScaledResidual(channels)
        self.norm_mlp = MaskedNorm(channels)
        self.mlp_in = nn.Conv1d(channels, recipe.mlp_dim, 1)
        self.mlp_out = nn.Conv1d(recipe.mlp_dim, channels, 1)
        self.residual_mlp = ScaledResidual(channels)

    def forward(self, x: Tensor, level: Level, keep: list[Tensor] | None) -> Tensor:
        """Map [B, C, T] to [B, C, T / stride]; `level` lays out the result."""
        drop = (None, None) if keep is None else (keep.pop(), keep.pop())
        one = x.new_ones(())
        attended = self.attention(self.norm_attention(x, one), level.mask)
        skip = F.max_pool1d(x, 3, 2, padding=1) if self.stride > 1 else x
        x = self.residual_attention(skip, attended, drop[0])
        hidden = F.gelu(self.mlp_in(self.norm_mlp(x, one)))
        return self.residual_mlp(x, self.mlp_out(hidden), drop[1]) * level.mask  # type: ignore[no-any-return]


class ActionFormerEncoder(BlockEncoder):
    """Window attention at every level."""

    margin = 0  # every block zeroes what lies behind the video

    def __init__(self, recipe: PyramidRecipe) -> None:
        super().__init__(recipe, WindowBlock)
        self.drop_sites = 2 * (recipe.stem_blocks + recipe.levels - 1)
