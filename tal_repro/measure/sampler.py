"""The sampling process of a trace: `python -m tal_repro.measure.sampler JSON`, one CSV line a tick until told to stop.

A process of its own, so that the traced run's interpreter lock and garbage collector cannot delay it. It writes as it
goes (a kill loses at most one line), keeps nothing in memory, and prints what it cost when it ends.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import resource
import select
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TextIO

from tal_repro.measure.counters import system_counters
from tal_repro.measure.energy import ASK_S, EnergyCounters
from tal_repro.measure.family import family_counters
from tal_repro.measure.nvml import Gpu, open_gpu
from tal_repro.measure.rates import Sample, Take

# columns from the first sample on, whenever the family starts
NOBODY = dict.fromkeys(("thread_busiest_percent", "process_cpu_percent", "process_memory_mib"), math.nan)
PCIE_INTERVAL_S = 0.25  # shortest with PCIe counters, which take 40 ms to read
LONGEST_SLEEP_S = 0.5  # between looks at whether the process that started us still lives


class Stopped:
    """Becomes true at SIGTERM, or when the process that started us is gone."""

    def __init__(self, parent: int) -> None:
        self.parent, self.flag = parent, False
        self._wake, write = os.pipe()
        os.set_blocking(write, False)
        signal.set_wakeup_fd(write)
        signal.signal(signal.SIGTERM, lambda *_: setattr(self, "flag", True))
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a traced command may live on after Ctrl-C; its trace then too

    def __bool__(self) -> bool:
        return self.flag or os.getppid() != self.parent

    def sleep(self, seconds: float) -> None:
        """Sleep, or until a signal comes."""
        select.select([self._wake], [], [], min(seconds, LONGEST_SLEEP_S))


class Ticks:
    """Ticks at whole multiples of `interval_s` after the start; those that came too late to take are `missed`.

    `clock` and `sleep` are the process's own unless a test gives others.
    """

    def __init__(self, interval_s: float, clock: Callable[[], float], sleep: Callable[[float], None]) -> None:
        self.interval_s, self.clock, self.sleep = interval_s, clock, sleep
        self.start = clock()
        self.taken = self.missed = 0

    def until(self, stopped: Callable[[], bool]) -> Iterator[float]:
        """Yield the clock at each tick; a tick that passed unseen is counted, and the next whole one comes."""
        tick = 1
        while not stopped():
            now = self.clock()
            late = now - (self.start + tick * self.interval_s)
            if late < 0:
                self.sleep(-late)
                continue
            skipped = int(late / self.interval_s)
            self.missed, self.taken, tick = self.missed + skipped, self.taken + 1, tick + skipped + 1
            yield now


def sampling(watched_pid: int | None, gpu: Gpu | None, descendants_only: bool = False) -> Take:
    """Return the function that takes one sample; columns that cannot be had are absent, not zero."""
    system = system_counters()
    family = family_counters(watched_pid, descendants_only=descendants_only) if watched_pid else None

    def sample(now: float) -> Sample:
        row = system(now)
        if family is not None:
            row |= NOBODY | family(now)
        if gpu is not None:
            row |= gpu.sample()
        return row

    return sample


def asking(sample: Take, energy: EnergyCounters) -> Take:
    """Take samples, and look at the energy counters often enough to see them wrap."""
    last = time.monotonic()

    def take(now: float) -> Sample:
        nonlocal last
        if now - last >= ASK_S:
            energy.joules()
            last = now
        return sample(now)

    return take


def write_samples(stream: TextIO, ticks: Ticks, sample: Take, stopped: Callable[[], bool]) -> None:
    """Write one CSV line a tick. The first sample decides the columns; what a later one lacks is an empty cell."""
    columns: list[str] = []
    for now in ticks.until(stopped):
        row = {"unix_time": time.time(), "time_s": now - ticks.start, **sample(now)}
        if not columns:
            columns = list(row)
            stream.write(",".join(columns) + "\n")
        stream.write(",".join([_text(row.get(column)) for column in columns]) + "\n")


def run(
    out: Path,
    interval_s: float,
    watched_pid: int | None = None,
    gpu_index: int | None = None,
    descendants_only: bool = False,
) -> dict[str, Any]:
    """Sample until stopped; return how many samples were taken and missed, what they cost, and the energy used."""
    stopped = Stopped(os.getppid())
    gpu = open_gpu(gpu_index, pcie=interval_s >= PCIE_INTERVAL_S)
    sample = sampling(watched_pid, gpu, descendants_only)
    stream, error = out.open("w", encoding="utf-8", buffering=1), ""
    sample(time.monotonic())  # counters need a first reading
    ticks = Ticks(interval_s, time.monotonic, stopped.sleep)
    energy = EnergyCounters(gpu)
    cost = _own_cpu_seconds()
    print("ready", flush=True)
    try:
        write_samples(stream, ticks, asking(sample, energy), lambda: bool(stopped))
    except OSError as problem:  # a full disk ends the trace, not the run
        error = f"cannot be written ({problem.strerror}), after {ticks.taken} samples"
    cost = _own_cpu_seconds() - cost
    with contextlib.suppress(OSError):  # a full disk again: what could not be written is still in the buffer
        stream.close()
    wall = time.monotonic() - ticks.start
    return {
        "interval_s": interval_s,
        "samples": ticks.taken,
        "missed": ticks.missed,
        "seconds": wall,
        "own_cpu_seconds": cost,
        "own_cpu_percent_of_one_core": 100 * cost / wall if wall else 0.0,
        "energy_joules": energy.joules(),
        **({"gpu_errors": gpu.errors} if gpu else {}),
        **({"error": error} if error else {}),
    }


def _text(value: float | None) -> str:
    """Four decimals are finer than any counter here; an empty cell means the counter failed at this tick."""
    return "" if value is None or math.isnan(value) else f"{value:.4f}".rstrip("0").rstrip(".")


def _own_cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    arguments = json.loads(sys.argv[1])
    summary = run(Path(arguments.pop("out")), **arguments)
    print(json.dumps(summary), flush=True)
