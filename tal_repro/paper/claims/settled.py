"""Which claims a plan's runs cannot settle, whatever comes out: `plan` says so before anything starts."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable

from tal_repro import thumos14
from tal_repro.paper.claims.bands import band_of, load_bands
from tal_repro.paper.claims.judging import compare, measured_reading
from tal_repro.paper.claims.means import PROCESSES_WANTED
from tal_repro.paper.claims.registered import DERIVATIONS
from tal_repro.paper.claims.statements import Claim, load_claims
from tal_repro.published.load import load_published
from tal_repro.spec import RunSpec

TIMED = ("seconds", "latency", "hardware")


def unsettled(specs: Iterable[RunSpec]) -> dict[int, list[str]]:
    """Return the claims that are settled in under 80 % of such studies, by the runs that each would have (a point)."""
    specs = list(specs)
    real = [spec for spec in specs if spec.data is None or spec.data.annotation_hash == thumos14.ANNOTATION_HASH]
    if any(spec.data for spec in specs) and not any(spec.data for spec in real):
        return {}  # of another data set: the paper says nothing of it
    found: dict[int, list[str]] = defaultdict(list)
    for claim in load_claims():
        n = _runs(claim, real)
        if n and not _settles(claim, n):
            found[n].append(claim.id)
    return dict(sorted(found.items()))


def _runs(claim: Claim, specs: list[RunSpec]) -> int:
    """Return how many runs a claim has of each of its models at the percentage with fewest (0: it lacks a model)."""
    counts = Counter(
        (spec.model, spec.subset.percent if spec.subset else 0.0, spec.engine)
        for spec in specs
        if claim.measure and spec.experiment == claim.experiment and spec.model in claim.models
    )
    points: dict[tuple[str, float], int] = {}
    for (model, percent, _), count in counts.items():  # verdicts are of one engine
        points[model, percent] = max(count, points.get((model, percent), 0))
    return min(points.values()) if points and {model for model, _ in points} == set(claim.models) else 0


def _settles(claim: Claim, n: int) -> bool:
    if claim.cannot_settle:
        return False
    if claim.id in load_bands():
        band = band_of(claim.id, n)
        return band is not None and band.settles
    if claim.measure == "derivation" and claim.experiment == "data_sweep":
        derivation = DERIVATIONS[claim.id](load_published())
        return compare(claim, derivation)[1] is not None and measured_reading(claim, derivation, derivation) is not None
    return claim.measure != "faster_core" and (claim.kind not in TIMED or n >= PROCESSES_WANTED)


def unsettled_lines(specs: Iterable[RunSpec]) -> list[str]:
    """Say which claims the planned runs cannot settle."""
    return [f"cannot be settled with {n} run{'s' * (n != 1)}: {', '.join(ids)}" for n, ids in unsettled(specs).items()]
