"""Inputs and targets of the comparisons: lengths around the training length, targets of every awkward kind."""

from __future__ import annotations

import torch
from torch import Tensor

from benchmarks.reference.weights import draw
from tal_repro.models.interface import Target


def videos(name: str, seed: int, channels: int, lengths: list[int], dtype: torch.dtype = torch.float32) -> list[Tensor]:
    """Return features [channels, L] for each length, non-negative and sparse as I3D's are."""
    return [draw(f"{name}/{i}", seed, channels, n).relu().to(dtype) for i, n in enumerate(lengths)]


def targets(kind: str, lengths: list[int], classes: int, seed: int) -> list[Target]:
    """Return one target per video: `none`, `one`, `many`, `fifteen`, `overlapping` or `beyond` (past the video)."""
    generator = torch.Generator().manual_seed(seed)
    return [_target(kind, length, classes, generator) for length in lengths]


def _target(kind: str, length: int, classes: int, generator: torch.Generator) -> Target:
    count = {"none": 0, "one": 1, "many": 40, "fifteen": 15, "overlapping": 12, "beyond": 6}[kind]
    start = torch.rand(count, generator=generator) * length * 0.9
    # log-normal, median 22 steps: THUMOS14's 2.9 s
    duration = torch.exp(3.1 + 0.8 * torch.randn(count, generator=generator))
    labels = torch.randint(classes, (count,), generator=generator)
    if kind == "overlapping":  # the same segment under two labels, nested segments, and a copy
        start = start[:3].repeat(4)
        duration = duration[:3].repeat(4) * torch.tensor([1.0, 1.0, 3.0, 0.5]).repeat_interleave(3)
    if kind == "beyond":
        start = length * torch.tensor([0.1, 0.5, 0.9, 0.95, 1.1, 1.5])
        duration = length * torch.tensor([2.0, 0.6, 0.3, 0.02, 0.1, 0.5])
    return {"segments": torch.stack([start, start + duration.clamp(min=1)], dim=1), "labels": labels}
