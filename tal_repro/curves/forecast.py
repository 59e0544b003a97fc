"""Forecast a learning curve beyond its points: averaged families, a calibrated interval, or a refusal."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from tal_repro.curves.calibrate import LEVEL, Calibration, load_calibration
from tal_repro.curves.family import Array
from tal_repro.curves.points import Points, make_points
from tal_repro.curves.stacking import MIN_POINTS, Outlook, Rolling, outlook, roll
from tal_repro.curves.weighting import shrunken_variances
from tal_repro.errors import InputError

MAX_REACH = 10.0  # times the largest percentage: the calibration has hardly a curve that goes further
MAX_WIDTH = 0.5  # of the best value seen: an 80 % interval wider than this answers no question


@dataclass(frozen=True)
class Forecast:
    """A predictive distribution of the mean value at any percentage, in percent (0..100).

    `level` is that of `interval`; `calibration` sets its width.
    """

    points: Points
    rolling: Rolling
    level: float
    calibration: Calibration
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
    def family_weights(self) -> dict[str, float]:
        """Return the stacking weight of each family."""
        weights = self._outlook(self.points.percent[-1:]).weights
        return dict(zip(self.rolling.names, (float(w) for w in weights), strict=True))

    def _outlook(self, x: Array) -> Outlook:
        return outlook(self.rolling, len(self.points), self.rolling.predict(x), x)

    def predict(self, x: float | Iterable[float]) -> Array:
        """Return the prediction [len(x)] at percentages x."""
        return self._outlook(_percentages(x)).prediction

    def interval(self, x: float | Iterable[float], level: float | None = None) -> tuple[Array, Array]:
        """Return (low, high), arrays [len(x)], within 0..100; they hold the prediction at any level."""
        values = _percentages(x)
        made, beyond = self._outlook(values), 0.5 - (level or self.level) / 2
        low, high = (self.calibration.quantile(made, q) for q in (beyond, 1.0 - beyond))
        return np.minimum(low, made.prediction), np.maximum(high, made.prediction)

    def probability_at_least(self, x: float | Iterable[float], value: float) -> Array:
        """Return P(mean at x >= value), an array [len(x)]."""
        return self.calibration.at_least(self._outlook(_percentages(x)), value)

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
        """Return how many intervals, made from fewer of these points, held the later ones, and of how many."""
        covered = count = 0
        for origin in self.rolling.origins:
            if not MIN_POINTS <= origin < len(self.points):
                continue
            made, truth = (
                outlook(self.rolling, origin, self.rolling.row(origin), self.rolling.x),
                self.rolling.y[origin:],
            )
            low, high = (self.calibration.quantile(made, q)[origin:] for q in (0.5 - LEVEL / 2, 0.5 + LEVEL / 2))
            covered, count = covered + int(((low <= truth) & (truth <= high)).sum()), count + len(truth)
        return covered, count

    @property
    def reach(self) -> float:
        """Return how many times the largest percentage a forecast may go."""
        return MAX_REACH

    @cached_property
    def answered_up_to(self) -> float | None:
        """Return the largest percentage up to which nothing beyond the last point is refused, None if all of it is."""
        answered = None
        for x in np.geomspace(self.last_percent, self.reach * self.last_percent, 25):
            if self.refusal(float(x)):
                break
            answered = float(x)
        return answered

    def refusal(self, x: float) -> str | None:
        """Return why the points cannot answer for percentage x, or None if they can."""
        units = self.points.units
        if x > self.reach * self.last_percent * (1 + 1e-9):
            return (
                f"{units.at(x)} is {x / self.last_percent:.3g} times the largest amount of data with a point "
                f"({units.at(self.last_percent)}), and no back-test tells how far off a forecast beyond "
                f"{self.reach:.3g} times is"
            )
        if x < self.points.percent[0] * (1 - 1e-9):
            return (
                f"{units.at(x)} is less than the smallest amount of data with a point "
                f"({units.at(float(self.points.percent[0]))}): a forecast goes forward only"
            )
        falling = _falling(self.points)
        if falling:
            return falling
        low, high = (float(side[0]) for side in self.interval(x, LEVEL))
        if high - low > MAX_WIDTH * float(self.points.mean.max()):
            ends = " to ".join(f"{end:.{units.decimals}f}" for end in units.span(low, high))
            return (
                f"the 80 % interval at {units.at(x)} would be {units.show_gain(round(high - low, 1))} wide ({ends}), "
                f"more than half of the best value seen: the points do not say where the curve goes"
            )
        return None


def _percentages(x: float | Iterable[float]) -> Array:
    values = np.atleast_1d(np.asarray(x if np.isscalar(x) else list(x), dtype=float))  # type: ignore[arg-type]
    if not (np.isfinite(values) & (values > 0)).all():
        raise InputError("a percentage to forecast is not a positive number", remedy="give a number above 0")
    return values


def falls(x: Array, y: Array) -> bool:
    """Say whether the values y do not rise with ln x at all."""
    t = np.log(x)
    return float(((t - t.mean()) * (y - y.mean())).sum()) <= 0


def _falling(points: Points) -> str | None:
    """Say so if the values do not rise with data at all: a learning curve is then the wrong model."""
    if not falls(points.percent, points.mean):
        return None
    units = points.units
    if float(np.ptp(points.mean)) == 0.0:
        return f"{units.name} does not change with more data over these points, so no learning curve explains them"
    how = "rises" if units.falls else "falls"
    other = "--direction up" if units.falls else "--direction down"
    better = "higher" if units.falls else "lower"
    return (
        f"{units.name} {how} with more data over these points, so no learning curve explains them "
        f"(if {better} values are better, say {other})"
    )


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
    return Forecast(points, rolling, level, load_calibration(), weights)
