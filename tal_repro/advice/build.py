"""A study's advice as data: forecasts at more videos, short classes, the next run, the model for a budget.

Nothing here computes a curve: forecasts, refusals, saturation and next runs are those of `tal_repro.curves`. The whole
training set is 100 %, so that 200 % is twice the labelled videos.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tal_repro.advice.costs import Model, choose, models
from tal_repro.advice.curves import StudyCurve, forecast_of, study_curves
from tal_repro.curves import Forecast, Points
from tal_repro.curves.calibrate import LEVEL
from tal_repro.curves.decide import MARGIN, Saturation, saturation
from tal_repro.curves.report import answer_at, coverage_of, gain_at
from tal_repro.curves.stacking import MIN_POINTS
from tal_repro.errors import InputError
from tal_repro.runs.load import Runs

SCHEMA = "tal-repro/advise/1"
TIMES = (1.5, 2.0, 3.0)  # the labelled videos
ASKED = 2.0  # the multiple that an answer is given for
LIKELY, UNLIKELY = 0.8, 0.2  # probability of a gain from which on more data pay, and up to which they do not
DELTA = 1.0  # points of mAP that are worth having
MOST_CLASSES = 60  # a forecast of each takes part of a second
SHARES = (10, 20, 40, 70, 100)  # to fill a curve of too few points with
PAYS, OPEN, PAYS_NOT, UNKNOWN = "yes", "open", "no", "cannot tell"


def advise(
    runs: Runs,
    delta: float = DELTA,
    budget_hours: float | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Return what `schemas/advise.json` describes; mAP in percent, shares in percent, times in seconds.

    `delta`: the gain in mAP that is worth having. `budget_hours`: of one training, for the choice of the model.
    Raises InputError where no run of a data sweep has a mAP: there is nothing to go by.
    """
    measured_curves = study_curves(runs.runs)
    if not measured_curves:
        raise InputError(
            "no finished run of a data sweep with a mAP",
            runs.root,
            "run the study's sweep first: tal-repro run --only experiment=data_sweep --scope full",
        )
    costed = models(measured_curves)
    chosen = choose(costed, delta, budget_hours)
    curves = [_curve(curve, delta, say) for curve in measured_curves]
    leading = measured_curves[0] if chosen is None else chosen.curve
    return {
        "schema": SCHEMA,
        "study": runs.study,
        "data": leading.runs[0].data_name,
        "synthetic": any(curve.synthetic for curve in measured_curves),
        "delta": delta,
        "curves": curves,
        "classes": _classes(leading, delta, say),
        "models": [model.to_json() for model in costed],
        "choice": _choice(chosen, leading, budget_hours),
    }


def _curve(curve: StudyCurve, delta: float, say: Callable[[str], None]) -> dict[str, Any]:
    say(f"forecast of {curve.title}")
    points, made = curve.points, forecast_of(curve.points)
    flat = saturation(points)
    ahead = [_ahead(points, made, times, delta) for times in TIMES]
    return {
        "model": curve.model,
        "engine": curve.engine,
        "title": curve.title,
        "points": [
            {"percent": p, "map": m, "runs": round(n)}
            for p, m, n in zip(points.percent.tolist(), points.mean.tolist(), points.runs.tolist(), strict=True)
        ],
        "last_percent": float(points.percent[-1]),
        "last_map": float(points.mean[-1]),
        "ahead": ahead,
        "pays": pays(ahead[TIMES.index(ASKED)]["gain_probability"]),
        "level": LEVEL if made is None else made.level,
        "saturation": {"tested": flat.tested, "percent": flat.percent, "margin": MARGIN, "reason": flat.reason},
        "next_run": _next_run(points, flat, curve),
        "coverage": coverage_of(made),
    }


def _ahead(points: Points, made: Forecast | None, times: float, delta: float) -> dict[str, Any]:
    percent = 100.0 * times
    return {
        "times": times,
        "percent": percent,
        **answer_at(points, made, percent),
        "gain_probability": gain_at(made, percent, delta),
    }


def pays(probability: float | None) -> str:
    """Return the answer that a probability of a worthwhile gain gives."""
    if probability is None:
        return UNKNOWN
    return PAYS if probability >= LIKELY else PAYS_NOT if probability <= UNLIKELY else OPEN


def _next_run(points: Points, flat: Saturation, curve: StudyCurve) -> dict[str, Any]:
    """Return the cheapest run that would tell more: its share, why, and the seconds of its like (None: unknown)."""
    done = set(points.percent.tolist())
    if len(points) < MIN_POINTS:
        missing = [share for share in SHARES if all(abs(share - other) > 0.3 * share for other in done)]
        percent: float | None = float(min(missing, default=100))
        reason = f"a forecast needs {MIN_POINTS} different shares, {len(points)} are there"
    elif points.percent[-1] < 100.0:
        percent, reason = 100.0, "all labelled videos: the point that a forecast for more of them starts from"
    elif flat.tested:
        percent, reason = 100.0, "another seed with all videos lowers the noise of the last point"
    else:
        percent = float(min(share for share, count in zip(points.percent, points.runs, strict=True) if count == 1))
        reason = "a second seed at shares that have one: only repeated runs show where the curve is flat"
    return {"percent": percent, "reason": reason, "like_seconds": _seconds_near(curve, percent)}


def _seconds_near(curve: StudyCurve, percent: float | None) -> float | None:
    """Return the mean seconds of the runs at the share nearest to `percent`."""
    timed = [run for run in curve.runs if run.total_seconds]
    if percent is None or not timed:
        return None
    nearest = min((run.percent for run in timed), key=lambda share: abs(share - percent))
    seconds = [float(run.total_seconds or 0.0) for run in timed if run.percent == nearest]
    return sum(seconds) / len(seconds)


def _classes(curve: StudyCurve, delta: float, say: Callable[[str], None]) -> dict[str, Any]:
    """Return each class of the chosen model: its AP, what twice the videos would give, and whether they pay."""
    by_class = curve.by_class()
    climbing = sorted(by_class, key=lambda name: -_last_rise(by_class[name]))
    say(f"forecasts of {min(len(climbing), MOST_CLASSES)} classes")
    rows = [_class(name, by_class[name], delta, forecast_too=name in climbing[:MOST_CLASSES]) for name in by_class]
    return {"model": curve.model, "engine": curve.engine, "rows": sorted(rows, key=_first_what_is_short)}


def _class(name: str, points: Points, delta: float, forecast_too: bool) -> dict[str, Any]:
    made = forecast_of(points) if forecast_too else None
    answer = answer_at(points, made, 100.0 * ASKED)
    probability = gain_at(made, 100.0 * ASKED, delta)
    if not forecast_too:
        answer |= {"reason": f"not among the {MOST_CLASSES} classes that rose most, which alone are forecast"}
    return {
        "class": name,
        "last_ap": float(points.mean[-1]),
        "last_rise": _last_rise(points),
        "at_twice": {name: answer[name] for name in ("prediction", "interval", "answerable", "reason")},
        "gain_probability": probability,
        "pays": pays(probability),
    }


def _last_rise(points: Points) -> float:
    """Return what the last step of the sweep brought (0 for a single point)."""
    return float(points.mean[-1] - points.mean[-2]) if len(points) > 1 else 0.0


def _first_what_is_short(row: dict[str, Any]) -> tuple[int, float, str]:
    order: Sequence[str] = (PAYS, OPEN, PAYS_NOT, UNKNOWN)
    return order.index(row["pays"]), -float(row["gain_probability"] or 0.0), row["class"]


def _choice(chosen: Model | None, leading: StudyCurve, budget_hours: float | None) -> dict[str, Any]:
    if chosen is None:
        return {
            "model": None,
            "engine": None,
            "title": leading.title,
            "budget_hours": budget_hours,
            "reason": "no training fits the budget" if budget_hours else "no training time was measured",
        }
    return {
        "model": chosen.curve.model,
        "engine": chosen.curve.engine,
        "title": chosen.curve.title,
        "budget_hours": budget_hours,
        "reason": chosen.reason,
    }
