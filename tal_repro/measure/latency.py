"""Inference time and memory against input length (paper section 4.3, Figure 4), by one method on CPU and GPU.

Lengths are interleaved in a seeded random order, so that a drift of the machine's speed spreads over all of them;
every sample is kept. CUDA events on a GPU, `perf_counter` on a CPU. First call, model creation and garbage collection
are measured apart (the paper mixes them, section 4.3).
"""

from __future__ import annotations

import gc
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from tal_repro.errors import InputError
from tal_repro.measure.memory import PeakMemory

if TYPE_CHECKING:
    import torch

INCLUDE = ("model", "post", "all")
Row = dict[str, Any]


@dataclass(frozen=True)
class Effort:
    """How long to measure: until both minima are reached at every length, or the maximum."""

    min_samples: int = 5
    min_seconds: float = 1.0  # a length
    max_samples: int = 50
    max_warmup: int = 10
    stable_within: float = 0.1  # warm-up ends when two calls in a row differ by less than this share


def measure_inference(
    build: Callable[[], Any],
    example_input: Callable[[int], tuple[Any, ...]],
    lengths: Sequence[int],
    device: str,
    *,
    postprocess: Callable[[Any, tuple[Any, ...]], Any] | None = None,
    effort: Effort | None = None,
    seed: int = 0,
) -> Iterator[Row]:
    """Yield rows {quantity, feature_length, sample, value, unit} of one model on one device.

    Quantities: `build_ms`, `first_call_ms`, `latency_ms` (all samples), `peak_memory_mib`, `collection_ms`, and
    `out_of_memory` for a length that did not fit (the others go on). `postprocess` adds decoding and NMS to the time.
    """
    import torch

    if not lengths:
        raise InputError("no input length to measure", remedy="name at least one, for example --lengths 100,1000")
    timer = timer_for(torch.device(device))
    effort = effort or Effort()
    build_ms, model = timer(lambda: build().eval().to(device))
    yield _row("build_ms", 0, 0, build_ms)

    def call(inputs: tuple[Any, ...]) -> Any:
        with torch.inference_mode():
            outputs = model(*inputs)
            return postprocess(outputs, inputs) if postprocess else outputs

    fitting: dict[int, tuple[Any, ...]] = {}
    for length in sorted(set(lengths)):
        try:
            inputs = tuple(part.to(device) for part in example_input(length))
            yield from _first_calls(call, inputs, length, timer, device, effort)
            fitting[length] = inputs
        except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
            if not _is_out_of_memory(error):
                raise
            yield _row("out_of_memory", length, 0, 1.0, "bool")
    yield from _interleaved(call, fitting, timer, effort, seed)
    yield from (_row("collection_ms", 0, index, collection_ms(device)) for index in range(3))


def _first_calls(
    call: Callable[[Any], Any], inputs: Any, length: int, timer: Timer, device: str, effort: Effort
) -> Iterator[Row]:
    """Measure the first call and the peak memory at a length, then warm up until two calls agree."""
    with PeakMemory(device) as peak:
        first_ms, _ = timer(lambda: call(inputs))
    yield _row("first_call_ms", length, 0, first_ms)
    yield _row("peak_memory_mib", length, 0, peak.mib, "MiB")
    last = first_ms
    for _ in range(effort.max_warmup):
        now, _ = timer(lambda: call(inputs))
        if abs(now - last) < effort.stable_within * max(now, last):
            return
        last = now


def _interleaved(
    call: Callable[[Any], Any], inputs: dict[int, Any], timer: Timer, effort: Effort, seed: int
) -> Iterator[Row]:
    """Go round the lengths in a new random order each time, until each has been measured enough."""
    shuffler = random.Random(seed)
    taken = dict.fromkeys(inputs, 0)
    spent_ms = dict.fromkeys(inputs, 0.0)
    while waiting := [
        length
        for length in inputs
        if taken[length] < effort.max_samples
        and (taken[length] < effort.min_samples or spent_ms[length] < 1000 * effort.min_seconds)
    ]:
        shuffler.shuffle(waiting)
        for length in waiting:
            elapsed, _ = timer(partial(call, inputs[length]))
            yield _row("latency_ms", length, taken[length], elapsed)
            taken[length] += 1
            spent_ms[length] += elapsed


Timer = Callable[[Callable[[], Any]], tuple[float, Any]]


def timer_for(device: torch.device) -> Timer:
    """Return a function that runs a call and returns (milliseconds, its result), synchronised on a GPU."""
    import torch

    def on_cpu(call: Callable[[], Any]) -> tuple[float, Any]:
        start = time.perf_counter()
        result = call()
        return 1000 * (time.perf_counter() - start), result

    def on_gpu(call: Callable[[], Any]) -> tuple[float, Any]:
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
        torch.cuda.synchronize(device)
        start.record()
        result = call()
        end.record()
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
        torch.cuda.synchronize()
    return 1000 * (time.perf_counter() - start)


def _is_out_of_memory(error: BaseException) -> bool:
    """Torch raises a plain RuntimeError when the CPU allocator fails."""
    text = str(error).lower()
    return isinstance(error, MemoryError) or "out of memory" in text or "can't allocate memory" in text


def _row(quantity: str, length: int, sample: int, value: float, unit: str = "ms") -> Row:
    return {"quantity": quantity, "feature_length": length, "sample": sample, "value": value, "unit": unit}
