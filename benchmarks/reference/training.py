"""The optimizer steps that parity is measured over: AdamW, clipping, moving average, as the recipes say."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

Weights = dict[str, dict[str, Tensor]]  # "weights" and "average" -> parameter -> value
Batch = tuple[list[Tensor], list[Any]]


def train(
    model: nn.Module,
    loss: Callable[[list[Tensor], list[Any]], Tensor],
    batches: Sequence[Batch],
    recipe: Any,
    decayed: Callable[[str], bool],
    rate_factor: Callable[[str], float] = lambda name: 1.0,
) -> Weights:
    """Take one AdamW step per batch; return the weights and their moving average by parameter name."""
    named = list(model.named_parameters())
    groups = [
        {
            "params": [parameter],
            "weight_decay": recipe.weight_decay if decayed(name) else 0.0,
            "lr": recipe.learning_rate * rate_factor(name),
        }
        for name, parameter in named
    ]
    optimizer = torch.optim.AdamW(groups)
    average = {name: p.detach().clone() for name, p in named}
    for videos, targets in batches:
        optimizer.zero_grad()
        loss(videos, targets).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.clip_norm)
        optimizer.step()
        for name, parameter in named:
            average[name].lerp_(parameter.detach(), 1 - recipe.ema_decay)
    return {"weights": {name: p.detach().clone() for name, p in named}, "average": average}


def gradients(model: nn.Module, loss: Callable[[], Tensor]) -> dict[str, Tensor]:
    """Return the gradient of every parameter that has one."""
    model.zero_grad()
    loss().backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def add_ulp_noise(model: nn.Module, seed: int) -> None:
    """Move every weight to one of its neighbours in floating point."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            up = torch.randint(2, parameter.shape, generator=generator) * 2.0 - 1.0
            parameter.copy_(torch.nextafter(parameter, parameter + up))
