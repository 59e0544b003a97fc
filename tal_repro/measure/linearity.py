"""Is time linear in length? Slope, intercept and R2 as the paper says it (claim C1), and what R2 hides: the residuals.

R2 of a few points over two decades is near 1 for almost any rising curve, so the verdict rests on the share of the
longest length's time that a quadratic term explains, and on whether the residuals change sign like noise.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

CURVED = 0.05  # share of the time at the longest length above which a curve is called one
P_CURVED = 0.05  # and a line would show a quadratic term as large with this probability (two-sided t)
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
        return Linearity(len(x), nan, nan, nan, 0, nan, nan, nan, "", "undecided", words)
    slope, intercept = np.polyfit(x, y, 1)
    residuals = y - (slope * x + intercept)
    spread = float(((y - y.mean()) ** 2).sum())
    r2 = 1 - float((residuals**2).sum()) / spread if spread else math.nan
    share, t = _curvature(x, y)
    signs = "".join("+" if r > 0 else "-" for r in residuals)
    verdict = _verdict(len(x), r2, share, t)
    words = _words(verdict, r2, share, len(x), int(x[-1]))
    largest = float(np.max(np.abs(residuals) / y)) if (y > 0).all() else math.nan
    return Linearity(
        len(x), float(slope), float(intercept), r2, len(x) - 2, share, t, largest, signs, verdict, words
    )  # fmt: skip


def linearity_of(rows: Iterable[Mapping[str, Any]]) -> Linearity:
    """Judge the medians, by length, of the one kind of latency that a run's measured rows hold."""
    samples: dict[int, list[float]] = {}
    for row in rows:
        if str(row["quantity"]).endswith("latency_ms"):
            samples.setdefault(int(row["feature_length"]), []).append(float(row["value"]))
    return linearity({length: float(np.median(values)) for length, values in samples.items()})


def _curvature(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Return the quadratic term's share at the longest length and its t value."""
    if len(x) < 4:
        return math.nan, math.nan
    scaled = x / x[-1]
    design = np.vander(scaled, 3)
    coefficients, *_ = np.linalg.lstsq(design, y, rcond=None)
    residuals = y - design @ coefficients
    variance = float((residuals**2).sum()) / (len(x) - 3)
    error = math.sqrt(max(variance * float(np.linalg.inv(design.T @ design)[0, 0]), 0.0))
    at_end = float(coefficients.sum())
    t = float(coefficients[0]) / error if error > 1e-12 * abs(at_end) else math.copysign(math.inf, coefficients[0])
    return float(coefficients[0]) / at_end if at_end else math.nan, t


def _verdict(points: int, r2: float, share: float, t: float) -> str:
    if points < 4 or not math.isfinite(r2):
        return "undecided"
    from scipy import stats

    if abs(share) > CURVED and abs(t) > stats.t.ppf(1 - P_CURVED / 2, points - 3):
        return "superlinear" if share > 0 else "sublinear"
    return "linear" if r2 >= LINEAR_R2 else "scattered"


def _words(verdict: str, r2: float, share: float, points: int, longest: int) -> str:
    where = f"over {points} lengths to {longest}"
    if verdict == "undecided":
        return f"too few lengths to tell ({points}); four are needed"
    if verdict == "linear":
        return f"linear {where}: R2 = {r2:.4f}, a quadratic term explains {100 * abs(share):.1f} % at {longest}"
    if verdict == "scattered":
        return f"neither a line nor a parabola {where}: R2 = {r2:.4f}"
    bend = "more" if verdict == "superlinear" else "less"
    return f"{verdict} {where}: a quadratic term makes it {100 * abs(share):.1f} % {bend} at {longest}; R2 = {r2:.4f}"
