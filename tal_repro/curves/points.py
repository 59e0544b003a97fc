"""The points of one learning curve, grouped by percentage: what the forecast and its decisions work on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tal_repro.curves.family import Array
from tal_repro.curves.units import PERCENT, Units
from tal_repro.errors import InputError

MAX_DISTINCT = 60  # more percentages than this are merged into neighbours before anything is fitted


@dataclass(frozen=True)
class Points:
    """One learning curve: percentages (ascending, distinct), mean values, sample std over runs, runs.

    `percent`, `mean`, `std`, `runs` are arrays [points]; std is NaN where there is one run. `units` say how their
    owner writes them.
    """

    percent: Array
    mean: Array
    std: Array
    runs: Array
    merged: bool = False
    units: Units = PERCENT

    def __len__(self) -> int:
        return len(self.percent)

    @property
    def has_runs(self) -> bool:
        """Say whether any percentage was run more than once."""
        return bool((self.runs > 1).any())


def make_points(
    percent: Sequence[float] | Array,
    value: Sequence[float] | Array,
    std: Sequence[float] | Array | None = None,
    runs: Sequence[int] | Array | int | None = None,
) -> Points:
    """Group values by percentage; `std` and `runs` are given when the values are already means."""
    x, y = np.asarray(percent, dtype=float).ravel(), np.asarray(value, dtype=float).ravel()
    if len(x) != len(y):
        raise InputError(f"{len(x)} percentages but {len(y)} values", remedy="give one value for each")
    if not (np.isfinite(x).all() and np.isfinite(y).all() and (x > 0).all()):
        raise InputError("a point is not finite or its percentage is not positive", remedy="drop or correct it")
    order = np.lexsort((y, x))
    x, y = x[order], y[order]
    if std is not None or runs is not None:
        return _given_means(x, y, std, runs, order)
    distinct, first, counts = np.unique(x, return_index=True, return_counts=True)
    mean = np.add.reduceat(y, first) / counts if len(x) else y
    squares = np.add.reduceat((y - np.repeat(mean, counts)) ** 2, first) if len(x) else y
    spread = np.where(counts > 1, np.sqrt(squares / np.maximum(counts - 1, 1)), np.nan)
    return _merge(Points(distinct, mean, spread, counts.astype(float)))


def _given_means(
    x: Array,
    y: Array,
    std: Sequence[float] | Array | None,
    runs: Sequence[int] | Array | int | None,
    order: NDArray[np.intp],
) -> Points:
    if len(np.unique(x)) != len(x):
        raise InputError("a percentage appears twice although means are given", remedy="give one mean for each")
    sizes = np.ones(len(x)) if runs is None else np.broadcast_to(np.asarray(runs, dtype=float), x.shape)
    spread = np.full(len(x), np.nan) if std is None else np.asarray(std, dtype=float).ravel()
    sizes, spread = sizes[order], spread[order]
    return Points(x, y, np.where(sizes > 1, spread, np.nan), sizes)


def _merge(points: Points) -> Points:
    """Merge neighbouring percentages when there are more than MAX_DISTINCT; the last, which is asked for, stays."""
    count = len(points)
    if count <= MAX_DISTINCT:
        return points
    edges = np.geomspace(points.percent[0], points.percent[-2], MAX_DISTINCT)[1:-1]
    group = np.searchsorted(edges, points.percent)
    group[-1] = MAX_DISTINCT
    _, first = np.unique(group, return_index=True)
    total = np.add.reduceat(points.runs, first)
    mean = np.add.reduceat(points.mean * points.runs, first) / total
    percent = np.add.reduceat(points.percent * points.runs, first) / total
    return Points(percent, mean, np.full(len(first), np.nan), total, merged=True)
