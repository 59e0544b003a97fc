"""Least squares by variable projection, many problems at once: between `families` and `fit`.

For fixed nonlinear parameters the linear ones follow exactly (at most two, inside a box), so the
search runs over zero to three dimensions only (Golub and Pereyra, 1973). A batch holds every start,
every bootstrap draw, every prefix of a rolling back-test; the Levenberg-Marquardt loop moves all of
its members with the same few array operations, which is what makes a thousand draws affordable.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tal_repro.curves.family import Array, Family, linear_box

MAX_ITERATIONS = 120
STEP = 3e-6  # central difference in internal coordinates, which are all of order one
# Along a flat valley the search above ends wherever rounding has led it. A wider difference sees the slope there.
FINISHING_ITERATIONS, FINISHING_STEP = 1000, 3e-5
COST_TOLERANCE = 1e-13
VANISHED = 1e-60  # a column (or its scaled square) below this carries no information
RANKING_BINS = 64  # starts are ranked on at most so many points
SEARCH_BINS = 400  # and searched from on at most so many; the last polish sees every point


@dataclass
class Batch:
    """Problems that share their points: y and weights [B, n], box of theta [B, q], t [n], last t [B]."""

    family: Family
    t: Array
    y: Array
    weights: Array
    low: Array
    high: Array
    t_last: Array

    def take(self, index: NDArray[np.intp]) -> Batch:
        """Return the problems at `index` (repetitions allowed)."""
        return Batch(
            self.family,
            self.t,
            self.y[index],
            self.weights[index],
            self.low[index],
            self.high[index],
            self.t_last[index],
        )


@dataclass
class Solution:
    """Best theta [B, q], beta [B, m], weighted cost [B] and whether the search had converged [B]."""

    theta: Array
    beta: Array
    cost: Array
    converged: NDArray[np.bool_]


def make_batch(family: Family, t: Array, y: Array, weights: Array, t_last: Array | None = None) -> Batch:
    """Build a batch of problems from t [n] and y, weights [B, n]; the box follows from each reach."""
    y, weights = np.atleast_2d(y), np.broadcast_to(np.atleast_2d(weights), np.atleast_2d(y).shape)
    last = np.full(y.shape[0], t[-1]) if t_last is None else t_last
    last = np.maximum(last, 1e-9)
    boxes = np.array([[axis.box(reach) for axis in family.axes] for reach in last])
    boxes = boxes.reshape(y.shape[0], len(family.axes), 2)
    return Batch(family, t, y, weights, boxes[..., 0], boxes[..., 1], last)


def project(batch: Batch, theta: Array) -> tuple[Array, Array]:
    """Return the weighted residuals [B, n] and linear parameters [B, m] that are best for theta [B, q]."""
    offset, columns = batch.family.basis(batch.t, theta, batch.t_last)
    target = batch.y if offset is None else batch.y - offset
    root = np.sqrt(batch.weights)
    low, high = linear_box(batch.family)
    beta = _solve_linear(columns * root[..., None], target * root, low, high)
    return root * (target - np.einsum("bnm,bm->bn", columns, beta)), beta


def _solve_linear(columns: Array, target: Array, low: Array, high: Array) -> Array:
    if columns.shape[-1] == 1:
        return _one_column(columns[..., 0], target, low[0], high[0])[:, None]
    beta = _two_columns(columns, target)
    if np.isinf(low).all() and np.isinf(high).all():
        return beta
    return _into_box(beta, columns, target, low, high)


def _scale(columns: Array, axis: int) -> Array:
    """Return the largest magnitude of each column, 1 where it has vanished: squares must not overflow."""
    largest = np.abs(columns).max(axis=axis, keepdims=True)
    return np.where(largest < VANISHED, 1.0, largest)


def _one_column(column: Array, target: Array, low: float, high: float) -> Array:
    scale = _scale(column, -1)
    unit = column / scale
    norm = np.einsum("bn,bn->b", unit, unit)
    beta = np.einsum("bn,bn->b", unit, target) / np.maximum(norm, VANISHED) / scale[:, 0]
    return np.asarray(np.clip(beta, low, high))


def _two_columns(columns: Array, target: Array) -> Array:
    """Solve by Gram-Schmidt, twice for accuracy; a column that is a multiple of the other gets 0."""
    scale = _scale(columns, 1)
    first, second = np.moveaxis(columns / scale, -1, 0)
    norm1 = np.maximum(np.einsum("bn,bn->b", first, first), VANISHED)
    along = np.einsum("bn,bn->b", first, second) / norm1
    rest = second - along[:, None] * first
    again = np.einsum("bn,bn->b", first, rest) / norm1
    rest, along = rest - again[:, None] * first, along + again
    norm2 = np.einsum("bn,bn->b", rest, rest)
    usable = norm2 > 1e-24 * np.einsum("bn,bn->b", second, second) + VANISHED
    beta2 = np.where(usable, np.einsum("bn,bn->b", rest, target) / np.where(usable, norm2, 1.0), 0.0)
    beta1 = np.einsum("bn,bn->b", first, target - beta2[:, None] * second) / norm1
    return np.stack([beta1, beta2], axis=-1) / scale[:, 0]


def _into_box(beta: Array, columns: Array, target: Array, low: Array, high: Array) -> Array:
    """Return the constrained optimum: inside, or the best of the four edges of the box."""
    outside = ((beta < low) | (beta > high)).any(axis=-1)
    if not outside.any():
        return beta
    columns, target = columns[outside], target[outside]
    candidates = []
    for held in (0, 1):
        for value in (low[held], high[held]):
            if np.isinf(value):
                continue
            free = 1 - held
            left = target - value * columns[..., held]
            edge = np.empty((len(left), 2))
            edge[:, held] = value
            edge[:, free] = _one_column(columns[..., free], left, low[free], high[free])
            candidates.append(edge)
    edges = np.stack(candidates)
    costs = ((target - np.einsum("bnm,ebm->ebn", columns, edges)) ** 2).sum(axis=-1)
    result = beta.copy()
    result[outside] = edges[costs.argmin(axis=0), np.arange(len(target))]
    return result


def _jacobian(batch: Batch, theta: Array, width: float) -> Array:
    """Return d residual / d theta [B, n, q] by central differences of the projected residual."""
    size, q = theta.shape
    shifts = np.concatenate([np.eye(q), -np.eye(q)]) * width
    moved = (theta[None] + shifts[:, None]).reshape(-1, q)
    residuals, _ = project(batch.take(np.tile(np.arange(size), 2 * q)), moved)
    residuals = residuals.reshape(2, q, size, -1)
    return np.moveaxis((residuals[0] - residuals[1]) / (2 * width), 0, -1)


def _step(jacobian: Array, residual: Array, damping: Array, free: NDArray[np.bool_]) -> Array:
    """Return the damped Gauss-Newton step [B, q]; coordinates held by a bound do not move."""
    jacobian = np.where(free[:, None, :], jacobian, 0.0)
    gradient = np.einsum("bnq,bn->bq", jacobian, residual)
    hessian = np.einsum("bnq,bnp->bqp", jacobian, jacobian)
    diagonal = np.einsum("bqq->bq", hessian)
    floor = np.maximum(diagonal, 1e-12 * diagonal.max(axis=-1, keepdims=True) + 1e-30)
    eye = np.eye(hessian.shape[-1])
    return -np.linalg.solve(hessian + (damping[:, None] * floor)[:, None, :] * eye, gradient[..., None])[..., 0]


def polish(batch: Batch, theta: Array, iterations: int = MAX_ITERATIONS, difference: float = STEP) -> Solution:
    """Minimise every problem of the batch from theta [B, q] by projected Levenberg-Marquardt."""
    theta = np.clip(theta, batch.low, batch.high)
    residual, beta = project(batch, theta)
    cost = (residual**2).sum(axis=-1)
    size, q = theta.shape
    converged = np.full(size, q == 0)
    damping = np.full(size, 1e-2)
    floor = 1e-28 * np.maximum((batch.weights * batch.y**2).sum(axis=-1), 1e-300)
    for _ in range(iterations if q else 0):
        live = np.flatnonzero(~converged)
        if not len(live):
            break
        part, here = batch.take(live), theta[live]
        jacobian = _jacobian(part, here, difference)
        gradient = np.einsum("bnq,bn->bq", jacobian, residual[live])
        free = ~(((here <= part.low) & (gradient > 0)) | ((here >= part.high) & (gradient < 0)))
        step = np.clip(_step(jacobian, residual[live], damping[live], free), -2.0, 2.0)
        there = np.clip(here + step, part.low, part.high)
        new_residual, new_beta = project(part, there)
        new_cost = (new_residual**2).sum(axis=-1)
        gain = cost[live] - new_cost
        better = gain > 0
        still = (np.abs(there - here).max(axis=-1) < 1e-10) | (
            np.abs(gain) <= COST_TOLERANCE * cost[live] + floor[live]
        )
        damping[live] = np.clip(damping[live] * np.where(better, 0.2, 6.0), 1e-12, 1e12)
        won = live[better]
        theta[won], beta[won] = there[better], new_beta[better]
        residual[won], cost[won] = new_residual[better], new_cost[better]
        converged[live] = (still & (better | (damping[live] > 1.0))) | (damping[live] >= 1e12)
    return Solution(theta, beta, cost, converged)


def finish(batch: Batch, solution: Solution) -> Solution:
    """Go on from where a search ran out of iterations, so that the optimum does not hang on the machine's rounding."""
    if solution.converged.all():
        return solution
    further = polish(batch, solution.theta, FINISHING_ITERATIONS, FINISHING_STEP)
    return further if (further.cost <= solution.cost).all() else solution


def _grid(family: Family) -> Array:
    """Return all combinations of the family's starts as fractions of its box [G, q]."""
    axes = [(np.arange(axis.starts) + 0.5) / axis.starts for axis in family.axes]
    return np.stack([part.ravel() for part in np.meshgrid(*axes, indexing="ij")], axis=-1)


def _valleys(costs: Array, family: Family, count: int) -> NDArray[np.intp]:
    """Return the indices of the `count` cheapest local minima of the start grid; costs [B, G] -> [B, count]."""
    shape = (len(costs), *(axis.starts for axis in family.axes))
    grid = costs.reshape(shape)
    lowest = np.ones(shape, dtype=bool)
    for dimension in range(1, grid.ndim):
        padded = np.pad(grid, [(1, 1) if d == dimension else (0, 0) for d in range(grid.ndim)], constant_values=np.inf)
        for shift in (0, 2):
            neighbour = np.take(padded, np.arange(shift, shift + grid.shape[dimension]), axis=dimension)
            lowest &= grid <= neighbour
    # Valleys first; then the best of each slice of the first axis, because a narrow valley that runs
    # between grid points shows up as one start only. The order among equals is that of the grid.
    flat = costs.reshape(len(costs), shape[1], -1)
    slice_best = (flat <= flat.min(axis=2, keepdims=True)).reshape(costs.shape)
    rank = np.where(lowest.reshape(costs.shape), 0, np.where(slice_best, 1, 2))
    return np.stack([np.lexsort((cost, order))[:count] for cost, order in zip(costs, rank, strict=True)])


def binned(batch: Batch, limit: int) -> Batch:
    """Return the batch with neighbouring points joined into at most `limit` weighted means."""
    count = len(batch.t)
    if count <= limit:
        return batch
    first = np.unique(np.linspace(0, count, limit, endpoint=False).astype(int))
    sizes = np.diff(np.append(first, count))
    weights = np.add.reduceat(batch.weights, first, axis=1)
    held = np.where(weights > 0, weights, 1.0)
    y = np.where(
        weights > 0,
        np.add.reduceat(batch.weights * batch.y, first, axis=1) / held,
        np.add.reduceat(batch.y, first, axis=1) / sizes,
    )
    t = np.add.reduceat(batch.t, first) / sizes
    return Batch(batch.family, t, y, weights, batch.low, batch.high, batch.t_last)


def solve(batch: Batch, starts: int = 6) -> Solution:
    """Minimise every problem globally: rank a fixed grid of starts, polish the best, keep the lowest.

    Deterministic; between equal optima (relative cost 1e-9) the earlier start wins.
    """
    family, size = batch.family, len(batch.y)
    if not family.axes:
        return polish(batch, np.zeros((size, 0)))
    if len(batch.t) > SEARCH_BINS:
        return polish(batch, solve(binned(batch, SEARCH_BINS), starts).theta, 20)
    unit = _grid(family)
    coarse = binned(batch, RANKING_BINS)
    costs = np.empty((size, len(unit)))
    for row in range(size):
        repeated = coarse.take(np.full(len(unit), row))
        theta = repeated.low + unit * (repeated.high - repeated.low)
        costs[row] = (project(repeated, theta)[0] ** 2).sum(axis=-1)
    chosen = _valleys(costs, family, starts)
    starts = chosen.shape[1]
    many = batch.take(np.repeat(np.arange(size), starts))
    solution = polish(many, many.low + unit[chosen.ravel()] * (many.high - many.low))
    table = solution.cost.reshape(size, starts)
    cheapest = table.min(axis=1, keepdims=True)
    winner = (table <= cheapest * (1 + 1e-9) + 1e-300).argmax(axis=1) + np.arange(size) * starts
    return Solution(solution.theta[winner], solution.beta[winner], solution.cost[winner], solution.converged[winner])
