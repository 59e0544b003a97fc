"""A curve that was fitted to points, as plain data: what it predicts and how far it is from the points.

Between the families and `fit`, which adds what a fit does not know.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tal_repro.curves.family import Array, Family, evaluate
from tal_repro.errors import InputError


@dataclass(frozen=True)
class FittedCurve:
    """A fitted curve. Percentages in the unit of the points; y and rss in the unit of y."""

    family: Family
    params: dict[str, float]
    x: Array
    y: Array
    theta: Array
    beta: Array
    x0: float
    t_last: float
    cost: float
    converged: bool
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def n(self) -> int:
        """Number of points."""
        return len(self.x)

    @property
    def k(self) -> int:
        """Number of fitted parameters."""
        return self.family.k

    @property
    def dof(self) -> int:
        """Degrees of freedom left, n - k."""
        return self.n - self.k

    def predict(self, x: float | Iterable[float]) -> Array:
        """Return the curve at percentages x as an array [len(x)], never beyond double precision."""
        t = np.log(positive(x) / self.x0)
        value = evaluate(self.family, t, self.theta[None], self.beta[None], np.array([self.t_last]))
        return np.asarray(value[0])

    @property
    def residuals(self) -> Array:
        """Return y minus the curve at the points, in the unit of y."""
        return np.asarray(self.y - self.predict(self.x))

    @property
    def rss(self) -> float:
        """Return the unweighted sum of squared residuals in the unit of y."""
        return float((self.residuals**2).sum())

    @property
    def r2(self) -> float:
        """Return the unweighted R2 in the unit of y; meaningless without `dof` and `held_out` beside it."""
        total = float(((self.y - self.y.mean()) ** 2).sum())
        if total <= 0.0:
            return 1.0 if self.rss <= 0.0 else 0.0
        return 1.0 - self.rss / total

    @property
    def aicc(self) -> float | None:
        """Return the corrected Akaike criterion (k + 1 with the variance), None if n <= k + 2."""
        count, free = self.k + 1, self.n - self.k - 2
        if free <= 0:
            return None
        floor = 1e-24 * max(float((self.y**2).sum()), 1e-300)
        log_likelihood = self.n * np.log(max(self.rss, floor) / self.n)
        return float(log_likelihood + 2 * count + 2 * count * (count + 1) / free)

    @property
    def aicc_text(self) -> str:
        """Return AICc with one decimal, or why there is none."""
        return f"not available (n = {self.n}, k = {self.k})" if self.aicc is None else f"{self.aicc:.1f}"


def positive(x: float | Iterable[float]) -> Array:
    """Return percentages to predict at as an array; InputError for one that is not a positive number."""
    values = np.atleast_1d(np.asarray(x if np.isscalar(x) else list(x), dtype=float))  # type: ignore[arg-type]
    if not (np.isfinite(values) & (values > 0)).all():
        raise InputError("a percentage to predict at is not a positive number", remedy="give x > 0")
    return values
