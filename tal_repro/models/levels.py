"""Which columns of each pyramid level are computed, so that a short video costs what a short video should.

Upstream pads every video with zeros to one length. Behind the video each level then holds a run of identical columns,
and all that leaves the run is one neighbour (convolutions), or its sum (global averages, GroupNorm). So a level is
computed on a shortened array: the valid columns, a margin, and one column that stands for the rest of its run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

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


Padding = Literal["sample", "batch", "upstream"]


@dataclass(frozen=True)
class Level:
    """The layout of one pyramid level for a batch of videos that upstream would pad to the same length."""

    stride: int
    columns: int  # computed
    total: int  # what upstream computes
    run: int  # index of the column that stands for `total - columns` further equal ones
    valid: int  # columns of the longest video
    mask: Tensor  # [B, 1, columns], 1 where the video is, 0 behind it

    @property
    def hidden(self) -> int:
        """Count the columns that are not computed because they equal column `run`."""
        return self.total - self.columns

    @property
    def visible(self) -> int:
        """Count the leading columns that kernels of width 3 can see from a valid one."""
        return min(self.valid + 1, self.columns)


def plan_levels(
    lengths: Sequence[int], total: int, count: int, margin: int, device: torch.device, dtype: torch.dtype
) -> list[Level]:
    """Lay out `count` levels for videos of `lengths` steps that upstream pads to `total` steps.

    `margin` is how many columns behind the last valid one can differ from the run (and as many before the end of the
    array, where upstream's zero padding shows); 0 where layers mask their output.
    """
    levels = []
    for index in range(count):
        stride = 2**index
        full = total // stride
        valid = [-(-length // stride) for length in lengths]
        columns = min(max(valid) + 2 * margin + 1, full)
        run = min(max(valid) + margin, columns - 1)
        steps = torch.arange(columns)
        mask = (steps < torch.tensor(valid).unsqueeze(1)).unsqueeze(1).to(dtype)
        levels.append(Level(stride, columns, full, run, max(valid), mask.to(device, non_blocking=True)))
    return levels


def grow(x: Tensor, level: Level, columns: int) -> Tensor:
    """Return `x` with `columns` columns, by repeating the column that stands for its run."""
    extra = columns - x.shape[-1]
    if extra == 0:
        return x
    run = x[..., level.run : level.run + 1]
    parts = [x[..., : level.run], run.expand(*x.shape[:-1], extra + 1), x[..., level.run + 1 :]]
    return torch.cat(parts, dim=-1)


def total_sum(x: Tensor, level: Level) -> Tensor:
    """Sum `x` [B, C, columns] over all of upstream's columns, keeping the last dimension."""
    explicit = x.sum(dim=-1, keepdim=True)
    return explicit + level.hidden * x[..., level.run : level.run + 1] if level.hidden else explicit
