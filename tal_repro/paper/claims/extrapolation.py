"""Sections 4.2.1 and 4.2.2: the exponential and 5PL fits, and what they predict, computed again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.special import fdtrc

from tal_repro.curves import Fit, fit
from tal_repro.paper.claims.baselines import RUNS_PER_POINT
from tal_repro.paper.claims.curves import (
    FIT_UP_TO_PERCENT,
    Array,
    completed,
    curve,
    exponential,
    fitted,
    logistic5,
    partial_fit,
    printed,
    titled,
)
from tal_repro.paper.claims.derivation import Derivation, Reading, derives
from tal_repro.paper.claims.identified import CURVES, tied_range
from tal_repro.paper.claims.readings import Number, half_digit, mean_and_std, number, over_rounding, vary
from tal_repro.paper.claims.readings import printed as as_printed
from tal_repro.paper.table import Table

HORIZON_PERCENT = 300.0
ORIGIN_PERCENT = 1e-9  # no data, 0 mAP; the families take no 0
PERCENTAGES = {"at 100 %": 100.0, "at 95 %": 95.0}
PARAMETERS = {"E1": ("exponential", "a"), "E2": ("exponential", "b"), "E3": ("exponential", "c"),
              "F1": ("5pl", "A"), "F2": ("5pl", "span"), "F3": ("5pl", "c"), "F4": ("5pl", "b"),
              "F5": ("5pl", "g")}  # fmt: skip


def _parameter(family: str, name: str) -> Callable[[Table], Derivation]:
    def derive(learning_curves: Table) -> Derivation:
        part = _part(curve(learning_curves, "tadtr"))
        found = fitted(family, part["train_percent"], part["map_mean"])
        value, low, high = _determined(found, family, name, half_digit(part["map_mean"]))
        reason = (
            f"the least-squares optimum on {found.n} points has {name} = {value:.6g} ({found.k} parameters), but any "
            f"from {low:.4g} to {high:.4g} fits them as well, as far as their own rounding can tell"
        )
        optimum = number(value, f"least-squares optimum on {found.n} points")
        tied = Reading("any value that fits as well", value, low=low, high=high, undetermined=reason)
        return Derivation((*optimum, tied), (part,), reason)

    return derive


def _determined(found: Fit, family: str, name: str, half: float) -> tuple[float, float, float]:
    """Return a parameter's optimum, and between which values the points do not tell it apart from the optimum."""
    parameters = dict(found.params)
    if family == "5pl":
        parameters["span"] = parameters["A"] - parameters["low"]
    start = tuple(float(parameters[key]) for key in CURVES[family][0])
    low, high = tied_range(family, name, tuple(found.x.tolist()), tuple(found.y.tolist()), start, half)
    return float(parameters[name]), low, high


for _claim, _which in PARAMETERS.items():
    derives(_claim, tables=["learning_curves"])(_parameter(*_which))


@derives("E4", tables=["learning_curves", "paper_equations"])
def exponential_mean_error(learning_curves: Table, equations: Table) -> Derivation:
    """Mean ± std of the exponential's absolute error on the unseen points, then on all."""
    return _mean_errors(learning_curves, printed(equations, "exponential"), "exponential", exponential)


@derives("F6", tables=["learning_curves", "paper_equations"])
def logistic_mean_error(learning_curves: Table, equations: Table) -> Derivation:
    """Mean ± std of the 5PL's absolute error on the unseen points, then on all."""
    return _mean_errors(learning_curves, printed(equations, "5pl"), "5pl", logistic5)


def _mean_errors(
    learning_curves: Table, equation: dict[str, float], family: str, evaluate: Callable[..., Any]
) -> Derivation:
    table = curve(learning_curves, "tadtr")
    percent, mean = table["train_percent"], table["map_mean"]
    unseen = percent > FIT_UP_TO_PERCENT
    every = fitted(family, percent, mean)
    full = partial_fit(table, family)
    predicted = {
        "the equation as printed": evaluate(percent, equation),
        "its fit in full precision": full.predict(percent),
    }
    kept = {f"the {int(unseen.sum())} unseen points": unseen, f"all {len(mean)} points": percent > 0}
    readings = vary(lambda fit, points: mean_and_std(np.abs(mean - fit)[points]), points=kept, fit=predicted)
    own = mean_and_std(np.abs(every.residuals))
    readings += vary(lambda fit: fit, fit={"": (), f"fitted to all {every.n} points, on them": own})
    misses = {r.label.rsplit(", n = ", 1)[0]: r for r in readings if r.sample and r.sample.kind == "population"}
    reason = "mean miss: " + "; ".join(f"{label} {r.value:.2f} ± {r.spread:.2f} mAP" for label, r in misses.items())
    return Derivation(readings, (table,), f"{reason} (population std)")


@derives("E5", tables=["learning_curves", "paper_equations"])
def exponential_at_full_data(learning_curves: Table, equations: Table) -> Derivation:
    """The exponential at 100 %, then at 95 %: from the printed parameters to the full-precision fit."""
    table, predict = _exponentials(learning_curves, equations)
    readings = vary(lambda percentage: (_between(predict(percentage)),), percentage=PERCENTAGES)
    reason = f"at 100 % it gives {_span(readings[0])} mAP, at 95 % {_span(readings[1])} mAP"
    return Derivation(readings, (_part(table),), f"{reason} (printed digits to full precision)")


@derives("E6", tables=["learning_curves", "paper_equations"])
def exponential_error(learning_curves: Table, equations: Table) -> Derivation:
    """Published mAP minus the exponential at 100 %, then at 95 %."""
    table, predict = _exponentials(learning_curves, equations)
    readings = vary(lambda percentage: (_between(_value(table, percentage) - predict(percentage)),),
                    percentage=PERCENTAGES)  # fmt: skip
    reason = f"at 100 % it misses by {_span(readings[0])} mAP, at 95 % by {_span(readings[1])} mAP"
    return Derivation(readings, (_part(table), _last_points(table)), reason)


@derives("E7", tables=["learning_curves", "paper_equations"])
def exponential_relative_error(learning_curves: Table, equations: Table) -> Derivation:
    """The same error in percent of the published mAP."""
    table, predict = _exponentials(learning_curves, equations)
    readings = vary(lambda percentage: (_between(100 * (1 - predict(percentage) / _value(table, percentage))),),
                    percentage=PERCENTAGES)  # fmt: skip
    reason = "; ".join(f"{r.label}: {r.value:.1f} %" for r in readings)
    return Derivation(readings, (_part(table), _last_points(table)), reason)


def _exponentials(learning_curves: Table, equations: Table) -> tuple[Table, Callable[[float], Array]]:
    """Return TadTR's curve, and a function giving [printed digits, full precision] predictions."""
    table = curve(learning_curves, "tadtr")
    found, digits = partial_fit(table, "exponential"), printed(equations, "exponential")
    return table, lambda percent: np.array([float(exponential(percent, p)) for p in (digits, found.params)])


def _between(values: Array) -> Reading:
    return Reading("", float(values.mean()), low=float(values.min()), high=float(values.max()))


def _span(reading: Reading) -> str:
    return f"{reading.low:.2f} to {reading.high:.2f}"


def _value(table: Table, percent: float) -> float:
    return float(table.where(train_percent=percent)["map_mean"][0])


def _part(table: Table) -> Table:
    return table.where(lambda row: row["train_percent"] <= FIT_UP_TO_PERCENT)


def _last_points(table: Table) -> Table:
    return table.where(lambda row: row["train_percent"] >= min(PERCENTAGES.values()))


@derives("E12", tables=["learning_curves"])
def exponential_on_all_points(learning_curves: Table) -> Derivation:
    """Mean miss of an exponential fitted to all of TadTR's points, on them."""
    table = curve(learning_curves, "tadtr")
    found = fitted("exponential", table["train_percent"], table["map_mean"])
    miss = float(np.abs(found.residuals).mean())
    reason = f"fitted to all {found.n} points it misses them by {miss:.2f} mAP on average (R2 = {found.r2:.4f})"
    return Derivation(number(miss, f"mean miss on the {found.n} points"), (table,), reason)


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
    """The p-value of an exponential through ActionFormer's points, against the scatter of their runs (F test)."""
    table = curve(learning_curves, "actionformer")
    percent, mean, std = table["train_percent"], table["map_mean"], table["map_std"]
    found = fit("exponential", percent, mean, sigma=std, n=RUNS_PER_POINT, weights="se2")
    ratio = float((found.residuals**2 / (std**2 / RUNS_PER_POINT)).sum()) / found.dof
    p = float(fdtrc(found.dof, (RUNS_PER_POINT - 1) * found.n, ratio))
    reason = (
        f"an exponential fitted to its {found.n} points misses them by {np.abs(found.residuals).mean():.2f} mAP on "
        f"average, {ratio:.1f} times the variance of their means (F test, p = {p:.2g})"
    )
    return Derivation(number(p, "lack of fit, p"), (table,), reason)


@derives("D11", tables=["learning_curves", "table2"])
def one_shape_fits_all(learning_curves: Table, table2: Table) -> Derivation:
    """The lowest R2 of a 5PL fitted to all points of a model, over the four."""
    rows, found = [], {}
    for model in ("tadtr", "actionformer", "tridet", "temporalmaxer"):
        table, percent, value = completed(learning_curves, table2, model)
        found[model] = fitted("5pl", percent, value).r2
        rows.append(table)
    reason = "R2 of a 5PL on all points: " + ", ".join(f"{titled(m)} {r2:.4f}" for m, r2 in found.items())
    return Derivation(number(min(found.values()), "lowest R2"), tuple(rows), reason)


def _shares(table: Table) -> dict[str, float]:
    percent = _part(table)["train_percent"]
    return {"largest subset": float(percent.max()), "sum of the subsets": float(percent.sum())}


@derives("F7", tables=["learning_curves"])
def share_of_data_used(learning_curves: Table) -> Derivation:
    """The largest subset of the fit, then the sum of its subsets, in percent of the data."""
    table = curve(learning_curves, "tadtr")
    shares = _shares(table)
    largest, total = shares.values()
    reason = f"the fit uses points up to {largest:g} %; its {len(_part(table))} subsets sum to {total:g} %"
    return Derivation(vary(lambda count: number(count), count=shares), (_part(table),), reason)


@derives("F14", tables=["learning_curves"])
def cost_of_the_subsets(learning_curves: Table) -> Derivation:
    """What the subsets of the fit cost, in percent of as many trainings on all data; epochs being equal."""
    table = curve(learning_curves, "tadtr")
    total = _shares(table)["sum of the subsets"]
    reason = (
        f"its subsets sum to {total:g} % of the data: with {RUNS_PER_POINT} runs a point {RUNS_PER_POINT * total:g} % "
        f"of one training on all data, {total:g} % of {RUNS_PER_POINT}"
    )
    choices = {f"against {RUNS_PER_POINT} trainings": total, "against one training": RUNS_PER_POINT * total}
    return Derivation(vary(lambda base: number(base), base=choices), (_part(table),), reason)


def _goodness(model: str) -> Callable[[Table, Table], Derivation]:
    def derive(learning_curves: Table, table2: Table) -> Derivation:
        rows, percent, value = completed(learning_curves, table2, model)
        found = fitted("5pl", percent, value)
        origin = fitted("5pl", np.append(percent, ORIGIN_PERCENT), np.append(value, 0.0))
        choices = {"all points": found.r2, "all points and the origin": origin.r2}
        reason = (
            f"R2 = {found.r2:.5f}, with the origin {origin.r2:.5f}: {found.k} parameters on {found.n} points, held-out "
            f"error {found.held_out.text}"
        )
        return Derivation(vary(lambda points: number(points), points=choices), _sources(rows, table2, model), reason)

    return derive


for _claim, _model in {"F8": "tridet", "F9": "actionformer", "F10": "temporalmaxer"}.items():
    derives(_claim, tables=["learning_curves", "table2"])(_goodness(_model))


@derives("F11", tables=["learning_curves", "table2"])
def tridet_with_three_times_the_data(learning_curves: Table, table2: Table) -> Derivation:
    """TriDet's 5PL at 300 %, over what rounds to Table 2's mAP at 100 %."""
    rows, predict, full = _tridet_at_horizon(learning_curves, table2)
    readings = over_rounding(predict, full, label="5PL at 300 %")
    reason = f"{readings[0].value:.2f} mAP with Table 2's mAP as printed; {_span(readings[0])} over what rounds to it"
    return Derivation(readings, _sources(rows, table2, "tridet"), reason)


@derives("F12", tables=["learning_curves", "table2", "paper_statements"])
def tridet_gain(learning_curves: Table, table2: Table, statements: Table) -> Derivation:
    """The gain of that prediction over TriDet's mAP here, then over its own paper's, in percent."""
    rows, predict, full = _tridet_at_horizon(learning_curves, table2)
    own = statements.where(quantity="tridet_own_paper_map")
    theirs = as_printed(own["value"][0])
    gains = {
        f"relative to {full[0]:g}": over_rounding(lambda here: 100 * (predict(here) / here - 1), full),
        f"relative to TriDet's own paper ({theirs[0]:g})": over_rounding(
            lambda here, there: 100 * (predict(here) / there - 1), full, theirs
        ),
    }
    readings = vary(lambda base: base, base=gains)
    reason = "; ".join(f"{r.label}: {_span(r)} %" for r in readings)
    return Derivation(readings, (*_sources(rows, table2, "tridet"), own), reason)


def _tridet_at_horizon(learning_curves: Table, table2: Table) -> tuple[Table, Callable[[float], float], Number]:
    """Return the source rows, the 5PL at 300 % as a function of the 100 % point, and that point as printed."""
    rows, percent, value = completed(learning_curves, table2, "tridet")

    def predict(full: float) -> float:
        return float(fitted("5pl", percent, np.append(value[:-1], full)).predict(HORIZON_PERCENT)[0])

    return rows, predict, (float(value[-1]), half_digit(table2["map_mean"]))


def _sources(rows: Table, table2: Table, model: str) -> tuple[Table, ...]:
    return (rows,) if 100.0 in rows["train_percent"] else (rows, table2.where(model=model))


@derives("D7", tables=["learning_curves", "paper_equations"])
def partial_data_predicts(learning_curves: Table, equations: Table) -> Derivation:
    """Relative error at 100 % of the fits to the points up to 10 %: the worse of the two families, then the 5PL."""
    table = curve(learning_curves, "tadtr")
    full, unseen = _value(table, 100.0), table.where(lambda r: r["train_percent"] > FIT_UP_TO_PERCENT)
    errors = {f: abs(full - float(partial_fit(table, f).predict(100.0)[0])) for f in ("exponential", "5pl")}
    logistic = logistic5(unseen["train_percent"], printed(equations, "5pl"))
    reason = (
        f"at 100 % the exponential misses by {errors['exponential']:.1f} mAP, the 5PL by {errors['5pl']:.1f} mAP "
        f"({np.abs(unseen['map_mean'] - logistic).mean():.1f} mAP over the unseen points)"
    )
    choices = {"the worse of the two families": max(errors.values()), "the 5PL alone": errors["5pl"]}
    return Derivation(vary(lambda fit: number(100 * fit / full), fit=choices), (table,), reason)
