"""How a number is computed again: a function from named tables to readings, registered under the claims it answers."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tal_repro.paper.statistics import Sample
from tal_repro.published.table import Table


@dataclass(frozen=True)
class Reading:
    """One way to compute a claim's number; `readings` makes them, by one rule for all claims.

    `label` says what the number is of. `low` and `high` bound it where its inputs are rounded. `changed` names the
    label in which it departs from the paper's wording ("": as worded). `undetermined` says why the published data
    leave it open; then `low` and `high` bound what fits them as well (0 and infinity: no bound), and a reading without
    bounds may be anything.
    """

    label: str
    value: float
    spread: float | None = None  # the number after "±", where the claim has one
    sample: Sample | None = None  # where the claim is judged by a test
    low: float | None = None
    high: float | None = None
    changed: str = ""
    undetermined: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the reading as `verify --json` lists it; a value that nobody knows is null."""
        unknown = self.value != self.value
        high = None if self.high == math.inf else self.high
        return {
            "label": self.label, "value": None if unknown else self.value, "spread": self.spread, "low": self.low,
            "high": high, "changed": self.changed, "undetermined": self.undetermined,
        }  # fmt: skip


def between(low: float, high: float, how: str) -> str:
    """Write the bounds of a positive number in a format; 0 and infinity bound nothing."""
    if high == math.inf:
        return f"from {low:{how}} up"
    return f"up to {high:{how}}" if low == 0.0 else f"from {low:{how}} to {high:{how}}"


@dataclass(frozen=True)
class Derivation:
    """Readings, the rows behind them and what else a reader should know; no readings: not derivable."""

    readings: tuple[Reading, ...]
    rows: tuple[Table, ...]
    reason: str


Derive = Callable[..., Derivation]


@dataclass(frozen=True)
class Registered:
    """A derivation and the tables it may see."""

    function: Derive
    tables: tuple[str, ...]

    def __call__(self, tables: Mapping[str, Table]) -> Derivation:
        """Call the function with its own tables and nothing else."""
        return self.function(*(tables[name] for name in self.tables))


DERIVATIONS: dict[str, Registered] = {}


def derives(*ids: str, tables: Sequence[str]) -> Callable[[Derive], Derive]:
    """Register a function of the named tables (positional, in that order) as the derivation of claims."""

    def register(function: Derive) -> Derive:
        for claim_id in ids:
            assert claim_id not in DERIVATIONS, claim_id
            DERIVATIONS[claim_id] = Registered(function, tuple(tables))
        return function

    return register
