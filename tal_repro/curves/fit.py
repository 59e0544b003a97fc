"""Fit one family to (train percentage, value) points: what figures, claims and the forecast call.

A `Fit` says as much about what it does not know as about what it found: whether its parameters are
identified, how many degrees of freedom are left, and what it misses on points it has not seen.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from tal_repro.curves import varpro
from tal_repro.curves.backtest import HeldOut, one_step_error
from tal_repro.curves.families import get_family
from tal_repro.curves.family import Array, Family, evaluate
from tal_repro.errors import InputError

STARTS = 8  # polished starts per fit; the grid that ranks them is fixed per family
X_DIGITS = 12  # x / x0 is rounded to so many decimals: a change of unit then changes no bit of the fit


@dataclass(frozen=True)
class Fit:
    """A fitted curve. Percentages in the unit of the points; y, rss and intervals in the unit of y."""

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
        t = np.log(_positive(x) / self.x0)
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

    @cached_property
    def unidentified(self) -> tuple[str, ...]:
        """Return the reasons why the parameters are not identified; empty when they are."""
        from tal_repro.curves.identify import reasons

        return reasons(self)

    @property
    def identified(self) -> bool:
        """Say whether the points determine every parameter."""
        return not self.unidentified

    @cached_property
    def covariance(self) -> Array | None:
        """Return the covariance [k, k] of `params` (in their order), None if not identified."""
        from tal_repro.curves.identify import covariance

        return covariance(self) if self.identified else None

    def interval(self, x: float | Iterable[float], level: float = 0.8) -> tuple[Array, Array] | None:
        """Return (low, high), arrays [len(x)], of the curve's mean at `level`.

        By the delta method where the parameters are identified, else by profiling the prediction.
        None when no degree of freedom is left to estimate the noise.
        """
        from tal_repro.curves.identify import interval

        return interval(self, _positive(x), level)

    @cached_property
    def held_out(self) -> HeldOut:
        """Return the rolling one-step error on points the fit had not seen."""
        return one_step_error(self)

    def to_dict(self) -> dict[str, Any]:
        """Return everything a caption or a JSON file should say about the fit."""
        covariance = self.covariance
        return {
            "family": self.family.name,
            "formula": self.family.formula,
            "params": self.params,
            "identified": self.identified,
            "unidentified": list(self.unidentified),
            "covariance": None if covariance is None else covariance.tolist(),
            "n": self.n,
            "k": self.k,
            "dof": self.dof,
            "r2": self.r2,
            "aicc": self.aicc,
            "held_out_rmse": self.held_out.rmse,
            "held_out": self.held_out.text,
            "options": self.options,
        }


def fit(
    family: str,
    x_percent: Sequence[float] | Array,
    y: Sequence[float] | Array,
    starts: int = STARTS,
) -> Fit:
    """Fit `family` (a name in FAMILIES) to points by variable projection from deterministic starts.

    The order of the points does not matter. Raises InputError for fewer than k + 1 points or unusable values.
    """
    chosen = get_family(family)
    x, values = _ordered(x_percent, y)
    _check(chosen, x, values)
    x0 = float(x[0])
    t = np.log(np.round(x / x0, X_DIGITS))
    target = np.log2(values) if chosen.log2_space else values
    batch = varpro.make_batch(chosen, t, target, np.ones(len(x)))
    solution = varpro.finish(batch, varpro.solve(batch, starts))
    theta, beta, t_last = solution.theta[0], solution.beta[0], float(batch.t_last[0])
    params = dict(zip(chosen.parameters, chosen.natural(theta, beta, x0, t_last), strict=True))
    return Fit(
        chosen,
        params,
        x,
        values,
        theta,
        beta,
        x0,
        t_last,
        float(solution.cost[0]),
        bool(solution.converged[0]),
        _options(chosen, starts, x0, theta, t_last),
    )


def _options(family: Family, starts: int, x0: float, theta: Array, t_last: float) -> dict[str, Any]:
    """Return what is needed to repeat the search: grid, polish settings, the optimum inside its box."""
    return {
        "optimizer": "variable projection, projected Levenberg-Marquardt, central differences",
        "start_grid": {axis.name: axis.starts for axis in family.axes},
        "polished_starts": starts if family.axes else 0,
        "max_iterations": varpro.MAX_ITERATIONS,
        "cost_tolerance": varpro.COST_TOLERANCE,
        "difference_step": varpro.STEP,
        "finishing": {"max_iterations": varpro.FINISHING_ITERATIONS, "difference_step": varpro.FINISHING_STEP},
        "x0": x0,
        "theta": {axis.name: float(value) for axis, value in zip(family.axes, theta, strict=True)},
        "box": {axis.name: [float(end) for end in axis.box(t_last)] for axis in family.axes},
    }


def _positive(x: float | Iterable[float]) -> Array:
    values = np.atleast_1d(np.asarray(x if np.isscalar(x) else list(x), dtype=float))  # type: ignore[arg-type]
    if not (np.isfinite(values) & (values > 0)).all():
        raise InputError("a percentage to predict at is not a positive number", remedy="give x > 0")
    return values


def _ordered(x: Sequence[float] | Array, y: Sequence[float] | Array) -> tuple[Array, Array]:
    x, y = np.asarray(x, dtype=float).ravel(), np.asarray(y, dtype=float).ravel()
    if len(x) != len(y):
        raise InputError(f"{len(x)} percentages but {len(y)} values", remedy="give one value for each")
    order = np.lexsort((y, x))
    return x[order], y[order]


def _check(family: Family, x: Array, y: Array) -> None:
    if len(x) and not (np.isfinite(x).all() and np.isfinite(y).all() and x[0] > 0):
        raise InputError("a point is not finite or its percentage is not positive", remedy="drop or correct it")
    distinct = len(np.unique(x))
    if len(x) < family.k + 1 or distinct < min(family.k, 2):
        raise InputError(
            f"{family.name} has {family.k} parameters and needs at least {family.k + 1} points; "
            f"there are {len(x)} (at {distinct} percentages)",
            remedy="add points or choose a family with fewer parameters",
        )
    if family.log2_space and (y <= 0).any():
        raise InputError(
            f"{family.name} fits log2(y) and a value is {y.min():g}",
            remedy="use exponential-linear, or drop points at or below 0",
        )
