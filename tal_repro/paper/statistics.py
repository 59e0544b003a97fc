"""The statistics of a verdict. A `Sample` always says what its "±" means; tests are for unequal variances (Welch)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr, stdtrit

StdKind = Literal["sample", "population"]


@dataclass(frozen=True)
class Sample:
    """Mean and standard deviation of n values; `kind` says whether the deviation divides by n - 1 or by n."""

    mean: float
    std: float
    n: int
    kind: StdKind = "sample"

    @property
    def standard_error(self) -> float:
        """Return the standard error of the mean, from the sample standard deviation (inf for one value)."""
        if self.n < 2:
            return math.inf
        divisor = self.n if self.kind == "sample" else self.n - 1
        return self.std / math.sqrt(divisor)


def describe(values: Sequence[float] | NDArray[Any], kind: StdKind = "sample") -> Sample:
    """Return mean, std and n of values (std 0 for one value)."""
    data = np.asarray(values, dtype=float)
    ddof = 1 if kind == "sample" and len(data) > 1 else 0
    return Sample(float(data.mean()), float(data.std(ddof=ddof)), len(data), kind)


def welch(first: Sample, second: Sample) -> float:
    """Return the two-sided p-value of equal means (Welch's t-test; 1 or 0 where neither varies)."""
    error, freedom = _error_and_freedom(first, second)
    difference = abs(first.mean - second.mean)
    if error == 0:
        return 1.0 if difference == 0 else 0.0
    return float(2 * stdtr(freedom, -difference / error))


def mean_interval(sample: Sample, level: float = 0.9) -> tuple[float, float]:
    """Return the t interval of the mean (unbounded for one value)."""
    half = half_width(sample.standard_error, sample.n, level)
    return sample.mean - half, sample.mean + half


def difference_interval(first: Sample, second: Sample, level: float = 0.9) -> tuple[float, float]:
    """Return Welch's t interval of the second mean less the first (unbounded where one side has a single value)."""
    error, freedom = _error_and_freedom(first, second)
    difference = second.mean - first.mean
    half = math.inf if math.isinf(error) else float(stdtrit(freedom, 0.5 + level / 2)) * error
    return difference - half, difference + half


def half_width(standard_error: float, n: int, level: float = 0.9) -> float:
    """Return half the width of a t interval of a mean of n values."""
    if n < 2 or math.isinf(standard_error):
        return math.inf
    return float(stdtrit(n - 1, 0.5 + level / 2)) * standard_error


def r_squared(x: NDArray[Any], y: NDArray[Any]) -> float:
    """Return the R2 of the least-squares line of y on x."""
    return float(np.corrcoef(np.asarray(x, dtype=float), np.asarray(y, dtype=float))[0, 1] ** 2)


def line(x: NDArray[Any], y: NDArray[Any]) -> tuple[float, float]:
    """Return slope and intercept of the least-squares line of y on x."""
    slope, intercept = np.polyfit(np.asarray(x, dtype=float), np.asarray(y, dtype=float), 1)
    return float(slope), float(intercept)


def slope_half_width(x: NDArray[Any], y: NDArray[Any], level: float = 0.95) -> float:
    """Return half the width of the t interval of the slope of y on x (unbounded for fewer than three points)."""
    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    if len(x) < 3:
        return math.inf
    slope, intercept = line(x, y)
    error = math.sqrt(float(((y - slope * x - intercept) ** 2).sum() / (len(x) - 2) / ((x - x.mean()) ** 2).sum()))
    return float(stdtrit(len(x) - 2, 0.5 + level / 2)) * error


def trend_p(x: NDArray[Any], y: NDArray[Any]) -> float:
    """Return the two-sided p-value of "the least-squares line of y on x is flat" (1 for fewer than three points)."""
    n = len(x)
    if n < 3:
        return 1.0
    r2 = r_squared(x, y)
    if r2 >= 1 or not np.isfinite(r2):
        return 0.0 if r2 >= 1 else 1.0
    return float(2 * stdtr(n - 2, -math.sqrt(r2 * (n - 2) / (1 - r2))))


def _error_and_freedom(first: Sample, second: Sample) -> tuple[float, float]:
    """Return Welch's standard error of the difference and its degrees of freedom (Welch-Satterthwaite)."""
    parts = [first.standard_error**2, second.standard_error**2]
    total = sum(parts)
    if total == 0 or math.isinf(total):
        return (0.0, 1.0) if total == 0 else (math.inf, 1.0)
    freedom = total**2 / sum(part**2 / (s.n - 1) for part, s in zip(parts, (first, second), strict=True) if part)
    return math.sqrt(total), freedom
