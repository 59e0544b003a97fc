"""What a training step's time is spent on: waiting for data, the CPU, kernels, copies, synchronisation (claim M2).

Two accounts, each adding up to the step. The host's: waiting for the loader, synchronising with the device, operators
(on a CPU they are the arithmetic, on a GPU its dispatch) and the rest, which is Python. The device's, where there is
one: kernels, copies, idle. Steps are timed without the profiler, whose overhead would pass for CPU work; the profiler
and a sampler of Python's stack only divide what remains after waiting.
"""

from __future__ import annotations

import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

# what the host waits in; a copy from or to pageable memory returns only when it, and what was asked for before, is done
SYNCHRONISING = (
    "cudaStreamSynchronize", "cudaDeviceSynchronize", "cudaEventSynchronize", "cuda_synchronize", "cudaMemcpy",
)  # fmt: skip
COPIES = ("Memcpy", "Memset")
STACK_INTERVAL_S = 0.005
SHOWN = 5
FASTER_CORE, FASTER_GPU = 1.5, 2.0  # times, of the estimates


class StepTime(NamedTuple):
    """One training step: seconds it waited for its batch, and seconds it then worked."""

    wait: float
    work: float


class Span(NamedTuple):
    """One event of a profile, in microseconds."""

    name: str
    start: float
    end: float
    on_device: bool
    self_time: float  # without the events within it


@dataclass(frozen=True)
class Attribution:
    """Shares of a mean training step; `functions` and `operators` are (name, share of the work), largest first.

    `samples_ms` holds (wait, work) of every step that was timed.
    """

    steps: int
    step_ms: float
    samples_ms: tuple[tuple[float, float], ...]
    host: Mapping[str, float]
    device: Mapping[str, float]  # {} without one
    operators: tuple[tuple[str, float], ...]
    functions: tuple[tuple[str, float], ...]
    loader_functions: tuple[tuple[str, float], ...]

    def to_json(self) -> dict[str, Any]:
        """Return plain values with the verdict and the estimates."""
        pairs = {
            name: [list(p) for p in getattr(self, name)] for name in ("operators", "functions", "loader_functions")
        }
        return {
            "steps": self.steps, "step_ms": self.step_ms, "samples_ms": [list(sample) for sample in self.samples_ms],
            "host": dict(self.host),
            "device_account": dict(self.device), **pairs,
            "verdict": verdict(self), "what_if": what_if(self),
        }  # fmt: skip


def attribute(
    times: Iterable[StepTime],
    spans: Iterable[Span],
    functions: Mapping[str, int] | None = None,
    loader_functions: Mapping[str, int] | None = None,
) -> Attribution:
    """Divide unprofiled step `times` by the proportions of a profile's `spans` and of sampled stacks.

    Of a profile, the wall time of the profiled work is taken as reaching from its first to its last event.
    """
    steps = list(times)
    total = sum(step.wait + step.work for step in steps)
    wait = sum(step.wait for step in steps) / total
    events = list(spans)
    host = {"data_wait": wait, **{k: v * (1 - wait) for k, v in _host_shares(events).items()}}
    return Attribution(
        steps=len(steps),
        step_ms=1000 * total / len(steps),
        samples_ms=tuple((1000 * step.wait, 1000 * step.work) for step in steps),
        host=host,
        device=_device_shares(events, 1 - wait),
        operators=_largest(_operator_times(events)),
        functions=_largest(functions or {}),
        loader_functions=_largest(loader_functions or {}),
    )


def _host_shares(events: list[Span]) -> dict[str, float]:
    host = [event for event in events if not event.on_device]
    wall = _wall(events)
    if not wall:
        return {"synchronisation": 0.0, "operators": 0.0, "python": 1.0}
    waited = sum(event.self_time for event in host if event.name.startswith(SYNCHRONISING))
    worked = sum(event.self_time for event in host) - waited
    # operators of several threads may run at once; the account is of one step's wall time
    operators = min(worked / wall, 1 - min(waited / wall, 1.0))
    synchronisation = min(waited / wall, 1.0)
    return {"synchronisation": synchronisation, "operators": operators, "python": 1 - synchronisation - operators}


def _device_shares(events: list[Span], worked: float) -> dict[str, float]:
    device = [event for event in events if event.on_device]
    wall = _wall(events)
    if not device or not wall:
        return {}
    copies = _union([event for event in device if event.name.startswith(COPIES)]) / wall * worked
    kernels = _union([event for event in device if not event.name.startswith(COPIES)]) / wall * worked
    return {"kernels": kernels, "copies": copies, "idle": max(1 - kernels - copies, 0.0)}


def _wall(events: list[Span]) -> float:
    return max((e.end for e in events), default=0.0) - min((e.start for e in events), default=0.0)


def _union(events: list[Span]) -> float:
    """Return the time that at least one of the events covers."""
    covered, reached = 0.0, float("-inf")
    for event in sorted(events, key=lambda e: e.start):
        covered += max(0.0, event.end - max(event.start, reached))
        reached = max(reached, event.end)
    return covered


def _operator_times(events: list[Span]) -> dict[str, float]:
    times: Counter[str] = Counter()
    for event in events:
        if not event.on_device and not event.name.startswith(SYNCHRONISING):
            times[event.name] += event.self_time  # type: ignore[assignment]
    return dict(times)


def _largest(weights: Mapping[str, float]) -> tuple[tuple[str, float], ...]:
    total = sum(weights.values())
    ranked = sorted(weights.items(), key=lambda item: -item[1])[:SHOWN]
    return tuple((name, weight / total) for name, weight in ranked if weight) if total else ()


def verdict(attribution: Attribution) -> str:
    """Say in one sentence what limits the step, with the evidence."""
    part, share = max(attribution.host.items(), key=lambda item: item[1])
    percent = f"{100 * share:.0f} %"
    if part == "data_wait":
        return f"{percent} waiting for the loader{_where(attribution.loader_functions)}"
    if part == "synchronisation":
        busy = attribution.device.get("kernels", 0.0)
        return f"{percent} waiting for the device, whose kernels run {100 * busy:.0f} % of the step"
    if part == "operators" and attribution.device:
        busy = attribution.device["kernels"]
        return f"{percent} dispatching operators from the CPU; kernels run {100 * busy:.0f} % of the step"
    if part == "operators":
        return f"{percent} arithmetic on the CPU{_where(attribution.operators)}"
    return f"{percent} Python between operators{_where(attribution.functions)}"


def _where(ranked: tuple[tuple[str, float], ...]) -> str:
    return f": most in {ranked[0][0]} ({100 * ranked[0][1]:.0f} % of that)" if ranked else ""


def what_if(step: Attribution, core: float = FASTER_CORE, gpu: float = FASTER_GPU) -> dict[str, float]:
    """Estimate the step's time, as a share of today's, on a faster core and on a faster GPU (Amdahl's law).

    A faster core shortens loader, operators and Python, until the step takes no longer than the device is busy; a
    faster GPU what the host waits for it, and no more than the kernels' own saving. Estimates, labelled so wherever
    they are shown.
    """
    host = step.host
    on_cpu = host["data_wait"] + host["operators"] + host["python"]
    busy = 1 - step.device["idle"] if step.device else 0.0
    faster_core = max(host["synchronisation"] + on_cpu / core, busy)
    saving = min(host["synchronisation"], step.device.get("kernels", 0.0) * (1 - 1 / gpu)) if step.device else 0.0
    return {f"core_{core:g}x": faster_core, **({f"gpu_{gpu:g}x": 1 - saving} if step.device else {})}


@contextmanager
def sampled_stacks(interval_s: float = STACK_INTERVAL_S) -> Iterator[dict[str, Counter[str]]]:
    """Count, by thread name, which function of ours or of a model each thread is in, every `interval_s`.

    A function counts that is innermost outside the standard library and installed packages.
    """
    counts: dict[str, Counter[str]] = {}
    over = threading.Event()

    def watch() -> None:
        own = threading.get_ident()
        while not over.wait(interval_s):
            names = {thread.ident: thread.name for thread in threading.enumerate()}
            for ident, frame in sys._current_frames().items():
                if ident != own and (place := _place(frame)):
                    counts.setdefault(names.get(ident, "?"), Counter())[place] += 1

    watcher = threading.Thread(target=watch, name="stack sampler", daemon=True)
    watcher.start()
    try:
        yield counts
    finally:
        over.set()
        watcher.join()


# not whose time is told: libraries, and the shims that stand between an upstream and them
_INSTALLED = tuple({str(Path(threading.__file__).parent), "<frozen", "site-packages", "engines/upstream/shims.py"})


def _place(frame: Any) -> str | None:
    while frame is not None:
        name = frame.f_code.co_filename
        if not any(part in name for part in _INSTALLED):
            return f"{Path(name).stem}.{frame.f_code.co_qualname}"
        frame = frame.f_back
    return None


def profile(work: Callable[[], object], device: str) -> list[Span]:
    """Run `work` under torch's profiler and return its events."""
    with profiling(device) as spans:
        work()
    return spans


@contextmanager
def profiling(device: str) -> Iterator[list[Span]]:
    """Profile what is done meanwhile; the list is filled when that is over."""
    from torch.autograd import DeviceType  # type: ignore[attr-defined]
    from torch.profiler import ProfilerActivity
    from torch.profiler import profile as torch_profile

    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if device.startswith("cuda") else [])]
    spans: list[Span] = []
    with torch_profile(activities=activities) as profiler:
        yield spans
    spans += spans_of(profiler.events() or (), DeviceType.CPU)


def spans_of(events: Iterable[Any], cpu: Any) -> list[Span]:
    """Return a profile's events, `cpu` being the device type of the host's.

    An annotation (torch puts one around each optimizer step) is no work: on the host what lies in it beside operators
    is Python; on the device it reaches from its first kernel to its last, gaps and all, and is left out.
    """
    spans = []
    for event in events:
        on_device, annotates = event.device_type != cpu, bool(getattr(event, "is_user_annotation", False))
        if on_device and annotates:
            continue
        start, end = float(event.time_range.start), float(event.time_range.end)
        own = 0.0 if annotates else float(event.self_cpu_time_total)
        spans.append(Span(event.name, start, end, on_device, own))
    return spans


def end_to_end(profiles: Iterable[Sequence[Span]]) -> list[Span]:
    """Return profiles that were recorded one by one on one time axis, without the gaps between them."""
    shifted: list[Span] = []
    reached = 0.0
    for spans in profiles:
        shift = reached - min((span.start for span in spans), default=0.0)
        shifted += [span._replace(start=span.start + shift, end=span.end + shift) for span in spans]
        reached = max((span.end for span in shifted), default=0.0)
    return shifted


def time_steps(
    batches: Iterator[Any], step: Callable[[Any], object], count: int, finish: Callable[[], object]
) -> list[StepTime]:
    """Take `count` steps; `finish` waits for the device. The wait is the time to get a batch."""
    taken = []
    for _ in range(count):
        begin = time.perf_counter()
        batch = next(batches)
        got = time.perf_counter()
        step(batch)
        finish()
        taken.append(StepTime(got - begin, time.perf_counter() - got))
    return taken
