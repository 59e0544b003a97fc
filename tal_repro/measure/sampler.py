"""The sampling process of a trace: `python -m tal_repro.measure.sampler JSON`, one CSV line a tick until told to stop.

A process of its own, so that the traced run's interpreter lock and garbage collector cannot delay it. It writes as it
goes (a kill loses at most one line), keeps nothing in memory, and prints what it cost when it ends.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from tal_repro.measure.nvml import Gpu, open_gpu

MIB = 2**20


class Stopped:
    """Becomes true at SIGTERM or SIGINT, or when the process that started us is gone."""

    def __init__(self, parent: int) -> None:
        self.parent, self.flag = parent, False
        for signum in (signal.SIGTERM, signal.SIGINT):
            signal.signal(signum, lambda *_: setattr(self, "flag", True))

    def __bool__(self) -> bool:
        return self.flag or os.getppid() != self.parent


class Rates:
    """Turn counters that only grow (bytes, CPU seconds) into rates over the last tick."""

    def __init__(self) -> None:
        self.last: dict[str, tuple[float, float]] = {}

    def per_second(self, name: str, now: float, counter: float) -> float:
        before, value = self.last.get(name, (now, counter))
        self.last[name] = (now, counter)
        return (counter - value) / (now - before) if now > before else 0.0


def system_sample(now: float, rates: Rates) -> dict[str, float]:
    """Return CPU use per core, memory in use, and disk and network traffic since the last sample."""
    cores: list[float] = psutil.cpu_percent(percpu=True)
    memory = psutil.virtual_memory()
    sample = {
        "cpu_mean_percent": sum(cores) / len(cores),
        "cpu_busiest_percent": max(cores),
        "memory_used_mib": (memory.total - memory.available) / MIB,
        "memory_free_percent": 100 * memory.available / memory.total,
    }
    if disk := psutil.disk_io_counters():
        sample["disk_read_mib_s"] = rates.per_second("read", now, disk.read_bytes / MIB)
        sample["disk_write_mib_s"] = rates.per_second("write", now, disk.write_bytes / MIB)
    if net := psutil.net_io_counters():
        sample["net_received_mib_s"] = rates.per_second("received", now, net.bytes_recv / MIB)
        sample["net_sent_mib_s"] = rates.per_second("sent", now, net.bytes_sent / MIB)
    return sample | {f"cpu_{index}_percent": percent for index, percent in enumerate(cores)}


def busiest_thread_percent(process: psutil.Process, now: float, rates: Rates) -> float:
    """Return the load of the busiest single thread of `process` and its children."""
    busiest = 0.0
    try:
        family = [process, *process.children(recursive=True)]
    except psutil.Error:
        return busiest
    for member in family:
        if member.pid == os.getpid():
            continue
        try:
            threads = member.threads()
        except psutil.Error:
            continue
        for thread in threads:
            seconds = thread.user_time + thread.system_time
            busiest = max(busiest, 100 * rates.per_second(f"thread {thread.id}", now, seconds))
    return busiest


def sampling(process: psutil.Process | None, gpu: Gpu | None) -> Callable[[float], dict[str, float]]:
    """Return the function that takes one sample; columns that cannot be had are absent, not zero."""
    rates = Rates()
    psutil.cpu_percent(percpu=True)

    def sample(now: float) -> dict[str, float]:
        row = system_sample(now, rates)
        if process is not None:
            row["thread_busiest_percent"] = busiest_thread_percent(process, now, rates)
        return row | (gpu.sample() if gpu else {})

    return sample


def run(out: Path, interval_s: float, watched_pid: int | None, gpu_index: int | None) -> dict[str, float]:
    """Sample until stopped; return how many samples were taken and missed, and what they cost."""
    stopped = Stopped(os.getppid())
    sample = sampling(psutil.Process(watched_pid) if watched_pid else None, open_gpu(gpu_index))
    start, missed, taken = time.monotonic(), 0, 0
    sample(start)  # counters need a first reading
    cost_before = _own_cpu_seconds()
    columns: list[str] = []
    with out.open("w", encoding="utf-8", buffering=1) as stream:
        print("ready", flush=True)
        tick = 1
        while not stopped:
            delay = start + tick * interval_s - time.monotonic()
            if delay > 0:
                time.sleep(min(delay, 0.5))
                continue
            late = int(-delay / interval_s)
            missed, tick = missed + late, tick + late + 1
            now = time.monotonic()
            row = {"unix_time": time.time(), "time_s": now - start, **sample(now)}
            if not columns:
                columns = list(row)
                stream.write(",".join(columns) + "\n")
            stream.write(",".join(_text(row.get(column)) for column in columns) + "\n")
            taken += 1
    wall = time.monotonic() - start
    cost = _own_cpu_seconds() - cost_before
    return {
        "interval_s": interval_s,
        "samples": taken,
        "missed": missed,
        "seconds": wall,
        "own_cpu_seconds": cost,
        "own_cpu_percent_of_one_core": 100 * cost / wall if wall else 0.0,
    }


def _text(value: float | None) -> str:
    """Four decimals are finer than any counter here; an empty cell means the counter failed at this tick."""
    return "" if value is None else f"{value:.4f}".rstrip("0").rstrip(".")


def _own_cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    arguments = json.loads(sys.argv[1])
    summary = run(
        Path(arguments["out"]), arguments["interval_s"], arguments.get("watched_pid"), arguments.get("gpu_index")
    )
    print(json.dumps(summary), flush=True)
