"""Parameter groups, learning rates, the moving average of the weights: how an optimizer step of each recipe is made."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from tal_repro.models.recipes import PyramidRecipe, Recipe, TadtrRecipe

MINIMUM_LEARNING_RATE = 1e-8  # the cosine of the pyramid models ends there


def build_optimizer(model: nn.Module, recipe: Recipe) -> torch.optim.AdamW:
    """Return AdamW over the recipe's parameter groups; each group keeps its own rate as `initial_lr`."""
    groups = _tadtr_groups(model, recipe) if isinstance(recipe, TadtrRecipe) else _pyramid_groups(model, recipe)
    groups = [group for group in groups if group["params"]]
    for group in groups:
        group["initial_lr"] = group["lr"]
    # The fused step is the same arithmetic in one pass over memory: 2 to 4 times faster on a CPU.
    return torch.optim.AdamW(groups, lr=recipe.learning_rate, weight_decay=recipe.weight_decay, fused=True)


def _pyramid_groups(model: nn.Module, recipe: PyramidRecipe) -> list[dict[str, Any]]:
    """Decay the weights of convolutions and linear layers, and nothing else."""
    decayed = {
        id(parameter)
        for module in model.modules()
        if isinstance(module, nn.Linear | nn.Conv1d)
        for name, parameter in module.named_parameters(recurse=False)
        if name == "weight"
    }
    parts: tuple[list[nn.Parameter], list[nn.Parameter]] = ([], [])
    for parameter in model.parameters():
        parts[id(parameter) not in decayed].append(parameter)
    rate = recipe.learning_rate
    return [
        {"params": parts[0], "lr": rate, "weight_decay": recipe.weight_decay},
        {"params": parts[1], "lr": rate, "weight_decay": 0.0},
    ]


def _tadtr_groups(model: nn.Module, recipe: TadtrRecipe) -> list[dict[str, Any]]:
    """Let sampling offsets and reference points learn more slowly; everything decays."""
    parts: tuple[list[nn.Parameter], list[nn.Parameter]] = ([], [])
    slow = model.slow_parameter_names()  # type: ignore[operator]
    for name, parameter in model.named_parameters():
        parts[name in slow].append(parameter)
    return [
        {"params": parts[0], "lr": recipe.learning_rate},
        {"params": parts[1], "lr": recipe.learning_rate * recipe.slow_lr_factor},
    ]


def learning_rate(recipe: Recipe, base: float, step: int, steps_per_epoch: int) -> float:
    """Return the rate of optimizer step `step` (from 0) for a group whose own rate is `base`.

    Pyramid models, per step: a line from 0 over the warm-up, whose first step changes nothing, then a half cosine.
    TadTR, per epoch: one drop.
    """
    if isinstance(recipe, TadtrRecipe):
        return base * (recipe.lr_decay_factor if step >= recipe.lr_decay_epoch * steps_per_epoch else 1.0)
    warmup, total = recipe.warmup_epochs * steps_per_epoch, recipe.epochs * steps_per_epoch
    if step < warmup:
        return base * step / max(warmup - 1, 1)
    progress = (step - warmup) / max(total - warmup, 1)
    return MINIMUM_LEARNING_RATE + (base - MINIMUM_LEARNING_RATE) * (1 + math.cos(math.pi * progress)) / 2


def set_learning_rates(optimizer: torch.optim.Optimizer, recipe: Recipe, step: int, steps_per_epoch: int) -> float:
    """Give every group its rate for this step; return the first group's."""
    for group in optimizer.param_groups:
        group["lr"] = learning_rate(recipe, group["initial_lr"], step, steps_per_epoch)
    rate: float = optimizer.param_groups[0]["lr"]
    return rate


class WeightAverage:
    """An exponential moving average of a model's parameters, from its initial ones and without warm-up."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.names = [name for name, _ in model.named_parameters()]
        self._live = [parameter.detach() for parameter in model.parameters()]
        self.weights = [parameter.clone() for parameter in self._live]

    @torch.no_grad()
    def update(self) -> None:
        """Move the average one step towards the live weights: decay x average + (1 - decay) x live."""
        torch._foreach_mul_(self.weights, self.decay)
        torch._foreach_add_(self.weights, self._live, alpha=1 - self.decay)

    @torch.no_grad()
    def swap(self) -> None:
        """Exchange averaged and live weights in place (call it again to undo)."""
        for average, live in zip(self.weights, self._live, strict=True):
            kept = live.clone()
            live.copy_(average)
            average.copy_(kept)

    def state(self) -> dict[str, Tensor]:
        """Return the averaged weights by parameter name."""
        return dict(zip(self.names, self.weights, strict=True))

    @torch.no_grad()
    def load(self, state: Mapping[str, Tensor]) -> None:
        """Take averaged weights by parameter name."""
        for name, average in zip(self.names, self.weights, strict=True):
            average.copy_(state[name])
