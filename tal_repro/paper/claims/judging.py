"""Where a reference meets the readings, by one function for the published column and for measured tables."""

from __future__ import annotations

import math

from tal_repro.paper.claims.bands import Band, band_of
from tal_repro.paper.claims.derivation import Derivation, Reading
from tal_repro.paper.claims.means import AFFORDABLE_RUNS
from tal_repro.paper.claims.statements import Claim
from tal_repro.paper.statistics import Sample, welch

SIGNIFICANCE = 0.05
TOO_MANY = f"no affordable number of runs (up to {AFFORDABLE_RUNS}) settles it with 80 % probability"


def compare(claim: Claim, derivation: Derivation | None) -> tuple[str, Reading | None]:
    """Return the verdict on the published data and the reading that decided it."""
    readings = derivation.readings if derivation else ()
    for reading in readings:
        if not reading.undetermined and matches(claim, reading):
            return ("consistent with correction" if reading.changed else "consistent"), reading
    if not readings or any(reading.undetermined and _allows(claim, reading) for reading in readings):
        return "not derivable", None
    return "inconsistent", next((reading for reading in readings if not reading.undetermined), readings[0])


def matches(claim: Claim, reading: Reading) -> bool:
    """Say whether a reading agrees with the claim under the claim's rule, over the rounding of its inputs."""
    low, high = _bounds(reading)
    if claim.rule == "at-most":
        return low <= claim.limit
    if claim.rule == "at-least":
        return high >= claim.limit
    if claim.rule == "welch":
        assert reading.sample is not None, claim.id
        said = Sample(claim.numbers[0], claim.numbers[1], claim.reference_n)
        return welch(said, reading.sample) >= SIGNIFICANCE
    return distance(claim, reading) == 0


def distance(claim: Claim, reading: Reading) -> float:
    """Return how far a reading misses the digits, relative to the printed numbers (the worst of them; 0: it agrees)."""
    return max(_misses(claim, reading), default=0.0)


def _misses(claim: Claim, reading: Reading) -> list[float]:
    """Return how far each printed number (mean, then std) is missed, relative to it."""
    intervals = [_bounds(reading), *([] if reading.spread is None else [(reading.spread, reading.spread)])]
    misses = []
    for printed, half, (low, high) in zip(claim.numbers, claim.half_digits, intervals, strict=False):
        slack = half * (1 + 1e-9)
        misses.append(max(low - slack - printed, printed - high - slack, 0.0) / (abs(printed) or 1.0))
    return misses


def nearest(claim: Claim, derivation: Derivation) -> Reading:
    """Return the reading that comes nearest to what is printed: of two with the same worst miss, the one with less."""
    known = [reading for reading in derivation.readings if not reading.undetermined] or derivation.readings
    if claim.rule != "digits":
        return min(known, key=lambda reading: reading.value * (1 if claim.rule == "at-most" else -1))
    return min(known, key=lambda reading: (distance(claim, reading), sum(_misses(claim, reading))))


def _bounds(reading: Reading) -> tuple[float, float]:
    value = reading.value
    return (value if reading.low is None else reading.low), (value if reading.high is None else reading.high)


def _allows(claim: Claim, reading: Reading) -> bool:
    """Say whether an undetermined reading leaves room for what is printed."""
    return reading.low is None or claim.rule != "digits" or distance(claim, reading) == 0


def measured_reading(claim: Claim, derivation: Derivation, published: Derivation) -> Reading | None:
    """Return the reading of measured tables that answers to the one that the published verdict rests on.

    None where the data leave the number open: the published ones, so that runs like them would too, or these.
    """
    chosen = compare(claim, published)[1]
    known = [reading for reading in derivation.readings if not reading.undetermined]
    if chosen is None:
        tied = any(reading.undetermined and reading.low is not None for reading in published.readings)
        return None if tied or len(known) < len(derivation.readings) or not known else known[0]
    place = published.readings.index(chosen)
    if len(derivation.readings) == len(published.readings):
        same = derivation.readings[place]
        return None if same.undetermined else same
    alike = (reading for reading in known if reading.changed == chosen.changed)
    return next(alike, known[0] if known else None)


def judge_reading(claim: Claim, value: float, n: int, points: int) -> tuple[str, str, int | None]:
    """Judge a derived number of n runs at each of so many points; say how, and how many more runs would settle it."""
    band = band_of(claim.id, n)
    if band is None:  # nothing random: MACs
        low, high = claim.bounds
        inside = low <= value <= high
        return ("reproduced" if inside else "not reproduced"), f"accepted {interval_text(low, high, claim.unit)}", None
    verdict, how = band.verdict(value), _band_text(band, claim.unit)
    if verdict != "inconclusive":
        return verdict, how, None
    if band.settled_at <= n:
        return verdict, f"{how}; {TOO_MANY}", None
    each = band.settled_at - n
    return verdict, f"{how}; {points * each} more runs ({each} at each of {points} points)", points * each


def _band_text(band: Band, unit: str) -> str:
    low, high = max(band.low, band.inner_low), min(band.high, band.inner_high)
    with_n = f"with {band.n} runs a point"
    if low > high:
        return f"{with_n} reproduced by no value, not reproduced {_beyond_text(band.low, band.high, unit)}"
    reproduced = f"{with_n} reproduced {interval_text(low, high, unit)}"
    if (low, high) == (band.low, band.high):
        return f"{reproduced}, else not"
    return f"{reproduced}, not reproduced {_beyond_text(band.low, band.high, unit)}, inconclusive between"


def _beyond_text(low: float, high: float, unit: str) -> str:
    if math.isinf(low):
        return f"above {high:.4g} {unit}"
    return f"below {low:.4g} {unit}" if math.isinf(high) else f"outside {low:.4g} to {high:.4g} {unit}"


def interval_text(low: float, high: float, unit: str) -> str:
    """Write an interval with its unit; a bound that is infinite bounds nothing."""
    if math.isinf(low):
        return f"at most {high:.4g} {unit}"
    if math.isinf(high):
        return f"at least {low:.4g} {unit}"
    return f"at {low:.4g} {unit}" if low == high else f"from {low:.4g} to {high:.4g} {unit}"
