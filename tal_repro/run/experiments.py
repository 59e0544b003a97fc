"""What one run of each experiment does: train, count MACs, time inference, or train under a sampler."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tal_repro.engines.adapter import Adapter, RunContext
from tal_repro.errors import InputError
from tal_repro.record import FILE_NAMES

Execute = Callable[[RunContext, Adapter], None]
TRACE_INTERVAL_S = 0.5  # the paper's


def run_training(run: RunContext, adapter: Adapter) -> None:
    adapter.train(run)


def run_macs(run: RunContext, adapter: Adapter) -> None:
    """Count multiply-accumulates at every length of the spec -> measurements.csv, details.json."""
    from tal_repro.measure.macs import measure_macs

    rows, details = measure_macs(adapter, run.spec, run.heartbeat)
    run.record.write_measurements(rows)
    run.record.write_json("details", details)


def run_inference(run: RunContext, adapter: Adapter) -> None:
    """Time inference at every length of the spec, lengths interleaved -> measurements.csv, details.json."""
    from tal_repro.measure.latency import measure_inference

    rows, details = measure_inference(adapter, run.spec, run.device, run.heartbeat)
    run.record.write_measurements(rows)
    run.record.write_json("details", details)


def run_trace(run: RunContext, adapter: Adapter) -> None:
    """Train while a sampler writes CPU, GPU, memory and power every `interval_s` -> trace.csv."""
    from tal_repro.measure.trace import Sampler

    interval_s = float(run.spec.options.get("interval_s", TRACE_INTERVAL_S))
    with Sampler(run.record.paths.folder / FILE_NAMES["trace"], interval_s):
        adapter.train(run)


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


def measurement(quantity: str, length: int, value: float, unit: str, sample: int = 0) -> dict[str, Any]:
    """Return one row of measurements.csv."""
    return {"quantity": quantity, "feature_length": length, "sample": sample, "value": value, "unit": unit}
