"""mAP against cost: what each model reaches with most data and what one such training took, and which one to take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from tal_repro.advice.curves import StudyCurve


@dataclass(frozen=True)
class Model:
    """A model at the largest share of its sweep."""

    curve: StudyCurve
    percent: float
    map_mean: float
    runs: int
    seconds: float | None  # mean of one training, by Table 2's definition
    devices: tuple[str, ...]
    alone: bool  # no run was beside others, so that its time counts
    efficient: bool = False  # no other model is both better and quicker
    reason: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "model": self.curve.model,
            "engine": self.curve.engine,
            "title": self.curve.title,
            "percent": self.percent,
            "map": self.map_mean,
            "runs": self.runs,
            "seconds": self.seconds,
            "devices": list(self.devices),
            "alone": self.alone,
            "efficient": self.efficient,
        }


def models(curves: Sequence[StudyCurve]) -> list[Model]:
    """Return the models, the highest mAP first; those that none beats in both mAP and time are efficient."""
    listed = [_model(curve) for curve in curves]
    return [replace(model, efficient=_efficient(model, listed)) for model in listed]


def _model(curve: StudyCurve) -> Model:
    last = curve.at_most_data
    timed = [run.train_seconds for run in last if run.train_seconds]
    return Model(
        curve,
        float(last[0].percent),
        float(curve.points.mean[-1]),
        len(last),
        sum(timed) / len(timed) if timed else None,
        tuple(sorted({run.device for run in last})),
        all(run.alone for run in last),
    )


def _efficient(model: Model, listed: Sequence[Model]) -> bool:
    if model.seconds is None:
        return False
    timed = [other for other in listed if other.seconds is not None and other.devices == model.devices]
    return not any(
        other.map_mean >= model.map_mean and other.seconds < model.seconds  # type: ignore[operator]
        for other in timed
    )


def choose(listed: Sequence[Model], delta: float, budget_hours: float | None) -> Model | None:
    """Return the model to take: the quickest within `delta` mAP of the best that the budget holds, with the reason."""
    timed = [model for model in listed if model.seconds is not None]
    within = [m for m in timed if budget_hours is None or float(m.seconds or 0.0) <= 3600 * budget_hours]
    if not within:
        return None
    best = max(within, key=lambda model: model.map_mean)
    # times of different machines are not compared
    near = [m for m in within if m.map_mean >= best.map_mean - delta and m.devices == best.devices]
    chosen = min(near, key=lambda model: (float(model.seconds or 0.0), -model.map_mean))
    held = "" if budget_hours is None else f" that {budget_hours:.3g} h hold"
    if chosen is best:
        return replace(chosen, reason=f"the highest mAP of the models{held}")
    reason = f"within {delta:g} mAP of the best{held} ({best.curve.title}), and quicker to train"
    return replace(chosen, reason=reason)
