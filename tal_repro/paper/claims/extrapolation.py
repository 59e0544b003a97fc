"""Sections 4.2.1 and 4.2.2: the exponential and 5PL fits, and what they predict, computed again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np

from tal_repro.curves import Fit
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
    partial_points,
    printed,
    sources,
)
from tal_repro.paper.claims.derivation import Derivation, Reading, derives
from tal_repro.paper.claims.readings import Number, half_digit, mean_and_std, number, over_rounding, vary
from tal_repro.paper.claims.readings import printed as as_printed
from tal_repro.published.table import Table

HORIZON_PERCENT = 300.0
PERCENTAGES = {"at 100 %": 100.0, "at 95 %": 95.0}


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
        "the equation as printed": [evaluate(percent, p) for p in _as_printed(equation, full)],
        "its fit in full precision": [full.predict(percent)],
    }
    kept = {f"the {int(unseen.sum())} unseen points": unseen, f"all {len(mean)} points": percent > 0}
    readings = vary(lambda fit, points: _missed(mean, fit, points), points=kept, fit=predicted)
    own = mean_and_std(np.abs(every.residuals))
    readings += vary(lambda fit: fit, fit={"": (), f"fitted to all {every.n} points, on them": own})
    misses = {r.label.rsplit(", n = ", 1)[0]: r for r in readings if r.sample and r.sample.kind == "population"}
    reason = "mean miss: " + "; ".join(f"{label} {r.value:.2f} ± {r.spread:.2f} mAP" for label, r in misses.items())
    return Derivation(readings, (table,), f"{reason} (population std)")


def _as_printed(equation: dict[str, float], full: Fit) -> list[dict[str, float]]:
    """Return the equation, and with it the corners of what rounds to its digits where the fit does not give them."""
    parameters = {**full.params, "span": full.params.get("A", 0.0) - full.params.get("low", 0.0)}
    halves = {name: half_digit([value]) for name, value in equation.items()}
    if all(abs(parameters[name] - value) <= halves[name] for name, value in equation.items()):
        return [equation]
    sides = product(*((value - halves[name], value + halves[name]) for name, value in equation.items()))
    return [equation, *(dict(zip(equation, side, strict=True)) for side in sides)]


def _missed(mean: Array, predictions: list[Array], points: Array) -> list[Reading]:
    """Return the mean ± std of the first prediction's misses, bounded by those of the others."""
    misses = [np.abs(mean - predicted)[points] for predicted in predictions]
    means = [float(miss.mean()) for miss in misses]
    low, high = (min(means), max(means)) if len(means) > 1 else (None, None)
    return [replace(reading, low=low, high=high) for reading in mean_and_std(misses[0])]


@derives("E5", tables=["learning_curves", "paper_equations"])
def exponential_at_full_data(learning_curves: Table, equations: Table) -> Derivation:
    """The exponential at 100 %, then at 95 %: from the printed parameters to the full-precision fit."""
    table, predict = _exponentials(learning_curves, equations)
    readings = vary(lambda percentage: (_between(predict(percentage)),), percentage=PERCENTAGES)
    reason = f"at 100 % it gives {_span(readings[0])} mAP, at 95 % {_span(readings[1])} mAP"
    return Derivation(readings, (partial_points(table),), f"{reason} (printed digits to full precision)")


@derives("E6", tables=["learning_curves", "paper_equations"])
def exponential_error(learning_curves: Table, equations: Table) -> Derivation:
    """Published mAP minus the exponential at 100 %, then at 95 %."""
    table, predict = _exponentials(learning_curves, equations)
    readings = vary(lambda percentage: (_between(_value(table, percentage) - predict(percentage)),),
                    percentage=PERCENTAGES)  # fmt: skip
    reason = f"at 100 % it misses by {_span(readings[0])} mAP, at 95 % by {_span(readings[1])} mAP"
    return Derivation(readings, (partial_points(table), _last_points(table)), reason)


@derives("E7", tables=["learning_curves", "paper_equations"])
def exponential_relative_error(learning_curves: Table, equations: Table) -> Derivation:
    """The same error in percent of the published mAP."""
    table, predict = _exponentials(learning_curves, equations)
    readings = vary(lambda percentage: (_between(100 * (1 - predict(percentage) / _value(table, percentage))),),
                    percentage=PERCENTAGES)  # fmt: skip
    reason = "; ".join(f"{r.label}: {r.value:.1f} %" for r in readings)
    return Derivation(readings, (partial_points(table), _last_points(table)), reason)


def _exponentials(learning_curves: Table, equations: Table) -> tuple[Table, Callable[[float], Array]]:
    """Return TadTR's curve, and a function giving [printed digits, full precision] predictions."""
    table = curve(learning_curves, "tadtr")
    fit, digits = partial_fit(table, "exponential"), printed(equations, "exponential")
    return table, lambda percent: np.array([float(exponential(percent, p)) for p in (digits, fit.params)])


def _between(values: Array) -> Reading:
    return Reading("", float(values.mean()), low=float(values.min()), high=float(values.max()))


def _span(reading: Reading) -> str:
    low, high = f"{reading.low:.2f}", f"{reading.high:.2f}"
    return low if low == high else f"{low} to {high}"


def _value(table: Table, percent: float) -> float:
    return float(table.where(train_percent=percent)["map_mean"][0])


def _last_points(table: Table) -> Table:
    return table.where(lambda row: row["train_percent"] >= min(PERCENTAGES.values()))


def _shares(table: Table) -> dict[str, float]:
    percent = partial_points(table)["train_percent"]
    distinct = 100 * (1 - float(np.prod(1 - percent / 100)))  # subsets drawn independently overlap
    return {"largest subset": float(percent.max()), "sum of the subsets": float(percent.sum()),
            "distinct videos in one draw of each subset, on average": distinct}  # fmt: skip


@derives("F7", tables=["learning_curves"])
def share_of_data_used(learning_curves: Table) -> Derivation:
    """The largest subset of the fit, the sum of its subsets, the distinct data in them, in percent of the data."""
    table = curve(learning_curves, "tadtr")
    shares = _shares(table)
    largest, total, distinct = shares.values()
    reason = (
        f"the fit uses points up to {largest:g} %; its {len(partial_points(table))} subsets sum to {total:g} % and "
        f"hold {distinct:.1f} % distinct videos on average"
    )
    return Derivation(vary(lambda count: number(count), count=shares), (partial_points(table),), reason)


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
    return Derivation(vary(lambda base: number(base), base=choices), (partial_points(table),), reason)


@derives("F11", tables=["learning_curves", "table2"])
def tridet_with_three_times_the_data(learning_curves: Table, table2: Table) -> Derivation:
    """TriDet's 5PL at 300 %, over what rounds to Table 2's mAP at 100 %."""
    rows, predict, full = _tridet_at_horizon(learning_curves, table2)
    readings = over_rounding(predict, full, label="5PL at 300 %")
    reason = f"{readings[0].value:.2f} mAP with {full[0]:g} mAP at 100 %"
    reason += f"; {_span(readings[0])} over what rounds to it" if full[1] else ""
    return Derivation(readings, sources(rows, table2, "tridet"), reason)


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
    return Derivation(readings, (*sources(rows, table2, "tridet"), own), reason)


def _tridet_at_horizon(learning_curves: Table, table2: Table) -> tuple[Table, Callable[[float], float], Number]:
    """Return the source rows, the 5PL at 300 % as a function of the 100 % point, and that point as printed.

    Table 2 rounds it; a sweep that measured it does not.
    """
    rows, percent, value = completed(learning_curves, table2, "tridet")
    half = half_digit(table2["map_mean"]) if 100.0 not in rows["train_percent"] else 0.0

    def predict(full: float) -> float:
        return float(fitted("5pl", percent, np.append(value[:-1], full)).predict(HORIZON_PERCENT)[0])

    return rows, predict, (float(value[-1]), half)


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
