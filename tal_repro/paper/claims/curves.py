"""The curves that several claims fit: one model's points in order, and the fits of the paper's two families."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tal_repro.curves import Fit, fit
from tal_repro.errors import InputError
from tal_repro.models.registry import MODELS
from tal_repro.published.table import Table

FIT_UP_TO_PERCENT = 10.0  # the paper's partial fits use TadTR's points at 1, 2, 3, 4, 5 and 10 %

Array = NDArray[np.float64]


def titled(model: str) -> str:
    """Return how a model is called in sentences."""
    return MODELS[model].title if model in MODELS else model


def curve(learning_curves: Table, model: str) -> Table:
    """Return one model's points by ascending percentage; raise InputError where there are none."""
    table = learning_curves.where(model=model).sort("train_percent")
    if not len(table):
        raise InputError(f"no points of {model}", learning_curves.name, "run its data sweep")
    return table


def at(table: Table, percent: float) -> float | None:
    """Return the mean mAP at `percent`, None where the curve has no such point."""
    row = table.where(train_percent=percent)
    return float(row["map_mean"][0]) if len(row) else None


def completed(learning_curves: Table, table2: Table, model: str) -> tuple[Table, Array, Array]:
    """Return (source rows, percentages, mAPs), with Table 2's value where the sweep lacks 100 % (TriDet)."""
    table = curve(learning_curves, model)
    percent, value = table["train_percent"].astype(float), table["map_mean"].astype(float)
    if 100.0 in percent:
        return table, percent, value
    full = float(table2.where(model=model)["map_mean"][0])
    return table, np.append(percent, 100.0), np.append(value, full)


def partial_points(table: Table) -> Table:
    """Return the points that the paper's partial fits use: up to 10 %."""
    return table.where(lambda row: row["train_percent"] <= FIT_UP_TO_PERCENT)


def sources(rows: Table, table2: Table, model: str) -> tuple[Table, ...]:
    """Return the rows behind a completed curve: Table 2's too, where the sweep lacks 100 %."""
    return (rows,) if 100.0 in rows["train_percent"] else (rows, table2.where(model=model))


def partial_fit(table: Table, family: str) -> Fit:
    """Fit `family` to the points up to 10 %, as the paper does for TadTR."""
    part = partial_points(table)
    return fitted(family, part["train_percent"], part["map_mean"])


def fitted(family: str, percent: Array, value: Array) -> Fit:
    """Fit `family` to points; claims that fit the same points share the fit."""
    return _fitted(family, tuple(map(float, percent)), tuple(map(float, value)))


@lru_cache(maxsize=256)
def _fitted(family: str, percent: tuple[float, ...], value: tuple[float, ...]) -> Fit:
    return fit(family, percent, value)


def exponential(percent: Array | float, parameters: dict[str, float]) -> Any:
    """Evaluate mAP = 2^(a - b p^(-1/c)), the paper's exponential on log-log axes (section 4.2.1)."""
    return np.exp2(parameters["a"] - parameters["b"] * np.asarray(percent) ** (-1 / parameters["c"]))


def logistic5(percent: Array | float, parameters: dict[str, float]) -> Any:
    """Evaluate mAP = A - span / (1 + (p / c)^b)^g, the paper's 5PL (section 4.2.2)."""
    grown = np.logaddexp(0.0, parameters["b"] * np.log(np.asarray(percent) / parameters["c"]))
    return parameters["A"] - parameters["span"] * np.exp(-parameters["g"] * grown)


def printed(paper_equations: Table, equation: str) -> dict[str, float]:
    """Return the parameters of an equation as the paper prints them."""
    rows = paper_equations.where(equation=equation)
    return dict(zip(rows["parameter"].tolist(), rows["value"].tolist(), strict=True))
