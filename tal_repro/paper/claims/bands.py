"""What a claim's number is when the published curves are the truth, simulated once (benchmarks/verdict_calibration.py).

A sweep with n runs a point gives a claim's number at random. `bands.csv` holds where it lies when the truth is as
published, and where when the truth is off by twice the margin; `judging` compares a measured number with both.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

BANDS_FILE = Path(__file__).resolve().parent.parent / "bands.csv"
SETTLED = 0.8  # how often runs must settle a claim, either way, for it to count as settled by that many


@dataclass(frozen=True)
class Band:
    """Where n runs (a point) put a claim's number. A side on which the claim cannot be wrong has an infinite bound.

    `low` to `high`: the 95 % prediction interval of a truth as published (one-sided where the claim can be wrong on one
    side only), widened to the claim's limit. Between `inner_low` and `inner_high`, exclusive, a truth off by twice the
    margin puts at most 5 %. The shares say how often a truth as published ends "reproduced", and one off by twice the
    margin "not reproduced". `settled_at`: the runs that settle what these leave inconclusive (0: no affordable number
    does).
    """

    claim: str
    n: int
    low: float
    high: float
    inner_low: float
    inner_high: float
    reproduced: float
    not_reproduced: float
    settled_at: int = 0

    @property
    def settles(self) -> bool:
        return min(self.reproduced, self.not_reproduced) >= SETTLED

    def verdict(self, value: float) -> str:
        """Judge a measured number."""
        if value < self.low or value > self.high:
            return "not reproduced"
        return "reproduced" if self.inner_low < value < self.inner_high else "inconclusive"


@cache
def load_bands(path: Path = BANDS_FILE) -> dict[str, tuple[Band, ...]]:
    """Return the bands of each claim by rising n."""
    bands: dict[str, tuple[Band, ...]] = {}
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            values: dict[str, Any] = {name: float(text) for name, text in row.items() if name != "claim"}
            band = Band(**{**values, "claim": row["claim"], **{name: int(row[name]) for name in ("n", "settled_at")}})
            bands[band.claim] = (*bands.get(band.claim, ()), band)
    return bands


def band_of(claim_id: str, n: int) -> Band | None:
    """Return a claim's band for n runs a point: of the largest simulated number that n reaches."""
    reached = [band for band in load_bands().get(claim_id, ()) if band.n <= n]
    return reached[-1] if reached else None
