"""Make `calibration.json` anew: back-test reference curves and measure coverage with each left out.

    python -m benchmarks.recalibrate learning_curves.csv [model=percent:value ...]

Run it after any change of families, stacking or scale; a test compares the shipped file with a new one.
"""

from __future__ import annotations

import csv
import json
import sys
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tal_repro.curves.calibrate import LEVEL, PATH, Reference, by_origin, rolling_coverage
from tal_repro.curves.family import Array
from tal_repro.curves.stacking import Scored, roll, score


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
