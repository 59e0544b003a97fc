"""The one rule for which readings a claim may take (docs/claims.md prints it): labels, rounding, kinds of deviation.

Every derivation makes its readings here. None sees what the paper prints, so none can search for it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tal_repro.paper.claims.derivation import Reading
from tal_repro.paper.statistics import Sample, describe

LABELS = {
    "runs": "which runs: the five of the first job, one seed in each job, all that were published, all without the "
    "most distant job, all without those beyond two standard deviations (repeatedly)",
    "series": "which published series: the timed trainings, the sweep at 100 %, the plotted curve, other people's runs",
    "std": "the kind of a standard deviation that a table states without saying which: rescaled by the root "
    "of n / (n - 1), up or down",
    "points": "which points of a curve: all, those from 10 % on, those above 10 %, with or without the origin (no "
    "data, 0 mAP), and which of them were fitted",
    "percentage": "at which percentage a curve is read: 100 % or the point before it, 95 %",
    "base": "what a share is relative to: the number itself, the full-data mAP, a model's own paper",
    "models": "which models a sentence without a name is about",
    "fit": "which fit: the equation as printed, its full precision, one family or the worse of two",
    "length": "which length of an input: as fed, or as the model pads it",
    "count": "what a share of the data counts: the largest subset, the sum of all, or the distinct videos in them",
    "test": "how a word such as \"flat\" is tested: by the trend of the points, or point by point",
}  # fmt: skip
CLIP_STDS = 2.0
OPEN_END = 1e-6  # of half a digit: a number that rounds to another stays below its upper end

Number = tuple[float, float]  # a printed number and half its last digit
Compute = Callable[..., Sequence[Reading]]


def vary(compute: Compute, **labels: Mapping[str, Any]) -> tuple[Reading, ...]:
    """Return the readings as worded (each label's first choice), then those with exactly one label changed."""
    assert set(labels) <= set(LABELS), labels
    first = {label: next(iter(choices)) for label, choices in labels.items()}
    worded = {label: labels[label][name] for label, name in first.items()}
    readings = [_named(", ".join(first.values()), reading, "") for reading in compute(**worded)]
    for label, choices in labels.items():
        for name in list(choices)[1:]:
            readings += [_named(name, reading, label) for reading in compute(**{**worded, label: choices[name]})]
    return tuple(readings)


def _named(name: str, reading: Reading, changed: str) -> Reading:
    label = f"{name}, {reading.label}" if reading.label else name
    return replace(reading, label=label, changed=changed)


def number(value: float, label: str = "") -> tuple[Reading, ...]:
    """Return the reading of a plain number."""
    return (Reading(label, float(value)),)


def unpublished(label: str, why: str, changed: str = "") -> Reading:
    """Return a reading that the wording allows and that no published number decides."""
    return Reading(label, math.nan, changed=changed, undetermined=why)


def mean_and_std(values: Sequence[float] | NDArray[Any]) -> tuple[Reading, ...]:
    """Return mean ± std with either kind of std: the paper never says which, so neither changes a label."""
    return tuple(_of_sample(describe(values, kind)) for kind in ("population", "sample"))


def _of_sample(sample: Sample) -> Reading:
    return Reading(f"n = {sample.n}, {sample.kind} std", sample.mean, sample.std, sample)


def tested(sample: Sample) -> tuple[Reading, ...]:
    """Return the reading of a sample that a test compares with what is printed."""
    return (Reading(f"n = {sample.n}", sample.mean, sample.std, sample),)


def std_choices(n: int) -> dict[str, float]:
    """Return the factors that turn a published std of unstated kind into either kind."""
    factor = math.sqrt(n / (n - 1))
    return {"std as published": 1.0, "std taken as a population's, rescaled to a sample's": factor,
            "std taken as a sample's, rescaled to a population's": 1 / factor}  # fmt: skip


def half_digit(values: Sequence[float] | NDArray[Any]) -> float:
    """Return half the last digit of numbers that were printed alike (the most decimals that one shows)."""
    shown = [Decimal(repr(float(value))) for value in values]
    return 0.5 * 10.0 ** min(0 if value == int(value) else int(value.as_tuple().exponent) for value in shown)


def printed(value: float) -> Number:
    """Return a published number and half its last digit."""
    return float(value), half_digit([value])


def over_rounding(compute: Callable[..., float], *numbers: Number, label: str = "") -> tuple[Reading, ...]:
    """Return a number with its bounds over all values that round to the printed inputs (monotone in each)."""
    corners = [(value - half, value + half * (1 - OPEN_END)) for value, half in numbers]
    values = [float(compute(*corner)) for corner in product(*corners)]
    return (Reading(label, float(compute(*(value for value, _ in numbers))), low=min(values), high=max(values)),)


def clipped(values: NDArray[Any]) -> NDArray[Any]:
    """Leave out values beyond two standard deviations until none is."""
    while True:
        kept = values[np.abs(values - values.mean()) <= CLIP_STDS * values.std()]
        if len(kept) == len(values):
            return values
        values = kept
