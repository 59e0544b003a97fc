"""What one run of each experiment does: train, count MACs, time inference, or train under a sampler."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from tal_repro.engines.adapter import Adapter, RunContext
from tal_repro.errors import InputError

Execute = Callable[[RunContext, Adapter], None]
Row = dict[str, Any]


def run_training(run: RunContext, adapter: Adapter) -> None:
    adapter.train(run)


def run_macs(run: RunContext, adapter: Adapter) -> None:
    """Count multiply-accumulates at every length of the spec -> measurements.csv, details.json."""
    from tal_repro.measure.macs import measure_macs

    rows, details = measure_macs(adapter, run.spec, run.heartbeat)
    run.record.write_measurements(rows)
    run.record.write_json("details", details)


def run_inference(run: RunContext, adapter: Adapter) -> None:
    """Time inference at every length of the spec, lengths interleaved -> measurements.csv."""
    from tal_repro.measure.latency import Effort, measure_inference

    lengths = run.spec.feature_lengths
    rows = measure_inference(
        lambda: adapter.build_for_macs(max(lengths)),
        adapter.example_input,
        lengths,
        run.device,
        effort=Effort(**run.spec.options.get("effort", {})),
        seed=run.spec.seed,
    )
    run.record.write_measurements(_beating(rows, run))


def run_trace(run: RunContext, adapter: Adapter) -> None:
    """Train while a sampler writes CPU, GPU, memory and power every `interval_s` -> trace.csv."""
    from tal_repro.measure.trace import INTERVAL_S, Sampler

    interval_s = float(run.spec.options.get("interval_s", INTERVAL_S))
    gpu_index = int(run.device.partition(":")[2] or 0) if run.device.startswith("cuda") else None
    with Sampler(run.record.paths.trace, interval_s, watched_pid=os.getpid(), gpu_index=gpu_index) as sampler:
        adapter.train(run)
    run.record.write_json("details", {"sampler": sampler.summary})


def _beating(rows: Iterable[Row], run: RunContext) -> Iterator[Row]:
    """Pass rows on, with a sign of life for each."""
    for row in rows:
        run.heartbeat()
        yield row


EXPERIMENTS: dict[str, Execute] = {
    "baseline": run_training,
    "data_sweep": run_training,
    "ablation": run_training,
    "trace": run_trace,
    "macs": run_macs,
    "inference": run_inference,
}
WITHOUT_CHECKPOINT = ("macs", "inference")  # minutes of work: stopping them means starting over


def experiment_of(name: str) -> Execute:
    if name not in EXPERIMENTS:
        raise InputError(f"experiment {name!r} is not one a runner executes", remedy=f"use: {', '.join(EXPERIMENTS)}")
    return EXPERIMENTS[name]
