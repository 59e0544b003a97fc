"""What the sampling process costs: CPU of its own, and the time it adds to a traced run, alternating with and without.

python -m benchmarks.sampler [--pairs 10] [--seconds 5] [--out FILE.json]
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks import skeleton
from tal_repro.measure.trace import Sampler
from tal_repro.run.system import machine_name

INTERVALS_S = (0.5, 0.05)


def fixed_work(repetitions: int) -> tuple[float, float]:
    """Run a fixed amount of Python and arithmetic work; return its wall and CPU seconds."""
    start, cpu = time.perf_counter(), time.process_time()
    total = 0
    for _ in range(repetitions):
        for number in range(100_000):
            total += number * number
    return time.perf_counter() - start, time.process_time() - cpu


def cost(interval_s: float, per_thread: bool, seconds: float) -> dict[str, Any]:
    """Return the sampling process's own account over idle `seconds`."""
    with tempfile.TemporaryDirectory() as folder:
        watched = os.getpid() if per_thread else None
        with Sampler(Path(folder, "trace.csv"), interval_s, watched_pid=watched) as sampler:
            time.sleep(seconds)
    kept = ("samples", "missed", "own_cpu_seconds", "own_cpu_percent_of_one_core")
    return {"interval_s": interval_s, "per_thread": per_thread, **{name: sampler.summary[name] for name in kept}}


def slowdown(pairs: int, seconds: float, interval_s: float = 0.5, seed: int = 0) -> dict[str, Any]:
    """Alternate a fixed work with and without a sampler, each pair in a drawn order; return the ratios of times."""
    repetitions = max(1, round(seconds / fixed_work(1)[1]))
    shuffler = random.Random(seed)
    samples = []
    with tempfile.TemporaryDirectory() as folder:
        for pair in range(pairs):
            times = {}
            for sampled in shuffler.sample((False, True), 2):
                path = Path(folder, f"{pair}.csv")
                tracing = Sampler(path, interval_s, watched_pid=os.getpid()) if sampled else contextlib.nullcontext()
                with tracing:
                    times["with" if sampled else "without"] = fixed_work(repetitions)
            samples.append(times)
    return {"pairs": pairs, "interval_s": interval_s, "wall": _ratios(samples, 0), "cpu": _ratios(samples, 1)}


def _ratios(samples: list[dict[str, tuple[float, float]]], which: int) -> dict[str, Any]:
    ratios = [times["with"][which] / times["without"][which] for times in samples]
    return {"median_ratio": statistics.median(ratios), "interval_95": bootstrap_interval(ratios), "ratios": ratios}


def bootstrap_interval(values: list[float], draws: int = 10_000, seed: int = 0) -> tuple[float, float]:
    """Return the 95 % percentile-bootstrap interval of the median."""
    draw = random.Random(seed)
    medians = sorted(statistics.median(draw.choices(values, k=len(values))) for _ in range(draws))
    return medians[int(0.025 * draws)], medians[int(0.975 * draws) - 1]


def main() -> None:
    parser = skeleton.parser(__doc__)
    parser.add_argument("--pairs", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=5.0)
    arguments = parser.parse_args()
    load = os.getloadavg()[0]
    costs = [cost(i, t, 4 * arguments.seconds) for i in INTERVALS_S for t in (False, True)]
    for one in costs:
        kind = "system and per-thread" if one["per_thread"] else "system"
        share, missed = one["own_cpu_percent_of_one_core"], one["missed"]
        print(f"{kind}, every {one['interval_s']} s: {share:.3f} % of one core, {missed} missed")
    found = slowdown(arguments.pairs, arguments.seconds)
    for kind in ("wall", "cpu"):
        low, high = found[kind]["interval_95"]
        median = found[kind]["median_ratio"]
        print(f"{kind} time with over without: median {median:.4f}, 95 % interval {low:.4f} to {high:.4f}")
    print(f"load at start {load:.1f}, {machine_name('cpu')}")
    if arguments.out:
        result = {"machine": machine_name("cpu"), "load_at_start": load, "cost": costs, "slowdown": found}
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
