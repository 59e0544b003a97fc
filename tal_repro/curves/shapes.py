"""The shapes of the families: offset and columns of the linear part, one function per shape, never overflowing.

Every function takes t [n], theta [B, q] and t_last [B] and returns (offset [B, n] or None, columns [B, n, m]).
"""

from __future__ import annotations

import numpy as np

from tal_repro.curves.family import LOG_MAX, Array

EDGE = 1e-6  # nearest that x may come, in units of x0, to a singularity below the points


def _exp(exponent: Array) -> Array:
    return np.exp(np.clip(exponent, -LOG_MAX, LOG_MAX))


def _ones(t: Array, theta: Array) -> Array:
    return np.ones((theta.shape[0], t.shape[-1]))


def saturating_power(t: Array, rate: Array) -> Array:
    """Return (1 - exp(-rate t)) / rate, which tends to t (a logarithm of x) as the rate goes to 0."""
    tiny = np.where(np.abs(rate) < 1e-7, 1e-7, rate)
    return np.asarray(-np.expm1(np.clip(-tiny * t, -LOG_MAX, LOG_MAX)) / tiny)


def _columns(*columns: Array) -> Array:
    return np.stack(np.broadcast_arrays(*columns), axis=-1)


def shifted_power(t: Array, theta: Array, last: Array) -> tuple[None, Array]:
    rate, log_shift = theta[:, :1], theta[:, 1:2]
    # ln((x + d) / (x0 + d)); x + d <= 0 lies below every point and outside the family: held at its edge
    grown = np.log1p(np.maximum(np.expm1(t) * np.exp(-log_shift), EDGE - 1.0))
    return None, _columns(_ones(t, theta), saturating_power(grown, rate))


def offset_exponential(t: Array, theta: Array, last: Array) -> tuple[None, Array]:
    rate = np.exp(theta[:, :1])
    return None, _columns(_ones(t, theta), -np.expm1(-rate * np.expm1(np.minimum(t, LOG_MAX))) / rate)


def weibull(t: Array, theta: Array, last: Array) -> tuple[None, Array]:
    hazard = _exp(theta[:, :1] + np.exp(theta[:, 1:2]) * t)
    return None, _columns(_ones(t, theta), -np.exp(-np.minimum(hazard, LOG_MAX)))


def vapour_pressure(t: Array, theta: Array, last: Array) -> tuple[None, Array]:
    return None, _columns(_exp(theta[:, :1] * np.expm1(np.minimum(-t, LOG_MAX)) + theta[:, 1:2] * t))


def log_power(t: Array, theta: Array, last: Array) -> tuple[None, Array]:
    return None, _columns(np.exp(-np.logaddexp(0.0, theta[:, 1:2] * (t - theta[:, :1]))))


def exponential_log2(t: Array, theta: Array, last: Array) -> tuple[None, Array]:
    return None, _columns(_ones(t, theta), saturating_power(t, np.exp(theta[:, :1])))


def exponential_linear(t: Array, theta: Array, last: Array) -> tuple[None, Array]:
    height, rate = np.exp(theta[:, :1]), np.exp(theta[:, 1:2])
    return None, _columns(_exp(-np.log(2.0) * height * np.exp(-rate * t)))


def logistic4(t: Array, theta: Array, last: Array) -> tuple[None, Array]:
    below = np.exp(-np.logaddexp(0.0, np.exp(theta[:, 1:2]) * (t - theta[:, :1])))
    return None, _columns(1.0 - below, below)


def logistic5(t: Array, theta: Array, last: Array) -> tuple[None, Array]:
    # theta = ln(c/x0), ln b, ln(b g): the tail falls as x^(-b g), which data identify long before
    # b and g apart. (1 + (x/c)^b)^-g = exp(-g logaddexp(0, b (t - t_c))) never overflows.
    b, tail = np.exp(theta[:, 1:2]), np.exp(theta[:, 2:3])
    log_below = -(tail / b) * np.logaddexp(0.0, b * (t - theta[:, :1]))
    return None, _columns(-np.expm1(log_below), np.exp(log_below))
