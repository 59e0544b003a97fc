"""ActionFormer's encoder (Zhang et al., ECCV 2022): pre-norm transformer blocks with local attention, one per level.

Differs from its siblings in: attention within a window, an MLP four times as wide, LayerNorm on every level.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tal_repro.models.block_encoder import BlockEncoder
from tal_repro.models.layers import MaskedNorm, ScaledResidual
from tal_repro.models.levels import Level
from tal_repro.models.recipes import PyramidRecipe

BLOCK = 32  # queries per block: 32 queries share 32 + 2 * reach keys


def banded_attention(query: Tensor, key: Tensor, value: Tensor, heads: int, reach: int, mask: Tensor) -> Tensor:
    """Attend within `reach` steps by blocks of queries against the keys any of them can see.

    `query` (already scaled), `key`, `value` [B, C, T]; `mask` [B, 1, T] is 0 for steps behind the video, which nobody
    attends to. Returns [B, C, T]; behind the video the values are arbitrary but finite.
    """
    batch, channels, steps = query.shape
    size = channels // heads
    blocks = -(-steps // BLOCK)
    tail = blocks * BLOCK - steps
    span = BLOCK + 2 * reach

    def windows(x: Tensor) -> Tensor:
        return F.pad(x, (reach, reach + tail)).unfold(-1, span, BLOCK)  # [..., blocks, span]

    q = F.pad(query, (0, tail)).view(batch, heads, size, blocks, BLOCK)
    k = windows(key.reshape(batch, heads, size, steps))
    v = windows(value.reshape(batch, heads, size, steps))
    scores = torch.einsum("bhdnx,bhdny->bhnxy", q, k)
    seen = windows(mask).view(batch, 1, blocks, 1, span) > 0
    x, y = torch.arange(BLOCK, device=q.device), torch.arange(span, device=q.device)
    band = (y - x[:, None] - reach).abs() <= reach
    scores = scores.masked_fill(~(seen & band), torch.finfo(scores.dtype).min)
    out = torch.einsum("bhnxy,bhdny->bhdnx", scores.softmax(-1), v)
    return out.reshape(batch, channels, blocks * BLOCK)[..., :steps]


def chunked_attention(query: Tensor, key: Tensor, value: Tensor, heads: int, reach: int, mask: Tensor) -> Tensor:
    """Compute the same by overlapping chunks of 2 * reach steps, the arithmetic upstream does (and fvcore counts).

    T must be a multiple of 2 * reach. Scores come from all pairs within a chunk, so most are computed twice; values are
    gathered from three half chunks. Only MAC counts use this form.
    """
    batch, channels, steps = query.shape
    half, count = reach, steps // reach

    def rows(x: Tensor, split: int) -> Tensor:
        return x.reshape(x.shape[0] * split, x.shape[1] // split, steps).transpose(1, 2)

    def chunks(x: Tensor) -> Tensor:
        return x.unfold(1, 2 * half, half).transpose(2, 3)  # [rows, count - 1, 2 * half, size]

    def scores(a: Tensor, b: Tensor) -> Tensor:
        pairs = torch.einsum("bcxd,bcyd->bcxy", chunks(a), chunks(b))
        before = F.pad(pairs[:, :, half:, :half], (0, 0, 0, 0, 1, 0))
        here = torch.cat([pairs[:, :, :half, :half], pairs[:, -1:, half:, half:]], 1)
        after = F.pad(pairs[:, :, :half, half:], (0, 0, 0, 0, 0, 1))
        return torch.cat([before, here, after], dim=-1)  # [rows, count, half, 3 * half]

    q, k, v = rows(query, heads), rows(key, heads), rows(value, heads)
    hidden = rows((1 - mask) * -1e4, 1)
    x, y = torch.arange(half, device=q.device), torch.arange(3 * half, device=q.device)
    place = torch.arange(count, device=q.device)[:, None] * half + y - half
    allowed = ((y - x[:, None] - half).abs() <= reach) & ((place >= 0) & (place < steps))[:, None]
    bias = scores(torch.ones_like(hidden), hidden).repeat_interleave(heads, 0)
    weights = (scores(q, k) + bias).masked_fill(~allowed, float("-inf")).softmax(-1)
    padded = F.pad(v, (0, 0, half, half)).unfold(1, 3 * half, half).transpose(2, 3)
    out = torch.einsum("bcwd,bcdh->bcwh", weights, padded)
    return out.reshape(batch, heads, steps, channels // heads).transpose(2, 3).reshape(batch, channels, steps)


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
        scale = x.new_ones(())
        attended = self.attention(self.norm_attention(x, scale), level.mask)
        skip = F.max_pool1d(x, 3, 2, padding=1) if self.stride > 1 else x
        x = self.residual_attention(skip, attended, drop[0])
        hidden = F.gelu(self.mlp_in(self.norm_mlp(x, scale)))
        return self.residual_mlp(x, self.mlp_out(hidden), drop[1]) * level.mask  # type: ignore[no-any-return]


class ActionFormerEncoder(BlockEncoder):
    """Window attention at every level."""

    margin = 0  # every block zeroes what lies behind the video

    def __init__(self, recipe: PyramidRecipe) -> None:
        super().__init__(recipe, WindowBlock)
        self.drop_sites = 2 * (recipe.stem_blocks + recipe.levels - 1)
