"""Judge all claims: derive each number, compare it with what is printed, and read off the runs what they say."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from tal_repro.errors import InputError
from tal_repro.paper.claims.derivation import Derivation, Reading
from tal_repro.paper.claims.judging import compare, nearest
from tal_repro.paper.claims.measured import Measured, measure
from tal_repro.paper.claims.registered import DERIVATIONS
from tal_repro.paper.claims.statements import Claim, load_claims
from tal_repro.published.load import Published
from tal_repro.runs.load import Runs


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

    @property
    def readings(self) -> tuple[Reading, ...]:
        """Return every reading tried."""
        return self.derivation.readings if self.derivation else ()

    @property
    def nearest(self) -> Reading | None:
        """Return the reading that comes nearest to what is printed, where none gives it."""
        inconsistent = self.published == "inconsistent" and self.derivation is not None
        return nearest(self.claim, self.derivation) if inconsistent and self.derivation else None


def judge_all(published: Published, runs: Runs, ids: Iterable[str] | None = None) -> list[Verdict]:
    """Return the verdicts in the order of the paper, on all claims or on those named."""
    claims = load_claims()
    by_id = {claim.id.lower(): claim for claim in claims}
    if ids is not None:
        for name in ids:
            if name.lower() not in by_id:
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
