"""How wide a forecast's interval must be: conformal quantiles of back-tested errors on reference curves.

`calibration.json` beside this file holds the scores of the reference curves and the coverage measured
with each curve left out; `recalibrate` makes it anew.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from tal_repro.curves.family import Array
from tal_repro.curves.stacking import Scored

OWN_WEIGHT = 0.5
"""Weight of one origin of the user's own curve; a whole reference curve weighs 1. Two own back-tests
therefore count as much as one other model's curve."""
LEVEL = 0.8
PATH = Path(__file__).with_name("calibration.json")


@dataclass(frozen=True)
class Reference:
    """One reference curve: its points and the scores z of its back-tests, grouped by origin."""

    name: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    scores: dict[int, tuple[float, ...]]

    def holds(self, x: Array, y: Array) -> bool:
        """Say whether all points x, y are points of this curve (then it must not calibrate itself)."""
        own = set(zip(self.x, self.y, strict=True))
        return all((float(a), float(b)) in own for a, b in zip(x, y, strict=True))


@dataclass(frozen=True)
class Calibration:
    """The shipped reference curves and the coverage of the 80 % interval measured on them."""

    references: tuple[Reference, ...]
    coverage: dict[str, Any]

    def without(self, x: Array, y: Array) -> tuple[Reference, ...]:
        """Return the references that do not contain the points x, y."""
        return tuple(reference for reference in self.references if not reference.holds(x, y))


@lru_cache(maxsize=1)
def load_calibration() -> Calibration:
    """Load the calibration shipped with the kit."""
    content = json.loads(PATH.read_text(encoding="utf-8"))
    references = [
        Reference(
            name,
            tuple(curve["train_percent"]),
            tuple(curve["value"]),
            {int(origin): tuple(scores) for origin, scores in curve["scores"].items()},
        )
        for name, curve in content["curves"].items()
    ]
    return Calibration(tuple(references), content["coverage"])


def by_origin(scored: Iterable[Scored], before: int | None = None) -> dict[int, tuple[float, ...]]:
    """Group scores by origin; `before` keeps what was known when only that many points were."""
    groups: dict[int, list[float]] = defaultdict(list)
    for item in scored:
        if before is None or item.index < before:
            groups[item.origin].append(item.z)
    return {origin: tuple(z) for origin, z in groups.items()}


def inflation(references: Iterable[Reference], own: Mapping[int, tuple[float, ...]], level: float) -> float:
    """Return the weighted `level` quantile of the scores: half-width of the interval in units of its scale."""
    z: list[float] = []
    weights: list[float] = []
    for reference in references:
        for scores in reference.scores.values():
            z += scores
            weights += [1.0 / len(reference.scores) / len(scores)] * len(scores)
    for scores in own.values():
        z += scores
        weights += [OWN_WEIGHT / len(scores)] * len(scores)
    order = np.argsort(z, kind="stable")
    share = np.cumsum(np.array(weights)[order]) / np.sum(weights)
    return float(np.array(z)[order][min(int(np.searchsorted(share, level)), len(z) - 1)])


def rolling_coverage(
    references: Iterable[Reference], scored: list[Scored], level: float = LEVEL
) -> dict[int, tuple[int, int]]:
    """Return, per origin, how many later points its interval held, and of how many.

    Each interval is as wide as it would have been made there: from the references and the curve's
    own back-tests up to that origin.
    """
    held = list(references)
    result = {}
    for origin, scores in by_origin(scored).items():
        width = inflation(held, by_origin(scored, before=origin), level)
        result[origin] = (sum(z <= width for z in scores), len(scores))
    return result
