"""Anchor-free points of the pyramid: one per column of each level, with the lengths that level regresses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Points:
    """All levels' points one after another, on the CPU: positions and bounds in feature steps, each [P] float32."""

    time: Tensor
    stride: Tensor
    shortest: Tensor
    longest: Tensor
    widths: tuple[int, ...]

    def valid(self, lengths: Sequence[int]) -> Tensor:
        """Return [B, P] bool: the point lies on its video."""
        return self.time < torch.tensor(lengths, dtype=torch.float32)[:, None]


def lay_points(widths: Sequence[int], ranges: Sequence[tuple[float, float]]) -> Points:
    """Place `widths[l]` points every 2^l steps on level l."""
    time, stride, bounds = [], [], []
    for level, (width, limits) in enumerate(zip(widths, ranges, strict=True)):
        time.append(torch.arange(width, dtype=torch.float32) * 2**level)
        stride.append(torch.full((width,), float(2**level)))
        bounds.append(torch.tensor(limits, dtype=torch.float32).expand(width, 2))
    limit = torch.cat(bounds)
    return Points(torch.cat(time), torch.cat(stride), limit[:, 0], limit[:, 1], tuple(widths))
