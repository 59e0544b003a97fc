"""How wide a forecast's interval must be: conformal quantiles of back-tested errors on reference curves.

`calibration.json` beside this file holds the scores of the reference curves and the coverage measured
with each curve left out. Make it anew with `python -m tal_repro.curves.calibrate learning_curves.csv`.
"""

from __future__ import annotations

import csv
import json
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from tal_repro.curves.families import Array
from tal_repro.curves.stacking import Scored, roll, score

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


def calibrate(curves: Mapping[str, tuple[Array, Array]]) -> dict[str, Any]:
    """Back-test every curve (name -> percentages, values) and measure coverage with each left out."""
    scored = {name: score(roll(x, y)) for name, (x, y) in curves.items()}
    references = {
        name: Reference(name, tuple(map(float, x)), tuple(map(float, y)), by_origin(scored[name]))
        for name, (x, y) in curves.items()
    }
    per_curve = {
        name: rolling_coverage([r for other, r in references.items() if other != name], scored[name]) for name in curves
    }
    return {
        "schema": "tal-repro/forecast-calibration/1",
        "level": LEVEL,
        "coverage": _coverage(per_curve, scored),
        "curves": {
            name: {
                "train_percent": list(reference.x),
                "value": list(reference.y),
                "scores": {str(origin): [round(z, 6) for z in s] for origin, s in reference.scores.items()},
            }
            for name, reference in references.items()
        },
    }


def _coverage(
    per_curve: Mapping[str, Mapping[int, tuple[int, int]]], scored: Mapping[str, list[Scored]]
) -> dict[str, Any]:
    """Summarise coverage and errors: per curve, and over all forecasts."""
    curves = {}
    for name, origins in per_curve.items():
        hits, cases = (sum(pair[i] for pair in origins.values()) for i in (0, 1))
        curves[name] = {
            "covered": hits,
            "forecasts": cases,
            "share": round(hits / cases, 4),
            "rmse": round(float(np.sqrt(np.mean([s.error**2 for s in scored[name]]))), 4),
            "last_value_rmse": round(float(np.sqrt(np.mean([s.last_value_error**2 for s in scored[name]]))), 4),
        }
    total = {key: sum(int(curve[key]) for curve in curves.values()) for key in ("covered", "forecasts")}
    return {
        "level": LEVEL,
        "left_out": "each curve is judged by the other curves and its own earlier points",
        "share_of_forecasts": round(total["covered"] / total["forecasts"], 4),
        "mean_over_curves": round(float(np.mean([curve["share"] for curve in curves.values()])), 4),
        **total,
        "curves": curves,
    }


def read_curves(path: str) -> dict[str, tuple[Array, Array]]:
    """Read model, train_percent, map_mean rows into name -> (percentages, values), sorted."""
    groups: dict[str, list[tuple[float, float]]] = defaultdict(list)
    with Path(path).open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            groups[row["model"]].append((float(row["train_percent"]), float(row["map_mean"])))
    return {name: (np.array(sorted(p))[:, 0], np.array(sorted(p))[:, 1]) for name, p in groups.items()}


def main() -> None:
    """Write calibration.json from the curves of a CSV file and print the measured coverage."""
    curves = read_curves(sys.argv[1])
    for extra in sys.argv[2:]:  # name=percent:value adds a point that stands in another table
        name, point = extra.split("=")
        x, y = (np.append(column, float(v)) for column, v in zip(curves[name], point.split(":"), strict=True))
        curves[name] = (x, y)
    content = calibrate(curves)
    PATH.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    json.dump(content["coverage"], sys.stdout, indent=1)


if __name__ == "__main__":
    main()
