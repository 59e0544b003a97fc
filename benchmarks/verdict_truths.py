"""The truths that verdicts are calibrated with: the published curves, and curves off by twice a claim's margin.

A truth is a table of learning curves. Each claim about a sweep has a way to be wrong: a family of curves that departs
from the published ones until the claim's own number is off by as much as wanted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache

import numpy as np

from tal_repro.paper.claims.curves import exponential, fitted, logistic5, printed
from tal_repro.paper.claims.derivation import Derivation
from tal_repro.paper.claims.judging import compare, measured_reading
from tal_repro.paper.claims.registered import DERIVATIONS
from tal_repro.paper.claims.statements import Claim, load_claims
from tal_repro.published.load import Published, load_published
from tal_repro.published.table import Table, concatenate

Move = Callable[[Table, float], Table]
Where = Callable[[Table], np.ndarray]
BISECTIONS, STEPS, FIRST_STEP, GROWTH = 14, 22, 1e-2, 1.5


@cache
def published() -> Published:
    return load_published()


@cache
def as_published() -> Table:
    """Return the published curves; TriDet's point at 100 % is Table 2's."""
    curves, table2 = published()["learning_curves"], published()["table2"]
    row, full = curves.take([0]), table2.where(model="tridet")
    values = {"model": "tridet", "train_percent": 100.0, "map_mean": full["map_mean"][0], "map_std": full["map_std"][0]}
    for column, value in values.items():
        row = row.replace(column, np.array([value], dtype=row[column].dtype))
    return concatenate([curves, row])


@cache
def as_derived(claim_id: str) -> Derivation:
    return DERIVATIONS[claim_id](published())


def statistic(claim: Claim, curves: Table) -> float:
    """Return the number that a measured verdict compares, of a sweep with these means and stds (nan: left open)."""
    derivation = DERIVATIONS[claim.id]({**published(), "learning_curves": curves})
    reading = measured_reading(claim, derivation, as_derived(claim.id))
    return float("nan") if reading is None else float(reading.value)


def _at(model: str, low: float = 0, high: float = 100) -> Where:
    return lambda t: (t["model"] == model) & (t["train_percent"] >= low) & (t["train_percent"] <= high)


def _add(change: Callable[[Table], np.ndarray]) -> Move:
    """Add a multiple of a fixed change to the means."""
    return lambda table, amount: table.replace("map_mean", np.maximum(table["map_mean"] + amount * change(table), 0.05))


def _level(*where: Where, sign: float = 1.0) -> Move:
    return _add(lambda table: sign * np.any([chosen(table) for chosen in where], axis=0).astype(float))


def _proportion(where: Where) -> Move:
    return _add(lambda table: where(table) * table["map_mean"])


def _spread(table: Table, amount: float) -> Table:
    return table.replace("map_std", table["map_std"] * np.exp(amount))


def _misses(where: Where, curve: Callable[[Table, np.ndarray], np.ndarray]) -> Move:
    """Scale how far points lie from a curve."""

    def change(table: Table) -> np.ndarray:
        chosen, miss = where(table), np.zeros(len(table))
        miss[chosen] = table["map_mean"][chosen] - curve(table, chosen)
        return miss

    return _add(change)


def _equation(name: str) -> Callable[[Table, np.ndarray], np.ndarray]:
    evaluate = {"exponential": exponential, "5pl": logistic5}[name]
    parameters = printed(published()["paper_equations"], name)
    return lambda table, chosen: np.asarray(evaluate(table["train_percent"][chosen], parameters))


def _own_fit(table: Table, chosen: np.ndarray) -> np.ndarray:
    x, y = table["train_percent"][chosen], table["map_mean"][chosen]
    return np.asarray(fitted("exponential", x, y).predict(x))


def _parameter(name: str, key: str) -> Move:
    """Move the points of the partial fit as a parameter of the printed curve moves them."""
    evaluate = {"exponential": exponential, "5pl": logistic5}[name]
    parameters, where = printed(published()["paper_equations"], name), _at("tadtr", 0, 10)

    def move(table: Table, amount: float) -> Table:
        x, moved = table["train_percent"], {**parameters, key: parameters[key] + amount}
        change = np.where(where(table), evaluate(x, moved) - evaluate(x, parameters), 0.0)
        return table.replace("map_mean", np.maximum(table["map_mean"] + change, 0.05))

    return move


def _zigzag(model: str) -> Move:
    """Lift and lower a model's points in turn: no smooth curve fits them."""
    return _add(lambda t: np.where(_at(model)(t), np.where(np.cumsum(_at(model)(t)) % 2, 1.0, -1.0), 0.0))


def _towards_tadtr(models: tuple[str, ...], high: float) -> Move:
    """Move models' curves, as shares of their full-data mAP, towards TadTR's."""

    def change(table: Table) -> np.ndarray:
        tadtr, moved = table.where(model="tadtr"), np.zeros(len(table))
        share = dict(zip(tadtr["train_percent"], tadtr["map_mean"] / tadtr["map_mean"][-1], strict=True))
        for model in models:
            full = table.where(model=model, train_percent=100.0)["map_mean"][0]
            for i in np.flatnonzero(_at(model, 0, high)(table)):
                moved[i] = full * share[table["train_percent"][i]] - table["map_mean"][i]
        return moved

    return _add(change)


def _tilt(table: Table) -> np.ndarray:
    return np.asarray(np.where(_at("tadtr", 70)(table), (table["train_percent"] - 70) / 30, 0.0))


OTHERS = ("actionformer", "tridet", "temporalmaxer")
ALL_PERCENTS = _at("tadtr")
UNSEEN = _at("tadtr", 11)

# How each claim about a sweep can be wrong; a positive amount, then a negative one, is tried for either side.
MOVES: Mapping[str, Move] = {
    "B2": _spread, "D2": _spread, "D3": _spread, "E8": _spread, "E9": _spread,
    "D4": _add(_tilt), "D5": _level(_at("tadtr", 70)),
    "D6": _towards_tadtr(OTHERS[1:], 99), "G3": _towards_tadtr(OTHERS, 20),
    "D7": _level(_at("tadtr", 100)), "E6": _level(UNSEEN), "E7": _level(UNSEEN), "G1": _level(_at("tadtr", 50, 50)),
    "E5": _proportion(_at("tadtr", 0, 10)),
    "E4": _misses(UNSEEN, _equation("exponential")), "F6": _misses(UNSEEN, _equation("5pl")),
    "E12": _misses(ALL_PERCENTS, _own_fit), "E15": _misses(ALL_PERCENTS, _own_fit),
    "E16": _misses(_at("actionformer"), _own_fit),
    "E1": _parameter("exponential", "a"), "E2": _parameter("exponential", "b"), "E3": _parameter("exponential", "c"),
    "F3": _parameter("5pl", "c"),
    "D11": _zigzag("actionformer"), "F8": _zigzag("tridet"), "F9": _zigzag("actionformer"),
    "F10": _zigzag("temporalmaxer"),
    "F13": _level(*(_at(model, 100) for model in OTHERS)),
    "F11": _level(_at("tridet", 100)), "F12": _level(_at("tridet", 100)),
}  # fmt: skip
# E10's number jumps: its truths are a first stretch that gains as the second does now, and a third that gains most.
ACTIONFORMER_MEANS = {"E10": {"below": {10.0: 21.15}, "above": {20.0: 8.0}}}


def simulated() -> list[Claim]:
    """Return the claims about a sweep whose number runs determine."""
    return [claim for claim in load_claims() if claim.id in MOVES or claim.id in ACTIONFORMER_MEANS]


@cache
def truths(claim_id: str, margins: float = 2.0) -> dict[str, Table]:
    """Return the truths of a claim: "claimed", and those off by twice the margin, or by so many ("above", "below").

    A claim that its own published data contradict is claimed of other curves: those that give the printed number. A
    side that no curve reaches is absent.
    """
    claim = next(claim for claim in load_claims() if claim.id == claim_id)
    contradicted = compare(claim, as_derived(claim_id))[0] == "inconsistent"
    centre = claim.numbers[0] if contradicted else statistic(claim, as_published())
    found = {"claimed": _reaching(claim, centre) if contradicted else as_published()}
    for side, sign in (("above", 1), ("below", -1)):
        if claim.alternative in (side, "either"):
            target = centre + margins * sign * claim.margin
            is_published = contradicted and margins == 2 and (statistic(claim, as_published()) - centre) * sign > 0
            found[side] = as_published() if is_published else _off(claim, side, target)
    if any(table is None for table in (found["claimed"], *(found[s] for s in found if claim.alternative == s))):
        raise ValueError(f"claim {claim_id}: no curve has the number wanted")
    return {side: table for side, table in found.items() if table is not None}


def _off(claim: Claim, side: str, target: float) -> Table | None:
    if claim.id not in ACTIONFORMER_MEANS:
        return _reaching(claim, target)
    table = as_published()
    mean = table["map_mean"].copy()
    for percent, value in ACTIONFORMER_MEANS[claim.id][side].items():
        mean[_at("actionformer", percent, percent)(table)] = value
    return table.replace("map_mean", mean)


def _reaching(claim: Claim, target: float) -> Table | None:
    """Depart from the published curves, one way and the other, until the claim's number is `target`."""
    table, move = as_published(), MOVES[claim.id]
    above = statistic(claim, table) > target

    def passed(amount: float) -> bool:
        value = statistic(claim, move(table, amount))
        return bool(np.isfinite(value)) and (value > target) != above

    before = 0.0
    for step in (FIRST_STEP * GROWTH**k for k in range(STEPS)):
        for sign in (1.0, -1.0):
            if passed(sign * step):
                return move(table, _bisected(passed, sign * before, sign * step))
        before = step
    return None


def _bisected(passed: Callable[[float], bool], inside: float, outside: float) -> float:
    for _ in range(BISECTIONS):
        middle = (inside + outside) / 2
        inside, outside = (inside, middle) if passed(middle) else (middle, outside)
    return outside
