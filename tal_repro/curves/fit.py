"""Fit one family to (train percentage, value) points: what figures, claims and the forecast call.

A `Fit` says as much about what it does not know as about what it found: whether its parameters are
identified, how many degrees of freedom are left, and what it misses on points it has not seen.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from tal_repro.curves import varpro
from tal_repro.curves.backtest import HeldOut, one_step_error
from tal_repro.curves.families import get_family
from tal_repro.curves.family import Array, Family
from tal_repro.curves.fitted import FittedCurve, positive
from tal_repro.curves.identify import covariance, interval, reasons
from tal_repro.errors import InputError

STARTS = 8  # polished starts per fit; the grid that ranks them is fixed per family
X_DIGITS = 12  # x / x0 is rounded to so many decimals: a change of unit then changes no bit of the fit


@dataclass(frozen=True)
class Fit(FittedCurve):
    """A fitted curve with what it does not know: open parameters, the interval of its mean, misses on unseen points."""

    @cached_property
    def unidentified(self) -> tuple[str, ...]:
        """Return the reasons why the parameters are not identified; empty when they are."""
        return reasons(self)

    @property
    def identified(self) -> bool:
        """Say whether the points determine every parameter."""
        return not self.unidentified

    @cached_property
    def covariance(self) -> Array | None:
        """Return the covariance [k, k] of `params` (in their order), None if not identified."""
        return covariance(self) if self.identified else None

    def interval(self, x: float | Iterable[float], level: float = 0.8) -> tuple[Array, Array] | None:
        """Return (low, high), arrays [len(x)], of the curve's mean at `level`.

        By the delta method where the parameters are identified, else by profiling the prediction.
        None when no degree of freedom is left to estimate the noise.
        """
        return interval(self, positive(x), level, identified=self.identified)

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
