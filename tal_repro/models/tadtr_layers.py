"""TadTR's transformer layers: a deformable encoder over steps and a decoder over queries, both post-norm."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tal_repro.models.deformable import DeformableAttention
from tal_repro.models.dropout import Dropout
from tal_repro.models.linear import Linear, linear
from tal_repro.models.recipes import TadtrRecipe


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
