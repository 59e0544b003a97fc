"""The variance of a single run at each percentage, for tests of saturation and for weights of the forecast."""

from __future__ import annotations

import numpy as np

from tal_repro.curves.family import Array

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
