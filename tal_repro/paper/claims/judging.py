"""Where a reference meets the readings, by one function for the published column and for measured tables."""

from __future__ import annotations

from dataclasses import dataclass

from tal_repro.paper.claims.derivation import Derivation, Reading
from tal_repro.paper.claims.statements import Claim
from tal_repro.paper.statistics import Sample, welch

SIGNIFICANCE = 0.05


def compare(claim: Claim, derivation: Derivation | None) -> tuple[str, Reading | None]:
    """Return the verdict on the published data and the reading that decided it."""
    readings = derivation.readings if derivation else ()
    for reading in readings:
        if not reading.undetermined and matches(claim, reading):
            return ("consistent with correction" if reading.changed else "consistent"), reading
    if not readings or any(reading.undetermined and _allows(claim, reading) for reading in readings):
        return "not derivable", None
    return "inconsistent", next(reading for reading in readings if not reading.undetermined)


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
    intervals = [_bounds(reading), *([] if reading.spread is None else [(reading.spread, reading.spread)])]
    worst = 0.0
    for printed, half, (low, high) in zip(claim.numbers, claim.half_digits, intervals, strict=False):
        slack = half * (1 + 1e-9)
        miss = max(low - slack - printed, printed - high - slack, 0.0)
        worst = max(worst, miss / (abs(printed) or 1.0))
    return worst


def nearest(claim: Claim, derivation: Derivation) -> Reading:
    """Return the reading that comes nearest to what is printed."""
    known = [reading for reading in derivation.readings if not reading.undetermined]
    if claim.rule != "digits":
        return min(known, key=lambda reading: reading.value * (1 if claim.rule == "at-most" else -1))
    return min(known, key=lambda reading: distance(claim, reading))


def _bounds(reading: Reading) -> tuple[float, float]:
    value = reading.value
    return (value if reading.low is None else reading.low), (value if reading.high is None else reading.high)


def _allows(claim: Claim, reading: Reading) -> bool:
    """Say whether an undetermined reading leaves room for what is printed."""
    return reading.low is None or claim.rule != "digits" or distance(claim, reading) == 0


@dataclass(frozen=True)
class Judged:
    """What one set of measured tables says of a claim: reproduced, not reproduced or inconclusive."""

    verdict: str
    reading: Reading | None
    derivation: Derivation


def judge_measured(claim: Claim, derivation: Derivation, published: Derivation) -> Judged:
    """Judge measured tables by the reading that the published column rests on, within the claim's band.

    Where the published data contradict the paper, a value nearer to theirs than to the printed one reproduces them,
    not the paper; so the published tables, fed back as runs, contradict no published verdict.
    """
    verdict, chosen = compare(claim, published)
    reading = _same_reading(derivation, published, chosen)
    if reading is None:
        return Judged("inconclusive", None, derivation)
    low, high = claim.bounds
    inside = low <= reading.value <= high
    if inside and verdict == "inconsistent" and chosen is not None and claim.numbers:
        inside = abs(reading.value - claim.numbers[0]) < abs(reading.value - chosen.value)
    return Judged("reproduced" if inside else "not reproduced", reading, derivation)


def _same_reading(derivation: Derivation, published: Derivation, chosen: Reading | None) -> Reading | None:
    """Return the reading that answers to the published one; None where the tables leave the number open."""
    known = [reading for reading in derivation.readings if not reading.undetermined]
    if chosen is None:  # the published data leave it open: as worded, unless the measured ones leave it open too
        return None if len(known) < len(derivation.readings) or not known else known[0]
    place = published.readings.index(chosen)
    if place < len(derivation.readings) == len(published.readings):
        same = derivation.readings[place]
        return None if same.undetermined else same
    alike = (reading for reading in known if reading.changed == chosen.changed)
    return next(alike, known[0] if known else None)
