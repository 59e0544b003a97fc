"""How many small runs may share a GPU: watch one run on it, then decide by its memory and utilisation."""

from __future__ import annotations

from dataclasses import dataclass, field

from tal_repro.machine.gpus import Gpu

MEMORY_SHARE = 0.9  # of the device may be filled
MOST = 8
LEAST_LOOKS = 3  # below it a run was too short to judge by


@dataclass
class Packing:
    """What one run did to a device while it had it alone."""

    total_mib: float = 0.0
    before_mib: float = 0.0  # used by whatever was there before
    peak_mib: float = 0.0
    utilisations: list[float] = field(default_factory=list)

    def look(self, use: Gpu) -> None:
        """Take one look; the first one is taken before the run has put anything on the device."""
        if not self.utilisations and not self.total_mib:
            self.total_mib, self.before_mib = use.total_mib, use.used_mib
            return
        self.peak_mib = max(self.peak_mib, use.used_mib - self.before_mib)
        self.utilisations.append(use.utilisation_percent)

    def decide(self) -> int | None:
        """Return how many such runs fit, or None where too little was seen."""
        if len(self.utilisations) < LEAST_LOOKS or self.peak_mib <= 0:
            return None
        by_memory = int((MEMORY_SHARE * self.total_mib - self.before_mib) / self.peak_mib)
        busy = sum(self.utilisations) / len(self.utilisations)
        by_utilisation = int(100 / max(busy, 1.0))
        return max(1, min(by_memory, by_utilisation, MOST))
