"""Sections 4.2.1 and 4.2.2: what fits to the published points determine, and how well they fit them."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
from scipy.optimize import curve_fit
from scipy.special import chdtrc, ndtri, stdtr

from tal_repro.curves import Fit, fit
from tal_repro.paper.claims.baselines import RUNS_PER_POINT
from tal_repro.paper.claims.curves import (
    Array,
    completed,
    curve,
    exponential,
    fitted,
    logistic5,
    partial_points,
    sources,
    titled,
)
from tal_repro.paper.claims.derivation import Derivation, Reading, between, derives
from tal_repro.paper.claims.readings import half_digit, number, std_choices, vary
from tal_repro.paper.claims.valley import Valley
from tal_repro.published.table import Table

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

    `start` is the optimum (parameters in the family's order), `half` half the last digit of the values. A side on which
    the fit ties without end is 0 or infinity; where in such a valley the optimum stopped then does not matter.
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
    valley = Valley(misses, np.array(start), place, tie)
    low, high = valley.farthest(-1.0), valley.farthest(1.0)
    return min(low, high), max(low, high)


SMALLEST = 1e-300  # a probability: its normal deviate stays finite
ORIGIN_PERCENT = 1e-9  # no data, 0 mAP; the families take no 0
PARAMETERS = {"E1": ("exponential", "a"), "E2": ("exponential", "b"), "E3": ("exponential", "c"),
              "F1": ("5pl", "A"), "F2": ("5pl", "span"), "F3": ("5pl", "c"), "F4": ("5pl", "b"),
              "F5": ("5pl", "g")}  # fmt: skip


def _parameter(family: str, name: str) -> Callable[[Table], Derivation]:
    def derive(learning_curves: Table) -> Derivation:
        part = partial_points(curve(learning_curves, "tadtr"))
        fit = fitted(family, part["train_percent"], part["map_mean"])
        value, low, high = determined(fit, family, name, half_digit(part["map_mean"]))
        if low == 0.0 or high == np.inf:
            any_value = f"any {name} {between(low, high, '.2g')} fits the {fit.n} points as well"
            reason = f"{any_value}, and they have no least-squares optimum ({fit.k} parameters)"
            value = high if low == 0.0 else low
            optimum: tuple[Reading, ...] = ()
        else:
            reason = f"the least-squares optimum on {fit.n} points has {name} = {value:.6g} ({fit.k} parameters)"
            if f"{low:.4g}" != f"{high:.4g}":
                any_value = f"any {between(low, high, '.4g')} fits them as well"
                reason += f", but {any_value}, as far as their own rounding can tell"
            optimum = number(value, f"least-squares optimum on {fit.n} points")
        tied = Reading("any value that fits as well", value, low=low, high=high, undetermined=reason)
        return Derivation((*optimum, tied), (part,), reason)

    return derive


def determined(fit: Fit, family: str, name: str, half: float) -> tuple[float, float, float]:
    """Return a parameter's optimum, and between which values the points do not tell it apart from the optimum."""
    parameters = dict(fit.params)
    if family == "5pl":
        parameters["span"] = parameters["A"] - parameters["low"]
    start = tuple(float(parameters[key]) for key in CURVES[family][0])
    low, high = tied_range(family, name, tuple(fit.x.tolist()), tuple(fit.y.tolist()), start, half)
    return float(parameters[name]), low, high


for _claim, _which in PARAMETERS.items():
    derives(_claim, tables=["learning_curves"])(_parameter(*_which))


@derives("E12", tables=["learning_curves"])
def exponential_on_all_points(learning_curves: Table) -> Derivation:
    """Mean miss of an exponential fitted to all of TadTR's points, on them."""
    table = curve(learning_curves, "tadtr")
    fit = fitted("exponential", table["train_percent"], table["map_mean"])
    miss = float(np.abs(fit.residuals).mean())
    reason = f"fitted to all {fit.n} points it misses them by {miss:.2f} mAP on average (R2 = {fit.r2:.4f})"
    return Derivation(number(miss, f"mean miss on the {fit.n} points"), (table,), reason)


@derives("E15", tables=["learning_curves", "table2"])
def nearer_to_an_exponential(learning_curves: Table, table2: Table) -> Derivation:
    """The exponential's mean miss on TadTR's points over that on ActionFormer's, each fitted to all of its own."""
    rows, misses = [], {}
    for model in ("tadtr", "actionformer"):
        table, percent, value = completed(learning_curves, table2, model)
        misses[model] = float(np.abs(fitted("exponential", percent, value).residuals).mean())
        rows.append(table)
    reason = "an exponential fitted to all points misses " + " and ".join(
        f"{titled(model)}'s by {miss:.2f} mAP" for model, miss in misses.items()
    )
    ratio = misses["tadtr"] / misses["actionformer"]
    return Derivation(number(ratio, "TadTR's mean miss over ActionFormer's"), tuple(rows), reason)


@derives("E16", tables=["learning_curves"])
def not_purely_exponential(learning_curves: Table) -> Derivation:
    """The p-value of an exponential through ActionFormer's points, against the scatter of their runs.

    Each point has a variance of its own, estimated from few runs: a miss over its error follows a t distribution and
    is turned into the normal deviate of the same probability before they are summed up (Alexander and Govern, 1994). An
    F test with these variances would reject true exponentials in 10 %, this one in 5 % (simulated).
    """
    table = curve(learning_curves, "actionformer")
    percent, mean, std = table["train_percent"], table["map_mean"], table["map_std"]
    error = std / np.sqrt(RUNS_PER_POINT)
    start = tuple(fit("exponential", percent, mean).params.values())
    parameters, _ = curve_fit(
        lambda x, *theta: _exponential(x, np.asarray(theta)), percent, mean, start, error, absolute_sigma=True
    )
    missed = mean - _exponential(percent, np.asarray(parameters))
    points, free = len(percent), len(percent) - len(parameters)

    def lack_of_fit(std: float) -> tuple[Reading, ...]:
        tails = stdtr(RUNS_PER_POINT - 1, -np.abs(missed / (error * std)))
        return number(float(chdtrc(free, (ndtri(np.maximum(tails, SMALLEST)) ** 2).sum())), "lack of fit, p")

    readings = vary(lack_of_fit, std=std_choices(RUNS_PER_POINT))
    p, wider = (reading.value for reading in readings[:2])
    reason = (
        f"an exponential fitted to its {points} points misses them by {np.abs(missed).mean():.2f} mAP on average; "
        f"against the scatter of {RUNS_PER_POINT} runs p = {p:.2g} (Alexander-Govern test of lack of fit; "
        f"{wider:.2g} if the stds, whose kind the table does not state, are a population's)"
    )
    return Derivation(readings, (table,), reason)


@derives("D11", tables=["learning_curves", "table2"])
def one_shape_fits_all(learning_curves: Table, table2: Table) -> Derivation:
    """The lowest R2 of a 5PL fitted to all points of a model, over the four."""
    rows, errors = [], {}
    for model in ("tadtr", "actionformer", "tridet", "temporalmaxer"):
        table, percent, value = completed(learning_curves, table2, model)
        errors[model] = fitted("5pl", percent, value).r2
        rows.append(table)
    reason = "R2 of a 5PL on all points: " + ", ".join(f"{titled(m)} {r2:.4f}" for m, r2 in errors.items())
    return Derivation(number(min(errors.values()), "lowest R2"), tuple(rows), reason)


def _goodness(model: str) -> Callable[[Table, Table], Derivation]:
    def derive(learning_curves: Table, table2: Table) -> Derivation:
        rows, percent, value = completed(learning_curves, table2, model)
        fit = fitted("5pl", percent, value)
        origin = fitted("5pl", np.append(percent, ORIGIN_PERCENT), np.append(value, 0.0))
        choices = {"all points": fit.r2, "all points and the origin": origin.r2}
        reason = (
            f"R2 = {fit.r2:.5f}, with the origin {origin.r2:.5f}: {fit.k} parameters on {fit.n} points, held-out "
            f"error {fit.held_out.text}"
        )
        return Derivation(vary(lambda points: number(points), points=choices), sources(rows, table2, model), reason)

    return derive


for _claim, _model in {"F8": "tridet", "F9": "actionformer", "F10": "temporalmaxer"}.items():
    derives(_claim, tables=["learning_curves", "table2"])(_goodness(_model))
