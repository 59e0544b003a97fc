"""Energy of a block of work from counters that exist: NVML's on a GPU, RAPL's of the processor packages. No estimates.

RAPL is readable by root only on most machines since 2020; where it is not, the processor's energy is absent.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from tal_repro.measure.nvml import Gpu, open_gpu

JOULES_PER_KWH = 3.6e6
RAPL = Path("/sys/class/powercap")
ASK_S = 60.0  # a package of 4 kW would wrap the usual 262 kJ in this time


class EnergyCounters:
    """Energy since this was made, by part: `gpu`, `cpu` (all packages), each only where a counter answers."""

    def __init__(self, gpu: Gpu | None, rapl: Path = RAPL) -> None:
        self.gpu = gpu
        self.gpu_start = gpu.energy_joules() if gpu else None
        self.packages = [package for path in sorted(rapl.glob("intel-rapl:?")) if (package := _Package.open(path))]

    def joules(self) -> dict[str, float]:
        """Return the joules of each part so far. RAPL's counters wrap: ask every `ASK_S` seconds at least."""
        found: dict[str, float] = {}
        end = self.gpu.energy_joules() if self.gpu else None
        if self.gpu_start is not None and end is not None and end >= self.gpu_start:  # else it was set back
            found["gpu"] = end - self.gpu_start
        used = [package.joules() for package in self.packages]
        if used and None not in used:
            found["cpu"] = sum(value for value in used if value is not None)
        return found


class _Package:
    """One processor package's counter, in microjoules, which wraps at a known range."""

    def __init__(self, read: Callable[[], int], wraps_at: int) -> None:
        self.read, self.wraps_at = read, wraps_at
        self.last, self.total = read(), 0

    @classmethod
    def open(cls, path: Path) -> _Package | None:
        counter = path / "energy_uj"
        try:
            wraps_at = int((path / "max_energy_range_uj").read_text())
            return cls(lambda: int(counter.read_text()), wraps_at)
        except (OSError, ValueError):
            return None

    def joules(self) -> float | None:
        try:
            now = self.read()
        except (OSError, ValueError):
            return None
        self.total += (now - self.last) % (self.wraps_at or 1)
        self.last = now
        return self.total / 1e6


class Energy:
    """Measure the energy of a `with` block; `to_json()` then tells joules and kWh by part, and what was not counted."""

    def __init__(self, gpu_index: int | None = None) -> None:
        self.gpu_index = gpu_index
        self.joules: dict[str, float] = {}

    def __enter__(self) -> Energy:
        self._counters = EnergyCounters(open_gpu(self.gpu_index))
        self._over = threading.Event()
        if self._counters.packages:
            threading.Thread(target=self._keep_asking, daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._over.set()
        self.joules = self._counters.joules()

    def _keep_asking(self) -> None:
        while not self._over.wait(ASK_S):
            self._counters.joules()

    def to_json(self) -> dict[str, object]:
        """Return what a run's record keeps; a part without a counter is named, never guessed."""
        wanted = ["cpu", *(["gpu"] if self.gpu_index is not None else [])]
        return {
            "joules": self.joules,
            "kwh": {part: joules / JOULES_PER_KWH for part, joules in self.joules.items()},
            "not_counted": [part for part in wanted if part not in self.joules],
        }
