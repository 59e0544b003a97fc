"""Judge claims: the only place where a reference meets what was derived or measured."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from tal_repro.errors import InputError
from tal_repro.paper.claims.derivation import Derivation, Reading
from tal_repro.paper.claims.measured import Measured, measure
from tal_repro.paper.claims.registered import DERIVATIONS
from tal_repro.paper.claims.statements import Claim, load_claims
from tal_repro.paper.statistics import Sample, welch
from tal_repro.published.load import Published
from tal_repro.runs.load import Runs

SIGNIFICANCE = 0.05


@dataclass(frozen=True)
class Verdict:
    """Both verdicts on one claim, with what they rest on."""

    claim: Claim
    published: str
    recomputed: Reading | None
    derivation: Derivation | None
    reason: str
    measured: Measured

    @property
    def as_expected(self) -> bool:
        return self.published == self.claim.expected


def judge_all(published: Published, runs: Runs, ids: Iterable[str] | None = None) -> list[Verdict]:
    """Return the verdicts in the order of the paper, on all claims or on those named."""
    claims = load_claims()
    wanted = {claim.id.lower(): claim for claim in claims}
    if ids is not None:
        for name in ids:
            if name.lower() not in wanted:
                raise InputError(f"no claim {name!r}", remedy=f"use one of: {', '.join(c.id for c in claims)}")
        keep = {name.lower() for name in ids}
        claims = tuple(claim for claim in claims if claim.id.lower() in keep)
    return [judge(claim, published, runs) for claim in claims]


def judge(claim: Claim, published: Published, runs: Runs) -> Verdict:
    """Derive, then compare, then measure, then compare."""
    derivation = derive(claim.id, published)
    verdict, reading = compare(claim, derivation)
    reason = derivation.reason if derivation else claim.not_derivable
    return Verdict(claim, verdict, reading, derivation, reason, measure(claim, runs, published))


def derive(claim_id: str, published: Published) -> Derivation | None:
    """Compute a claim's number again from published tables; None where no derivation is registered.

    Raise InputError where a row that the derivation needs is missing.
    """
    registered = DERIVATIONS.get(claim_id)
    if registered is None:
        return None
    try:
        return registered(published)
    except (LookupError, ValueError, ArithmeticError) as error:
        if isinstance(error, InputError):
            raise
        files = ", ".join(f"{name}.csv" for name in registered.tables)
        raise InputError(f"a row that claim {claim_id} needs is missing", files, "restore the rows") from error


def compare(claim: Claim, derivation: Derivation | None) -> tuple[str, Reading | None]:
    """Return the verdict on the published data and the reading that decided it."""
    if derivation is None or not derivation.readings:
        return "not derivable", None
    worded, *others = derivation.readings
    if matches(claim, worded):
        return "consistent", worded
    for reading in others:
        if matches(claim, reading):
            return "consistent with correction", reading
    return "inconsistent", worded


def matches(claim: Claim, reading: Reading) -> bool:
    """Say whether a reading agrees with the claim under the claim's rule."""
    if claim.rule == "at-most":
        return reading.value <= claim.limit
    if claim.rule == "at-least":
        return reading.value >= claim.limit
    if claim.rule == "welch":
        assert reading.sample is not None, claim.id
        said = Sample(claim.numbers[0], claim.numbers[1], claim.reference_n)
        return welch(said, reading.sample) >= SIGNIFICANCE
    values = [(reading.low, reading.high) if reading.low is not None else (reading.value, reading.value)]
    if reading.spread is not None:
        values.append((reading.spread, reading.spread))
    rounds = zip(claim.numbers, claim.half_digits, values, strict=False)
    return all(_rounds_to(number, half, low, high) for number, half, (low, high) in rounds)


def _rounds_to(number: float, half: float, low: float | None, high: float | None) -> bool:
    assert low is not None and high is not None
    slack = half * (1 + 1e-9)
    return low - slack <= number <= high + slack
