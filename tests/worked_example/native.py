"""StepFinder, a native model of one's own: every step says its class, and how far its action reaches to both sides."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tal_repro.models.own_recipe import OwnRecipe

if TYPE_CHECKING:
    from tal_repro.models.interface import Localizer


@dataclass(frozen=True)
class Recipe(OwnRecipe):
    """Its own hyper-parameter, and what differs from the defaults."""

    hidden: int = 64
    epochs: int = 10
    batch_size: int = 4
    learning_rate: float = 0.005

    def build(self, name: str) -> Localizer:
        """Return the network with fresh weights."""
        made: Localizer = network(name, self)
        return made


RECIPE = Recipe()


def network(name: str, recipe: Recipe) -> Any:
    """Return the network; torch is imported here, so that listing models needs none."""
    import torch
    import torch.nn.functional as F
    from torch import Tensor, nn

    from tal_repro.models.interface import Candidates, Network, Target

    class StepFinder(Network, nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.name, self.recipe = name, recipe
            self.first = nn.Conv1d(recipe.feature_dim, recipe.hidden, 3, padding=1)
            self.classes = nn.Conv1d(recipe.hidden, recipe.num_classes, 3, padding=1)
            self.reach = nn.Conv1d(recipe.hidden, 2, 3, padding=1)  # log2 of the steps to both ends
            nn.init.constant_(self.classes.bias, -3.0)  # type: ignore[arg-type]

        def forward(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
            hidden = self.first(features.float()).relu()
            return self.classes(hidden), self.reach(hidden)

        def loss(self, outputs: tuple[Tensor, Tensor], targets: list[Target]) -> dict[str, Tensor]:
            logits, reach = outputs
            wanted, steps = torch.zeros_like(logits), torch.arange(logits.shape[2], device=logits.device)
            misses = [reach.sum() * 0]
            for index, target in enumerate(targets):
                for (start, end), label in zip(target["segments"].tolist(), target["labels"].tolist(), strict=True):
                    inside = (steps >= start) & (steps <= end)
                    wanted[index, label, inside] = 1
                    ends = torch.stack([steps - start, end - steps])[:, inside].clamp(min=1).log2()
                    misses.append(F.smooth_l1_loss(reach[index][:, inside], ends, reduction="sum"))
            points = wanted.sum().clamp(min=1)
            classification = F.binary_cross_entropy_with_logits(logits, wanted, reduction="sum") / points
            regression = torch.stack(misses).sum() / points
            return {"classification": classification, "regression": regression, "total": classification + regression}

        def decode(self, outputs: tuple[Tensor, Tensor], lengths: Tensor) -> list[Candidates]:
            found = []
            for logits, reach, length in zip(*outputs, lengths.tolist(), strict=True):
                scores, labels = logits[:, :length].sigmoid().max(0)
                steps = torch.arange(length, device=logits.device)
                ends = reach[:, :length].clamp(max=12).exp2()
                found.append(Candidates(torch.stack([steps - ends[0], steps + ends[1]], 1), scores, labels))
            return found

    return StepFinder()
