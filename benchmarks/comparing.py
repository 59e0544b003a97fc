"""Do two engines reach the same mAP? Two one-sided t-tests of two samples of trainings, in pairs or not."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import Any

from scipy import stats

MARGIN = 1.5  # mAP points
MOST_STD = 1.0  # above it, ten runs cannot tell


def compare(native: Sequence[float], upstream: Sequence[float], paired: bool = False) -> dict[str, Any]:
    """Return the difference of means, its 95 % interval, the TOST p-value, and the verdict."""
    n, m = len(native), len(upstream)
    difference = statistics.fmean(native) - statistics.fmean(upstream)
    if min(n, m) < 2:
        return {"n": [n, m], "difference": difference, "verdict": "inconclusive (one run a side)"}
    error, freedom = _error_of_pairs(native, upstream) if paired else _error_of_means(native, upstream)
    p_low = float(stats.t.sf((difference + MARGIN) / error, freedom))
    p_high = float(stats.t.cdf((difference - MARGIN) / error, freedom))
    half_width = float(stats.t.ppf(0.975, freedom)) * error
    std = max(statistics.stdev(native), statistics.stdev(upstream))
    if max(p_low, p_high) < 0.05 and min(n, m) >= 10:
        verdict = "equivalent within 1.5 mAP"
    elif abs(difference) > half_width:
        verdict = "different"
    else:
        verdict = "inconclusive" + (f" (std {std:.1f} above {MOST_STD:g})" if std > MOST_STD else "")
    return {
        "n": [n, m],
        "std": [statistics.stdev(native), statistics.stdev(upstream)],
        "difference": difference,
        "half_width_95": half_width,
        "tost_p": max(p_low, p_high),
        "verdict": verdict,
    }


def _error_of_pairs(first: Sequence[float], second: Sequence[float]) -> tuple[float, float]:
    """Return the standard error of the mean of the differences, and its degrees of freedom."""
    deviation = statistics.stdev(a - b for a, b in zip(first, second, strict=True))
    return max(deviation / math.sqrt(len(first)), 1e-12), len(first) - 1.0


def _error_of_means(first: Sequence[float], second: Sequence[float]) -> tuple[float, float]:
    """Return the standard error of the difference of means, and its degrees of freedom (Welch)."""
    n, m = len(first), len(second)
    parts = statistics.variance(first) / n, statistics.variance(second) / m
    freedom = sum(parts) ** 2 / max(parts[0] ** 2 / (n - 1) + parts[1] ** 2 / (m - 1), 1e-30)
    return max(math.sqrt(sum(parts)), 1e-12), max(freedom, 1.0)
