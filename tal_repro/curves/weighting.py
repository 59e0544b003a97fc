"""Weights of the points in a fit: from the spread over runs, or against outliers (soft-L1)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tal_repro.curves import varpro
from tal_repro.curves.family import Array
from tal_repro.errors import InputError

PRIOR_DOF = 4.0
"""Degrees of freedom given to the pooled variance: a standard deviation of 3 to 5 runs is itself
uncertain by a third to a half, and unshrunken it would hand the whole fit to a lucky point."""


def shrunken_variances(sigma: Array, n: Array) -> Array:
    """Return variances of single runs, pulled towards their pool: (4 pool + (n-1) s^2) / (4 + n-1).

    `sigma` [points] are sample standard deviations, `n` [points] numbers of runs (1 allowed: then the
    point gets the pool).
    """
    dof = np.maximum(n - 1.0, 0.0)
    variance = np.where(dof > 0, sigma**2, 0.0)
    pooled = float((dof * variance).sum() / max(dof.sum(), 1.0))
    return np.asarray((PRIOR_DOF * pooled + dof * variance) / (PRIOR_DOF + dof))


def weights_from_runs(
    sigma: Sequence[float] | Array | None, n: Sequence[int] | Array | int | None, order: NDArray[np.intp]
) -> Array:
    """Return 1/se^2 [points] in the order of the fit, with shrunken variances."""
    if sigma is None or n is None:
        raise InputError(
            'weights "se2" need sigma and n', remedy="give the standard deviation over runs and their number"
        )
    spread = np.asarray(sigma, dtype=float).ravel()
    runs = np.broadcast_to(np.asarray(n, dtype=float), spread.shape)
    if len(spread) != len(order) or not np.isfinite(spread).all() or (spread < 0).any() or (runs < 1).any():
        raise InputError("sigma must hold one finite value >= 0 per point, and n >= 1", remedy="correct sigma or n")
    variance = shrunken_variances(spread, runs)
    if not (variance > 0).any():
        raise InputError("the runs do not vary at all, so 1/se^2 does not exist", remedy='use weights "none"')
    return np.asarray((runs / variance)[order])


def soft_l1_weights(batch: varpro.Batch, start: varpro.Solution) -> tuple[varpro.Batch, varpro.Solution]:
    """Refit with the soft-L1 loss 2 (sqrt(1 + (r/s)^2) - 1) by reweighting until it stands still.

    s is 1.4826 times the median absolute residual of the plain fit.
    """
    residual, _ = varpro.project(batch, start.theta)
    used = batch.weights[0] > 0
    scale = 1.4826 * float(np.median(np.abs(residual[0][used])))
    if scale <= 1e-12 * float(np.abs(batch.y).max() + 1e-300):
        return batch, start  # already exact: nothing is an outlier
    base, solution = batch.weights, start
    for _ in range(60):
        plain, _ = varpro.project(_with(batch, base), solution.theta)
        reweighted = _with(batch, base / np.sqrt(1.0 + (plain / scale) ** 2))
        moved = varpro.polish(reweighted, solution.theta, 30)
        change = float(np.abs(moved.beta - solution.beta).max())
        batch, solution = reweighted, moved
        if change <= 1e-9 * float(np.abs(moved.beta).max() + 1.0):
            break
    return batch, solution


def _with(batch: varpro.Batch, weights: Array) -> varpro.Batch:
    return varpro.Batch(batch.family, batch.t, batch.y, weights, batch.low, batch.high, batch.t_last)
