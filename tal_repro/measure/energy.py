"""Energy of a block of work from counters that exist: NVML's on a GPU, RAPL's of the processor packages. No estimates.

RAPL is readable by root only on most machines since 2020; where it is not, the processor's energy is absent. Its other
domains are not added: `psys` holds the packages again, `core` is part of one, `dram` is memory.
"""

from __future__ import annotations

import re
import threading
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
        self.packages = _packages(rapl)

    def joules(self) -> dict[str, float]:
        """Return the joules of each part so far. RAPL's counters wrap: ask every `ASK_S` seconds at least."""
        joules: dict[str, float] = {}
        end = self.gpu.energy_joules() if self.gpu else None
        if self.gpu_start is not None and end is not None and end >= self.gpu_start:  # else it was set back
            joules["gpu"] = end - self.gpu_start
        used = [package.joules() for package in self.packages]
        if used and None not in used:
            joules["cpu"] = sum(value for value in used if value is not None)
        return joules


class _Package:
    """One processor package's counter, in microjoules, which wraps at a known range."""

    def __init__(self, folder: Path) -> None:
        """Take the first reading; OSError or ValueError where the counter cannot be read or its range is none."""
        self.counter = folder / "energy_uj"
        self.wraps_at = int((folder / "max_energy_range_uj").read_text())
        if self.wraps_at <= 0:
            raise ValueError(f"a counter that wraps at {self.wraps_at}")
        self.last, self.total = self.read(), 0

    def read(self) -> int:
        value = int(self.counter.read_text())
        if value < 0:
            raise ValueError(f"a counter at {value}")
        return value

    def joules(self) -> float | None:
        try:
            now = self.read()
        except (OSError, ValueError):
            return None
        self.total += (now - self.last) % self.wraps_at
        self.last = now
        return self.total / 1e6


def _packages(rapl: Path) -> list[_Package]:
    """Return the counter of every processor package; none where one of them cannot be read, for part is not all."""
    try:
        domains = [path for path in sorted(rapl.glob("intel-rapl:*")) if re.fullmatch(r"intel-rapl:\d+", path.name)]
        return [_Package(path) for path in domains if (path / "name").read_text().startswith("package-")]
    except (OSError, ValueError):
        return []


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
        parts = ["cpu", *(["gpu"] if self.gpu_index is not None else [])]
        return {
            "joules": self.joules,
            "kwh": {part: joules / JOULES_PER_KWH for part, joules in self.joules.items()},
            "not_counted": [part for part in parts if part not in self.joules],
        }
