"""Forecast a learning curve beyond its points: averaged families, a calibrated interval, or a refusal."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from tal_repro.curves.calibrate import (
    LEVEL,
    Reference,
    by_origin,
    inflation,
    load_calibration,
    rolling_coverage,
)
from tal_repro.curves.family import Array
from tal_repro.curves.points import Points, make_points
from tal_repro.curves.stacking import MIN_POINTS, Rolling, Scored, average, roll, score
from tal_repro.curves.weighting import shrunken_variances
from tal_repro.errors import InputError

TAIL_DOF = 4.0  # errors of extrapolation have heavier tails than a normal; the 80 % point is calibrated
MAX_REACH = 10.0  # times the largest percentage: further, even the back-tests that exist were far off
MAX_WIDTH = 0.5  # of the best value seen: an 80 % interval wider than this answers no question


@dataclass(frozen=True)
class Forecast:
    """A predictive distribution of the mean value at any percentage, in percent (0..100).

    `level` is that of `interval`. `references` are the curves whose back-tests set the width; a curve
    that contains the points is left out.
    """

    points: Points
    rolling: Rolling
    level: float
    references: tuple[Reference, ...]
    scored: tuple[Scored, ...]
    weights_kind: str

    @property
    def last_percent(self) -> float:
        """Return the largest percentage with a point."""
        return float(self.points.percent[-1])

    @property
    def last_value(self) -> float:
        """Return the value there: the baseline that says more data change nothing."""
        return float(self.points.mean[-1])

    @cached_property
    def width(self) -> float:
        """Return the calibrated half-width of the 80 % interval in units of the scale."""
        return inflation(self.references, by_origin(self.scored), LEVEL)

    @cached_property
    def family_weights(self) -> dict[str, float]:
        """Return the stacking weight of each family."""
        _, _, weights = self._average(self.points.percent[-1:])
        return dict(zip(self.rolling.names, (float(w) for w in weights), strict=True))

    def _average(self, x: Array) -> tuple[Array, Array, Array]:
        return average(self.rolling, len(self.points), self.rolling.predict(x), x)

    def predict(self, x: float | Iterable[float]) -> Array:
        """Return the model-averaged prediction [len(x)] at percentages x."""
        return np.asarray(self._average(_percentages(x))[0])

    def interval(self, x: float | Iterable[float], level: float | None = None) -> tuple[Array, Array]:
        """Return (low, high), arrays [len(x)], clipped to 0..100; other levels than 0.8 follow a t law."""
        from scipy.special import stdtrit

        prediction, scale, _ = self._average(_percentages(x))
        reach = self.width * float(
            stdtrit(TAIL_DOF, 0.5 + (level or self.level) / 2) / stdtrit(TAIL_DOF, 0.5 + LEVEL / 2)
        )
        return np.clip(prediction - reach * scale, 0.0, 100.0), np.clip(prediction + reach * scale, 0.0, 100.0)

    def probability_at_least(self, x: float | Iterable[float], value: float) -> Array:
        """Return P(mean at x >= value), an array [len(x)]."""
        from scipy.special import stdtr, stdtrit

        prediction, scale, _ = self._average(_percentages(x))
        unit = self.width * scale / float(stdtrit(TAIL_DOF, 0.5 + LEVEL / 2))
        return np.asarray(stdtr(TAIL_DOF, (prediction - value) / unit))

    def spread(self, x: float) -> list[dict[str, Any]]:
        """Return name, weight and prediction of every family at x, heaviest first."""
        values = self.rolling.predict(np.array([x]))[:, 0]
        rows = [
            {"family": name, "weight": weight, "prediction": None if math.isnan(value) else float(value)}
            for (name, weight), value in zip(self.family_weights.items(), values, strict=True)
        ]
        return sorted(rows, key=lambda row: -float(row["weight"] or 0.0))

    @cached_property
    def own_coverage(self) -> tuple[int, int]:
        """Return how many back-tested intervals on these very points held, and of how many."""
        pairs = rolling_coverage(self.references, list(self.scored)).values()
        return sum(hit for hit, _ in pairs), sum(count for _, count in pairs)

    @cached_property
    def reach(self) -> float:
        """Return how many times the largest percentage a forecast may go: as far as back-tests have been."""
        own = [self.points.percent[item.index] / self.points.percent[item.origin - 1] for item in self.scored]
        others = [r.x[-1] / r.x[origin - 1] for r in self.references for origin in r.scores]
        return float(min(max([1.0, *own, *others]), MAX_REACH))

    def refusal(self, x: float) -> str | None:
        """Return why the points cannot answer for percentage x, or None if they can."""
        if x > self.reach * self.last_percent * (1 + 1e-9):
            return (
                f"{x:g} % is {x / self.last_percent:.3g} times the largest percentage with a point "
                f"({self.last_percent:g} %), and no back-test tells how far off a forecast beyond "
                f"{self.reach:.3g} times is"
            )
        falling = _falls(self.points)
        if falling:
            return falling
        low, high = (float(side[0]) for side in self.interval(x, LEVEL))
        limit = MAX_WIDTH * float(self.points.mean.max())
        if high - low > limit:
            return (
                f"the 80 % interval at {x:g} % would be {high - low:.1f} mAP wide ({low:.1f} to {high:.1f}), "
                f"more than half of the best value seen: the points do not say where the curve goes"
            )
        return None


def _percentages(x: float | Iterable[float]) -> Array:
    values = np.atleast_1d(np.asarray(x if np.isscalar(x) else list(x), dtype=float))  # type: ignore[arg-type]
    if not (np.isfinite(values) & (values > 0)).all():
        raise InputError("a percentage to forecast is not a positive number", remedy="give a number above 0")
    return values


def _falls(points: Points) -> str | None:
    """Say so if the values do not rise with data at all: a learning curve is then the wrong model."""
    t, y = np.log(points.percent), points.mean
    slope = float(((t - t.mean()) * (y - y.mean())).sum())
    if slope > 0:
        return None
    how = "does not change" if float(np.ptp(y)) == 0.0 else "falls"
    return f"mAP {how} with more data over these points, so no learning curve explains them"


def too_few(points: Points) -> str | None:
    """Return why there are too few points to forecast from, or None."""
    count = len(points)
    if count < MIN_POINTS:
        return (
            f"{count} percentage{'s' if count > 1 else ''} cannot show where a curve bends: "
            f"{MIN_POINTS} different ones are the least (6 or more are better)"
        )
    return None


def _weights(points: Points, kind: str) -> Array | None:
    if kind == "none":
        return None
    if kind != "se2":
        raise InputError(f"no weights {kind!r}", remedy="choose none or se2")
    if not points.has_runs:
        raise InputError("weights se2 need at least two runs at a percentage", remedy="use weights none")
    variance = shrunken_variances(np.nan_to_num(points.std), points.runs)
    if not (variance > 0).all():
        raise InputError("the runs do not vary, so 1/se2 does not exist", remedy="use weights none")
    weights = points.runs / variance
    return np.asarray(weights / weights.mean())


def forecast(
    percent: Sequence[float] | Array | Points,
    value: Sequence[float] | Array | None = None,
    level: float = LEVEL,
    weights: str = "none",
) -> Forecast:
    """Forecast from percentages and values (percent, 0..100; repeated percentages are runs), or Points.

    Raises InputError for fewer than four percentages; ask `refusal(x)` before trusting `predict(x)`.
    """
    points = percent if isinstance(percent, Points) else make_points(percent, [] if value is None else value)
    few = too_few(points)
    if few:
        raise InputError(few, remedy="train at more percentages")
    if not 0.0 < level < 1.0:
        raise InputError(f"level {level:g} is not between 0 and 1", remedy="give for example 0.8")
    if points.mean.min() < 0.0 or points.mean.max() > 100.0:
        raise InputError("a value lies outside 0..100", remedy="give mAP in percent")
    rolling = roll(points.percent, points.mean, _weights(points, weights))
    references = load_calibration().without(points.percent, points.mean)
    return Forecast(points, rolling, level, references, tuple(score(rolling)), weights)
