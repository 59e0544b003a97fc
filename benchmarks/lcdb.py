"""Public learning curves for `forecast_calibration`: LCDB's accuracies, averaged over seeds, and their rolling fits.

The data sets of `lcdb_reserved_dataset_ids.txt` are dropped while reading: nothing here or later sees them.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tal_repro.curves import shapes
from tal_repro.curves.family import UNBOUNDED, Array, Axis, Family
from tal_repro.curves.stacking import STACKED, Rolling, roll

RESERVED = Path(__file__).with_name("lcdb_reserved_dataset_ids.txt")
SEED = 7
MIN_ANCHORS = 5
POW3 = Family(
    "pow3",
    "c - a x^-b",
    ("a", "b", "c"),
    (Axis("b", -3.0, 12.0, 31),),
    lambda t, theta, last: (None, np.stack([np.ones((len(theta), len(t))), _power(t, theta[:, :1])], axis=-1)),
    lambda theta, beta, x0, last: (float(beta[1]), float(theta[0]), float(beta[0])),
    (UNBOUNDED, UNBOUNDED),
)


def _power(t: Array, rate: Array) -> Array:
    return shapes.saturating_power(t, rate)


@dataclass(frozen=True)
class Curve:
    """One learning curve (percentages of its largest training set, accuracy in percent) with its rolling fits.

    `pow3` [origins, points] holds the predictions of a baseline that the forecast does not use.
    """

    data_set: int
    name: str
    rolling: Rolling
    pow3: Array


def reserved() -> set[int]:
    """Return the ids of the data sets that are used for nothing."""
    lines = RESERVED.read_text(encoding="utf-8").splitlines()
    return {int(line) for line in lines if line.strip() and not line.startswith("#")}


def read_curves(installed: Path) -> dict[tuple[int, str], tuple[Array, Array]]:
    """Read (data set, learner) -> (percentages, mean test accuracies) from the folder that holds `lcdb/`."""
    dropped = {str(number) for number in reserved()}
    total: dict[tuple[int, str], dict[int, list[float]]] = defaultdict(lambda: defaultdict(lambda: [0.0, 0.0]))
    with (installed / "lcdb" / "database-accuracy.csv").open(encoding="utf-8", newline="") as file:
        rows = csv.reader(file)
        columns = next(rows)
        data_set, learner, size, score = (
            columns.index(name) for name in ("openmlid", "learner", "size_train", "score_test")
        )
        for row in rows:
            if row[data_set] in dropped or not row[score]:
                continue
            cell = total[int(row[data_set]), row[learner]][int(row[size])]
            cell[0] += float(row[score])
            cell[1] += 1.0
    return {key: _curve(anchors) for key, anchors in total.items()}


def _curve(anchors: dict[int, list[float]]) -> tuple[Array, Array]:
    sizes = np.array(sorted(anchors))
    mean = np.array([anchors[size][0] / anchors[size][1] for size in sizes])
    return sizes / sizes[-1] * 100.0, np.clip(mean * 100.0, 0.0, 100.0)


def sample(keys: Iterable[tuple[int, str]], per_data_set: int) -> list[tuple[int, str]]:
    """Return at most so many curves of each data set, the same ones every time, data sets taken in turn."""
    groups: dict[int, list[tuple[int, str]]] = defaultdict(list)
    for key in sorted(keys):
        groups[key[0]].append(key)
    draw = np.random.default_rng(SEED)
    for group in groups.values():
        draw.shuffle(group)
    return [group[turn] for turn in range(per_data_set) for group in groups.values() if turn < len(group)]


def rolled(key: tuple[int, str], x: Array, y: Array, cache: Path) -> Curve:
    """Return the curve with its rolling fits, from the cache if they were made before."""
    file = cache / f"{key[0]}-{key[1]}.npz"
    if file.is_file():
        with np.load(file, allow_pickle=False) as held:
            rolling = Rolling(STACKED, held["x"], held["y"], tuple(held["origins"].tolist()), held["predictions"], ())
            return Curve(*key, rolling, held["pow3"])
    rolling, pow3 = roll(x, y), roll(x, y, families=(POW3,)).predictions[0]
    cache.mkdir(parents=True, exist_ok=True)
    partial = file.with_name(f".{file.name}")
    with partial.open("wb") as opened:
        np.savez(opened, x=x, y=y, origins=rolling.origins, predictions=rolling.predictions, pow3=pow3)
    partial.replace(file)
    return Curve(*key, rolling, pow3)
