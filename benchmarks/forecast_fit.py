"""Fit `calibration.json`: shift and scale by maximum likelihood, then quantiles of the scaled errors."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.optimize import minimize
from scipy.special import digamma, gammaln

from benchmarks.forecast_errors import VISIBLE, Errors
from tal_repro.curves.calibrate import FLOOR, scales
from tal_repro.curves.family import Array
from tal_repro.curves.stacking import FEATURES

LEVELS = (0.005, 0.01, 0.025, *(round(0.05 * i, 2) for i in range(1, 20)), 0.975, 0.99, 0.995)
SHIFTED_BY = 2  # drift and rise vanish at the last point; the others do not and shift nothing
SHRINKAGE = 1e-4  # pulls coefficients of features that do not matter towards exp(-2)
SHIFT_SHRINKAGE = 1e-3
LEAST_DOF = 0.5


def fit_calibration(errors: Errors) -> dict[str, Any]:
    """Return shift, scales and quantiles, each data set weighing the same."""
    count = len(FEATURES)
    start = np.concatenate([np.full(2 * count, -1.0), np.zeros(SHIFTED_BY), [1.0]])
    bounds = [(-7.0, 3.0)] * (2 * count) + [(-1.0, 1.0)] * SHIFTED_BY + [(-3.0, 4.0)]
    given = (errors.features, errors.truth - errors.prediction, _weights(errors.data_set))
    theta = minimize(_cost, start, given, jac=True, method="L-BFGS-B", bounds=bounds).x
    above, below = np.exp(theta[:count]), np.exp(theta[count : 2 * count])
    shift = np.append(theta[2 * count : -1], np.zeros(count - SHIFTED_BY))
    error = given[1] - errors.features @ shift
    z = error / np.where(error > 0, scales(errors.features, above), scales(errors.features, below))
    return {
        "schema": "tal-repro/forecast-calibration/2",
        **{part: _named(values) for part, values in (("shift", shift), ("above", above), ("below", below))},
        "levels": list(LEVELS),
        **_by_ratio(z, errors),
    }


def _named(values: Array) -> dict[str, float]:
    return {name: round(float(value), 5) for name, value in zip(FEATURES, values, strict=True)}


def _cost(theta: Array, features: Array, error: Array, weights: Array) -> tuple[float, Array]:
    """Return the negative log likelihood of a t law whose halves have scales of their own, and its gradient."""
    count, squares = features.shape[1], features**2
    a, b, shift = np.exp(2 * theta[:count]), np.exp(2 * theta[count : 2 * count]), theta[2 * count : -1]
    above, below = np.sqrt(squares @ a + FLOOR**2), np.sqrt(squares @ b + FLOOR**2)
    dof = np.exp(theta[-1]) + LEAST_DOF
    miss = error - features[:, :SHIFTED_BY] @ shift
    scale = np.where(miss > 0, above, below)
    z2 = (miss / scale) ** 2
    constant = gammaln((dof + 1) / 2) - gammaln(dof / 2) - 0.5 * np.log(dof)
    log_density = np.log(2 / (above + below)) + constant - (dof + 1) / 2 * np.log1p(z2 / dof)
    by_scale = (dof + 1) * z2 / (dof + z2) / scale
    by_above = np.where(miss > 0, by_scale, 0.0) - 1 / (above + below)
    by_below = np.where(miss > 0, 0.0, by_scale) - 1 / (above + below)
    by_shift = (weights * (dof + 1) * miss / scale**2 / (dof + z2)) @ features[:, :SHIFTED_BY]
    by_dof = 0.5 * (digamma((dof + 1) / 2) - digamma(dof / 2) - 1 / dof - np.log1p(z2 / dof))
    by_dof = by_dof + (dof + 1) / 2 * z2 / dof / (dof + z2)
    slope = [(weights * by_above / above) @ squares * a, (weights * by_below / below) @ squares * b, by_shift]
    gradient = -np.concatenate([*slope, [(weights * by_dof).sum() * (dof - LEAST_DOF)]])
    gradient[: 2 * count] += 2 * SHRINKAGE * (theta[: 2 * count] + 2)
    gradient[2 * count : -1] += 2 * SHIFT_SHRINKAGE * shift
    penalty = SHRINKAGE * ((theta[: 2 * count] + 2) ** 2).sum() + SHIFT_SHRINKAGE * (shift**2).sum()
    return float(penalty - (weights * log_density).sum()), gradient


def _weights(data_set: Array) -> Array:
    _, place, counts = np.unique(data_set, return_inverse=True, return_counts=True)
    return np.asarray(1.0 / counts[place] / len(counts))


def _by_ratio(z: Array, errors: Errors) -> dict[str, Any]:
    """Return a row of quantiles per visible share; they never come nearer to the centre as the ratio grows."""
    parts = [errors.visible == share for share in sorted(VISIBLE, reverse=True)]
    rows = np.array([_quantiles(z[part], _weights(errors.data_set[part])) for part in parts])
    sign = np.where(np.array(LEVELS) < 0.5, -1.0, 1.0)
    pooled = np.sort(np.stack([_rising(column) for column in (rows * sign).T], axis=-1) * sign, axis=1)
    return {
        "ratios": [round(float(np.exp(np.median(errors.log_ratio[part]))), 3) for part in parts],
        "quantiles": [[round(float(value), 4) for value in row] for row in pooled],
    }


def _rising(values: Array) -> Array:
    """Pool adjacent violators: return the nearest series that does not fall."""
    blocks: list[list[float]] = []
    for value in values:
        blocks.append([float(value), 1.0])
        while len(blocks) > 1 and blocks[-2][0] > blocks[-1][0]:
            (upper, n), (lower, m) = blocks.pop(), blocks.pop()
            blocks.append([(upper * n + lower * m) / (n + m), n + m])
    return np.concatenate([np.full(int(count), value) for value, count in blocks])


def _quantiles(z: Array, weights: Array) -> Array:
    order = np.argsort(z)
    share = np.cumsum(weights[order]) - weights[order] / 2
    return np.asarray(np.interp(LEVELS, share, z[order]))
