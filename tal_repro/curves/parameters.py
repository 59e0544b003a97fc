"""From a family's internal coordinates to the parameters of its printed formula, one function per formula."""

from __future__ import annotations

import numpy as np

from tal_repro.curves.family import LOG_MAX, Array


def _safe(rate: float) -> float:
    return 1e-7 if abs(rate) < 1e-7 else float(rate)


def power_terms(rate: float, beta: Array, x0: float) -> tuple[float, float, float]:
    """Return a, b, c of c - a x^-b from beta0 + beta1 (1 - (x/x0)^-b) / b."""
    rate = _safe(rate)
    return float(beta[1] / rate * x0**rate), rate, float(beta[0] + beta[1] / rate)


def _exponential_terms(theta: Array, beta: Array, x0: float) -> tuple[float, float, float]:
    """Return rate, asymptote and amplitude of c - a exp(-b x)."""
    rate = float(np.exp(theta[0]))
    amplitude = float(beta[1] / rate * np.exp(min(rate, LOG_MAX)))
    return rate / x0, float(beta[0] + beta[1] / rate), amplitude


def pow4(theta: Array, beta: Array, x0: float, last: float) -> tuple[float, ...]:
    rate, start = _safe(float(theta[0])), float(np.exp(theta[1]))
    a = float(beta[1] / rate * np.exp(np.clip(rate * np.log(start * x0), -LOG_MAX, LOG_MAX)))
    return a, rate, float(beta[0] + beta[1] / rate), (start - 1.0) * x0


def exp3(theta: Array, beta: Array, x0: float, last: float) -> tuple[float, ...]:
    rate, asymptote, amplitude = _exponential_terms(theta, beta, x0)
    return amplitude, rate, asymptote


def _weibull_scale(theta: Array, x0: float) -> tuple[float, float]:
    power = float(np.exp(theta[1]))
    return float(np.exp(np.clip(theta[0] - power * np.log(x0), -LOG_MAX, LOG_MAX))), power


def exp4(theta: Array, beta: Array, x0: float, last: float) -> tuple[float, ...]:
    a, power = _weibull_scale(theta, x0)
    return a, float(np.log(max(float(beta[1]), 1e-300))), float(beta[0]), power


def vap3(theta: Array, beta: Array, x0: float, last: float) -> tuple[float, ...]:
    height = np.log(max(float(beta[0]), 1e-300))
    return (
        float(height - theta[0] - theta[1] * np.log(x0)),
        float(theta[0] * x0),
        float(theta[1]),
    )


def log2_exponential(theta: Array, beta: Array, x0: float, last: float) -> tuple[float, ...]:
    b, rate, a = power_terms(float(np.exp(theta[0])), beta, x0)
    return a, b, 1.0 / rate


def linear_exponential(theta: Array, beta: Array, x0: float, last: float) -> tuple[float, ...]:
    rate = float(np.exp(theta[1]))
    height = float(np.exp(np.clip(theta[0] + rate * np.log(x0), -LOG_MAX, LOG_MAX)))
    return float(np.log2(max(float(beta[0]), 1e-300))), height, 1.0 / rate


def logistic5(theta: Array, beta: Array, x0: float, last: float) -> tuple[float, ...]:
    b = float(np.exp(theta[1]))
    centre = float(np.exp(theta[0]) * x0)
    return float(beta[0]), float(beta[1]), centre, b, float(np.exp(theta[2])) / b
