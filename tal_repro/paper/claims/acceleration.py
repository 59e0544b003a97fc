"""Does ActionFormer's gain grow with the data at first, and because of the data (claim E10)? Read off ablation runs.

A gain is the mAP that a percent of data adds between neighbouring percentages; it accelerates where a later one is
the largest. The paper puts that down to new classes. Few optimizer steps under a moving average bend a curve the
same way, so it must show at equal steps and raw weights too.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from tal_repro.paper.claims.observation import Observation
from tal_repro.paper.statistics import describe
from tal_repro.runs.load import Runs
from tal_repro.runs.run import Run

LOW_PERCENT = 20.0  # what lies above tells nothing of the gain below 15 %
LEAST_LOW = 3  # percentages up to LOW_PERCENT: two gains to compare
RUNS_WANTED = 5  # a percentage, the paper's
SIGNIFICANCE = 0.05  # two-sided
Curve = dict[float, list[float]]  # mAPs of the runs at each percentage


@dataclass(frozen=True)
class Bend:
    """The steepest stretch of a curve: its middle (percent), its gain over the first one's (mAP a percent), p.

    p counts that the steepest was picked among all later stretches (Bonferroni).
    """

    middle: float
    excess: float
    p: float

    @property
    def accelerates(self) -> bool:
        return self.excess > 0 and self.p < SIGNIFICANCE

    @property
    def words(self) -> str:
        if self.excess <= 0:
            return "the first percents gain most"
        sure = "" if self.accelerates else ", which these runs cannot tell from chance"
        return f"the gain is largest around {self.middle:g} % (p = {self.p:.2g}{sure})"


def acceleration(runs: Runs, chosen: list[Run], _: str) -> Observation | None:
    """Percentage of the largest gain, as published (0: the first); it holds if the gain grows at equal steps too."""
    published, equal = (_curve(chosen, *how) for how in (("epochs", "ema"), ("steps", "raw")))
    behind = tuple(run for run in chosen if run.unit == "video" and not run.flags)
    low = [percent for percent in published if percent <= LOW_PERCENT]
    if not published:
        return None
    if len(low) < LEAST_LOW or set(low) - set(equal):
        note = f"needs {LEAST_LOW} percentages up to {LOW_PERCENT:g}, at equal epochs and at equal steps"
        return Observation(math.nan, behind, note=note, decided=False, further_runs=_missing(published, equal))
    as_published, at_equal_steps = bend(published), bend(equal)
    note = f"as published {as_published.words}; at equal steps and with raw weights {at_equal_steps.words}"
    clear = as_published.excess <= 0 or as_published.accelerates
    value = as_published.middle if as_published.excess > 0 else 0.0
    further = None if clear else _missing(published, equal) or LEAST_LOW
    return Observation(value, behind, note=note, holds=at_equal_steps.accelerates, decided=clear, further_runs=further)


def _curve(runs: Iterable[Run], budget: str, weights: str) -> Curve:
    """Return the last checkpoint's mAPs under one condition; all of the data is the same at both budgets."""
    curve: Curve = defaultdict(list)
    for run in runs:
        if (run.unit, run.policy) != ("video", "uniform") or run.flags:
            continue
        if run.percent != 100 and run.spec.recipe.get("budget") != budget:
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
    """Find the steepest stretch of a curve and test its gain against the first one's (Welch on weighted means)."""
    from scipy.special import stdtr

    percent = np.array(list(curve))
    samples = [describe(values) for values in curve.values()]
    means = np.array([sample.mean for sample in samples])
    gains = np.diff(means) / np.diff(percent)
    at = int(np.argmax(gains))
    if at == 0:
        return Bend(float(percent[0]), 0.0, 1.0)
    weights = np.zeros(len(percent))  # the excess is a weighted sum of the means
    for index, sign in ((at, 1.0), (0, -1.0)):
        width = percent[index + 1] - percent[index]
        weights[index + 1] += sign / width
        weights[index] -= sign / width
    used = [(float(w), sample) for w, sample in zip(weights, samples, strict=True) if w]
    middle, excess = float((percent[at] + percent[at + 1]) / 2), float(gains[at] - gains[0])
    if any(sample.n < 2 for _, sample in used):
        return Bend(middle, excess, 1.0)
    parts = [(w * sample.standard_error) ** 2 for w, sample in used]
    error = math.sqrt(sum(parts))
    if error == 0:
        return Bend(middle, excess, 0.0)
    freedom = sum(parts) ** 2 / sum(part**2 / (sample.n - 1) for part, (_, sample) in zip(parts, used, strict=True))
    return Bend(middle, excess, min(1.0, float(2 * stdtr(freedom, -excess / error)) * (len(gains) - 1)))
