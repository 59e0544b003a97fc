"""How far a parameter can move while a fit stays as good as the rounding of its points can tell.

The points do not determine a parameter within that range: an optimizer may stop anywhere in it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np

from tal_repro.paper.claims.curves import Array, exponential, logistic5

FIRST_STEP, GROWTH, STEPS, BISECTIONS = 2e-3, 2.5, 8, 5  # of the logarithm: 2e-3 * 2.5^7 is a factor of 3.4

HOPELESS = 1e3  # the miss where a curve overflows

Theta = tuple[float, ...]


def _exponential(percent: Array, theta: Array) -> Array:
    return np.asarray(exponential(percent, dict(zip("abc", theta, strict=True))))


def _logistic(percent: Array, theta: Array) -> Array:
    return np.asarray(logistic5(percent, dict(zip(("A", "span", "c", "b", "g"), theta, strict=True))))


CURVES: dict[str, tuple[tuple[str, ...], Callable[[Array, Array], Array], bool]] = {
    "exponential": (("a", "b", "c"), _exponential, True),  # fitted to log2 mAP
    "5pl": (("A", "span", "c", "b", "g"), _logistic, False),
}


@cache
def tied_range(family: str, name: str, percent: Theta, value: Theta, start: Theta, half: float) -> tuple[float, float]:
    """Return the lowest and highest value of a parameter whose best fit to the points is as good as the optimum.

    `start` is the optimum (parameters in the family's order), `half` half the last digit of the values.
    """
    names, curve, in_log2 = CURVES[family]
    if not all(0 < parameter < np.inf for parameter in start):  # not a curve that rises to a ceiling
        return start[names.index(name)], start[names.index(name)]
    place, x, y = names.index(name), np.array(percent), np.array(value)
    target, rounding = (np.log2(y), half / (y * np.log(2))) if in_log2 else (y, np.full(len(y), half))

    def misses(theta: Array) -> Array:
        predicted = curve(x, theta)
        return np.asarray((np.log2(np.maximum(predicted, 1e-9)) if in_log2 else predicted) - target)

    best = misses(np.array(start))
    tie = float((best**2).sum() + 2 * (np.abs(best) * rounding).sum() + (rounding**2).sum())
    low, high = (_farthest(misses, np.array(start), place, sign, tie) for sign in (-1.0, 1.0))
    return min(low, high), max(low, high)


def _farthest(misses: Callable[[Array], Array], start: Array, place: int, sign: float, tie: float) -> float:
    """Walk a parameter away in growing steps, refitting the others, while the fit ties; then bisect the last step."""
    size, held, value = FIRST_STEP, start, start[place]
    for _ in range(STEPS):
        trial = start[place] * float(np.exp(sign * size))
        refitted = _refit(misses, held, place, trial)
        if float((misses(refitted) ** 2).sum()) > tie:
            return _bisect(misses, held, place, value, trial, tie)
        held, value, size = refitted, trial, size * GROWTH
    return float(value)


def _bisect(
    misses: Callable[[Array], Array], held: Array, place: int, inside: float, outside: float, tie: float
) -> float:
    for _ in range(BISECTIONS):
        middle = (inside + outside) / 2
        refitted = _refit(misses, held, place, middle)
        if float((misses(refitted) ** 2).sum()) > tie:
            outside = middle
        else:
            inside, held = middle, refitted
    return float(inside)


def _refit(misses: Callable[[Array], Array], held: Array, place: int, value: float) -> Array:
    """Fit all parameters but one (they stay positive: their logarithms are fitted)."""
    from scipy.optimize import least_squares

    free = [index for index in range(len(held)) if index != place]

    def theta(logs: Array) -> Array:
        whole = held.copy()
        whole[place], whole[free] = value, np.exp(logs)
        return whole

    def finite(logs: Array) -> Array:
        return np.nan_to_num(misses(theta(logs)), nan=HOPELESS)

    with np.errstate(all="ignore"):
        found = least_squares(finite, np.log(held[free]), method="lm", max_nfev=300)
    return theta(found.x)
