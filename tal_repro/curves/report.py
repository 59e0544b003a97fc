"""Everything `tal-repro forecast` says, as one dictionary: the forecast, the decisions, how far to trust them."""

from __future__ import annotations

from typing import Any

from tal_repro.curves.calibrate import LEVEL, load_calibration
from tal_repro.curves.decide import data_needed, next_percentage, saturation
from tal_repro.curves.forecast import Forecast, too_few
from tal_repro.curves.points import Points

SCHEMA = "tal-repro/forecast/1"
COUNTED = 0.02  # families below this weight do not count in the spread


def build_report(
    points: Points,
    made: Forecast | None,
    target: float = 100.0,
    horizon: float = 300.0,
    value: float | None = None,
    delta: float = 1.0,
) -> dict[str, Any]:
    """Return what `made` (None: too few points) says at `target` and `horizon` percent, ready for JSON.

    `value` is the mAP to reach (default: the last value plus `delta`). What the points cannot answer is
    null and carries its reason; see `schemas/forecast.json`.
    """
    few = too_few(points)
    at_target, at_horizon = _at(made, target, few), _at(made, horizon, few)
    answering = made if at_target["answerable"] or at_horizon["answerable"] else None
    return {
        "schema": SCHEMA,
        "target": target,
        "prediction": at_target["prediction"],
        "interval": at_target["interval"],
        "level": LEVEL if made is None else made.level,
        "last_value": float(points.mean[-1]),
        "last_percent": float(points.percent[-1]),
        "answerable": at_target["answerable"],
        "reason": at_target["reason"],
        "horizon": {"train_percent": horizon, **at_horizon},
        "families": [] if answering is None else _families(answering, target, horizon),
        "family_spread": None if answering is None else _spread(answering, target),
        "gain": {"delta": delta, "at_target": _gain(made, target, delta), "at_horizon": _gain(made, horizon, delta)},
        "data_needed": _needed(made, points, value, delta),
        "saturation": saturation(points).to_dict(),
        "next_percentage": None if answering is None else _next(answering, target, horizon),
        "coverage": _coverage(made),
        "points": _describe(points, made),
    }


def _at(made: Forecast | None, x: float, few: str | None) -> dict[str, Any]:
    reason = few if made is None else made.refusal(x)
    if made is None or reason:
        return {"prediction": None, "interval": None, "answerable": False, "reason": reason}
    low, high = made.interval(x)
    return {
        "prediction": float(made.predict(x)[0]),
        "interval": [float(low[0]), float(high[0])],
        "answerable": True,
        "reason": f"{made.level:.0%} interval as wide as back-tests of {len(made.references)} reference curves"
        + (" and of these points require" if made.scored else " require"),
    }


def _families(made: Forecast, target: float, horizon: float) -> list[dict[str, Any]]:
    far = {row["family"]: row["prediction"] for row in made.spread(horizon)}
    return [{**row, "prediction_at_horizon": far[row["family"]]} for row in made.spread(target)]


def _spread(made: Forecast, x: float) -> list[float] | None:
    counted = [row["prediction"] for row in made.spread(x) if row["weight"] >= COUNTED]
    return [min(counted), max(counted)] if counted else None


def _gain(made: Forecast | None, x: float, delta: float) -> float | None:
    if made is None or x <= made.last_percent or made.refusal(x):
        return None  # no gain over the last value where less data than the last is asked about
    return float(made.probability_at_least(x, made.last_value + delta)[0])


def _needed(made: Forecast | None, points: Points, value: float | None, delta: float) -> dict[str, Any]:
    wanted = float(points.mean[-1]) + delta if value is None else value
    usable = made is not None and made.refusal(made.last_percent) is None
    halves = [data_needed(made, wanted, p) if usable and made else None for p in (0.5, 0.9)]
    return {
        "value": wanted,
        "percent_50": halves[0],
        "percent_90": halves[1],
        "searched_up_to": made.reach * made.last_percent if usable and made else None,
    }


def _next(made: Forecast, target: float, horizon: float) -> dict[str, Any]:
    chosen = next_percentage(made, target if target > made.last_percent else max(target, horizon))
    return {
        "train_percent": chosen.percent,
        "uncertainty_removed": chosen.uncertainty_removed,
        "reason": chosen.reason,
    }


def _coverage(made: Forecast | None) -> dict[str, Any]:
    own = None
    if made is not None and made.own_coverage[1]:
        covered, count = made.own_coverage
        own = {"covered": covered, "forecasts": count}
    used = [] if made is None else [reference.name for reference in made.references]
    return {"level": LEVEL, "these_points": own, "calibrated_on": used, "references": load_calibration().coverage}


def _describe(points: Points, made: Forecast | None) -> dict[str, Any]:
    return {
        "percentages": len(points),
        "runs": int(points.runs.sum()),
        "smallest_percent": float(points.percent[0]),
        "largest_percent": float(points.percent[-1]),
        "merged": points.merged,
        "weights": "none" if made is None else made.weights_kind,
    }
