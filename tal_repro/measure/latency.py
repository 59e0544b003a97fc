"""Inference time and memory against input length (paper section 4.3, Figure 4), by one method on CPU and GPU.

Models and lengths are interleaved in a seeded random order, so that a drift of the machine's speed spreads over all
of them; every sample is kept. CUDA events on a GPU, `perf_counter` on a CPU. First call, model creation and garbage
collection are measured apart (the paper mixes them, section 4.3).
"""

from __future__ import annotations

import gc
import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from tal_repro.errors import InputError
from tal_repro.measure.memory import PeakMemory, allocated_mib, is_out_of_memory, memory_guard

if TYPE_CHECKING:
    import torch

Row = dict[str, Any]
Timer = Callable[[Callable[[], Any]], tuple[float, Any]]
# what is timed -> the quantity its samples are stored under; figures draw the bare model's
RESOLUTION = 0.01  # of the largest length that fits, as a share of it
QUANTITY = {"model": "latency_ms", "post": "post_latency_ms", "all": "full_latency_ms"}


@dataclass(frozen=True)
class Effort:
    """How long to measure: until both minima are reached at every length, or the maximum."""

    min_samples: int = 5
    min_seconds: float = 1.0  # a length
    max_samples: int = 50
    max_warmup: int = 10
    stable_within: float = 0.1  # warm-up ends when two calls in a row differ by less than this share


@dataclass(frozen=True)
class Subject:
    """One model to be timed. `postprocess(model, outputs, inputs)` is decoding and NMS."""

    name: str
    build: Callable[[], Any]
    example_input: Callable[[int], tuple[Any, ...]]
    lengths: Sequence[int]
    postprocess: Callable[[Any, Any, tuple[Any, ...]], Any] | None = None


def measure_inference(
    build: Callable[[], Any],
    example_input: Callable[[int], tuple[Any, ...]],
    lengths: Sequence[int],
    device: str,
    *,
    effort: Effort | None = None,
    seed: int = 0,
) -> Iterator[Row]:
    """Yield the rows of one model on one device, the bare model timed (see `measure_subjects`)."""
    subject = Subject("", build, example_input, lengths)
    yield from (row for _, row in measure_subjects([subject], device, effort=effort, seed=seed))


def measure_subjects(
    subjects: Sequence[Subject],
    device: str,
    *,
    include: str = "model",
    effort: Effort | None = None,
    seed: int = 0,
) -> Iterator[tuple[str, Row]]:
    """Yield (subject's name, row {quantity, feature_length, sample, value, unit}) on one device.

    Quantities: `build_ms`, `first_call_ms`, `latency_ms` (all samples; `post_latency_ms` for decoding and NMS alone,
    `full_latency_ms` with both), `peak_memory_mib`, `resident_mib`, `peak_reserved_mib` on a GPU, `collection_ms`,
    `warmup_unsettled` for a length whose calls never agreed, and `out_of_memory` for one that did not fit (the others
    go on). On a CPU memory is guarded: nothing is killed.
    """
    import torch

    _check(subjects, include)
    timer = timer_for(torch.device(device))
    effort = effort or Effort()
    calls: dict[tuple[str, int], Callable[[], Any]] = {}
    for subject in subjects:
        empty_mib = allocated_mib(device)
        build_ms, model = timer(partial(_build, subject, device))
        model_mib = allocated_mib(device) - empty_mib
        yield subject.name, _row("build_ms", 0, 0, build_ms)
        for length in sorted(set(subject.lengths)):
            try:
                with _guarded(device):
                    before_mib = allocated_mib(device)
                    call = _prepare(subject, model, length, device, include)
                    own_mib = model_mib + allocated_mib(device) - before_mib
                    rows = list(_first_calls(call, length, timer, device, effort, own_mib))
                calls[subject.name, length] = call
            except (MemoryError, RuntimeError) as error:  # of which torch's own OutOfMemoryError is one
                rows = [_limit(error, length)]
            yield from ((subject.name, row) for row in rows)
    with _guarded(device):
        yield from _interleaved(calls, QUANTITY[include], timer, effort, seed)
    for subject in subjects:
        longest = max((length for name, length in calls if name == subject.name), default=None)
        yield from ((subject.name, row) for row in _collections(calls.get((subject.name, longest or 0)), device))


def _check(subjects: Sequence[Subject], include: str) -> None:
    if not subjects or not all(subject.lengths for subject in subjects):
        raise InputError("no input length to measure", remedy="name at least one, for example --lengths 100,1000")
    if include not in QUANTITY:
        raise InputError(f"include {include!r}", remedy=f"use one of: {', '.join(QUANTITY)}")
    for subject in subjects:
        if include != "model" and subject.postprocess is None:
            raise InputError(f"{subject.name} has no post-processing of its own to time", "--include", "use: model")


def _build(subject: Subject, device: str) -> Any:
    return subject.build().eval().to(device)


def _prepare(subject: Subject, model: Any, length: int, device: str, include: str) -> Callable[[], Any]:
    """Return the call to be timed at a length: the model, what follows it, or both."""
    import torch

    inputs = tuple(part.to(device) for part in subject.example_input(length))

    def forward() -> Any:
        with torch.inference_mode():
            return model(*inputs)

    if include == "model" or subject.postprocess is None:
        return forward
    post = subject.postprocess
    if include == "all":
        return lambda: post(model, forward(), inputs)
    outputs = forward()
    return lambda: post(model, outputs, inputs)


def _first_calls(
    call: Callable[[], Any], length: int, timer: Timer, device: str, effort: Effort, own_mib: float
) -> Iterator[Row]:
    """Measure the first call and the peak memory at a length, then warm up until two calls agree.

    `own_mib` is what the call's model and input hold on a GPU: what else lies there is not of this length.
    """
    with PeakMemory(device, own_mib) as peak:
        first_ms, _ = timer(call)
    yield _row("first_call_ms", length, 0, first_ms)
    yield _row("peak_memory_mib", length, 0, peak.mib, "MiB")
    yield _row("resident_mib", length, 0, peak.resident_mib, "MiB")
    if peak.reserved_mib is not None:
        yield _row("peak_reserved_mib", length, 0, peak.reserved_mib, "MiB")
    last = first_ms
    for _ in range(effort.max_warmup):
        now, _ = timer(call)
        if abs(now - last) < effort.stable_within * max(now, last):
            return
        last = now
    yield _row("warmup_unsettled", length, 0, 1.0, "bool")


def _collections(call: Callable[[], Any] | None, device: str, samples: int = 3) -> Iterator[Row]:
    """Time collections; on a GPU each of what a call (None: nothing fitted) has left in CUDA's cache."""
    collection_ms(device)  # what others left
    for sample in range(samples):
        if call is not None and device.startswith("cuda"):
            call()
        yield _row("collection_ms", 0, sample, collection_ms(device))


def _interleaved(
    calls: dict[tuple[str, int], Callable[[], Any]], quantity: str, timer: Timer, effort: Effort, seed: int
) -> Iterator[tuple[str, Row]]:
    """Go round models and lengths in a new random order each time, until each has been measured enough."""
    shuffler = random.Random(seed)
    taken = dict.fromkeys(calls, 0)
    spent_ms = dict.fromkeys(calls, 0.0)
    while waiting := [
        key
        for key in calls
        if taken[key] < effort.max_samples
        and (taken[key] < effort.min_samples or spent_ms[key] < 1000 * effort.min_seconds)
    ]:
        shuffler.shuffle(waiting)
        for key in waiting:
            try:
                elapsed, _ = timer(calls[key])
            except (MemoryError, RuntimeError) as error:  # of which torch's own OutOfMemoryError is one
                yield key[0], _limit(error, key[1])
                del calls[key]
                continue
            yield key[0], _row(quantity, key[1], taken[key], elapsed)
            taken[key] += 1
            spent_ms[key] += elapsed


def largest_length(
    fits: Callable[[int], bool], known: int, cap: int, resolution: float = RESOLUTION
) -> tuple[int, bool]:
    """Return the largest length found to fit, by doubling then bisection to `resolution`, and whether `cap` was met.

    `known` is a length that fits.
    """
    low, high = known, None
    while high is None:
        if low >= cap:
            return cap, True
        step = min(2 * low, cap)
        if fits(step):
            low = step
        else:
            high = step
    while high - low > max(1, int(resolution * low)):
        middle = (low + high) // 2
        if fits(middle):
            low = middle
        else:
            high = middle
    return low, False


def fits_in_memory(subject: Subject, model: Any, device: str) -> Callable[[int], bool]:
    """Return the question whether one call at a length fits in memory."""

    def fits(length: int) -> bool:
        try:
            with _guarded(device):
                _prepare(subject, model, length, device, "model")()
        except (MemoryError, RuntimeError) as error:
            _limit(error, length)
            return False
        finally:
            collection_ms(device)
        return True

    return fits


def _guarded(device: str) -> AbstractContextManager[Any]:
    return memory_guard() if device == "cpu" else nullcontext()


def _limit(error: BaseException, length: int) -> Row:
    """Return the row of a length that did not fit; raise what is another error."""
    if not is_out_of_memory(error):
        raise error
    return _row("out_of_memory", length, 0, 1.0, "bool")


def timer_for(device: torch.device) -> Timer:
    """Return a function that runs a call and returns (milliseconds, its result), synchronised on a GPU."""
    import torch

    def on_cpu(call: Callable[[], Any]) -> tuple[float, Any]:
        start = time.perf_counter()
        result = call()
        return 1000 * (time.perf_counter() - start), result

    def on_gpu(call: Callable[[], Any]) -> tuple[float, Any]:
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
        stream = torch.cuda.current_stream(device)  # of this device: the current one may be another
        torch.cuda.synchronize(device)
        start.record(stream)
        result = call()
        end.record(stream)
        torch.cuda.synchronize(device)
        return float(start.elapsed_time(end)), result

    return on_gpu if device.type == "cuda" else on_cpu


def collection_ms(device: str) -> float:
    """Return how long Python's garbage collector and CUDA's cache release take together (claim C4)."""
    import torch

    start = time.perf_counter()
    gc.collect()
    if device.startswith("cuda"):
        torch.cuda.empty_cache()
        torch.cuda.synchronize(device)
    return 1000 * (time.perf_counter() - start)


def _row(quantity: str, length: int, sample: int, value: float, unit: str = "ms") -> Row:
    return {"quantity": quantity, "feature_length": length, "sample": sample, "value": value, "unit": unit}
