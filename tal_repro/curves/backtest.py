"""Rolling back-tests: fit the first points, predict the later ones. Feeds stacking and coverage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tal_repro.curves import varpro
from tal_repro.curves.family import Array, Family, evaluate
from tal_repro.curves.fitted import FittedCurve

BACKTEST_STARTS = 4
HELD_OUT_BINS = 100


@dataclass(frozen=True)
class HeldOut:
    """Error on points a fit had not seen: fitted to the first j, tested on the next, for every j > k.

    `rmse` is None where no such split exists; `text` then says "not available (n, k)".
    """

    rmse: float | None
    predictions: int
    n: int
    k: int
    binned: bool = False

    @property
    def text(self) -> str:
        """Return the error with its number of predictions, or why there is none."""
        if self.rmse is None:
            return f"not available (n = {self.n}, k = {self.k})"
        joined = " of joined neighbours" if self.binned else ""
        return f"{self.rmse:.3f} ({self.predictions} one-step predictions{joined})"

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Prefixes:
    """Fits of one family to the first `origins` [B] points each; `predict` extrapolates all of them."""

    family: Family
    origins: NDArray[np.intp]
    solution: varpro.Solution
    t_last: Array
    x0: float

    def predict(self, x: Array) -> Array:
        """Return the predictions [B, len(x)] at percentages x."""
        return evaluate(self.family, np.log(x / self.x0), self.solution.theta, self.solution.beta, self.t_last)


def fit_prefixes(
    family: Family, x: Array, y: Array, weights: Array, origins: Sequence[int], starts: int = BACKTEST_STARTS
) -> Prefixes | None:
    """Fit `family` to the first j sorted points for each j in `origins` with more than k points.

    Every prefix is refitted from nothing (its own box and starts); None if no origin is long enough
    or the family cannot take the values.
    """
    usable = np.array([j for j in origins if j > family.k and x[j - 1] > x[0]], dtype=np.intp)
    if not len(usable) or (family.log2_space and (y <= 0).any()):
        return None
    x0, count = float(x[0]), len(x)
    t = np.log(np.round(x / x0, 12))
    seen = np.arange(count)[None, :] < usable[:, None]
    target = np.log2(y) if family.log2_space else y
    scale = (y * np.log(2.0)) ** 2 if family.log2_space and len(np.unique(weights)) > 1 else 1.0
    size = len(usable)
    batch = varpro.make_batch(
        family, t, np.tile(target, (size, 1)), np.where(seen, weights * scale, 0.0), t[usable - 1]
    )
    return Prefixes(family, usable, varpro.solve(batch, starts), batch.t_last, x0)


def one_step_error(fit: FittedCurve) -> HeldOut:
    """Return the RMSE of predicting each point from all before it, for prefixes of more than k points.

    More than HELD_OUT_BINS points are joined into so many neighbours first, and the result says so.
    """
    n, k = fit.n, fit.k
    x, y, weights = _joined(fit.x, fit.y, np.ones(n))
    prefixes = fit_prefixes(fit.family, x, y, weights, range(k + 1, len(x)))
    if prefixes is None:
        return HeldOut(None, 0, n, k)
    predictions = prefixes.predict(x)
    rows = np.arange(len(prefixes.origins))
    errors = predictions[rows, prefixes.origins] - y[prefixes.origins]
    return HeldOut(float(np.sqrt((errors**2).mean())), len(errors), n, k, binned=len(x) < n)


def _joined(x: Array, y: Array, weights: Array) -> tuple[Array, Array, Array]:
    count = len(x)
    if count <= HELD_OUT_BINS:
        return x, y, weights
    first = np.linspace(0, count, HELD_OUT_BINS, endpoint=False).astype(int)
    total = np.add.reduceat(weights, first)
    joined = (np.add.reduceat(weights * column, first) / total for column in (x, y))
    return (*joined, total)  # type: ignore[return-value]
