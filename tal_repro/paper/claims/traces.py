"""How a claim about the hardware is read off traces, profiles and what a run noted of the idle machine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from tal_repro.paper.claims.observation import Observation, on_one_device, sampled
from tal_repro.paper.claims.quantities import quantity
from tal_repro.runs.load import Runs
from tal_repro.runs.run import Run, finite, part
from tal_repro.runs.trace import Phase, Trace, trace_of

FULL_PERCENT = 99.0  # a thread that counts as at 100 %
PEAK_PERCENTILE = 99  # a single spike of a 0.5 s sampler is not a peak


def idle_use(runs: Runs, chosen: list[Run], _: str) -> Observation | None:
    """The larger of CPU and GPU use before a trace, in percent; the sampler's own cost beside it."""
    idle = {name: quantity(runs, chosen, f"idle_{name.lower()}_percent") for name in ("CPU", "GPU")}
    known = {name: used for name, used in idle.items() if used is not None}
    if "CPU" not in known:
        return None
    costs = [part(run.details, "sampler").get("own_cpu_percent_of_one_core") for run in known["CPU"].runs]
    note = ", ".join(f"{name} {used.value:.2f} %" for name, used in known.items())
    if measured := [cost for cost in map(finite, costs) if cost is not None]:
        note += f"; sampling cost {max(measured):.3f} % of one core"
    return Observation(max(used.value for used in known.values()), known["CPU"].runs, note=note)


def sampler_cost(runs: Runs, chosen: list[Run], _: str) -> Observation | None:
    """What the sampler itself takes of one core, in percent: the most of all runs."""
    costs = [(run, finite(part(run.details, "sampler").get("own_cpu_percent_of_one_core"))) for run in chosen]
    known = [(run, cost) for run, cost in costs if cost is not None]
    return Observation(max(cost for _, cost in known), tuple(run for run, _ in known)) if known else None


def busy_while_evaluating(runs: Runs, chosen: list[Run], _: str) -> Observation | None:
    """Share of the samples, taken while the model is evaluated, with a thread at 100 %, in percent."""

    def evaluating(run: Run) -> Any:
        trace, phases = _traced(run)
        return _within(trace.get("thread_busiest_percent"), trace, [phase for phase in phases if phase.kind == "eval"])

    return _reduced(chosen, evaluating, lambda used: 100 * float((used >= FULL_PERCENT).mean()), "samples")


def gpu_kernels(runs: Runs, chosen: list[Run], _: str) -> Observation | None:
    """Share of a training step in which a GPU kernel runs, in percent: profiled, else as NVML saw the training.

    NVML's utilisation is the share of a sampling period in which at least one kernel ran.
    """
    profiled = quantity(runs, chosen, "gpu_kernel_percent")
    if profiled is not None:
        return replace(profiled, note=f"profiled{_bandwidth(profiled.runs)}")
    seen = _reduced(chosen, lambda run: _column_while_training(run, "gpu_percent"), lambda used: float(used.mean()), "")
    note = "NVML's utilisation, mean of the samples while training"
    return None if seen is None else replace(seen, note=f"{note}{_bandwidth(seen.runs)}")


def _column_while_training(run: Run, column: str) -> Any:
    trace, phases = _traced(run)
    return _while_training(trace.get(column), trace, phases)


def _bandwidth(runs: Sequence[Run]) -> str:
    """Say how busy the GPU's memory was, where a trace tells it."""
    for run in runs:
        used = _column_while_training(run, "gpu_memory_bandwidth_percent")
        if used is not None:
            return f"; its memory was being read or written {used.mean():.0f} % of the time"
    return ""


def _traced(run: Run) -> Trace:
    return trace_of(run) or Trace({}, [])


def _while_training(values: Any, trace: dict[str, Any], phases: Sequence[Phase]) -> Any:
    """Return a column's finite values within training phases (all, where no phase was told); None where none is."""
    if phases or values is None:
        return _within(values, trace, [phase for phase in phases if phase.kind == "train"])
    kept = values[np.isfinite(values)]
    return kept if len(kept) else None


def _within(values: Any, trace: dict[str, Any], phases: Sequence[Phase]) -> Any:
    """Return a column's finite values within the phases; None where none is."""
    if values is None:
        return None
    time_s = trace["time_s"]
    inside = np.zeros(len(time_s), dtype=bool)
    for phase in phases:
        inside |= (time_s >= phase.start_s) & (time_s < phase.end_s)
    kept = values[inside & np.isfinite(values)]
    return kept if len(kept) else None


def faster_core(runs: Runs, chosen: list[Run], _: str) -> Observation | None:
    """Percent of a training step that a core 1.5 times as fast would save: Amdahl's law on measured shares."""
    for run in chosen:
        steps = part(run.details, "attribution")
        share = finite(part(steps, "what_if").get("core_1.5x"))
        waited = finite(part(steps, "host").get("synchronisation"))
        idle = finite(part(steps, "device_account").get("idle"))
        if share is not None and waited is not None:
            busy = 0.0 if idle is None else 1 - idle
            needed = " to ".join(_core_for(saved, waited, busy) for saved in (0.3, 0.4))
            note = f"an estimate from this machine's shares, no measurement; 30 to 40 % less would need {needed}"
            return Observation(100 * (1 - share), (run,), note=note, decided=False)
    return None


def _core_for(saved: float, waited: float, busy: float) -> str:
    """Return how much faster a core must be to save that share of a step.

    `waited` of the step is not the core's, and in `busy` of it the device works, which no core shortens.
    """
    left = 1 - saved - waited
    possible = left > 0 and 1 - saved >= busy
    return f"a core {(1 - waited) / left:.2f} times as fast" if possible else "more than any core can give"


def trace_peak(runs: Runs, chosen: list[Run], column: str) -> Observation | None:
    """99th percentile of a trace column."""
    return _of_trace(chosen, column, lambda values: float(np.percentile(values, PEAK_PERCENTILE)))


def trace_mean(runs: Runs, chosen: list[Run], column: str) -> Observation | None:
    """Mean of a trace column."""
    return _of_trace(chosen, column, lambda values: float(values.mean()))


def trace_low(runs: Runs, chosen: list[Run], column: str) -> Observation | None:
    """Lowest value of a trace column."""
    return _of_trace(chosen, column, lambda values: float(values.min()))


def _of_trace(chosen: list[Run], column: str, reduce: Callable[[Any], float]) -> Observation | None:
    def finite_values(run: Run) -> Any:
        values = _traced(run).columns.get(column)
        kept = None if values is None else values[np.isfinite(values)]
        return kept if kept is not None and len(kept) else None

    return _reduced(chosen, finite_values, reduce, f"samples of {column}")


def _reduced(
    chosen: list[Run], read: Callable[[Run], Any], reduce: Callable[[Any], float], samples: str
) -> Observation | None:
    """Return one number of each run's samples, of the runs of one machine that have some."""
    values = {run.run_id: read(run) for run in chosen}
    here = on_one_device([run for run in chosen if values[run.run_id] is not None])
    counts = ", ".join(str(len(values[run.run_id])) for run in here)
    return sampled(here, [reduce(values[run.run_id]) for run in here], f"{counts} {samples}")
