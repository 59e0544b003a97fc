"""The learning-curve families, each split into the part that is linear and the part that is not.

Read by `varpro` (which eliminates the linear part exactly) and by `fit` (which turns internal
coordinates into the parameters of the printed formula). Nothing here has seen a data point.

Internal coordinates: `t = ln(x / x0)` with x0 the smallest training percentage of the fit, so that a
change of the unit of x changes nothing but the reported parameters; `theta` the nonlinear parameters
in logarithms wherever a scale is meant, so that no value in the box overflows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Basis = Callable[[Array, Array, Array], tuple[Array | None, Array]]
"""(t [n], theta [B, q], t_last [B]) -> (offset [B, n] or None, columns [B, n, m])."""
Natural = Callable[[Array, Array, float, float], tuple[float, ...]]
"""(theta [q], beta [m], x0, t_last) -> the parameters of the printed formula."""

UNBOUNDED = (-np.inf, np.inf)
POSITIVE = (0.0, np.inf)
EDGE = 1e-6  # nearest that x may come, in units of x0, to a singularity below the points
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
    last_point_only: bool = False
    constants: tuple[str, ...] = ()

    @property
    def k(self) -> int:
        """Number of fitted parameters."""
        return len(self.axes) + len(self.linear_bounds)


def _exp(exponent: Array) -> Array:
    return np.exp(np.clip(exponent, -LOG_MAX, LOG_MAX))


def _ones(t: Array, theta: Array) -> Array:
    return np.ones((theta.shape[0], t.shape[-1]))


def _saturating_power(t: Array, rate: Array) -> Array:
    """Return (1 - exp(-rate t)) / rate, which tends to t (a logarithm of x) as the rate goes to 0."""
    tiny = np.where(np.abs(rate) < 1e-7, 1e-7, rate)
    return np.asarray(-np.expm1(np.clip(-tiny * t, -LOG_MAX, LOG_MAX)) / tiny)


def _safe(rate: float) -> float:
    return 1e-7 if abs(rate) < 1e-7 else float(rate)


def _columns(*columns: Array) -> Array:
    return np.stack(np.broadcast_arrays(*columns), axis=-1)


# --- bases: one function per shape -----------------------------------------------------------------


def _constant(t: Array, theta: Array, last: Array) -> tuple[None, Array]:
    return None, _columns(_ones(t, theta))


def _line(t: Array, theta: Array, last: Array) -> tuple[None, Array]:
    one = _ones(t, theta)
    return None, _columns(one, one * np.exp(np.minimum(t, LOG_MAX)))


def _logarithm(t: Array, theta: Array, last: Array) -> tuple[None, Array]:
    one = _ones(t, theta)
    return None, _columns(one, one * t)


def _inverse_logarithm(t: Array, theta: Array, last: Array) -> tuple[None, Array]:
    one = _ones(t, theta)
    return None, _columns(one, -one / np.maximum(t + 1.0, EDGE))  # singular at x = s/e, below every point


def _pure_power(t: Array, theta: Array, last: Array) -> tuple[None, Array]:
    return None, _columns(_exp(-theta[:, :1] * t))


def _pure_exponential(t: Array, theta: Array, last: Array) -> tuple[None, Array]:
    # theta is the exponent reached at the last point: the box is then the same for any reach.
    return None, _columns(_exp(-theta[:, :1] * np.expm1(t) / np.expm1(last)[:, None]))


def _offset_power(t: Array, theta: Array, last: Array) -> tuple[None, Array]:
    return None, _columns(_ones(t, theta), _saturating_power(t, theta[:, :1]))


def _shifted_power(t: Array, theta: Array, last: Array) -> tuple[None, Array]:
    rate, log_shift = theta[:, :1], theta[:, 1:2]
    # ln((x + d) / (x0 + d)); x + d <= 0 lies below every point and outside the family: held at its edge
    grown = np.log1p(np.maximum(np.expm1(t) * np.exp(-log_shift), EDGE - 1.0))
    return None, _columns(_ones(t, theta), _saturating_power(grown, rate))


def _offset_exponential(t: Array, theta: Array, last: Array) -> tuple[None, Array]:
    rate = np.exp(theta[:, :1])
    return None, _columns(_ones(t, theta), -np.expm1(-rate * np.expm1(np.minimum(t, LOG_MAX))) / rate)


def _weibull(t: Array, theta: Array, last: Array) -> tuple[None, Array]:
    hazard = _exp(theta[:, :1] + np.exp(theta[:, 1:2]) * t)
    return None, _columns(_ones(t, theta), -np.exp(-np.minimum(hazard, LOG_MAX)))


def _double_exponential(t: Array, theta: Array, last: Array) -> tuple[Array, Array]:
    # theta = ln(-a) and h = ln((1 - b)^a), the inner exponent at the first point: e^h <= e^3 keeps
    # the outer exponential finite everywhere, and the curve rises as mAP does (a < 0).
    power, height = np.exp(theta[:, :1]), theta[:, 1:2]
    log_start = np.clip(-height / power, -LOG_MAX, LOG_MAX)  # ln(1 - b)
    grown = np.logaddexp(0.0, np.log(np.maximum(np.expm1(t), 1e-300)) - log_start)
    return -np.exp(np.exp(height - power * grown)), _columns(_ones(t, theta))


def _vapour_pressure(t: Array, theta: Array, last: Array) -> tuple[None, Array]:
    return None, _columns(_exp(theta[:, :1] * np.expm1(np.minimum(-t, LOG_MAX)) + theta[:, 1:2] * t))


def _log_power(t: Array, theta: Array, last: Array) -> tuple[None, Array]:
    return None, _columns(np.exp(-np.logaddexp(0.0, theta[:, 1:2] * (t - theta[:, :1]))))


def _exponential_log2(t: Array, theta: Array, last: Array) -> tuple[None, Array]:
    return None, _columns(_ones(t, theta), _saturating_power(t, np.exp(theta[:, :1])))


def _exponential_linear(t: Array, theta: Array, last: Array) -> tuple[None, Array]:
    height, rate = np.exp(theta[:, :1]), np.exp(theta[:, 1:2])
    return None, _columns(_exp(-np.log(2.0) * height * np.exp(-rate * t)))


def _logistic4(t: Array, theta: Array, last: Array) -> tuple[None, Array]:
    below = np.exp(-np.logaddexp(0.0, np.exp(theta[:, 1:2]) * (t - theta[:, :1])))
    return None, _columns(1.0 - below, below)


def _logistic5(t: Array, theta: Array, last: Array) -> tuple[None, Array]:
    # theta = ln(c/x0), ln b, ln(b g): the tail falls as x^(-b g), which data identify long before
    # b and g apart. (1 + (x/c)^b)^-g = exp(-g logaddexp(0, b (t - t_c))) never overflows.
    b, tail = np.exp(theta[:, 1:2]), np.exp(theta[:, 2:3])
    log_below = -(tail / b) * np.logaddexp(0.0, b * (t - theta[:, :1]))
    return None, _columns(-np.expm1(log_below), np.exp(log_below))


# --- from internal coordinates to the parameters of the printed formula ------------------------------


def _power_terms(rate: float, beta: Array, x0: float) -> tuple[float, float, float]:
    """Return a, b, c of c - a x^-b from beta0 + beta1 (1 - (x/x0)^-b) / b."""
    rate = _safe(rate)
    return float(beta[1] / rate * x0**rate), rate, float(beta[0] + beta[1] / rate)


def _exponential_terms(theta: Array, beta: Array, x0: float) -> tuple[float, float, float]:
    """Return rate, asymptote and amplitude of c - a exp(-b x)."""
    rate = float(np.exp(theta[0]))
    amplitude = float(beta[1] / rate * np.exp(min(rate, LOG_MAX)))
    return rate / x0, float(beta[0] + beta[1] / rate), amplitude


def _natural_pow4(theta: Array, beta: Array, x0: float, last: float) -> tuple[float, ...]:
    rate, start = _safe(float(theta[0])), float(np.exp(theta[1]))
    a = float(beta[1] / rate * np.exp(np.clip(rate * np.log(start * x0), -LOG_MAX, LOG_MAX)))
    return a, rate, float(beta[0] + beta[1] / rate), (start - 1.0) * x0


def _natural_expd3(theta: Array, beta: Array, x0: float, last: float) -> tuple[float, ...]:
    rate, asymptote, amplitude = _exponential_terms(theta, beta, x0)
    return asymptote - amplitude, rate, asymptote


def _natural_exp3(theta: Array, beta: Array, x0: float, last: float) -> tuple[float, ...]:
    rate, asymptote, amplitude = _exponential_terms(theta, beta, x0)
    return amplitude, rate, asymptote


def _weibull_scale(theta: Array, x0: float) -> tuple[float, float]:
    power = float(np.exp(theta[1]))
    return float(np.exp(np.clip(theta[0] - power * np.log(x0), -LOG_MAX, LOG_MAX))), power


def _natural_exp4(theta: Array, beta: Array, x0: float, last: float) -> tuple[float, ...]:
    a, power = _weibull_scale(theta, x0)
    return a, float(np.log(max(float(beta[1]), 1e-300))), float(beta[0]), power


def _natural_wbl4(theta: Array, beta: Array, x0: float, last: float) -> tuple[float, ...]:
    a, power = _weibull_scale(theta, x0)
    return a, float(beta[1]), float(beta[0]), power


def _natural_expp3(theta: Array, beta: Array, x0: float, last: float) -> tuple[float, ...]:
    power = float(np.exp(theta[0]))
    return -power, float(1.0 - np.exp(np.clip(-theta[1] / power, -LOG_MAX, LOG_MAX))), float(beta[0])


def _natural_vap3(theta: Array, beta: Array, x0: float, last: float) -> tuple[float, ...]:
    height = np.log(max(float(beta[0]), 1e-300))
    return (
        float(height - theta[0] - theta[1] * np.log(x0)),
        float(theta[0] * x0),
        float(theta[1]),
    )


def _natural_mmf4(theta: Array, beta: Array, x0: float, last: float) -> tuple[float, ...]:
    power = float(np.exp(theta[1]))
    b = float(np.exp(np.clip(power * (theta[0] + np.log(x0)), -LOG_MAX, LOG_MAX)))
    return float(beta[1]), b, float(beta[0]), power


def _natural_log2_exponential(theta: Array, beta: Array, x0: float, last: float) -> tuple[float, ...]:
    b, rate, a = _power_terms(float(np.exp(theta[0])), beta, x0)
    return a, b, 1.0 / rate


def _natural_linear_exponential(theta: Array, beta: Array, x0: float, last: float) -> tuple[float, ...]:
    rate = float(np.exp(theta[1]))
    height = float(np.exp(np.clip(theta[0] + rate * np.log(x0), -LOG_MAX, LOG_MAX)))
    return float(np.log2(max(float(beta[0]), 1e-300))), height, 1.0 / rate


def _natural_logistic5(theta: Array, beta: Array, x0: float, last: float) -> tuple[float, ...]:
    b = float(np.exp(theta[1]))
    centre = float(np.exp(theta[0]) * x0)
    return float(beta[0]), float(beta[1]), centre, b, float(np.exp(theta[2])) / b


_SHAPE = ("ln b", np.log(0.05), np.log(200.0))
_LOGISTIC5_AXES = (
    # The box reaches far because c and g may run away together: the limit is a Weibull curve.
    Axis("ln(c/x0)", -3.0, 24.0, 16, spans=True),
    Axis(_SHAPE[0], _SHAPE[1], _SHAPE[2], 7),
    Axis("ln(b g)", np.log(0.005), np.log(1e5), 10),
)
_LOGISTIC4_AXES = (Axis("ln(c/x0)", -4.0, 8.0, 16, spans=True), Axis("ln b", np.log(0.05), np.log(50.0), 12))
_WEIBULL_AXES = (Axis("ln a", -14.0, 5.0, 20), Axis("ln d", np.log(0.03), np.log(6.0), 12))
_RATE_AXES = (Axis("ln(b x0)", -16.0, np.log(20.0), 30),)

_ALL: Sequence[Family] = (
    Family(
        "exponential",
        "2^(a - b x^(-1/c)), least squares in log2(y)",
        ("a", "b", "c"),
        (Axis("ln(1/c)", np.log(0.005), np.log(10.0), 30),),
        _exponential_log2,
        _natural_log2_exponential,
        (UNBOUNDED, UNBOUNDED),
        log2_space=True,
    ),
    Family(
        "exponential-linear",
        "2^(a - b x^(-1/c)), least squares in y",
        ("a", "b", "c"),
        (Axis("ln(b x0^(-1/c))", -9.0, np.log(60.0), 16), Axis("ln(1/c)", np.log(0.005), np.log(10.0), 16)),
        _exponential_linear,
        _natural_linear_exponential,
        (POSITIVE,),
    ),
    Family(
        "5pl",
        "A + (low - A) / (1 + (x/c)^b)^g",
        ("A", "low", "c", "b", "g"),
        _LOGISTIC5_AXES,
        _logistic5,
        _natural_logistic5,
        (UNBOUNDED, UNBOUNDED),
    ),
    Family(
        "5pl-bounded",
        "A + (low - A) / (1 + (x/c)^b)^g, 0 <= low, A <= 100",
        ("A", "low", "c", "b", "g"),
        _LOGISTIC5_AXES,
        _logistic5,
        _natural_logistic5,
        ((0.0, 100.0), (0.0, 100.0)),
    ),
    Family(
        "4pl",
        "A + (low - A) / (1 + (x/c)^b)",
        ("A", "low", "c", "b"),
        _LOGISTIC4_AXES,
        _logistic4,
        lambda theta, beta, x0, last: (
            float(beta[0]),
            float(beta[1]),
            float(np.exp(theta[0]) * x0),
            float(np.exp(theta[1])),
        ),
        (UNBOUNDED, UNBOUNDED),
    ),
    Family(
        "pow2",
        "a x^-b",
        ("a", "b"),
        (Axis("b", -6.0, 6.0, 25),),
        _pure_power,
        lambda theta, beta, x0, last: (float(beta[0] * x0 ** theta[0]), float(theta[0])),
        (UNBOUNDED,),
    ),
    Family(
        "pow3",
        "c - a x^-b",
        ("a", "b", "c"),
        (Axis("b", -3.0, 12.0, 31),),
        _offset_power,
        lambda theta, beta, x0, last: _power_terms(float(theta[0]), beta, x0),
        (UNBOUNDED, UNBOUNDED),
    ),
    Family(
        "pow4",
        "c - a (x + d)^-b",
        ("a", "b", "c", "d"),
        (Axis("b", -3.0, 20.0, 24), Axis("ln(1 + d/x0)", -5.0, 4.0, 14, spans=True)),
        _shifted_power,
        _natural_pow4,
        (UNBOUNDED, UNBOUNDED),
    ),
    Family(
        "exp2",
        "a exp(-b x)",
        ("a", "b"),
        (Axis("b (x_last - x0)", -20.0, 20.0, 41),),
        _pure_exponential,
        lambda theta, beta, x0, last: (
            float(beta[0] * np.exp(theta[0] / np.expm1(last))),
            float(theta[0] / np.expm1(last) / x0),
        ),
        (UNBOUNDED,),
    ),
    Family(
        "exp3",
        "c - a exp(-b x)",
        ("a", "b", "c"),
        _RATE_AXES,
        _offset_exponential,
        _natural_exp3,
        (UNBOUNDED, UNBOUNDED),
    ),
    Family(
        "exp4",
        "c - exp(b - a x^d)",
        ("a", "b", "c", "d"),
        _WEIBULL_AXES,
        _weibull,
        _natural_exp4,
        (UNBOUNDED, POSITIVE),
    ),
    Family(
        "expp3",
        "c - exp((x/s - b)^a)",
        ("a", "b", "c"),
        (Axis("ln(-a)", np.log(0.01), np.log(8.0), 24), Axis("ln((1 - b)^a)", -8.0, 3.0, 44)),
        _double_exponential,
        _natural_expp3,
        (UNBOUNDED,),
        constants=("s",),
    ),
    Family(
        "expd3",
        "c - (c - a) exp(-b x)",
        ("a", "b", "c"),
        _RATE_AXES,
        _offset_exponential,
        _natural_expd3,
        (UNBOUNDED, UNBOUNDED),
    ),
    Family(
        "vap3",
        "exp(a + b/x + c ln x)",
        ("a", "b", "c"),
        (Axis("b/x0", -40.0, 10.0, 26), Axis("c", -3.0, 3.0, 19)),
        _vapour_pressure,
        _natural_vap3,
        (POSITIVE,),
    ),
    Family(
        "ilog2",
        "c - a / ln(e x/s)",
        ("a", "c"),
        (),
        _inverse_logarithm,
        lambda theta, beta, x0, last: (float(beta[1]), float(beta[0])),
        (UNBOUNDED, UNBOUNDED),
        constants=("s",),
    ),
    Family(
        "log2",
        "a ln x + c",
        ("a", "c"),
        (),
        _logarithm,
        lambda theta, beta, x0, last: (float(beta[1]), float(beta[0] - beta[1] * np.log(x0))),
        (UNBOUNDED, UNBOUNDED),
    ),
    Family(
        "lin2",
        "a x + c",
        ("a", "c"),
        (),
        _line,
        lambda theta, beta, x0, last: (float(beta[1] / x0), float(beta[0])),
        (UNBOUNDED, UNBOUNDED),
    ),
    Family(
        "logpower3",
        "a / (1 + (x/exp(b))^c)",
        ("a", "b", "c"),
        (Axis("b - ln x0", -4.0, 8.0, 16, spans=True), Axis("c", -20.0, 10.0, 40)),
        _log_power,
        lambda theta, beta, x0, last: (float(beta[0]), float(theta[0] + np.log(x0)), float(theta[1])),
        (UNBOUNDED,),
    ),
    Family(
        "mmf4",
        "(a b + c x^d) / (b + x^d)",
        ("a", "b", "c", "d"),
        _LOGISTIC4_AXES,
        _logistic4,
        _natural_mmf4,
        (UNBOUNDED, UNBOUNDED),
    ),
    Family(
        "wbl4",
        "c - b exp(-a x^d)",
        ("a", "b", "c", "d"),
        _WEIBULL_AXES,
        _weibull,
        _natural_wbl4,
        (UNBOUNDED, UNBOUNDED),
    ),
    Family(
        "last1",
        "y of the last point",
        ("a",),
        (),
        _constant,
        lambda theta, beta, x0, last: (float(beta[0]),),
        (UNBOUNDED,),
        last_point_only=True,
    ),
)

FAMILIES: dict[str, Family] = {family.name: family for family in _ALL}
"""Every family by name: the paper's `exponential`, `5pl`; 4PL; and those of LCDB (Mohr et al., 2022)."""


def get_family(name: str) -> Family:
    """Return the family called `name`, or raise InputError that lists the names there are."""
    from tal_repro.errors import InputError

    if name not in FAMILIES:
        raise InputError(f"no curve family {name!r}", remedy=f"choose one of: {', '.join(FAMILIES)}")
    return FAMILIES[name]


def linear_box(family: Family) -> tuple[Any, Any]:
    """Return lower and upper bounds of the linear parameters as two arrays [m]."""
    bounds = np.array(family.linear_bounds, dtype=float)
    return bounds[:, 0], bounds[:, 1]
