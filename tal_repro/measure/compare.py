"""Two machines side by side: the same measurement on each, as a ratio with an interval.

A ratio is of medians, B over A; its interval is the 95 % percentile bootstrap of both samples drawn again, from five
on: of fewer, what is drawn again is hardly anything else than what was drawn. It holds what varied while the samples
were taken, not what would vary from day to day.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

DRAWS = 2000
COVERAGE_PERCENT = 95.0
MIN_SAMPLES = 5


class Key(NamedTuple):
    """What must be the same for two samples to be comparable."""

    model: str
    engine: str
    quantity: str
    feature_length: int
    of: str = ""  # settings: recipe, threads, precision, what was timed; of trainings the data set


@dataclass(frozen=True)
class Ratio:
    """One measurement on two systems. `low` and `high` are None where a side has fewer than five."""

    key: Key
    unit: str
    a: float
    b: float
    ratio: float
    low: float | None
    high: float | None
    samples: tuple[int, int]


def compare(
    a: Mapping[Key, Sequence[float]], b: Mapping[Key, Sequence[float]], units: Mapping[Key, str], seed: int = 0
) -> list[Ratio]:
    """Return the ratio of every measurement both systems have, in the order of their keys."""
    generator = np.random.default_rng(seed)
    return [_ratio(key, units.get(key, ""), a[key], b[key], generator) for key in sorted(set(a) & set(b))]


def _ratio(key: Key, unit: str, a: Sequence[float], b: Sequence[float], generator: np.random.Generator) -> Ratio:
    middle_a, middle_b = float(np.median(a)), float(np.median(b))
    ratio = middle_b / middle_a if middle_a else float("nan")
    low = high = None
    if min(len(a), len(b)) >= MIN_SAMPLES and middle_a:
        drawn = _medians(b, generator) / _medians(a, generator)
        tail = (100 - COVERAGE_PERCENT) / 2
        low, high = np.percentile(drawn, [tail, 100 - tail]).tolist()
    return Ratio(key, unit, middle_a, middle_b, ratio, low, high, (len(a), len(b)))


def _medians(values: Sequence[float], generator: np.random.Generator) -> np.ndarray:
    drawn = generator.choice(np.asarray(values, float), (DRAWS, len(values)))
    return np.asarray(np.median(drawn, axis=1))


def missing(a: Iterable[Key], b: Iterable[Key]) -> tuple[list[Key], list[Key]]:
    """Return what only A has, and what only B has."""
    left, right = set(a), set(b)
    return sorted(left - right), sorted(right - left)
