"""What a claim's number is when it is read off finished runs."""

from __future__ import annotations

from dataclasses import dataclass

from tal_repro.paper.statistics import Sample
from tal_repro.runs.run import Run


@dataclass(frozen=True)
class Found:
    """A measured number: its sample where runs repeat it, and the runs behind it."""

    value: float
    runs: tuple[Run, ...]
    sample: Sample | None = None
    note: str = ""
    holds: bool = True  # what the claim says beside its number
    decided: bool = True  # False: an estimate, or too few runs to tell; `further_runs` more might
    further_runs: int | None = None
