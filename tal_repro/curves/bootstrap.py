"""Bootstrap a `Fit`: new noise on the fitted curve, refitted a thousand times in one batch."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tal_repro.curves import varpro
from tal_repro.curves.family import Array, Family, evaluate
from tal_repro.curves.identify import noise_variance
from tal_repro.errors import InputError

if TYPE_CHECKING:
    from tal_repro.curves.fit import Fit

ITERATIONS = 40


@dataclass(frozen=True)
class Bootstrap:
    """Refits [draws] of one family to simulated points; `unconverged` were on a flat ridge at the end."""

    family: Family
    solution: varpro.Solution
    t_last: Array
    x0: float
    unconverged: int

    def predict(self, x: float | Iterable[float]) -> Array:
        """Return the curves [draws, len(x)] at percentages x."""
        values = np.atleast_1d(np.asarray(x if np.isscalar(x) else list(x), dtype=float))  # type: ignore[arg-type]
        t = np.log(values / self.x0)
        return evaluate(self.family, t, self.solution.theta, self.solution.beta, self.t_last)

    def interval(self, x: float | Iterable[float], level: float = 0.8) -> tuple[Array, Array]:
        """Return the percentile interval (low, high), arrays [len(x)], of the curve's mean."""
        tail = (1.0 - level) / 2
        low, high = np.quantile(self.predict(x), [tail, 1.0 - tail], axis=0)
        return low, high

    def parameters(self) -> Array:
        """Return the parameters of the printed formula [draws, k]."""
        natural = self.family.natural
        rows = zip(self.solution.theta, self.solution.beta, self.t_last, strict=True)
        return np.array([natural(theta, beta, self.x0, float(last)) for theta, beta, last in rows])


def bootstrap(fit: Fit, draws: int = 1000, seed: int = 0) -> Bootstrap:
    """Refit `fit` to `draws` sets of points with normal noise of the residual variance (parametric).

    Each draw starts from the fitted curve and from the bounds' middle. Raises InputError without a
    degree of freedom, because the noise cannot then be estimated.
    """
    variance = noise_variance(fit)
    if variance is None or fit.family.last_point_only:
        raise InputError(
            f"{fit.family.name} on {fit.n} points leaves no degree of freedom to bootstrap",
            remedy="add points or choose a family with fewer parameters",
        )
    curve = np.log2(fit.predict(fit.x)) if fit.family.log2_space else fit.predict(fit.x)
    noise = np.random.default_rng(seed).standard_normal((draws, fit.n))
    y = curve + noise * np.sqrt(variance / np.where(fit.weights > 0, fit.weights, np.inf))
    t = np.log(np.round(fit.x / fit.x0, 12))
    batch = varpro.make_batch(fit.family, t, y, fit.weights, np.full(draws, fit.t_last))
    best = _best_of(
        varpro.polish(batch, np.tile(fit.theta, (draws, 1)), ITERATIONS),
        varpro.polish(batch, (batch.low + batch.high) / 2, ITERATIONS),
    )
    return Bootstrap(fit.family, best, batch.t_last, fit.x0, int((~best.converged).sum()))


def _best_of(first: varpro.Solution, second: varpro.Solution) -> varpro.Solution:
    wins: NDArray[np.bool_] = second.cost < first.cost * (1 - 1e-9)
    column = wins[:, None]
    return varpro.Solution(
        np.where(column, second.theta, first.theta),
        np.where(column, second.beta, first.beta),
        np.where(wins, second.cost, first.cost),
        np.where(wins, second.converged, first.converged),
    )
