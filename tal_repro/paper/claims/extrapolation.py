"""Sections 4.2.1 and 4.2.2: the exponential and 5PL fits, and what they predict, computed again."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tal_repro.curves import fit
from tal_repro.paper.claims.curves import (
    FIT_UP_TO_PERCENT,
    Array,
    completed,
    curve,
    exponential,
    logistic5,
    partial_fit,
    printed,
)
from tal_repro.paper.claims.derivation import Derivation, Reading, derives
from tal_repro.published.table import Table

HORIZON_PERCENT = 300.0
TABLE2_HALF_DIGIT = 0.05  # Table 2 prints mAP with one decimal


def _exponential_parameter(name: str) -> Callable[[Table], Derivation]:
    def derive(learning_curves: Table) -> Derivation:
        table = curve(learning_curves, "tadtr")
        found = partial_fit(table, "exponential")
        value = found.params[name]
        told = f"least squares on log2 mAP, {found.n} points up to {FIT_UP_TO_PERCENT:g} %: {name} = {value:.6f}"
        return Derivation((Reading("log-log fit", value),), (_part(table),), told)

    return derive


for _claim, _name in {"E1": "a", "E2": "b", "E3": "c"}.items():
    derives(_claim, tables=["learning_curves"])(_exponential_parameter(_name))


@derives("E4", tables=["learning_curves", "paper_equations"])
def exponential_mean_error(learning_curves: Table, equations: Table) -> Derivation:
    """Mean ± std of the printed exponential's absolute error on the unseen points, then on all."""
    table = curve(learning_curves, "tadtr")
    return _mean_errors(table, exponential(table["train_percent"], printed(equations, "exponential")), "")


@derives("F6", tables=["learning_curves", "paper_equations"])
def logistic_mean_error(learning_curves: Table, equations: Table) -> Derivation:
    """Mean ± std of the printed 5PL's absolute error on the unseen points, then on all."""
    table = curve(learning_curves, "tadtr")
    every = fit("5pl", table["train_percent"], table["map_mean"])
    best = np.abs(every.residuals).mean()
    told = f"; a 5PL fitted to all {every.n} points reaches {best:.2f}"
    return _mean_errors(table, logistic5(table["train_percent"], printed(equations, "5pl")), told)


def _mean_errors(table: Table, predicted: Array, told: str) -> Derivation:
    error = np.abs(table["map_mean"] - predicted)
    unseen = table["train_percent"] > FIT_UP_TO_PERCENT
    readings = tuple(
        Reading(label, float(error[keep].mean()), float(error[keep].std()))
        for label, keep in (
            (f"the {int(unseen.sum())} unseen points", unseen),
            (f"all {len(error)} points", error >= 0),
        )
    )
    numbers = ", ".join(f"by {r.value:.2f} ± {r.spread:.2f} on {r.label}" for r in readings)
    return Derivation(readings, (table,), f"the printed equation misses {numbers} (population std){told}")


@derives("E5", tables=["learning_curves", "paper_equations"])
def exponential_at_full_data(learning_curves: Table, equations: Table) -> Derivation:
    """The exponential at 100 %, then at 95 %: from the printed parameters to the full-precision fit."""
    table, predict = _exponentials(learning_curves, equations)
    readings = tuple(_between(f"at {p:g} %", predict(p)) for p in (100.0, 95.0))
    told = f"that is its value at 95 % ({_span(readings[1])}); at 100 % it gives {_span(readings[0])}"
    return Derivation(readings, (_part(table),), told + ", printed digits to full precision")


@derives("E6", tables=["learning_curves", "paper_equations"])
def exponential_error(learning_curves: Table, equations: Table) -> Derivation:
    """Published mAP minus the exponential at 100 %, then at 95 %."""
    table, predict = _exponentials(learning_curves, equations)
    readings = tuple(_between(f"at {p:g} %", _value(table, p) - predict(p)) for p in (100.0, 95.0))
    told = f"that is the error at 95 % ({_span(readings[1])}); at 100 % it is {_span(readings[0])}"
    return Derivation(readings, (_part(table), table.where(lambda r: r["train_percent"] >= 95)), told)


@derives("E7", tables=["learning_curves", "paper_equations"])
def exponential_relative_error(learning_curves: Table, equations: Table) -> Derivation:
    """The same error in percent of the published mAP."""
    table, predict = _exponentials(learning_curves, equations)
    errors = {p: 100 * (_value(table, p) - predict(p)) / _value(table, p) for p in (100.0, 95.0)}
    readings = tuple(Reading(f"at {p:g} %", float(e.mean())) for p, e in errors.items())
    told = "; ".join(f"{r.label}: {r.value:.1f} %" for r in readings)
    return Derivation(readings, (_part(table), table.where(lambda r: r["train_percent"] >= 95)), told)


def _exponentials(learning_curves: Table, equations: Table) -> tuple[Table, Callable[[float], Array]]:
    """Return TadTR's curve, and a function giving [printed digits, full precision] predictions."""
    table = curve(learning_curves, "tadtr")
    found, digits = partial_fit(table, "exponential"), printed(equations, "exponential")
    return table, lambda percent: np.array([float(exponential(percent, p)) for p in (digits, found.params)])


def _between(label: str, values: Array) -> Reading:
    return Reading(label, float(values.mean()), low=float(values.min()), high=float(values.max()))


def _span(reading: Reading) -> str:
    return f"{reading.low:.2f} to {reading.high:.2f}"


def _value(table: Table, percent: float) -> float:
    return float(table.where(train_percent=percent)["map_mean"][0])


def _part(table: Table) -> Table:
    return table.where(lambda row: row["train_percent"] <= FIT_UP_TO_PERCENT)


def _logistic_parameter(name: str) -> Callable[[Table], Derivation]:
    def derive(learning_curves: Table) -> Derivation:
        table = curve(learning_curves, "tadtr")
        found = partial_fit(table, "5pl")
        parameters = {**found.params, "span": found.params["A"] - found.params["low"]}
        product = parameters["b"] * parameters["g"]
        if name in ("b", "g"):
            told = (
                f"not identified: six points fix only the product b g = {product:.4f} "
                f"({'; '.join(found.unidentified) or 'identified here'})"
            )
            readings = () if found.unidentified else (Reading("5PL fit", parameters[name]),)
            return Derivation(readings, (_part(table),), told)
        told = (
            f"the least-squares optimum on {found.n} points has {name} = {parameters[name]:.5g} "
            f"({found.k} parameters, {found.dof} degree of freedom)"
        )
        return Derivation((Reading("5PL fit", parameters[name]),), (_part(table),), told)

    return derive


for _claim, _name in {"F1": "A", "F2": "span", "F3": "c", "F4": "b", "F5": "g"}.items():
    derives(_claim, tables=["learning_curves"])(_logistic_parameter(_name))


@derives("F7", tables=["learning_curves"])
def share_of_data_used(learning_curves: Table) -> Derivation:
    """The largest subset of the fit, then the sum of its subsets, in percent of the data."""
    part = _part(curve(learning_curves, "tadtr"))
    largest, total = float(part["train_percent"].max()), float(part["train_percent"].sum())
    told = f"the fit uses points up to {largest:g} %; its {len(part)} subsets sum to {total:g} %"
    return Derivation((Reading("largest subset", largest), Reading("sum of the subsets", total)), (part,), told)


def _goodness(model: str) -> Callable[[Table, Table], Derivation]:
    def derive(learning_curves: Table, table2: Table) -> Derivation:
        rows, percent, value = completed(learning_curves, table2, model)
        found = fit("5pl", percent, value)
        told = f"R2 = {found.r2:.5f}: {found.k} parameters on {found.n} points, held-out error {found.held_out.text}"
        return Derivation((Reading("5PL on all points", found.r2),), _sources(rows, table2, model), told)

    return derive


for _claim, _model in {"F8": "tridet", "F9": "actionformer", "F10": "temporalmaxer"}.items():
    derives(_claim, tables=["learning_curves", "table2"])(_goodness(_model))


@derives("F11", tables=["learning_curves", "table2"])
def tridet_with_three_times_the_data(learning_curves: Table, table2: Table) -> Derivation:
    """TriDet's 5PL at 300 %: with Table 2's 100 % point as printed, then over what rounds to it."""
    rows, readings = _tridet_at_horizon(learning_curves, table2)
    told = f"{readings[0].value:.2f} with Table 2's mAP as printed; {_span(readings[1])} over what rounds to it"
    return Derivation(readings, _sources(rows, table2, "tridet"), told)


@derives("F12", tables=["learning_curves", "table2", "paper_statements"])
def tridet_gain(learning_curves: Table, table2: Table, statements: Table) -> Derivation:
    """The gain of that prediction over TriDet's mAP here, then over its own paper's, in percent."""
    rows, (_, wide) = _tridet_at_horizon(learning_curves, table2)
    own = statements.where(quantity="tridet_own_paper_map")
    here, theirs = completed(learning_curves, table2, "tridet")[2][-1], float(own["value"][0])
    assert wide.low is not None and wide.high is not None
    readings = []
    for label, base in ((f"relative to {here:g}", here), (f"relative to TriDet's own paper ({theirs:g})", theirs)):
        gain, low, high = (100 * (value / base - 1) for value in (wide.value, wide.low, wide.high))
        readings.append(Reading(label, gain, low=low, high=high))
    told = "; ".join(f"{r.label}: {_span(r)} %" for r in readings)
    return Derivation(tuple(readings), (*_sources(rows, table2, "tridet"), own), told)


def _tridet_at_horizon(learning_curves: Table, table2: Table) -> tuple[Table, tuple[Reading, Reading]]:
    rows, percent, value = completed(learning_curves, table2, "tridet")
    shifts = (0.0, -TABLE2_HALF_DIGIT, TABLE2_HALF_DIGIT)
    predicted = [
        float(fit("5pl", percent, np.append(value[:-1], value[-1] + s)).predict(HORIZON_PERCENT)[0]) for s in shifts
    ]
    wide = Reading("100 % point within its rounding", predicted[0], low=min(predicted), high=max(predicted))
    return rows, (Reading(f"100 % point {value[-1]:g}", predicted[0]), wide)


def _sources(rows: Table, table2: Table, model: str) -> tuple[Table, ...]:
    return (rows,) if 100.0 in rows["train_percent"] else (rows, table2.where(model=model))


@derives("D7", tables=["learning_curves", "paper_equations"])
def partial_data_predicts(learning_curves: Table, equations: Table) -> Derivation:
    """Relative error at 100 % of the fits to the points up to 10 %: the worse of the two families, then the 5PL."""
    table = curve(learning_curves, "tadtr")
    full, unseen = _value(table, 100.0), table.where(lambda r: r["train_percent"] > FIT_UP_TO_PERCENT)
    errors = {f: abs(full - float(partial_fit(table, f).predict(100.0)[0])) for f in ("exponential", "5pl")}
    logistic = logistic5(unseen["train_percent"], printed(equations, "5pl"))
    told = (
        f"at 100 % the exponential misses by {errors['exponential']:.1f} mAP, the 5PL by {errors['5pl']:.1f} "
        f"({np.abs(unseen['map_mean'] - logistic).mean():.1f} over the unseen points)"
    )
    readings = (
        Reading("the worse of the two families", 100 * max(errors.values()) / full),
        Reading("the 5PL alone", 100 * errors["5pl"] / full),
    )
    return Derivation(readings, (table,), told)
