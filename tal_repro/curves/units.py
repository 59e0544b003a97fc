"""What the user's numbers mean: inside `curves` x is a percentage and the value a percentage that rises with data."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeVar

from tal_repro.curves.family import Array

Number = TypeVar("Number", float, Array)

X_UNITS = ("percent", "fraction", "count")
METRIC_UNITS = ("percent", "fraction")
DIRECTIONS = ("up", "down")


@dataclass(frozen=True)
class Units:
    """Units of a learning curve as its owner writes it.

    `whole` is what 100 % is called in the unit of x (1 for fractions; the largest count for counts).
    With direction "down" the metric is a rate of errors: inside, 100 minus it is used.
    """

    x: str = "percent"
    metric: str = "percent"
    direction: str = "up"
    whole: float = 100.0

    def with_largest(self, largest: float) -> Units:
        """Return the units once the largest x is known: for counts that is 100 %."""
        return replace(self, whole={"percent": 100.0, "fraction": 1.0}.get(self.x, largest))

    @property
    def falls(self) -> bool:
        """Say whether lower values are better."""
        return self.direction == "down"

    @property
    def name(self) -> str:
        """Return what the metric is called in messages."""
        return "error rate" if self.falls else "mAP"

    @property
    def _of_a_percent(self) -> float:
        return 0.01 if self.metric == "fraction" else 1.0

    def percent(self, x: float) -> float:
        """Return x, in the user's unit, as a percentage."""
        return x / self.whole * 100.0

    def outer_x(self, percent: float) -> float:
        """Return a percentage in the user's unit of x."""
        return percent * self.whole / 100.0

    def inner(self, value: float) -> float:
        """Return a value of the user's metric as a percentage that rises with data."""
        percent = value / self._of_a_percent
        return 100.0 - percent if self.falls else percent

    def outer(self, value: Number) -> Number:
        """Return an inner value in the user's metric."""
        return (100.0 - value if self.falls else value) * self._of_a_percent

    def inner_gain(self, gain: float) -> float:
        """Return an improvement in the user's metric (positive: better) in percentage points."""
        return gain / self._of_a_percent

    def outer_gain(self, gain: float) -> float:
        """Return an improvement of so many percentage points in the user's metric."""
        return gain * self._of_a_percent

    def span(self, low: float, high: float) -> list[float]:
        """Return an inner interval in the user's metric, lowest first."""
        return sorted((self.outer(low), self.outer(high)))

    def at(self, percent: float) -> str:
        """Return a percentage as text in the user's unit: "40 %", "0.4 of the data", "2000 examples"."""
        unit = {"percent": "%", "fraction": "of the data", "count": "examples"}[self.x]
        return f"{self.amount(percent)} {unit}"

    def amount(self, percent: float) -> str:
        """Return a percentage as a number in the user's unit; counts to the last digit."""
        return f"{self.outer_x(percent):.{12 if self.x == 'count' else 6}g}"

    def show(self, value: float) -> str:
        """Return an inner value as text in the user's metric."""
        return f"{self.outer(value):.{self.decimals}f}"

    def show_gain(self, gain: float) -> str:
        """Return an improvement as text."""
        return f"{self.outer_gain(gain):g} {self.name}"

    @property
    def decimals(self) -> int:
        """Return how many decimals a value is printed with."""
        return 3 if self.metric == "fraction" else 1


PERCENT = Units()
