"""How a claim's number is read off finished runs. Like the derivations, none of these sees a reference."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from tal_repro.measure.compare import MIN_SAMPLES, Key, compare
from tal_repro.measure.linearity import linearity
from tal_repro.paper.claims.acceleration import acceleration
from tal_repro.paper.claims.observation import Observation, on_one_device, sampled
from tal_repro.paper.claims.quantities import quantity
from tal_repro.paper.claims.traces import (
    busy_while_evaluating,
    faster_core,
    gpu_kernels,
    idle_use,
    sampler_cost,
    trace_low,
    trace_mean,
    trace_peak,
)
from tal_repro.paper.statistics import Sample
from tal_repro.runs.load import Runs
from tal_repro.runs.run import Run, finite, measurements, part

LONG_LENGTH = 30000  # feature steps, the paper's longest input
_ANY = Key("", "", "", 0)


Read = Callable[[Runs, list[Run], str], Observation | None]


def average_map(runs: Runs, chosen: list[Run], _: str) -> Observation | None:
    """Mean of the reported average mAP of full trainings, in percent."""
    full = [run for run in chosen if run.percent == 100 and run.average_map is not None]
    note = "" if not full else f"{' '.join(full[0].reported or ())}"
    if full and full[0].experiment == "released":  # fixed weights: another evaluation tells nothing new
        return Observation(float(full[0].average_map or 0.0), (full[0],), note=note)
    return sampled(full, [run.average_map for run in full], note)


def map_below(runs: Runs, chosen: list[Run], reported: str) -> Observation | None:
    """A reported mAP minus the mean of the runs."""
    observation = average_map(runs, chosen, "")
    if observation is None or observation.sample is None:
        return None
    below = float(reported) - observation.sample.mean
    return Observation(
        below,
        observation.runs,
        Sample(below, observation.sample.std, observation.sample.n, observation.sample.kind),
        observation.note,
    )


# TadTR's compiled RoIAlign cannot be built with a current torch (docs/upstream.md, shims).
OTHER_KERNEL = ", with the kit's RoIAlign in place of the authors' CUDA kernel: same GPU, different kernel"


def train_seconds(runs: Runs, chosen: list[Run], _: str) -> Observation | None:
    """Mean training time in Table 2's definition for the model, in seconds, of runs that had the device alone."""
    timed = on_one_device([run for run in chosen if run.percent == 100 and run.train_seconds and run.alone])
    note = timed[0].train_seconds_of if timed else ""
    if any((run.model, run.engine) == ("tadtr", "upstream") for run in timed):
        note += OTHER_KERNEL
    return sampled(timed, [run.train_seconds for run in timed], note)


def trainings_a_day(runs: Runs, chosen: list[Run], option: str) -> Observation | None:
    """Trainings that fit in 24 hours."""
    observation = train_seconds(runs, chosen, option)
    return (
        None
        if observation is None
        else sampled(observation.runs, [86400 / float(run.train_seconds or 0) for run in observation.runs])
    )


def recipe(runs: Runs, chosen: list[Run], name: str) -> Observation | None:
    """A hyper-parameter of the runs (their one value, else the first run that differs)."""
    values: list[tuple[Run, float]] = []
    for run in chosen:
        settings = run.spec.recipe
        if name in settings:
            values.append((run, float(settings[name]) * (100.0 if name.endswith("overlap") else 1.0)))
    if not values:
        return None
    distinct = sorted({value for _, value in values})
    note = "set by the recipe of the runs" if len(distinct) == 1 else f"the runs differ: {distinct}"
    return Observation(values[0][1], tuple(run for run, _ in values), note=note)


def latency_linearity(runs: Runs, chosen: list[Run], _: str) -> Observation | None:
    """R2 of the median inference time on feature length, on one machine, and whether a line is what fits them.

    The verdict is the one its run stored; several runs, and runs without one, are judged here together.
    """
    here = [run for run in on_one_machine(runs, chosen) if latencies([run])]
    stored = part(here[0].details, "linearity") if len(here) == 1 else {}
    if "curvature_margin" not in stored:  # judged by an older rule, which called curves at few lengths lines
        stored = {}
    line = stored or (linearity(latencies(here)).to_json() if here else {})
    r2 = finite(line.get("r2"))
    if r2 is None:
        return None
    name, disturbed = line.get("verdict"), _disturbances(here)
    note = f"{line.get('words', '')} on {here[0].device}; residuals by length {line.get('residual_signs', '')}"
    note += f"; the machine was not quiet ({disturbed}), which bends lines too" if disturbed else ""
    return Observation(
        r2, tuple(here), note=note, holds=name == "linear", decided=name != "undecided" and not disturbed
    )  # fmt: skip


def _disturbances(chosen: Sequence[Run]) -> str:
    """Return what the runs say disturbed their times ("" for a quiet machine)."""
    return ", ".join(dict.fromkeys(reason for run in chosen for reason in run.doubtful))


def latencies(chosen: Sequence[Run]) -> dict[int, float]:
    """Return the median inference time in ms at each feature length."""
    return {length: float(np.median(values)) for length, values in samples_of(chosen).items()}


def samples_of(chosen: Sequence[Run]) -> dict[int, list[float]]:
    """Return every inference time in ms by feature length."""
    samples: dict[int, list[float]] = {}
    for row in measurements(chosen, "latency_ms"):
        samples.setdefault(row.feature_length, []).append(row.value)
    return samples


def _ratio(over: Sequence[float], under: Sequence[float]) -> tuple[float, str]:
    """Return the ratio of the medians, and its interval in words."""
    (compared,) = compare({_ANY: under}, {_ANY: over}, {})
    if compared.low is None or compared.high is None:
        return compared.ratio, f"no interval: fewer than {MIN_SAMPLES} samples"
    return compared.ratio, f"95 % interval {compared.low:.3g} to {compared.high:.3g}"


def _not_quiet(chosen: Sequence[Run]) -> str:
    disturbed = _disturbances(chosen)
    return f"; the machine was not quiet ({disturbed})" if disturbed else ""


def on_one_machine(runs: Runs, chosen: list[Run]) -> list[Run]:
    """Return the runs of one machine, number of threads and precision.

    The one with most models, then the longest input, then the first by name.
    """
    groups: dict[tuple[str, int, str], list[Run]] = {}
    for run in chosen:
        groups.setdefault((run.device, run.spec.threads, run.spec.precision), []).append(run)

    def reach(group: list[Run]) -> tuple[int, int]:
        return len({run.model for run in group}), max(latencies(group), default=0)

    return max((groups[key] for key in sorted(groups)), key=reach, default=[])


def latency_at_30000(runs: Runs, chosen: list[Run], model: str) -> Observation | None:
    """Inference time in ms at length 30000: the median of each run; of one model, where it is named."""
    here = [run for run in on_one_machine(runs, chosen) if LONG_LENGTH in latencies([run])]
    here = [run for run in here if model in ("", run.model)]
    return sampled(here, [latencies([run])[LONG_LENGTH] for run in here])


def latency_seconds(runs: Runs, chosen: list[Run], model: str) -> Observation | None:
    """The same time in s; its ratio to TadTR's on that machine beside it."""
    observation = latency_at_30000(runs, chosen, model)
    if observation is None:
        return None
    times = {m: samples_of([r for r in on_one_machine(runs, chosen) if r.model == m]) for m in (model, "tadtr")}
    note = ""
    if LONG_LENGTH in times["tadtr"]:
        ratio, interval = _ratio(times[model][LONG_LENGTH], times["tadtr"][LONG_LENGTH])
        note = f"ratio to TadTR {ratio:.1f} on one machine ({interval}){_not_quiet(observation.runs)}"
    return sampled(observation.runs, [latencies([run])[LONG_LENGTH] / 1000 for run in observation.runs], note)


def cpu_against_gpu(runs: Runs, chosen: list[Run], _: str) -> Observation | None:
    """TadTR's time on one processor over that on one GPU, at the longest length that both have."""
    cuda = [run for run in chosen if "cuda" in str(run.system.get("device", {}).get("name", ""))]
    cpu = on_one_machine(runs, [run for run in chosen if run not in cuda])
    cuda = on_one_machine(runs, cuda)
    times = samples_of(cpu), samples_of(cuda)
    shared = set(times[0]) & set(times[1])
    if not shared:
        return None
    length = max(shared)
    ratio, interval = _ratio(times[0][length], times[1][length])
    compared = f"{cpu[0].device} ({cpu[0].spec.threads} threads) over {cuda[0].device}"
    note = f"{compared}, at length {length}; {interval}{_not_quiet([*cpu, *cuda])}"
    return Observation(ratio, (*cpu, *cuda), note=note)


def build_seconds(runs: Runs, chosen: list[Run], _: str) -> Observation | None:
    """Time to create the model, in seconds."""
    observation = quantity(runs, chosen, "build_ms")
    return (
        None
        if observation is None
        else sampled(observation.runs, [_mean(run, "build_ms") / 1000 for run in observation.runs])
    )


def collection_share(runs: Runs, chosen: list[Run], _: str) -> Observation | None:
    """Garbage collection's share of collection plus inference at length 30000, in percent."""
    timed, collected = latency_at_30000(runs, chosen, ""), quantity(runs, chosen, "collection_ms")
    if timed is None or collected is None:
        return None
    both = [run for run in timed.runs if run in collected.runs]
    times = [(_mean(run, "collection_ms"), latencies([run])[LONG_LENGTH]) for run in both]
    return sampled(both, [100 * collection / (collection + inference) for collection, inference in times])


def _mean(run: Run, name: str) -> float:
    return float(np.mean([row.value for row in measurements([run], name)]))


READERS: dict[str, Read] = {
    "map": average_map,
    "map_below": map_below,
    "train_seconds": train_seconds,
    "trainings_a_day": trainings_a_day,
    "recipe": recipe,
    "latency_linearity": latency_linearity,
    "latency_at_30000": latency_at_30000,
    "latency_seconds": latency_seconds,
    "cpu_against_gpu": cpu_against_gpu,
    "build_seconds": build_seconds,
    "quantity": quantity,
    "idle_use": idle_use,
    "sampler_cost": sampler_cost,
    "busy_while_evaluating": busy_while_evaluating,
    "collection_share": collection_share,
    "gpu_kernels": gpu_kernels,
    "faster_core": faster_core,
    "acceleration": acceleration,
    "trace_peak": trace_peak,
    "trace_mean": trace_mean,
    "trace_low": trace_low,
}
