"""Everything `tal-repro forecast` says, as one dictionary: the forecast, the decisions, how far to trust them.

All numbers are in the units of the points' owner.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from tal_repro.curves.calibrate import LEVEL, load_calibration
from tal_repro.curves.decide import data_needed, next_percentage, saturation
from tal_repro.curves.forecast import Forecast, too_few
from tal_repro.curves.points import Points

SCHEMA = "tal-repro/forecast/2"
NEEDED_AT = (0.5, 0.9)  # probabilities at which a value counts as reached
COUNTED = 0.02  # families below this weight do not count in the spread


def build_report(
    points: Points,
    made: Forecast | None,
    target: float = 100.0,
    horizon: float = 300.0,
    value: float | None = None,
    delta: float = 1.0,
) -> dict[str, Any]:
    """Return what `made` (None: too few points) says at `target` and `horizon`, ready for JSON.

    Percentages, `value` and `delta` come as `Points` hold them; what goes out is in `points.units`. `value` is to be
    reached (default: the last value plus `delta`). What the points cannot answer is null and carries its reason; see
    `schemas/forecast.json`.
    """
    units = points.units
    at_target, at_horizon = answer_at(points, made, target), answer_at(points, made, horizon)
    answering = made if at_target["answerable"] or at_horizon["answerable"] else None
    return {
        "schema": SCHEMA,
        "units": {"x": units.x, "metric": units.metric, "direction": units.direction},
        "target": units.outer_x(target),
        "prediction": at_target["prediction"],
        "interval": at_target["interval"],
        "level": LEVEL if made is None else made.level,
        "last_value": units.outer(float(points.mean[-1])),
        "last_percent": units.outer_x(float(points.percent[-1])),
        "answerable": at_target["answerable"],
        "reason": at_target["reason"],
        "horizon": {"train_percent": units.outer_x(horizon), **at_horizon},
        "families": [] if answering is None else _families(answering, target, horizon),
        "family_spread": None if made is None or not at_target["answerable"] else _spread(made, target),
        "gain": {
            "delta": units.outer_gain(delta),
            "at_target": gain_at(made, target, delta),
            "at_horizon": gain_at(made, horizon, delta),
        },
        "data_needed": _needed(answering, points, value, delta),
        "saturation": _saturation(points),
        "next_percentage": None if answering is None else _next(answering, target, horizon),
        "coverage": coverage_of(made),
        "points": _describe(points, made),
    }


def answer_at(points: Points, made: Forecast | None, x: float) -> dict[str, Any]:
    """Return prediction and interval at percentage x in the owner's units, or null with the reason."""
    few = too_few(points)
    reason = few if made is None else made.refusal(x)
    if made is None or reason:
        return {"prediction": None, "interval": None, "answerable": False, "reason": reason}
    low, high = made.interval(x)
    return {
        "prediction": points.units.outer(float(made.predict(x)[0])),
        "interval": points.units.span(float(low[0]), float(high[0])),
        "answerable": True,
        "reason": f"{made.level:.0%} interval calibrated on {made.calibration.calibrated_on}",
    }


def _families(made: Forecast, target: float, horizon: float) -> list[dict[str, Any]]:
    """Return what every family says where the forecast answers; null where it is refused."""

    def outer(value: float | None, x: float) -> float | None:
        return None if value is None or made.refusal(x) else made.points.units.outer(value)

    far = {row["family"]: row["prediction"] for row in made.spread(horizon)}
    return [
        {
            **row,
            "prediction": outer(row["prediction"], target),
            "prediction_at_horizon": outer(far[row["family"]], horizon),
        }
        for row in made.spread(target)
    ]


def _spread(made: Forecast, x: float) -> list[float] | None:
    counted = [row["prediction"] for row in made.spread(x) if row["weight"] >= COUNTED]
    return made.points.units.span(min(counted), max(counted)) if counted else None


def gain_at(made: Forecast | None, x: float, delta: float) -> float | None:
    """Return P(the mean at x exceeds the last value by `delta`); None where that cannot be answered."""
    if made is None or x <= made.last_percent or made.refusal(x):
        return None  # no gain over the last value where less data than the last is asked about
    return float(made.probability_at_least(x, made.last_value + delta)[0])


def _needed(made: Forecast | None, points: Points, value: float | None, delta: float) -> dict[str, Any]:
    units = points.units
    goal = float(points.mean[-1]) + delta if value is None else value
    limit = None if made is None else made.answered_up_to
    reached = [None if made is None or limit is None else data_needed(made, goal, p) for p in NEEDED_AT]
    even, sure = (None if percent is None else units.outer_x(percent) for percent in reached)
    return {
        "value": units.outer(goal),
        "percent_50": even,
        "percent_90": sure,
        "searched_up_to": None if limit is None else units.outer_x(limit),
    }


def _saturation(points: Points) -> dict[str, Any]:
    tested, units = saturation(points), points.units
    comparisons = []
    for row in tested.comparisons:
        low, high = sorted(units.outer_gain(-end if units.falls else end) for end in (row.low, row.high))
        difference = units.outer_gain(-row.difference if units.falls else row.difference)
        percent = units.outer_x(row.percent)
        comparisons.append({**asdict(row), "percent": percent, "difference": difference, "low": low, "high": high})
    content = tested.to_dict()
    return {
        **content,
        "margin": units.outer_gain(content["margin"]),
        "percent": None if tested.percent is None else units.outer_x(tested.percent),
        "comparisons": comparisons,
    }


def _next(made: Forecast, target: float, horizon: float) -> dict[str, Any] | None:
    """Return the run that tells most about the first of both amounts that lies ahead and is answered; None: neither."""
    ahead = [x for x in (target, horizon) if x > made.last_percent and not made.refusal(x)]
    if not ahead and target > made.last_percent:
        return None
    chosen = next_percentage(made, ahead[0] if ahead else target)
    return {
        "train_percent": None if chosen.percent is None else made.points.units.outer_x(chosen.percent),
        "uncertainty_removed": chosen.uncertainty_removed,
        "reason": chosen.reason,
    }


def coverage_of(made: Forecast | None) -> dict[str, Any]:
    """Return how often such intervals held the truth: on other data sets, and on these points' own back-tests."""
    own = None
    if made is not None and made.own_coverage[1]:
        covered, count = made.own_coverage
        own = {"covered": covered, "forecasts": count}
    calibration = load_calibration()
    return {
        "level": LEVEL,
        "these_points": own,
        "calibrated_on": calibration.calibrated_on,
        "held_out": calibration.held_out,
    }


def _describe(points: Points, made: Forecast | None) -> dict[str, Any]:
    return {
        "percentages": len(points),
        "runs": int(points.runs.sum()),
        "smallest_percent": points.units.outer_x(float(points.percent[0])),
        "largest_percent": points.units.outer_x(float(points.percent[-1])),
        "merged": points.merged,
        "weights": "none" if made is None else made.weights_kind,
    }
