"""How a number is computed again: a function from named tables to readings, registered under the claims it answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from tal_repro.paper.statistics import Sample
from tal_repro.published.table import Table


@dataclass(frozen=True)
class Reading:
    """One way to compute a claim's number. The first reading of a derivation is the way the paper words it.

    `label` says what the number is of. A later reading changes one label only (n, kind of std, percentage, base),
    so that no printed number is rescued by a search. `low` and `high` bound it where its inputs are rounded.
    """

    label: str
    value: float
    spread: float | None = None  # the number after "±", where the claim has one
    sample: Sample | None = None  # where the claim is judged by a test
    low: float | None = None
    high: float | None = None


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


def reading(label: str, sample: Sample) -> Reading:
    """Return a reading of a mean ± std."""
    return Reading(label, sample.mean, sample.std, sample)
