"""When a run evaluates, which checkpoint it selects, and when it stops early: as its recipe says.

The last epoch is always evaluated, so that both selections, last and best-on-test, exist for every model.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from tal_repro.models.native_recipe import NativeRecipe

Score = dict[str, Any]  # {epoch, map: {protocol: average}, ap: {protocol: {tiou: mAP}}, missing, detections}


def is_evaluated(recipe: NativeRecipe, epoch: int, every: int | None = None) -> bool:
    """Tell whether the run evaluates after `epoch` (from 0); `every` replaces the model's own interval."""
    return epoch == recipe.epochs - 1 or recipe.is_evaluated(epoch, every)


@dataclass
class Selections:
    """The scores of the last and of the best evaluated epoch, by weight set ("raw", "ema")."""

    last: dict[str, Score] = field(default_factory=dict)
    best: dict[str, Score] = field(default_factory=dict)
    without_better: int = 0

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Selections:
        """Rebuild from `to_json`'s values."""
        return cls(**raw)

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)

    def is_best(self, weights: str, average: float) -> bool:
        """Tell whether a mAP beats every earlier one of its weight set (the first always does)."""
        return weights not in self.best or average > self.best[weights]["average"]

    def add(self, weights: str, score: Score, *, reported: bool) -> None:
        """Take the score of the newest epoch; the reported weight set decides about stopping early."""
        better = self.is_best(weights, score["average"])
        self.last[weights] = score
        if better:
            self.best[weights] = score
        if reported:
            # upstream starts from a best of 0: an evaluation without any hit is not better
            improved = better and score["average"] > 0
            self.without_better = max(self.without_better - 1, 0) if improved else self.without_better + 1

    def stops(self, recipe: NativeRecipe) -> bool:
        """Tell whether training ends before its last epoch."""
        return recipe.patience is not None and self.without_better >= recipe.patience

    def rows(self) -> list[dict[str, Any]]:
        """Return the rows of metrics.json."""
        return [
            {"epoch": score["epoch"], "selection": selection, "weights": weights, "protocol": protocol,
             "tiou": float(tiou), "ap": ap}
            for selection, scores in (("last", self.last), ("best-on-test", self.best))
            for weights, score in scores.items()
            for protocol, by_tiou in score["ap"].items()
            for tiou, ap in by_tiou.items()
        ]  # fmt: skip
