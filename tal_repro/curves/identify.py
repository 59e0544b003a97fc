"""What the points determine: rank, bounds, profiles, covariance and intervals of a fitted curve."""

from __future__ import annotations

import numpy as np

from tal_repro.curves import varpro
from tal_repro.curves.family import Array, linear_box
from tal_repro.curves.fitted import FittedCurve

RANK_TOLERANCE = 1e-6  # of the largest singular value, columns scaled to length one
PROFILE_LEVEL = 0.8
PROFILE_POINTS = 10  # per side of each nonlinear parameter


def reasons(fit: FittedCurve) -> tuple[str, ...]:
    """Return why the parameters of `fit` are not identified (empty: they are)."""
    # where in a flat valley a parameter stopped, at a bound or before it, is up to the processor's rounding
    reasons_open = _rank_deficit(fit) or _at_bounds(fit)
    if fit.dof < 1:
        reasons_open.append("no degree of freedom is left")
    elif not reasons_open:
        reasons_open += _open_profiles(fit)
    return tuple(reasons_open)


def _at_bounds(fit: FittedCurve) -> list[str]:
    at_bounds = []
    for axis, value in zip(fit.family.axes, fit.theta, strict=True):
        low, high = axis.box(fit.t_last)
        if min(value - low, high - value) < 1e-5 * (high - low):
            at_bounds.append(f"{axis.name} is at its bound ({value:.4g})")
    low_beta, high_beta = linear_box(fit.family)
    span = 1e-9 * (np.abs(fit.beta) + 1.0)
    for index in np.flatnonzero((fit.beta - low_beta < span) | (high_beta - fit.beta < span)):
        at_bounds.append(f"linear parameter {index + 1} is at its bound ({fit.beta[index]:.4g})")
    return at_bounds


def _curve(fit: FittedCurve, t: Array, inner: Array) -> Array:
    """Return the curve in the space of the fit at t [n] for inner = theta then beta, [B, q + m]."""
    q = len(fit.theta)
    offset, columns = fit.family.basis(t, inner[:, :q], np.full(len(inner), fit.t_last))
    value = np.einsum("bnm,bm->bn", columns, inner[:, q:])
    return np.asarray(value if offset is None else value + offset)


def _design(fit: FittedCurve, x: Array) -> Array:
    """Return d curve / d (theta, beta) [len(x), k] in the space of the fit."""
    inner = np.concatenate([fit.theta, fit.beta])
    step = 1e-6 * np.maximum(np.abs(inner), 1.0)
    shifts = np.diag(step)
    t = np.log(x / fit.x0)
    ahead, behind = _curve(fit, t, inner + shifts), _curve(fit, t, inner - shifts)
    return np.asarray((ahead - behind).T / (2 * step))


def _rank_deficit(fit: FittedCurve) -> list[str]:
    design = _design(fit, fit.x)
    length = np.sqrt((design**2).sum(axis=0))
    # A column is compared with what the curve itself spans, so that a dead parameter is not revived.
    dead = length <= RANK_TOLERANCE * np.sqrt((fit.y**2).sum() + 1e-300) * 1e-3
    scaled = design / np.where(length > 0, length, 1.0)
    scaled[:, dead] = 0.0
    singular = np.linalg.svd(scaled, compute_uv=False)
    rank = int((singular > RANK_TOLERANCE * singular[0]).sum())
    if rank < fit.k:
        return [f"the Jacobian has rank {rank} of {fit.k}"]
    return []


def noise_variance(fit: FittedCurve) -> float | None:
    """Return the residual variance, None without a degree of freedom."""
    if fit.dof < 1:
        return None
    return fit.cost / fit.dof


def _threshold(fit: FittedCurve, level: float) -> float | None:
    """Return the largest cost that is compatible with the points at `level` (F test)."""
    from scipy.special import fdtri

    variance = noise_variance(fit)
    if variance is None:
        return None
    return float(fit.cost + variance * fdtri(1, fit.dof, level) + 1e-12 * (fit.y**2).sum())


def _profile(fit: FittedCurve) -> varpro.Solution:
    """Fix each nonlinear parameter along its box, fit the others; return all those fits, axis by axis."""
    target = np.log2(fit.y) if fit.family.log2_space else fit.y
    low, high = np.array([axis.box(fit.t_last) for axis in fit.family.axes]).T
    # Dense near the optimum, reaching the bounds.
    fractions = np.geomspace(0.002, 1.0, PROFILE_POINTS)
    held, starts = [], []
    for axis in range(len(fit.theta)):
        for bound in (low[axis], high[axis]):
            for fraction in fractions:
                start = fit.theta.copy()
                start[axis] += fraction * (bound - start[axis])
                held.append(axis)
                starts.append(start)
    theta, axes = np.array(starts), np.array(held)
    size = len(theta)
    t = np.log(fit.x / fit.x0)
    y, w = np.broadcast_to(target, (size, fit.n)), np.ones((size, fit.n))
    batch = varpro.make_batch(fit.family, t, y, w, np.full(size, fit.t_last))
    batch = varpro.binned(batch, varpro.SEARCH_BINS)
    within = fit.cost - float((varpro.project(batch, np.tile(fit.theta, (size, 1)))[0][0] ** 2).sum())
    rows = np.arange(size)
    batch.low[rows, axes] = batch.high[rows, axes] = theta[rows, axes]
    solution = varpro.polish(batch, theta, 60)
    solution.cost += within  # what joining points into bins has taken out of every cost alike
    return solution


def _open_profiles(fit: FittedCurve) -> list[str]:
    threshold = _threshold(fit, PROFILE_LEVEL)
    if threshold is None or not len(fit.theta):
        return []
    solution = _profile(fit)
    costs = solution.cost.reshape(len(fit.theta), 2, PROFILE_POINTS)
    return [
        f"the profile of {axis.name} does not close towards its {side} bound"
        for axis, sides in zip(fit.family.axes, costs, strict=True)
        for side, cost in zip(("lower", "upper"), sides, strict=True)
        if cost.max() < threshold
    ]


def _inner_covariance(fit: FittedCurve) -> Array | None:
    variance = noise_variance(fit)
    if variance is None:
        return None
    design = _design(fit, fit.x)
    length = np.sqrt((design**2).sum(axis=0))
    length = np.where(length > 0, length, 1.0)
    inverse = np.linalg.pinv(design / length)
    return np.asarray(variance * (inverse @ inverse.T) / np.outer(length, length))


def covariance(fit: FittedCurve) -> Array | None:
    """Return the covariance of the parameters of the printed formula, in the order of the family."""
    inner_covariance = _inner_covariance(fit)
    if inner_covariance is None:
        return None
    inner, q = np.concatenate([fit.theta, fit.beta]), len(fit.theta)
    step = 1e-6 * np.maximum(np.abs(inner), 1.0)

    def natural(point: Array) -> Array:
        return np.array(fit.family.natural(point[:q], point[q:], fit.x0, fit.t_last))

    columns = [
        (natural(inner + np.eye(len(inner))[i] * step[i]) - natural(inner - np.eye(len(inner))[i] * step[i]))
        / (2 * step[i])
        for i in range(len(inner))
    ]
    jacobian = np.array(columns).T
    return np.asarray(jacobian @ inner_covariance @ jacobian.T)


def interval(fit: FittedCurve, x: Array, level: float, *, identified: bool) -> tuple[Array, Array] | None:
    """Return (low, high) of the curve's mean at x; None when the noise cannot be estimated."""
    if fit.dof < 1:
        return None
    low, high = _delta_interval(fit, x, level) if identified else _profile_interval(fit, x, level)
    if fit.family.log2_space:
        return np.exp2(np.clip(low, -1000, 1000)), np.exp2(np.clip(high, -1000, 1000))
    return low, high


def _delta_interval(fit: FittedCurve, x: Array, level: float) -> tuple[Array, Array]:
    from scipy.special import stdtrit

    inner_covariance, design = _inner_covariance(fit), _design(fit, x)
    assert inner_covariance is not None  # interval() has refused fits without a degree of freedom
    spread = np.sqrt(np.maximum(((design @ inner_covariance) * design).sum(axis=1), 0.0))
    inner = np.concatenate([fit.theta, fit.beta])
    centre = _curve(fit, np.log(x / fit.x0), inner[None])[0]
    reach = float(stdtrit(fit.dof, 0.5 + level / 2)) * spread
    return centre - reach, centre + reach


def _profile_interval(fit: FittedCurve, x: Array, level: float) -> tuple[Array, Array]:
    """Return the range of predictions over every fit that the points cannot tell from the best one.

    Linear parameters move within each profile member as in linear regression.
    """
    from scipy.special import stdtrit

    threshold, t = _threshold(fit, level), np.log(x / fit.x0)
    inner = np.concatenate([fit.theta, fit.beta])[None]
    if len(fit.theta) and threshold is not None:
        solution = _profile(fit)
        members = np.concatenate([solution.theta, solution.beta], axis=1)[solution.cost <= threshold]
        inner = np.concatenate([inner, members])
    curves = _curve(fit, t, inner)
    centre = curves[0]
    noise = noise_variance(fit) or 0.0
    columns = fit.family.basis(np.log(fit.x / fit.x0), fit.theta[None], np.array([fit.t_last]))[1][0]
    ahead = fit.family.basis(t, fit.theta[None], np.array([fit.t_last]))[1][0]
    inverse = np.linalg.pinv(columns)
    linear = np.sqrt(noise * ((ahead @ inverse) ** 2).sum(axis=1)) * float(stdtrit(fit.dof, 0.5 + level / 2))
    low = np.minimum(curves.min(axis=0), centre - linear)
    high = np.maximum(curves.max(axis=0), centre + linear)
    return low, high
