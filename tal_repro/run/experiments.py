"""What one run of each experiment does: train, count MACs, time inference, or train under a sampler."""

from __future__ import annotations

import dataclasses
import importlib
import math
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from tal_repro.engines.adapter import Adapter, RunContext, StopRequested
from tal_repro.errors import InputError
from tal_repro.experiments import EXPERIMENTS, MEASURED
from tal_repro.files import is_there
from tal_repro.models.registry import model_entry
from tal_repro.runs.store import RunStore
from tal_repro.spec import RunSpec

Execute = Callable[[RunContext, Adapter], None]
Row = dict[str, Any]
GIGA = 1e9
BASELINE_S = 2.0  # of idling before a trace
ATTRIBUTED_STEPS = 5  # taken after a traced training


def run_training(run: RunContext, adapter: Adapter) -> None:
    """Train; where the machine counts energy, keep what the run used -> details.json."""
    from tal_repro.measure.energy import Energy

    with Energy(_gpu_index(run)) as energy:
        adapter.train(run)
    if energy.joules:
        run.record.write_json("details", {"energy": energy.to_json()})


def _gpu_index(run: RunContext) -> int | None:
    return int(run.device.partition(":")[2] or 0) if run.device.startswith("cuda") else None


def run_macs(run: RunContext, adapter: Adapter) -> None:
    """Count multiply-accumulates at every length of the spec -> measurements.csv, details.json.

    `gmacs` counts the authors' algorithm, which published numbers are of; `native_gmacs` this kit's own.
    """
    from tal_repro.measure.macs import uncounted

    count = _count_native if adapter.engine == "native" else _count_upstream
    rows: list[Row] = []
    details: dict[str, Any] = {}
    for length in run.spec.feature_lengths:
        run.heartbeat()
        counts, by_operator, unsupported = count(run, adapter, length)
        rows += [_measurement(name, length, macs / GIGA, "GMACs") for name, macs in counts.items()]
        details[str(length)] = {"by_operator": by_operator, "unsupported_ops": unsupported}
        if warning := uncounted(unsupported):
            print(f"# warning: {warning}", flush=True)
    run.record.write_measurements(rows)
    run.record.write_json("details", {"macs": details})


def _count_native(run: RunContext, adapter: Adapter, length: int) -> tuple[dict[str, int], Any, Any]:
    from tal_repro.measure.macs import count_macs

    recipe = {name: value for name, value in run.spec.recipe.items() if name != "max_seq_len"}
    limit = run.spec.recipe.get("max_seq_len")
    upstream = count_macs(run.spec.model, length, _authors_limit(run.spec), upstream_form=True, **recipe)
    own = count_macs(run.spec.model, length, limit, upstream_form=False, **recipe)
    return {"gmacs": upstream.macs, "native_gmacs": own.macs}, upstream.by_operator, upstream.unsupported_ops


def _authors_limit(spec: RunSpec) -> int | None:
    """Return max_seq_len, rounded up to what the authors' code takes: natively, a set of one's own may have less."""
    from tal_repro.models.recipes import with_overrides

    limit: int | None = spec.recipe.get("max_seq_len")
    if limit is None:
        return None
    multiple: int = with_overrides(model_entry(spec.model).recipe, dict(spec.recipe)).authors_multiple(spec.model)
    return math.ceil(limit / multiple) * multiple


def _count_upstream(run: RunContext, adapter: Adapter, length: int) -> tuple[dict[str, int], Any, Any]:
    from tal_repro.measure.macs import count_module

    macs, by_operator, unsupported = count_module(adapter.build_for_macs(length), *adapter.example_input(length))
    return {"gmacs": macs}, by_operator, unsupported


def _measurement(quantity: str, length: int, value: float, unit: str) -> Row:
    return {"quantity": quantity, "feature_length": length, "sample": 0, "value": value, "unit": unit}


def run_inference(run: RunContext, adapter: Adapter) -> None:
    """Time inference at every length of the spec, interleaved -> measurements.csv; judge the line through it."""
    from tal_repro.measure.latency import Effort, measure_inference
    from tal_repro.measure.linearity import linearity_of

    lengths = run.spec.feature_lengths
    rows = measure_inference(
        lambda: _model_to_time(run, adapter, max(lengths)),
        partial(adapter.example_input, recipe=run.spec.recipe),
        lengths,
        run.device,
        effort=Effort(**run.spec.options.get("effort", {})),
        seed=run.spec.seed,
    )
    taken = list(_beating(rows, run))
    run.record.write_measurements(taken)
    run.record.write_json("details", {"linearity": linearity_of(taken).to_json()})


def _model_to_time(run: RunContext, adapter: Adapter, length: int) -> Any:
    """Return the model that is timed, in the arithmetic that the run is recorded under."""
    model = adapter.build_for_timing(length, run.spec.recipe)
    if run.spec.precision == "bf16":
        import torch

        model.forward = torch.autocast(run.device.partition(":")[0], torch.bfloat16)(model.forward)
    return model


def run_trace(run: RunContext, adapter: Adapter) -> None:
    """Train while a sampler writes CPU, GPU, memory and power every `interval_s` -> trace.csv."""
    from tal_repro.measure.trace import INTERVAL_S, Sampler, idle_baseline

    interval_s = float(run.spec.options.get("interval_s", INTERVAL_S))
    gpu_index = _gpu_index(run)
    baseline = idle_baseline(BASELINE_S, gpu_index)
    with Sampler(run.record.paths.trace, interval_s, watched_pid=os.getpid(), gpu_index=gpu_index) as sampler:
        adapter.train(run)
    steps = _divide_steps(run, adapter)
    run.record.write_measurements([*_idle_rows(baseline), *_step_rows(steps)])
    run.record.write_json("details", {"sampler": sampler.summary, "baseline": baseline, "attribution": steps})


def _divide_steps(run: RunContext, adapter: Adapter) -> dict[str, Any]:
    """Return what a training step waits for, from a few more steps after the trace; or why that is not known."""
    try:
        return _native_steps(run) if adapter.engine == "native" else _upstream_steps(run)
    except StopRequested:
        raise
    except Exception as error:  # whatever keeps it from being known, the trace stands without it
        return {"not_attributed": (str(error).splitlines() or [type(error).__name__])[0]}


def _native_steps(run: RunContext) -> dict[str, Any]:
    from tal_repro.engines.native.attribution import attribute_steps

    return attribute_steps(run, ATTRIBUTED_STEPS).to_json()


def _upstream_steps(run: RunContext) -> dict[str, Any]:
    """Start the authors' training again, in a folder of its own: its events and log are none of this run's."""
    from tal_repro.engines.upstream.attribution import attribute_steps

    with tempfile.TemporaryDirectory() as folder:
        record = RunStore(folder).writer(run.spec)
        if is_there(run.record.paths.subset):
            shutil.copyfile(run.record.paths.subset, record.paths.subset)
        return attribute_steps(dataclasses.replace(run, record=record), ATTRIBUTED_STEPS, Path(folder))


def _step_rows(steps: dict[str, Any]) -> list[Row]:
    """Return the shares of a step as measurements; the device's only where there is one (claim M2)."""
    shares = {f"step_{part}_percent": share for part, share in steps.get("host", {}).items()}
    device = steps.get("device_account", {})
    named = {"gpu_kernel_percent": "kernels", "gpu_copy_percent": "copies", "gpu_idle_percent": "idle"}
    shares |= {name: device[part] for name, part in named.items() if part in device}
    return [_measurement(name, 0, 100 * share, "%") for name, share in shares.items()]


def _idle_rows(baseline: dict[str, Any]) -> list[Row]:
    """Return what others used before the training (claim H5), where it was measured."""
    column_of = {"idle_cpu_percent": "cpu_mean_percent", "idle_gpu_percent": "gpu_percent"}
    columns = baseline["columns"]
    return [_measurement(name, 0, columns[c]["mean"], "%") for name, c in column_of.items() if c in columns]


def _beating(rows: Iterable[Row], run: RunContext) -> Iterator[Row]:
    """Pass rows on, with a sign of life for each."""
    for row in rows:
        run.heartbeat()
        yield row


def run_one(run: RunContext, adapter: Adapter) -> None:
    """Do what `tal-repro train` asks for: a training, under a sampler where it has an interval."""
    (run_trace if "interval_s" in run.spec.options else run_training)(run, adapter)


WITHOUT_CHECKPOINT = MEASURED  # minutes of work: stopping them means starting over


def experiment_of(name: str) -> Execute:
    """Return what a run of an experiment does; raise InputError for one that no runner executes."""
    known = {experiment: entry.perform for experiment, entry in EXPERIMENTS.items() if entry.perform}
    if name not in known:
        raise InputError(f"experiment {name!r} is not one a runner executes", remedy=f"use: {', '.join(known)}")
    module, _, function = known[name].partition(":")
    perform: Execute = getattr(importlib.import_module(module), function)
    return perform
