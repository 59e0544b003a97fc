"""The table of learning-curve families: the study's two, and those that the forecast averages.

`fit` and `stacking` choose from it by name. Each entry joins a shape, its search box and its formula.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tal_repro.curves import parameters, shapes
from tal_repro.curves.family import POSITIVE, UNBOUNDED, Axis, Family
from tal_repro.errors import InputError

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
        shapes.exponential_log2,
        parameters.log2_exponential,
        (UNBOUNDED, UNBOUNDED),
        log2_space=True,
    ),
    Family(
        "exponential-linear",
        "2^(a - b x^(-1/c)), least squares in y",
        ("a", "b", "c"),
        (Axis("ln(b x0^(-1/c))", -9.0, np.log(60.0), 16), Axis("ln(1/c)", np.log(0.005), np.log(10.0), 16)),
        shapes.exponential_linear,
        parameters.linear_exponential,
        (POSITIVE,),
    ),
    Family(
        "5pl",
        "A + (low - A) / (1 + (x/c)^b)^g",
        ("A", "low", "c", "b", "g"),
        _LOGISTIC5_AXES,
        shapes.logistic5,
        parameters.logistic5,
        (UNBOUNDED, UNBOUNDED),
    ),
    Family(
        "5pl-bounded",
        "A + (low - A) / (1 + (x/c)^b)^g, 0 <= low, A <= 100",
        ("A", "low", "c", "b", "g"),
        _LOGISTIC5_AXES,
        shapes.logistic5,
        parameters.logistic5,
        ((0.0, 100.0), (0.0, 100.0)),
    ),
    Family(
        "4pl",
        "A + (low - A) / (1 + (x/c)^b)",
        ("A", "low", "c", "b"),
        _LOGISTIC4_AXES,
        shapes.logistic4,
        lambda theta, beta, x0, last: (
            float(beta[0]),
            float(beta[1]),
            float(np.exp(theta[0]) * x0),
            float(np.exp(theta[1])),
        ),
        (UNBOUNDED, UNBOUNDED),
    ),
    Family(
        "pow4",
        "c - a (x + d)^-b",
        ("a", "b", "c", "d"),
        (Axis("b", -3.0, 20.0, 24), Axis("ln(1 + d/x0)", -5.0, 4.0, 14, spans=True)),
        shapes.shifted_power,
        parameters.pow4,
        (UNBOUNDED, UNBOUNDED),
    ),
    Family(
        "exp3",
        "c - a exp(-b x)",
        ("a", "b", "c"),
        _RATE_AXES,
        shapes.offset_exponential,
        parameters.exp3,
        (UNBOUNDED, UNBOUNDED),
    ),
    Family(
        "exp4",
        "c - exp(b - a x^d)",
        ("a", "b", "c", "d"),
        _WEIBULL_AXES,
        shapes.weibull,
        parameters.exp4,
        (UNBOUNDED, POSITIVE),
    ),
    Family(
        "vap3",
        "exp(a + b/x + c ln x)",
        ("a", "b", "c"),
        (Axis("b/x0", -40.0, 10.0, 26), Axis("c", -3.0, 3.0, 19)),
        shapes.vapour_pressure,
        parameters.vap3,
        (POSITIVE,),
    ),
    Family(
        "logpower3",
        "a / (1 + (x/exp(b))^c)",
        ("a", "b", "c"),
        (Axis("b - ln x0", -4.0, 8.0, 16, spans=True), Axis("c", -20.0, 10.0, 40)),
        shapes.log_power,
        lambda theta, beta, x0, last: (float(beta[0]), float(theta[0] + np.log(x0)), float(theta[1])),
        (UNBOUNDED,),
    ),
)

FAMILIES: dict[str, Family] = {family.name: family for family in _ALL}
"""Every family by name: the paper's `exponential` and `5pl`; 4PL; and five of LCDB (Mohr et al., 2022)."""


def get_family(name: str) -> Family:
    """Return the family called `name`, or raise InputError that lists the names there are."""
    if name not in FAMILIES:
        raise InputError(f"no curve family {name!r}", remedy=f"choose one of: {', '.join(FAMILIES)}")
    return FAMILIES[name]
