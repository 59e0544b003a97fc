"""What to do with a forecast: is more data worth it, how much is needed, what to run next."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from tal_repro.curves.family import Array
from tal_repro.curves.forecast import Forecast
from tal_repro.curves.points import MAX_DISTINCT, Points
from tal_repro.curves.stacking import recent_slope, stacking_weights
from tal_repro.curves.weighting import PRIOR_DOF, shrunken_variances

MARGIN = 0.5  # points of mAP that count as no difference
ALPHA = 0.05
CANDIDATES = (1, 2, 3, 5, 7.5, 10, 15, 20, 25, 30, 35, 40, 45, 50, 60, 70, 75, 80, 90, 100)
SLOPE_SHARE = 0.2  # of the recent slope times the log-distance: what no family shows of where the curve goes
NOISE_FLOOR = 0.3  # points of mAP
WORTHWHILE = 0.5  # a next point should bring at least this share of what the best one would


def data_needed(forecast: Forecast, value: float, probability: float) -> float | None:
    """Return the smallest percentage at which the mean reaches `value` with `probability`.

    None if that is not where the forecast answers.
    """
    if forecast.answered_up_to is None:
        return None
    grid = np.geomspace(forecast.points.percent[0], forecast.answered_up_to, 1201)
    reached = np.flatnonzero(forecast.probability_at_least(grid, value) >= probability)
    return float(grid[reached[0]]) if len(reached) else None


@dataclass(frozen=True)
class Comparison:
    """Mean at `percent` against the last one: difference with its 90 % interval, and both verdicts."""

    percent: float
    difference: float
    low: float
    high: float
    equivalent: bool
    p_difference: float


@dataclass(frozen=True)
class Saturation:
    """The percentage from which on nothing is gained, as far as runs can show it."""

    tested: bool
    percent: float | None
    reason: str
    comparisons: tuple[Comparison, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the result with its margin, for JSON."""
        return {"margin": MARGIN, "alpha": ALPHA, **asdict(self)}


def saturation(points: Points, margin: float = MARGIN) -> Saturation:
    """Find the smallest percentage equivalent within +-`margin` to the last, and all between too (TOST).

    Two one-sided Welch tests at 0.05 each, on variances shrunken towards their pool; going down from
    the last percentage and stopping at the first failure keeps the error of the whole chain at 0.05.
    """
    repeated = int((points.runs > 1).sum())
    if points.merged:
        return Saturation(
            False, None, f"neighbouring percentages were merged: give at most {MAX_DISTINCT} different ones"
        )
    if repeated < 2:
        return Saturation(False, None, "needs at least two runs at two percentages")
    variance = shrunken_variances(np.nan_to_num(points.std), points.runs) / points.runs
    dof = PRIOR_DOF + points.runs - 1.0
    chain = [_compare(points, variance, dof, index, margin) for index in range(len(points) - 1)]
    reached = None
    for comparison in reversed(chain):
        if not comparison.equivalent:
            break
        reached = comparison.percent
    units = points.units
    last, near = units.at(float(points.percent[-1])), units.show_gain(margin)
    if reached is None:
        reason = f"no percentage is shown to be within {near} of {last}; more runs or more data would tell"
    else:
        reason = f"everything from {units.at(reached)} on is within {near} of {last}"
    return Saturation(True, reached, reason, tuple(chain))


def _compare(points: Points, variance: Array, dof: Array, index: int, margin: float) -> Comparison:
    from scipy.special import stdtr, stdtrit

    difference = float(points.mean[-1] - points.mean[index])
    pair = variance[[index, -1]]
    error = float(np.sqrt(pair.sum()))
    if error == 0.0:
        return Comparison(
            float(points.percent[index]),
            difference,
            difference,
            difference,
            abs(difference) < margin,
            float(difference == 0),
        )
    freedom = float(pair.sum() ** 2 / (pair**2 / dof[[index, -1]]).sum())
    reach = float(stdtrit(freedom, 1 - ALPHA)) * error
    low, high = difference - reach, difference + reach
    p_value = float(2 * stdtr(freedom, -abs(difference) / error))
    return Comparison(float(points.percent[index]), difference, low, high, -margin < low and high < margin, p_value)


@dataclass(frozen=True)
class NextPoint:
    """The next percentage worth running: how much of the uncertainty at the target it would remove."""

    percent: float | None
    uncertainty_removed: float
    cost_percent: float
    reason: str


def next_percentage(forecast: Forecast, target: float) -> NextPoint:
    """Choose the cheapest percentage that removes about as much uncertainty at `target` as the best would.

    Families and slope are treated as jointly normal (a linear-Gaussian update); the cost of a point
    is its percentage, which holds for a fixed number of epochs.
    """
    last = forecast.last_percent
    options = np.array([c for c in CANDIDATES if c > 1.05 * last and c <= 100.0], dtype=float)
    goal = max(target, last)
    if goal <= 100.0:
        options = options[options < goal * 0.999]
    if not len(options):
        return NextPoint(None, 0.0, 0.0, _nothing_left(forecast, goal))
    covariance, noise = _joint(forecast, np.append(options, goal))
    known, own = covariance[:-1, -1], np.diag(covariance)[:-1] + noise
    removed = known**2 / own / (covariance[-1, -1] + noise)
    units = forecast.points.units
    best = int(np.flatnonzero(removed >= WORTHWHILE * removed.max())[0])
    share = 1.0 - float(np.sqrt(max(1.0 - removed[best], 0.0)))
    return NextPoint(
        float(options[best]),
        share,
        float(options[best]),
        f"a run at {units.at(options[best])} would narrow the interval at {units.at(goal)} by about "
        f"{100 * share:.0f} %, and cost {options[best] / goal:.2f} of a run at {units.at(goal)}",
    )


def _nothing_left(forecast: Forecast, goal: float) -> str:
    units = forecast.points.units
    if forecast.last_percent >= 95.0:
        used = f"{units.at(forecast.last_percent)} count as all the data" if units.x == "count" else "all data are used"
        return f"{used} already; another run there would lower its noise"
    last, far = units.at(forecast.last_percent), units.at(goal)
    return f"nothing between {last} and {far} is cheaper than {far} itself"


def _joint(forecast: Forecast, x: Array) -> tuple[Array, float]:
    """Return the covariance [len(x), len(x)] of the curve over families and slope, and the noise variance."""
    rolling, count = forecast.rolling, len(forecast.points)
    weights = stacking_weights(rolling, count)
    values = np.nan_to_num(rolling.predict(x))
    centred = values - weights @ values
    drift = SLOPE_SHARE * recent_slope(rolling, count) * np.maximum(np.log(x / forecast.last_percent), 0.0)
    seen = np.nan_to_num(rolling.row(count))
    noise = float((weights @ (seen - rolling.y) ** 2).mean()) + NOISE_FLOOR**2
    return (centred * weights[:, None]).T @ centred + np.outer(drift, drift), noise
