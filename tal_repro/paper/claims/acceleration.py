"""Does ActionFormer's gain grow with the data at first, because classes appear (claim E11)? Read off ablation runs.

A gain is the mAP that a percent of data adds between neighbouring percentages, the first one from the origin (no
data, no mAP) as E10 reads it; it accelerates where a later one is the largest. The paper puts that down to new
classes. Few optimizer steps under a moving average bend a curve the same way, so it must show at equal steps and raw
weights too, and not where every subset holds all classes.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from tal_repro.paper.claims.curves import Array
from tal_repro.paper.claims.observation import Observation
from tal_repro.paper.statistics import Sample, describe
from tal_repro.runs.load import Runs
from tal_repro.runs.run import Run

LOW_PERCENT = 20.0  # what lies above tells nothing of the gain below 15 %
LEAST_LOW = 3  # percentages up to LOW_PERCENT: two gains to compare
RUNS_WANTED = 5  # a percentage, the paper's
SIGNIFICANCE = 0.05  # two-sided
ORIGIN = Sample(0.0, 0.0, 2)  # no data, no mAP: known without error, whatever the runs
Curve = dict[float, list[float]]  # mAPs of the runs at each percentage


CURVES = (  # policy, budget, weights
    ("uniform", "epochs", "ema"),  # as published
    ("uniform", "steps", "raw"),
    ("all-classes", "steps", "raw"),
)


@dataclass(frozen=True)
class Bend:
    """The steepest stretch of a curve: its ends (percent), its gain over the first one's (mAP a percent), p.

    Where it is the first, `excess` is 0 and p is that of the later stretch that comes nearest to it: all must be less
    steep. Where it is a later one, p counts that it was picked among all later stretches (Bonferroni).
    """

    start: float
    end: float
    excess: float
    p: float

    @property
    def middle(self) -> float:
        return (self.start + self.end) / 2

    @property
    def accelerates(self) -> bool:
        return self.excess > 0 and self.p < SIGNIFICANCE

    @property
    def slows(self) -> bool:
        return self.excess <= 0 and self.p < SIGNIFICANCE

    @property
    def words(self) -> str:
        where = f"the gain is largest between {self.start:g} and {self.end:g} %"
        if self.excess <= 0:
            where = f"the first {self.end:g} % gain most"
        sure = "" if self.p < SIGNIFICANCE else ", which these runs cannot tell from chance"
        return f"{where} (p = {self.p:.2g}{sure})"


def acceleration(runs: Runs, chosen: list[Run], _: str) -> Observation | None:
    """Percentage of the largest gain, as published (0: the first); decided where chance is excluded.

    It holds if the gain grows as published and at equal steps, and does not grow with videos of all classes.
    """
    curves = [_curve(chosen, *how) for how in CURVES]
    published = curves[0]
    behind = tuple(run for run in chosen if run.unit == "video" and not run.flags)
    low = {percent for percent in published if percent <= LOW_PERCENT}
    if not published:
        return None
    if len(low) < LEAST_LOW or any(low - set(curve) for curve in curves):
        note = (
            f"needs {LEAST_LOW} percentages up to {LOW_PERCENT:g}, at equal epochs, at equal steps, and there with "
            "videos of all classes too"
        )
        return Observation(math.nan, behind, note=note, decided=False, further_runs=_missing(*curves))
    as_published, at_equal_steps, complete = (bend(curve) for curve in curves)
    note = (
        f"as published {as_published.words}; at equal steps and with raw weights {at_equal_steps.words}; with videos "
        f"of all classes then {complete.words}"
    )
    value = as_published.middle if as_published.excess > 0 else 0.0
    holds = as_published.accelerates and at_equal_steps.accelerates and complete.slows
    clear = holds or as_published.slows or at_equal_steps.slows or complete.accelerates
    further = None if clear else _missing(*curves) or LEAST_LOW
    return Observation(value, behind, note=note, holds=holds, decided=clear, further_runs=further)


def _curve(runs: Iterable[Run], policy: str, budget: str, weights: str) -> Curve:
    """Return the last checkpoint's mAPs under one condition; all of the data is the same under every policy."""
    curve: Curve = defaultdict(list)
    for run in runs:
        how = (run.policy, run.spec.recipe.get("budget"))
        if run.unit != "video" or run.flags or (run.percent != 100 and how != (policy, budget)):
            continue
        scores = {
            protocol: v for (selection, w, protocol), v in run.scores.items() if (selection, w) == ("last", weights)
        }
        if scores:
            curve[run.percent].append(scores.get("af-212", min(scores.values())))
    return dict(sorted(curve.items()))


def _missing(*curves: Curve) -> int:
    """Return how many runs are missing to the paper's repetitions at the low percentages (three at least)."""
    needed = LEAST_LOW * RUNS_WANTED
    return sum(
        max(0, needed - sum(min(len(v), RUNS_WANTED) for p, v in c.items() if p <= LOW_PERCENT)) for c in curves
    )  # fmt: skip


def bend(curve: Curve) -> Bend:
    """Find the steepest stretch of a curve from the origin on, and test its gain against the first one's."""
    percent = np.array([0.0, *curve])
    samples = [ORIGIN, *(describe(values) for values in curve.values())]
    gains = np.diff([sample.mean for sample in samples]) / np.diff(percent)
    at = int(np.argmax(gains))
    tests = [_equal_gains(percent, samples, later) for later in range(1, len(gains))]
    p = max(tests, default=1.0) if at == 0 else min(1.0, tests[at - 1] * len(tests))
    return Bend(float(percent[at]), float(percent[at + 1]), float(gains[at] - gains[0]), p)


def _equal_gains(percent: Array, samples: Sequence[Sample], later: int) -> float:
    """Return the two-sided p of a later stretch that gains as much as the first (Welch on weighted means)."""
    from scipy.special import stdtr

    weights = np.zeros(len(percent))  # the excess is a weighted sum of the means
    for index, sign in ((later, 1.0), (0, -1.0)):
        width = percent[index + 1] - percent[index]
        weights[index + 1] += sign / width
        weights[index] -= sign / width
    used = [(float(w), sample) for w, sample in zip(weights, samples, strict=True) if w]
    if any(sample.n < 2 for _, sample in used):
        return 1.0
    excess = abs(sum(w * sample.mean for w, sample in used))
    parts = [(w * sample.standard_error) ** 2 for w, sample in used]
    error = math.sqrt(sum(parts))
    if error == 0:
        return 0.0 if excess else 1.0
    freedom = sum(parts) ** 2 / sum(part**2 / (sample.n - 1) for part, (_, sample) in zip(parts, used, strict=True))
    return float(2 * stdtr(freedom, -excess / error))
