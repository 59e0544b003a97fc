"""The claims about a mean of repeated runs: how often each verdict comes out, from normal samples.

Where the paper prints a spread, runs have it. Of times and hardware use it prints none: the calibration then finds the
largest spread between processes with which three of them settle the claim.
"""

from __future__ import annotations

import zlib

import numpy as np

from tal_repro.paper.claims.bands import Band
from tal_repro.paper.claims.means import AFFORDABLE_RUNS, PROCESSES_WANTED, mean_verdicts
from tal_repro.paper.claims.statements import Claim, load_claims

TUNING, TESTING = 11, 12  # seeds; margins were chosen after looks at samples of seeds 1 and 2, which nothing uses now
STUDY_N = 5
TUNED = 4000  # samples
# A5's runs are A2's; T2.7 prints ± 0, its 25 timed runs have 0.09 and those of its sweep 0.22.
SPREADS = {"A5": 0.6, "T2.7": 0.22}
TIMED = ("seconds", "latency", "hardware")
SINGLE = ("latency_linearity", "cpu_against_gpu", "idle_use", "sampler_cost", "faster_core")  # readers of one number
BISECTIONS, WIDEST = 12, 2.0  # of a spread, in margins


def mean_claims() -> list[Claim]:
    """Return the claims about a mean that print its spread."""
    return [c for c in load_claims() if c.experiment == "baseline" and c.kind in ("map", "seconds") and c.margin
            and (len(c.numbers) > 1 or c.id in SPREADS)]  # fmt: skip


def timed_claims() -> list[Claim]:
    """Return the claims about a mean over processes whose spread nobody printed."""
    printed = {claim.id for claim in mean_claims()}
    return [c for c in load_claims() if c.kind in TIMED and c.margin and c.id not in printed
            and c.measure.partition(":")[0] not in SINGLE]  # fmt: skip


def spread_of(claim: Claim) -> float:
    """Return the standard deviation of a claim's runs, as printed."""
    return SPREADS.get(claim.id, claim.numbers[-1])


def offsets(claim: Claim) -> dict[str, float]:
    """Return how far each truth lies from what is printed; of a criterion, "claimed" is one margin within it."""
    sides = {"above": 2 * claim.margin, "below": -2 * claim.margin}
    if not claim.rule.startswith("at-"):
        return {"claimed": 0.0, **sides}
    return {"claimed": -sides[claim.alternative] / 2, claim.alternative: sides[claim.alternative]}


def mean_shares(
    claim: Claim, n: int, off: float, seed: int, count: int, spread: float | None = None
) -> dict[str, float]:
    """Return how often each verdict comes out for the mean of n runs whose truth is `off` from what is printed."""
    random = np.random.default_rng([seed, n, zlib.crc32(claim.id.encode())])
    noise = spread_of(claim) if spread is None else spread
    values = claim.centre + off + noise * random.standard_normal((count, n))
    reproduced, not_reproduced = mean_verdicts(claim, values.mean(axis=1), values.std(axis=1, ddof=1), n)
    agreeing = 0.0 if claim.cannot_settle else float(reproduced.mean())  # runs that agree are still inconclusive
    found = {"reproduced": agreeing, "not reproduced": float(not_reproduced.mean())}
    return {**found, "inconclusive": 1 - sum(found.values())}


def mean_bands(claim: Claim) -> list[Band]:
    """Return how often each number of runs settles a claim about a mean, up to the first that does."""
    found: list[Band] = []
    for n in range(PROCESSES_WANTED, AFFORDABLE_RUNS + 1):
        found.append(mean_band(claim, n))
        if n >= STUDY_N and (found[-1].settles or claim.cannot_settle):
            break
    return found


def mean_band(claim: Claim, n: int, spread: float | None = None) -> Band:
    """Return how often n runs settle a claim about a mean (its bounds are of t intervals, not of a simulation)."""
    found = {side: mean_shares(claim, n, off, TUNING, TUNED, spread) for side, off in offsets(claim).items()}
    missed = min(share["not reproduced"] for side, share in found.items() if side != "claimed")
    nan = float("nan")
    return Band(claim.id, n, nan, nan, nan, nan, found["claimed"]["reproduced"], missed)


def largest_spread(claim: Claim, n: int) -> float:
    """Return the largest standard deviation between processes with which n of them settle a claim."""
    narrow, wide = 0.0, WIDEST * claim.margin
    for _ in range(BISECTIONS):
        middle = (narrow + wide) / 2
        narrow, wide = (middle, wide) if mean_band(claim, n, middle).settles else (narrow, middle)
    return narrow
