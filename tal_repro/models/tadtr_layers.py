"""TadTR's transformer layers: a deformable encoder over steps and a decoder over queries, both post-norm."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from tal_repro.models.deformable import DeformableAttention
from tal_repro.models.linear import Linear, linear
from tal_repro.models.recipes import TadtrRecipe

LEVELS = 1 << 16  # the drop probability is rounded to a multiple of 1 / LEVELS, and the scale follows it exactly


class Dropout(nn.Module):
    """`nn.Dropout` with the same distribution up to 2^-17 in the probability, alone or fused with its neighbour."""

    def __init__(self, probability: float) -> None:
        super().__init__()
        if not 0 <= probability < 1:
            raise ValueError(f"dropout {probability} is not in [0, 1)")
        self.probability = probability

    def forward(self, x: Tensor) -> Tensor:
        """Zero each element of `x` with the given probability and scale the others; in eval mode return `x`."""
        return x * self._mask(x) if self._active() else x

    def add(self, residual: Tensor, x: Tensor) -> Tensor:
        """Return `residual + dropout(x)` in one pass."""
        return torch.addcmul(residual, x, self._mask(x)) if self._active() else residual + x

    def relu(self, x: Tensor) -> Tensor:
        """Return `dropout(relu(x))`; the gradient needs no more than the result."""
        if not self._active():
            return F.relu(x, inplace=not torch.is_grad_enabled())
        result: Tensor = _ReluMask.apply(x, self._mask(x), self.scale)  # type: ignore[no-untyped-call]
        return result

    @property
    def scale(self) -> float:
        """Return what the kept elements are multiplied by."""
        return LEVELS / (LEVELS - round(self.probability * LEVELS))

    def _active(self) -> bool:
        return self.training and self.probability > 0

    def _mask(self, x: Tensor) -> Tensor:
        """Return 0 or the scale for each element, from torch's default generator."""
        if x.device.type != "cpu":
            return F.dropout(torch.ones_like(x), self.probability)
        words = torch.empty((x.numel() + 3) // 4, dtype=torch.int64).random_(-(1 << 63), None)
        bits = words.view(torch.int16)[: x.numel()].view(x.shape)
        # whole numbers from -2^15 up: those below the first level kept become 0, the others 1; faster than comparing
        first_kept = round(self.probability * LEVELS) - LEVELS // 2
        mask = bits.float().sub_(first_kept - 1).clamp_(0, 1).mul_(self.scale)
        return mask.to(x.dtype)


class _ReluMask(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, mask: Tensor, scale: float) -> Tensor:
        result = x.relu().mul_(mask)
        ctx.save_for_backward(result)
        ctx.scale = scale
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        # what is positive now was positive before and has been kept
        (result,) = ctx.saved_tensors
        passed = torch.ops.aten.threshold_backward(grad, result, 0)
        return passed.mul_(ctx.scale), None, None


class FeedForward(nn.Module):
    """Linear, ReLU, linear with a residual and a LayerNorm after it."""

    def __init__(self, dim: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.expand = Linear(dim, hidden)
        self.contract = Linear(hidden, dim)
        self.norm = nn.LayerNorm(dim)
        self.hidden_dropout = Dropout(dropout)
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, N, C] to [B, N, C]."""
        hidden = self.hidden_dropout.relu(self.expand(x))
        return self.norm(self.dropout.add(x, self.contract(hidden)))  # type: ignore[no-any-return]


class QueryAttention(nn.Module):
    """Multi-head self-attention among the queries; keys and queries carry the query's position, values do not."""

    def __init__(self, dim: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.query_key_value = Linear(dim, 3 * dim)
        self.output = Linear(dim, dim)
        self.weight_dropout = Dropout(dropout)
        nn.init.zeros_(self.query_key_value.bias)
        nn.init.zeros_(self.output.bias)

    def forward(self, content: Tensor, position: Tensor) -> Tensor:
        """Map content [B, Q, C] with position [B, Q, C] to [B, Q, C]."""
        batch, queries, dim = content.shape
        weight, bias = self.query_key_value.weight, self.query_key_value.bias
        query_key = linear(content + position, weight[: 2 * dim], bias[: 2 * dim])
        value = linear(content, weight[2 * dim :], bias[2 * dim :])
        query, key, value = (
            x.view(batch, queries, self.heads, -1).transpose(1, 2).flatten(0, 1)
            for x in (*query_key.chunk(2, -1), value)
        )
        scores = torch.bmm(query * query.shape[-1] ** -0.5, key.transpose(1, 2))
        mixed = torch.bmm(self.weight_dropout(scores.softmax(-1)), value)
        mixed = mixed.view(batch, self.heads, queries, -1).transpose(1, 2)
        return self.output(mixed.flatten(2))  # type: ignore[no-any-return]


class EncoderLayer(nn.Module):
    """Deformable self-attention over the steps, then a feed-forward network."""

    def __init__(self, recipe: TadtrRecipe) -> None:
        super().__init__()
        self.attention = DeformableAttention(recipe.hidden_dim, recipe.attention_heads, recipe.sampling_points)
        self.attention_norm = nn.LayerNorm(recipe.hidden_dim)
        self.ffn = FeedForward(recipe.hidden_dim, recipe.ffn_dim, recipe.dropout)
        self.dropout = Dropout(recipe.dropout)

    def forward(self, steps: Tensor, position: Tensor, reference: Tensor, padding: Tensor | None) -> Tensor:
        """Map steps [B, T, C] at `reference [B, T, 1]` to [B, T, C]."""
        read = self.attention(steps + position, reference, steps, padding)
        attended: Tensor = self.attention_norm(self.dropout.add(steps, read))
        result: Tensor = self.ffn(attended)
        return result


class DecoderLayer(nn.Module):
    """Self-attention among the queries, deformable attention to the memory, then a feed-forward network."""

    def __init__(self, recipe: TadtrRecipe) -> None:
        super().__init__()
        dim, heads = recipe.hidden_dim, recipe.attention_heads
        self.self_attention = QueryAttention(dim, heads, recipe.dropout)
        self.self_norm = nn.LayerNorm(dim)
        self.memory_attention = DeformableAttention(dim, heads, recipe.sampling_points)
        self.memory_norm = nn.LayerNorm(dim)
        self.ffn = FeedForward(dim, recipe.ffn_dim, recipe.dropout)
        self.dropout = Dropout(recipe.dropout)

    def forward(
        self, content: Tensor, position: Tensor, reference: Tensor, memory: Tensor, padding: Tensor | None
    ) -> Tensor:
        """Map queries [B, Q, C] at `reference [B, Q, 1 or 2]`, reading `memory [B, T, C]`, to [B, Q, C]."""
        content = self.self_norm(self.dropout.add(content, self.self_attention(content, position)))
        read = self.memory_attention(content + position, reference, memory, padding)
        content = self.memory_norm(self.dropout.add(content, read))
        result: Tensor = self.ffn(content)
        return result


def sine_positions(valid_steps: Tensor, steps: int, dim: int) -> Tensor:
    """Return sine positions [B, steps, dim] of samples with `valid_steps [B]`, float32.

    Positions run to 2 pi at the last valid step and stay there in the padding; even channels are sines, odd ones
    cosines of the same frequency.
    """
    device = valid_steps.device
    last = valid_steps[:, None]
    position = torch.arange(1, steps + 1, device=device).minimum(last).float()
    position = position / (last.float() + 1e-6) * (2 * torch.pi)
    channel = torch.arange(dim, dtype=torch.float32, device=device)
    angle = position[..., None] / 10000 ** (2 * (channel // 2) / dim)
    return torch.stack((angle[..., 0::2].sin(), angle[..., 1::2].cos()), -1).flatten(2)


def step_references(valid_steps: Tensor, steps: int) -> Tensor:
    """Return each step's normalised middle [B, steps, 1], float32, rounded where upstream rounds."""
    middle = torch.linspace(0.5, steps - 0.5, steps, device=valid_steps.device)
    ratio = valid_steps[:, None].float() / steps
    return (middle / (ratio * steps) * ratio)[..., None]
