"""The optimizer and its rates as a recipe says them, and the moving average of the weights: how a step is made."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from tal_repro.models.native_recipe import NativeRecipe


def build_optimizer(model: nn.Module, recipe: NativeRecipe) -> torch.optim.AdamW:
    """Return AdamW over the recipe's parameter groups; each group keeps its own rate as `initial_lr`."""
    groups = [group for group in recipe.parameter_groups(model) if group["params"]]
    for group in groups:
        group["initial_lr"] = group["lr"]
    # The fused step is the same arithmetic in one pass over memory: 2 to 4 times faster on a CPU.
    return torch.optim.AdamW(groups, lr=recipe.learning_rate, weight_decay=recipe.weight_decay, fused=True)


def set_learning_rates(
    optimizer: torch.optim.Optimizer, recipe: NativeRecipe, step: int, steps_per_epoch: int
) -> float:
    """Give every group its rate for this step; return the first group's."""
    for group in optimizer.param_groups:
        group["lr"] = recipe.learning_rate_at(group["initial_lr"], step, steps_per_epoch)
    rate: float = optimizer.param_groups[0]["lr"]
    return rate


def descend(
    loss: Tensor, model: nn.Module, optimizer: torch.optim.Optimizer, average: WeightAverage | None, clip_norm: float
) -> None:
    """Take the optimizer step of a loss: gradients, clipped where `clip_norm` is above 0, weights, their average."""
    loss.backward()  # type: ignore[no-untyped-call]
    if clip_norm > 0:
        torch.nn.utils.clip_grad_norm_(model.parameters(), clip_norm)
    optimizer.step()
    if average is not None:
        average.update()


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
