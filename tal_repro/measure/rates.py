"""From counters that only grow to rates: what every reader of counters takes samples with."""

from __future__ import annotations

from collections.abc import Callable

Sample = dict[str, float]
Take = Callable[[float], Sample]


class Rates:
    """Turn counters that only grow (bytes, CPU seconds) into rates over the time since the last call."""

    def __init__(self) -> None:
        self.last: dict[str, tuple[float, float]] = {}

    def per_second(self, name: str, now: float, counter: float) -> float:
        """Return the growth a second of counter `name`; 0 at its first reading."""
        before, value = self.last.get(name, (now, counter))
        self.last[name] = (now, counter)
        return (counter - value) / (now - before) if now > before else 0.0
