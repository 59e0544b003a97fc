"""Which claims a plan's runs cannot settle, whatever comes out: `plan` says so before anything starts."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from tal_repro import thumos14
from tal_repro.paper.claims.bands import band_of, load_bands
from tal_repro.paper.claims.judging import compare, measured_reading
from tal_repro.paper.claims.means import PROCESSES_WANTED
from tal_repro.paper.claims.measured import sweep_points
from tal_repro.paper.claims.registered import DERIVATIONS
from tal_repro.paper.claims.statements import Claim, load_claims
from tal_repro.published.load import load_published
from tal_repro.spec import RunSpec

TIMED = ("seconds", "latency", "hardware")


@dataclass(frozen=True)
class Unsettled:
    """A claim that planned runs leave undecided in more than 20 % of such studies, and how many runs would do."""

    claim: Claim
    runs: int  # of each model (at each point of a sweep); 0: the plan leaves points, or the processor, out
    settled_by: int | None  # None: no affordable number does

    def to_json(self) -> dict[str, Any]:
        """Return the entry of `plan --json`."""
        return {"claim": self.claim.id, "importance": self.claim.importance, "runs": self.runs,
                "settled_by": self.settled_by}  # fmt: skip


def unsettled(specs: Iterable[RunSpec]) -> list[Unsettled]:
    """Return the claims that such a plan runs and cannot settle, by rising number of runs."""
    specs = list(specs)
    real = [spec for spec in specs if spec.data is None or spec.data.annotation_hash == thumos14.ANNOTATION_HASH]
    if any(spec.data for spec in specs) and not any(spec.data for spec in real):
        return []  # of another data set: the paper says nothing of it
    rows = [Unsettled(claim, n, _settled_by(claim, n)) for claim in load_claims()
             if (n := _runs(claim, real)) is not None and not _settles(claim, n)]  # fmt: skip
    return sorted(rows, key=lambda entry: entry.runs)


def _runs(claim: Claim, specs: list[RunSpec]) -> int | None:
    """Return how many runs a claim has of each of its models, at the point with fewest (None: a model has none)."""
    counts = Counter(
        (spec.model, spec.subset.percent if spec.subset else 0.0, spec.engine)
        for spec in specs
        if claim.measure and spec.experiment == claim.experiment and spec.model in claim.models
    )
    points: dict[tuple[str, float], int] = {}
    for (model, percent, _), count in counts.items():  # verdicts are of one engine
        points[model, percent] = max(count, points.get((model, percent), 0))
    if not points or {model for model, _ in points} != set(claim.models):
        return None
    if claim.experiment == "data_sweep":
        return min(points.get(point, 0) for point in sweep_points(claim.models))
    if claim.measure == "cpu_against_gpu":
        kinds = Counter(spec.device_kind for spec in specs if (spec.experiment, spec.model) == ("inference", "tadtr"))
        return min(kinds["cpu"], kinds["cuda"])
    return min(points.values())


def _settles(claim: Claim, n: int) -> bool:
    if claim.cannot_settle or n == 0:
        return False
    if claim.id in load_bands():
        band = band_of(claim.id, n)
        return band is not None and band.settles
    if claim.measure == "derivation" and claim.experiment == "data_sweep":
        derivation = DERIVATIONS[claim.id](load_published())
        return compare(claim, derivation)[1] is not None and measured_reading(claim, derivation, derivation) is not None
    return claim.measure != "faster_core" and (claim.kind not in TIMED or n >= PROCESSES_WANTED)


def _settled_by(claim: Claim, n: int) -> int | None:
    """Return the fewest runs, more than n, that settle a claim."""
    tried = [band.n for band in load_bands().get(claim.id, ())] or [PROCESSES_WANTED]
    return next((more for more in tried if more > n and _settles(claim, more)), None)


def unsettled_lines(specs: Iterable[RunSpec]) -> list[str]:
    """Say which claims the planned runs cannot settle, the headline claims first, and what would."""
    groups: dict[int, list[Unsettled]] = defaultdict(list)
    for entry in unsettled(specs):
        groups[entry.runs].append(entry)
    lines = []
    for n, entries in groups.items():
        runs = f"with {n} run{'s' * (n != 1)}" if n else "without runs that this plan leaves out"
        lines.append(f"cannot be settled {runs}: {'; '.join(_parts(entries))}")
    return lines


def _parts(entries: list[Unsettled]) -> Iterator[str]:
    for headline in (True, False):
        chosen = [entry for entry in entries if (entry.claim.importance == "headline") == headline]
        if chosen:
            yield f"{'headline' if headline else 'others'} {', '.join(_outlook(chosen))}"


def _outlook(entries: list[Unsettled]) -> Iterator[str]:
    by_number: dict[int, list[str]] = defaultdict(list)
    for entry in entries:
        by_number[entry.settled_by or 0].append(entry.claim.id)
    for n, ids in sorted(by_number.items()):
        would = f"{n} runs would" if n else "no affordable number would"
        yield f"{' '.join(ids)} ({would})"
