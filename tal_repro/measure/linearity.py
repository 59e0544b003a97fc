"""Is time linear in length? Slope, intercept and R2 as the paper says it (claim C1), and what R2 hides: the residuals.

R2 of a few points over two decades is near 1 for almost any rising curve, so the verdict rests on the share of the
longest length's time that a quadratic term explains, which must be shown to be small, and on the residuals. Both are of
fits that weigh each time by its inverse, since times vary by a share of themselves.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

CURVED = 0.05  # share of the time at the longest length above which a curve is called one
P_CURVED = 0.05  # and a line would show a quadratic term as large with this probability (two-sided t)
BOUND = 0.10  # a line's curvature is shown to lie within this share (two one-sided t tests, each at P_CURVED)
LARGE_RESIDUAL = 0.10  # share of a time; half of it where the residuals bend once, as those of a curve do
LINEAR_R2 = 0.99


@dataclass(frozen=True)
class Linearity:
    """A line through medians (ms against feature steps) and how they depart from it."""

    lengths: int
    slope_ms_per_step: float
    intercept_ms: float
    r2: float
    degrees_of_freedom: int
    curvature_share: float  # of the quadratic term in a parabola's time at the longest length
    curvature_t: float
    curvature_margin: float  # half of the 90 % interval of the share
    largest_residual_share: float  # of the median it belongs to
    residual_signs: str  # in order of length: "+-+" is noise or steps, "+---+" a curve
    verdict: str  # linear, superlinear, sublinear, scattered, undecided
    words: str

    def to_json(self) -> dict[str, Any]:
        """Return plain values; what is not a finite number is null."""
        return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in asdict(self).items()}


def linearity(medians: Mapping[int, float]) -> Linearity:
    """Judge median times (ms) by length (feature steps); fewer than four lengths are undecided."""
    x = np.array(sorted(medians), dtype=float)
    y = np.array([medians[int(length)] for length in x], dtype=float)
    if len(x) < 2:
        nan = math.nan
        words = "one length tells nothing about linearity"
        return Linearity(len(x), nan, nan, nan, 0, nan, nan, nan, nan, "", "undecided", words)
    slope, intercept = np.polyfit(x, y, 1)
    r2 = _r2(y, slope * x + intercept)
    share, t, margin = _curvature(x, y)
    residuals = _relative_residuals(x, y)
    signs = "".join("+" if r > 0 else "-" for r in residuals)
    largest = float(np.max(np.abs(residuals)))
    if len(x) < 4 or not math.isfinite(r2 + share + largest):
        verdict = "undecided"
    else:
        parabola_r2 = _r2(y, np.polyval(np.polyfit(x, y, 2), x))
        verdict = _verdict(r2, parabola_r2, share, t, margin, largest, signs)
    words = _words(verdict, r2, share, margin, largest, len(x), int(x[-1]))
    return Linearity(
        len(x), float(slope), float(intercept), r2, len(x) - 2, share, t, margin, largest, signs, verdict, words
    )  # fmt: skip


def linearity_of(rows: Iterable[Mapping[str, Any]]) -> Linearity:
    """Judge the medians, by length, of the one kind of latency that a run's measured rows hold."""
    samples: dict[int, list[float]] = {}
    for row in rows:
        if str(row["quantity"]).endswith("latency_ms"):
            samples.setdefault(int(row["feature_length"]), []).append(float(row["value"]))
    return linearity({length: float(np.median(values)) for length, values in samples.items()})


def _r2(y: np.ndarray, fitted: np.ndarray) -> float:
    spread = float(((y - y.mean()) ** 2).sum())
    return 1 - float(((y - fitted) ** 2).sum()) / spread if spread else math.nan


def _relative_residuals(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the residuals, as shares of the times, of the line that makes their squares least."""
    if not (y > 0).all():
        return np.full(len(y), math.nan)
    design = np.vander(x / x[-1], 2) / y[:, None]
    coefficients, *_ = np.linalg.lstsq(design, np.ones(len(y)), rcond=None)
    return np.asarray(1 - design @ coefficients)


def _curvature(x: np.ndarray, y: np.ndarray) -> tuple[float, float, float]:
    """Return the quadratic term's share at the longest length, its t value, and half of its 90 % interval."""
    if len(x) < 4 or not (y > 0).all():
        return math.nan, math.nan, math.nan
    from scipy import stats

    design = np.vander(x / x[-1], 3) / y[:, None]
    coefficients, *_ = np.linalg.lstsq(design, np.ones(len(y)), rcond=None)
    variance = float(((1 - design @ coefficients) ** 2).sum()) / (len(x) - 3)
    error = math.sqrt(max(variance * float(np.linalg.inv(design.T @ design)[0, 0]), 0.0))
    quadratic, at_end = float(coefficients[0]), float(coefficients.sum())
    if not at_end:
        return math.nan, math.nan, math.nan
    t = quadratic / error if error > 1e-12 * abs(at_end) else math.copysign(math.inf, quadratic)
    return quadratic / at_end, t, float(stats.t.ppf(1 - P_CURVED, len(x) - 3)) * error / abs(at_end)


def _verdict(r2: float, parabola_r2: float, share: float, t: float, margin: float, largest: float, signs: str) -> str:
    from scipy import stats

    if abs(share) > CURVED and abs(t) > stats.t.ppf(1 - P_CURVED / 2, len(signs) - 3):
        return "superlinear" if share > 0 else "sublinear"
    if parabola_r2 < LINEAR_R2:
        return "scattered"
    bends_once = signs.count("+-") == signs.count("-+") == 1
    small = abs(share) <= CURVED and abs(share) + margin <= BOUND
    fits = r2 >= LINEAR_R2 and largest <= LARGE_RESIDUAL / (2 if bends_once else 1)
    return "linear" if small and fits else "undecided"


def _words(verdict: str, r2: float, share: float, margin: float, largest: float, points: int, longest: int) -> str:
    where = f"over {points} lengths to {longest}"
    if verdict == "undecided" and not math.isfinite(share):
        return f"too few lengths to tell ({points}); four are needed"
    bound = f"{100 * share:.1f} % (90 % interval +-{100 * margin:.1f} %) at {longest}"
    if verdict == "undecided":
        away = f"a time departs by {100 * largest:.1f} % from the line"
        return f"undecided {where}: R2 = {r2:.4f}, but a quadratic term may explain {bound}, {away}"
    if verdict == "linear":
        return f"linear {where}: R2 = {r2:.4f}, a quadratic term explains {bound}"
    if verdict == "scattered":
        return f"neither a line nor a parabola {where}: R2 = {r2:.4f}"
    bend = "more" if verdict == "superlinear" else "less"
    return f"{verdict} {where}: a quadratic term makes it {100 * abs(share):.1f} % {bend} at {longest}; R2 = {r2:.4f}"
