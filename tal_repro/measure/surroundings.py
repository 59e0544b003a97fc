"""Is the machine quiet? What else runs, clocks and temperature, looked at before and after a timing."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tal_repro.errors import InputError
from tal_repro.measure.counters import system_counters
from tal_repro.measure.nvml import open_gpu

QUIET_CPU_PERCENT = 5.0  # of all cores, used by others while we do nothing
QUIET_GPU_PERCENT = 2.0
MOST_STOLEN_PERCENT = 1.0  # of the CPU, by a hypervisor
LOOK_S = 0.5
SHORTEST_S = 1.0  # in which what others use can be told: it is counted in ticks of 10 ms

PRESSURE = Path("/proc/pressure/cpu")
THERMAL = Path("/sys/class/thermal")

Neighbours = Callable[[str], tuple[int, ...]]


def look_around(device: str, neighbours: Neighbours = lambda device: (), seconds: float = LOOK_S) -> dict[str, Any]:
    """Return what others use while we sleep for `seconds`, the load, and a GPU's clock, temperature and neighbours.

    `neighbours` names the processes on a device; where it cannot tell (InputError), they are absent.
    """
    take = system_counters()
    take(time.monotonic())
    time.sleep(seconds)
    sample = take(time.monotonic())
    kept = ("cpu_mean_percent", "cpu_steal_percent", "memory_free_percent", "disk_write_mib_s")
    surroundings: dict[str, Any] = {name: round(sample[name], 3) for name in kept if name in sample}
    surroundings |= {"load_1min": round(os.getloadavg()[0], 2), **_clock_and_temperature()}
    if device.startswith("cuda"):
        gpu = open_gpu(int(device.partition(":")[2] or 0))
        surroundings |= gpu.sample() if gpu else {}
        with contextlib.suppress(InputError):
            surroundings["neighbours"] = list(neighbours(device))
    return surroundings


def _clock_and_temperature(cpuinfo: Path = Path("/proc/cpuinfo"), zones: Path = THERMAL) -> dict[str, float]:
    """Return the cores' mean clock and the hottest zone, each only where the machine tells it."""
    facts: dict[str, float] = {}
    with contextlib.suppress(OSError, ValueError):
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
        clocks = [float(line.split(":")[1]) for line in lines if line.startswith("cpu MHz")]
        if clocks:
            facts["cpu_mhz"] = round(sum(clocks) / len(clocks), 1)
    with contextlib.suppress(OSError, ValueError):
        degrees = [int(path.read_text()) / 1000 for path in zones.glob("thermal_zone*/temp")]
        if degrees:
            facts["cpu_temperature_c"] = max(degrees)
    return facts


def _own_cpu_seconds() -> float:
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system


def _stalled_seconds(pressure: Path | None = None) -> float | None:
    """Return how long tasks have waited for a core since boot; None where the kernel does not tell (PSI)."""
    try:
        some = (pressure or PRESSURE).read_text(encoding="ascii").partition("\n")[0]
        return int(some.rpartition("total=")[2]) / 1e6
    except (OSError, ValueError):
        return None


class Meanwhile:
    """Watch, from now on, what others use of the processor while we work: this process and what it starts."""

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, own: Callable[[], float] = _own_cpu_seconds
    ) -> None:
        self.clock, self.own, self.take = clock, own, system_counters()
        self.start, self.stalled = (clock(), own()), _stalled_seconds()
        self.take(self.start[0])

    def over(self) -> dict[str, float]:
        """Return others' share of all cores and what a hypervisor withheld, in percent; {} of too short a time.

        `cpu_stall_percent`: how long some task, of others or our own, waited for a core (kept, no reason for doubt).
        """
        now, own = self.clock(), self.own()
        sample, seconds = self.take(now), now - self.start[0]
        if seconds < SHORTEST_S:
            return {}
        cores = sum(name[4:5].isdigit() for name in sample if name.startswith("cpu_"))
        mine = 100 * (own - self.start[1]) / (seconds * cores)
        spans = {"seconds": seconds, "others_cpu_percent": max(sample["cpu_mean_percent"] - mine, 0.0)}
        spans |= {name: sample[name] for name in ("cpu_steal_percent",) if name in sample}
        if (stalled := _stalled_seconds()) is not None and self.stalled is not None:
            spans["cpu_stall_percent"] = min(100 * (stalled - self.stalled) / seconds, 100.0)
        return {name: round(value, 3) for name, value in spans.items()}


def surroundings(before: Mapping[str, Any], meanwhile: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a run keeps of its surroundings: the three looks, and why its times are doubtful.

    Of the look afterwards only who came to the device counts: its load is still our own.
    """
    came = [pid for pid in after.get("neighbours", ()) if pid not in before.get("neighbours", ())]
    if len(came) == 1 and not Path(f"/proc/{came[0]}").exists():
        came = []  # in a container NVML may know this process by another number
    reasons = [*disturbances(before), *disturbances(meanwhile), *disturbances({"neighbours": came})]
    return {
        "before": dict(before), "meanwhile": dict(meanwhile), "after": dict(after),
        "doubtful": list(dict.fromkeys(reasons)),
    }  # fmt: skip


def disturbances(around: Mapping[str, Any]) -> list[str]:
    """Return why times taken in these surroundings are doubtful (empty: the machine is quiet)."""
    cpu, gpu, stolen = (around.get(n, 0.0) for n in ("cpu_mean_percent", "gpu_percent", "cpu_steal_percent"))
    reasons = []
    if cpu > QUIET_CPU_PERCENT:
        reasons.append(f"others use {cpu:.0f} % of the CPU")
    if (used := around.get("others_cpu_percent", 0.0)) > QUIET_CPU_PERCENT:
        reasons.append(f"others used {used:.0f} % of the CPU meanwhile")
    if stolen > MOST_STOLEN_PERCENT:
        reasons.append(f"the hypervisor withholds {stolen:.0f} % of the CPU")
    if around.get("neighbours"):
        reasons.append(f"processes {', '.join(map(str, around['neighbours']))} compute on the device")
    elif gpu > QUIET_GPU_PERCENT:
        reasons.append(f"the GPU is {gpu:.0f} % busy")
    return reasons
