"""Judge the mean of repeated runs: against what is printed, and against a truth off by twice the margin."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from tal_repro.paper.claims.bands import SETTLED
from tal_repro.paper.claims.statements import Claim
from tal_repro.paper.statistics import Sample

RUNS_WANTED = 5  # the paper's repetitions
PROCESSES_WANTED = 3  # of a time: iterations within a process do not repeat it
AFFORDABLE_RUNS = 20  # of a model: four times the paper's
LEVEL = 0.95
DRAWS = 400  # of what further runs may show
Array = NDArray[Any]


def runs_wanted(claim: Claim) -> int:
    """Return how many runs a verdict needs at least: five of mAPs, three processes of times."""
    return RUNS_WANTED if claim.kind == "map" else PROCESSES_WANTED


def mean_verdicts(claim: Claim, mean: Array, std: Array, n: int) -> tuple[Array, Array]:
    """Return where means ± sample stds of n runs reproduce a claim, and where they do not.

    Not reproduced: beyond the margin, and outside the 95 % prediction interval around what is printed (its own error
    counts where a std is printed). Reproduced: otherwise, if a truth off by twice the margin is excluded at 5 %.
    """
    variance = std**2 / n
    inside, outside = np.ones(mean.shape, bool), np.zeros(mean.shape, bool)
    for side in (1.0, -1.0) if claim.alternative == "either" else ((1.0,) if claim.alternative == "above" else (-1.0,)):
        off = side * (mean - claim.centre)
        inside &= off + stdtrit(n - 1, LEVEL) * np.sqrt(variance) < 2 * claim.margin
        if claim.rule.startswith("at-"):
            inside &= off <= 0
        outside |= (off > _slack(claim)) & (off > _prediction_half(claim, variance, n))
    return inside & ~outside, outside


def _slack(claim: Claim) -> float:
    return 0.0 if claim.rule.startswith("at-") else claim.margin


def _prediction_half(claim: Claim, variance: Array, n: int) -> Array:
    """Return half the 95 % interval of the difference to what is printed (Welch, where a std is printed).

    Of a claim that can be wrong on one side only, the distance to its one-sided bound.
    """
    printed = claim.numbers[1] ** 2 / RUNS_WANTED if len(claim.numbers) > 1 else 0.0
    total = variance + printed
    parts = variance**2 / (n - 1) + printed**2 / (RUNS_WANTED - 1)
    freedom = np.divide(total**2, parts, out=np.full(total.shape, n - 1.0), where=parts > 0)
    probability = (1 + LEVEL) / 2 if claim.alternative == "either" else LEVEL  # a claim wrong on one side has one bound
    return np.asarray(stdtrit(freedom, probability) * np.sqrt(total))


def judge_mean(claim: Claim, sample: Sample) -> str:
    """Return the verdict on a mean of repeated runs."""
    if sample.n < runs_wanted(claim):
        return "inconclusive"
    std = sample.standard_error * np.sqrt(sample.n)
    reproduced, not_reproduced = mean_verdicts(claim, np.array([sample.mean]), np.array([std]), sample.n)
    return "reproduced" if reproduced[0] else "not reproduced" if not_reproduced[0] else "inconclusive"


def further_runs(claim: Claim, sample: Sample) -> int | None:
    """Return how many more runs settle a claim with 80 % probability, given those there are (None: too many).

    The true mean and spread are drawn from what the runs leave open, then the further runs from them.
    """
    least = max(1, runs_wanted(claim) - sample.n)
    if sample.n < 2:
        return least
    for further in range(least, AFFORDABLE_RUNS - sample.n + 1):
        if _settled_share(claim, sample, further) >= SETTLED:
            return further
    return None


def _settled_share(claim: Claim, sample: Sample, further: int) -> float:
    random = np.random.default_rng(0)
    n, k = sample.n, further
    squares = (sample.standard_error**2 * n) * (n - 1)
    sigma = np.sqrt(squares / random.chisquare(n - 1, DRAWS))
    mean = sample.mean + sigma / np.sqrt(n) * random.standard_normal(DRAWS)
    new = mean + sigma / np.sqrt(k) * random.standard_normal(DRAWS)
    within = sigma**2 * (random.chisquare(k - 1, DRAWS) if k > 1 else 0.0)
    between = n * k / (n + k) * (new - sample.mean) ** 2
    std = np.sqrt((squares + within + between) / (n + k - 1))
    reproduced, not_reproduced = mean_verdicts(claim, (n * sample.mean + k * new) / (n + k), std, n + k)
    return float((reproduced | not_reproduced).mean())
