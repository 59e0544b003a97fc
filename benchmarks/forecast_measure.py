"""Judge calibrated forecasts on data sets held out: coverage with its bootstrap interval, tails, P(gain), RMSE."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.forecast_errors import VISIBLE, Errors
from tal_repro.curves.calibrate import Calibration
from tal_repro.curves.family import Array
from tal_repro.curves.forecast import MAX_WIDTH

LEVELS = (0.8, 0.95)
GAINS = (0.5, 1.0, 2.0, 5.0)  # percentage points
DRAWS = 2000
FULL_BIN = 100


def measure(calibration: Calibration, errors: Errors) -> dict[str, Any]:
    """Return the report on the forecasts of each curve's last point, at each visible share."""
    last = errors.where(errors.visible > 0)
    visible = {}
    for share in VISIBLE:
        part = last.where(last.visible == share)
        answered = part.where(_answered(calibration, part))
        visible[f"{share:g}"] = {
            "forecasts": len(part.truth),
            **{f"{100 * level:g}": coverage(calibration, part, level) for level in LEVELS},
            "answered": {
                "forecasts": len(answered.truth),
                **{f"{100 * level:g}": coverage(calibration, answered, level) for level in LEVELS},
            },
            "rmse": rmse(part),
            "probability_bins": [bin_ for gain in GAINS for bin_ in bins(calibration, part, (gain,))],
        }
    return {"visible": visible, "probability_bins": bins(calibration, last, GAINS)}


def _answered(calibration: Calibration, errors: Errors) -> Array:
    low, high = (calibration.quantile(errors.made, q) for q in (0.1, 0.9))
    return np.asarray((errors.falling == 0) & (high - low <= MAX_WIDTH * errors.best))


def coverage(calibration: Calibration, errors: Errors, level: float) -> dict[str, Any]:
    """Return the share of truths inside, its 95 % interval over data sets drawn anew, and the misses on each side."""
    low, high = (calibration.quantile(errors.made, q) for q in (0.5 - level / 2, 0.5 + level / 2))
    inside = (errors.truth >= low) & (errors.truth <= high)
    _, place = np.unique(errors.data_set, return_inverse=True)
    held, count = np.bincount(place, inside), np.bincount(place)
    drawn = np.random.default_rng(0).integers(0, len(count), (DRAWS, len(count)))
    shares = held[drawn].sum(axis=1) / count[drawn].sum(axis=1)
    return {
        "covered": round(float(inside.mean()), 4),
        "interval_95": [round(float(q), 4) for q in np.quantile(shares, [0.025, 0.975])],
        "above": round(float((errors.truth > high).mean()), 4),
        "below": round(float((errors.truth < low).mean()), 4),
        "median_width": round(float(np.median(high - low)), 3),
    }


def rmse(errors: Errors) -> dict[str, float]:
    """Return the root mean squared error of each method."""
    methods = {
        "forecast": errors.prediction,
        "earlier_method": errors.earlier,
        "last_value": errors.last,
        "pow3": errors.pow3,
        "mmf": errors.mmf,
    }
    return {name: round(float(np.sqrt(np.nanmean((value - errors.truth) ** 2))), 3) for name, value in methods.items()}


def bins(calibration: Calibration, errors: Errors, gains: tuple[float, ...]) -> list[dict[str, float]]:
    """Compare P(gain >= x) with how often it happened, in ten bins of the probability."""
    told, happened = [], []
    for gain in gains:
        told.append(calibration.at_least(errors.made, errors.last + gain))
        happened.append(errors.truth - errors.last >= gain)
    probability, event = np.concatenate(told), np.concatenate(happened)
    place = np.minimum((probability * 10).astype(int), 9)
    return [
        {
            "gain": gains[0] if len(gains) == 1 else 0.0,
            "from": number / 10,
            "curves": int((place == number).sum()),
            "predicted": round(float(probability[place == number].mean()), 3),
            "observed": round(float(event[place == number].mean()), 3),
        }
        for number in range(10)
        if (place == number).any()
    ]


def worst(rows: list[dict[str, float]]) -> float:
    """Return the largest miss among the bins that hold enough curves."""
    return max((abs(row["predicted"] - row["observed"]) for row in rows if row["curves"] >= FULL_BIN), default=0.0)


def table(report: dict[str, Any]) -> str:
    """Return the table of docs/curves.md."""
    errors_of = "RMSE: forecast / before / last value / pow3 / MMF"
    lines = [
        f"| visible data | 80 % interval held | missed above / below | 95 % interval held | {errors_of} |",
        "|---|---|---|---|---|",
    ]
    for share, row in report["held_out"]["visible"].items():
        errors = " / ".join(f"{row['rmse'][name]:.2f}" for name in row["rmse"])
        lines.append(
            f"| at most {share} % ({row['forecasts']} curves) | {_held(row['80'])} | "
            f"{100 * row['80']['above']:.1f} / {100 * row['80']['below']:.1f} % | {_held(row['95'])} | {errors} |"
        )
    for name, row in report["published_curves"].items():
        lines.append(
            f"| {name}, from 4 points on | {row['covered']} of {row['forecasts']} | {row['above']} above | | "
            f"{row['rmse']:.2f} / {row['earlier_method_rmse']:.2f} / {row['last_value_rmse']:.2f} |"
        )
    rows = [b for row in report["held_out"]["visible"].values() for b in row["probability_bins"]]
    full = [b for b in rows if b["curves"] >= FULL_BIN]
    lines += [
        "",
        f"P(gain): {len(full)} bins hold {FULL_BIN} curves or more; the worst is {100 * worst(rows):.1f} points off.",
    ]
    return "\n".join(lines) + "\n"


def _held(row: dict[str, Any]) -> str:
    low, high = row["interval_95"]
    return f"{100 * row['covered']:.1f} % ({100 * low:.1f} to {100 * high:.1f})"
