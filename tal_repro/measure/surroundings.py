"""Is the machine quiet? What else runs, clocks and temperature, looked at before and after a timing."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Mapping
from typing import Any

from tal_repro.errors import InputError
from tal_repro.measure.counters import system_counters
from tal_repro.measure.nvml import open_gpu

QUIET_CPU_PERCENT = 5.0  # of all cores, used by others while we do nothing
QUIET_GPU_PERCENT = 2.0
LOOK_S = 0.5

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
    found: dict[str, Any] = {name: round(sample[name], 3) for name in kept if name in sample}
    found["load_1min"] = round(os.getloadavg()[0], 2)
    if device.startswith("cuda"):
        gpu = open_gpu(int(device.partition(":")[2] or 0))
        found |= gpu.sample() if gpu else {}
        with contextlib.suppress(InputError):
            found["neighbours"] = list(neighbours(device))
    return found


def disturbances(around: Mapping[str, Any]) -> list[str]:
    """Return why times taken in these surroundings are doubtful (empty: the machine is quiet)."""
    cpu, gpu, stolen = (around.get(n, 0.0) for n in ("cpu_mean_percent", "gpu_percent", "cpu_steal_percent"))
    reasons = []
    if cpu > QUIET_CPU_PERCENT:
        reasons.append(f"others use {cpu:.0f} % of the CPU")
    if stolen > 1:
        reasons.append(f"the hypervisor withholds {stolen:.0f} % of the CPU")
    if around.get("neighbours"):
        reasons.append(f"processes {', '.join(map(str, around['neighbours']))} compute on the device")
    elif gpu > QUIET_GPU_PERCENT:
        reasons.append(f"the GPU is {gpu:.0f} % busy")
    return reasons
