"""1-D deformable attention (TadTR section 3.2): each query reads its memory at a few learned positions per head."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tal_repro.models.linear import Linear
from tal_repro.models.weighted_rows import weighted_rows


class DeformableAttention(nn.Module):
    """Attend from `query [B, Q, C]` to `memory [B, T, C]` at `points` positions per head around a reference.

    `reference [B, Q, 1]` is a normalised position: offsets are then in steps. `reference [B, Q, 2]` is a normalised
    centre and width: offsets are then in widths. Memory beyond its ends reads as zero.
    """

    def __init__(self, dim: int, heads: int, points: int) -> None:
        super().__init__()
        if dim % heads:
            raise ValueError(f"hidden_dim {dim} is not a multiple of attention_heads {heads}")
        self.heads, self.points = heads, points
        self.upstream_arithmetic = False  # for MAC counts: sample with grid_sample, then weigh
        self.offsets = Linear(dim, heads * points)
        self.scores = Linear(dim, heads * points)
        self.value = Linear(dim, dim)
        self.output = Linear(dim, dim)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Point head h at `(p + 1) * cos(4 pi h / heads)` steps, attend evenly, project by Xavier (as upstream)."""
        for linear in (self.offsets, self.scores):
            nn.init.zeros_(linear.weight)
            nn.init.zeros_(linear.bias)
        for linear in (self.value, self.output):
            nn.init.xavier_uniform_(linear.weight)
            nn.init.zeros_(linear.bias)
        direction = torch.cos(torch.arange(self.heads) * (4 * math.pi / self.heads))
        with torch.no_grad():
            self.offsets.bias.copy_((direction[:, None] * torch.arange(1, self.points + 1)).flatten())

    def forward(self, query: Tensor, reference: Tensor, memory: Tensor, padding: Tensor | None = None) -> Tensor:
        """Return [B, Q, C]; `padding [B, T]` marks the steps of memory to read as zero."""
        batch, steps, _ = memory.shape
        value = self.value(memory)
        if padding is not None:
            value = value.masked_fill(padding[..., None], 0.0)
        split = (batch, query.shape[1], self.heads, self.points)
        position = self._positions(self.offsets(query).view(split), reference, steps)
        attention = self.scores(query).view(split).softmax(-1)
        value = value.view(batch, steps, self.heads, -1)
        if self.upstream_arithmetic:
            return self.output(_grid_attention(value, position, attention))  # type: ignore[no-any-return]
        index, weight = linear_taps(position, steps)
        weight = weight * torch.cat((attention, attention), -1)
        return self.output(weighted_rows(value, index, weight).flatten(2))  # type: ignore[no-any-return]

    def _positions(self, offsets: Tensor, reference: Tensor, steps: int) -> Tensor:
        """Return sampling positions [B, Q, heads, points] in steps, 0 at the middle of the first step.

        Goes through upstream's grid coordinates (-1 to 1): at 30000 steps a float32 position is known to 2e-3 of a
        step only, so the rounding has to happen in the same places.
        """
        anchor = reference[..., None, :1]
        if reference.shape[-1] == 1:
            location = anchor + offsets / steps
        else:
            location = anchor + offsets / self.points * reference[..., None, 1:] * 0.5
        return ((2 * location - 1) + 1) * (steps / 2) - 0.5


def linear_taps(position: Tensor, steps: int) -> tuple[Tensor, Tensor]:
    """Return the two neighbours of each position and their weights, [..., S] -> [..., 2 S]; outside weighs nothing."""
    low = position.floor()
    fraction = position - low
    taps = torch.cat((low, low + 1), -1)
    inside = (taps >= 0) & (taps < steps)
    weight = torch.cat((1 - fraction, fraction), -1) * inside
    return taps.long().clamp(0, steps - 1), weight  # clamp integers: a NaN must not become an index


def _grid_attention(value: Tensor, position: Tensor, attention: Tensor) -> Tensor:
    """Do the same by sampling an image one pixel high, the arithmetic upstream does (and fvcore counts)."""
    batch, steps, heads, dim = value.shape
    image = value.permute(0, 2, 3, 1).reshape(batch * heads, dim, 1, steps)
    along = (position + 0.5) * (2 / steps) - 1
    grid = torch.stack((along, torch.zeros_like(along)), -1).transpose(1, 2).flatten(0, 1)
    sampled = F.grid_sample(image, grid, align_corners=False)  # [B * heads, dim, Q, points]
    weighted = sampled * attention.transpose(1, 2).flatten(0, 1)[:, None]
    return weighted.sum(-1).view(batch, heads * dim, -1).transpose(1, 2)
