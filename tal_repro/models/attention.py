"""Local self-attention of ActionFormer: each step attends the steps at most `reach` away that belong to its video."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

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
