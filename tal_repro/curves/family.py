"""What a learning-curve family is: a shape that is linear in some parameters and not in others.

The members stand in `families`; `varpro` eliminates the linear part exactly. Internal coordinates:
`t = ln(x / x0)` with x0 the smallest training percentage of the fit, so that a change of the unit of x
changes nothing but the reported parameters; `theta` the nonlinear parameters, in logarithms wherever a
scale is meant, so that no value in the box overflows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Basis = Callable[[Array, Array, Array], tuple[Array | None, Array]]
"""(t [n], theta [B, q], t_last [B]) -> (offset [B, n] or None, columns [B, n, m])."""
Natural = Callable[[Array, Array, float, float], tuple[float, ...]]
"""(theta [q], beta [m], x0, t_last) -> the parameters of the printed formula."""

UNBOUNDED = (-np.inf, np.inf)
POSITIVE = (0.0, np.inf)
LOG_MAX = 300.0  # exponents are clipped here: exp(300)**2 is still a finite double


@dataclass(frozen=True)
class Axis:
    """One nonlinear coordinate: its box, and how many deterministic starts are laid across it.

    `low` and `high` are extended by `reach` = ln(x_max / x0) where the coordinate is a position on
    the t axis (`spans`), because a curve may bend beyond the last point.
    """

    name: str
    low: float
    high: float
    starts: int
    spans: bool = False

    def box(self, reach: float) -> tuple[float, float]:
        """Return the lower and upper bound for data that reach `reach` log units beyond x0."""
        return self.low, self.high + (reach if self.spans else 0.0)


@dataclass(frozen=True)
class Family:
    """One learning-curve family: y(x) = offset(x, theta) + columns(x, theta) @ beta."""

    name: str
    formula: str
    parameters: tuple[str, ...]
    axes: tuple[Axis, ...]
    basis: Basis
    natural: Natural
    linear_bounds: tuple[tuple[float, float], ...]
    log2_space: bool = False

    @property
    def k(self) -> int:
        """Number of fitted parameters."""
        return len(self.axes) + len(self.linear_bounds)


def linear_box(family: Family) -> tuple[Array, Array]:
    """Return lower and upper bounds of the linear parameters as two arrays [m]."""
    bounds = np.array(family.linear_bounds, dtype=float)
    return bounds[:, 0], bounds[:, 1]


def evaluate(family: Family, t: Array, theta: Array, beta: Array, t_last: Array) -> Array:
    """Return the curves [B, n] at t [n] for a batch of theta [B, q] and beta [B, m]."""
    offset, columns = family.basis(t, theta, t_last)
    with np.errstate(over="ignore", invalid="ignore"):
        value = np.einsum("bnm,bm->bn", columns, beta)
        value = value if offset is None else value + offset
        value = np.exp2(np.clip(value, -1000.0, 1000.0)) if family.log2_space else value
    return np.asarray(np.nan_to_num(value, nan=0.0, posinf=1e300, neginf=-1e300))
