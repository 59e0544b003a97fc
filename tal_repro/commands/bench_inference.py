"""What `tal-repro bench inference` does: time models in turn, and store each as a run of experiment `inference`."""

from __future__ import annotations

import functools
import multiprocessing
import socket
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tal_repro.console import echo
from tal_repro.errors import InputError

if TYPE_CHECKING:
    from tal_repro.measure.latency import Effort, Subject
    from tal_repro.runs.record import RunRecord
    from tal_repro.runs.store import RunStore
    from tal_repro.spec import RunSpec

# the lengths of the published counts and times, and what the paper's text adds
LENGTHS = (
    100, 200, 400, 600, 800, 1000, 1200, 1400, 1600, 1800, 2000, 2200, 2304, 2400, 2600, 2800, 3000,
    5000, 10000, 20000, 30000,
)  # fmt: skip
MAX_LENGTH = 1_000_000
MAX_LENGTHS = 1000
Say = Callable[[str], None]


def parse_lengths(text: str) -> tuple[int, ...]:
    """Read `100,200`, `100:3000:100` (with a step) or `100:30000` (the published lengths in between, ends included)."""
    try:
        if ":" in text:
            low, high, *step = (int(part) for part in text.split(":"))
            if len(step) > 1 or low < 1 or high < low or (step and step[0] < 1):
                raise ValueError
            if step and (high - low) // step[0] > MAX_LENGTHS:
                raise ValueError
            between = range(low, high + 1, step[0]) if step else [n for n in LENGTHS if low <= n <= high]
            lengths = sorted({low, *between, high})
        else:
            lengths = sorted({int(part) for part in text.split(",")})
    except ValueError:
        lengths = []
    if not lengths or lengths[0] < 1 or lengths[-1] > MAX_LENGTH or len(lengths) > MAX_LENGTHS:
        allowed = f"use 100,200,400 or 100:3000:100 or 100:30000, lengths from 1 to {MAX_LENGTH}"
        raise InputError(f"lengths {text!r}", "--lengths", allowed)
    return tuple(lengths)


@dataclass(frozen=True)
class Request:
    """What is to be timed."""

    models: tuple[str, ...]
    engine: str
    device: str
    lengths: tuple[int, ...]
    include: str
    effort: Effort | None


def specs_of(request: Request) -> list[RunSpec]:
    """Return one run specification a model; the same as a study's where the bare model of one is timed."""
    from tal_repro.engines.registry import engine_version
    from tal_repro.machine.host import threads
    from tal_repro.spec import RunSpec
    from tal_repro.study import resolve_recipe

    options: dict[str, Any] = {}
    if request.include != "model":
        options["include"] = request.include
    if len(request.models) > 1:
        options["interleaved"] = sorted(request.models)
    if request.effort is not None:
        options["effort"] = vars(request.effort)
    return [
        RunSpec(
            experiment="inference",
            model=model,
            engine=request.engine,  # type: ignore[arg-type]
            engine_version=engine_version(model, request.engine, "inference"),
            recipe=resolve_recipe(model, request.engine, {}),
            feature_lengths=request.lengths,
            device_kind="cuda" if request.device.startswith("cuda") else "cpu",
            threads=threads(),
            options=options,
        )
        for model in request.models
    ]


def measure(request: Request, store: RunStore, say: Say) -> list[RunRecord]:
    """Time the models in turn and return their runs, finished ones as they lie."""
    import torch

    from tal_repro.machine.gpus import neighbours
    from tal_repro.measure.latency import measure_subjects
    from tal_repro.measure.surroundings import Meanwhile, disturbances, look_around, surroundings
    from tal_repro.runs.record import RunRecord

    specs = specs_of(request)
    if all(store.state(spec) == "done" for spec in specs):
        for spec in specs:
            say(f"reused: {store.folder(spec)} (to measure again, give another --results)")
        return [RunRecord(store.folder(spec), checked=True) for spec in specs]
    check_device(request.device)
    torch.set_num_threads(specs[0].threads)
    before = look_around(request.device, neighbours)
    for reason in disturbances(before):
        say(f"this machine is not quiet, times are doubtful: {reason}")
    take_device(request.device)
    meanwhile = Meanwhile()
    started, clock = datetime.now(UTC).isoformat(timespec="seconds"), time.monotonic()
    rows: dict[str, list[dict[str, Any]]] = {model: [] for model in request.models}
    subjects = [_subject(model, request.engine, request.lengths) for model in request.models]
    for model, row in measure_subjects(subjects, request.device, include=request.include, effort=request.effort):
        rows[model].append(row)
        _tell(row, model, say)
    about = surroundings(before, meanwhile.over(), look_around(request.device, neighbours))
    status = {"study": "", "started": started, "seconds": round(time.monotonic() - clock, 3)}
    return [_store(spec, store, rows[spec.model], request, about, status) for spec in specs]


def measure_apart(request: Request, root: Path, say: Say) -> list[RunRecord]:
    """Time the models one after another, a process each: three upstreams own a package of the same name."""
    from tal_repro.runs.record import RunRecord
    from tal_repro.runs.store import RunStore

    store, spawn = RunStore(root), multiprocessing.get_context("spawn")
    records = []
    for model in request.models:
        alone = replace(request, models=(model,))
        try:
            with ProcessPoolExecutor(max_workers=1, mp_context=spawn) as process:
                process.submit(_measure_one, alone, root).result()
        except BrokenProcessPool:
            remedy = "if it was for memory, give shorter --lengths; to try: tal-repro bench limit"
            raise InputError(f"the process that timed {model} was killed", "--engine upstream", remedy) from None
        (spec,) = specs_of(alone)
        records.append(RunRecord(store.folder(spec), checked=True))
    if len(records) > 1:
        say("one process each: these models were not timed in turn, a drift of the machine's speed lies between them")
    return records


def _measure_one(request: Request, root: Path) -> None:
    from tal_repro.runs.store import RunStore

    measure(request, RunStore(root), lambda line: echo(line, err=True))


def check_device(device: str) -> None:
    """Raise InputError unless torch can use the device."""
    import torch

    kind, _, index = device.partition(":")
    if kind == "cpu" and not index:
        return
    if kind != "cuda" or not (index.isdigit() or device == "cuda"):
        raise InputError(f"device {device!r}", "--device", "use cpu or cuda:0")
    if not torch.cuda.is_available() or int(index or 0) >= torch.cuda.device_count():
        seen = f"torch sees {torch.cuda.device_count()} GPUs; without one: --device cpu"
        raise InputError(f"no such device: {device}", "--device", seen)


def take_device(device: str) -> None:
    """Put something on the device; InputError where another process holds it alone, or it does not work."""
    import torch

    try:
        torch.zeros(1, device=device)
    except RuntimeError as error:
        said = str(error).splitlines()[0]
        raise InputError(f"{device} cannot be used ({said})", "--device", "see who uses it: nvidia-smi") from None


def _subject(model: str, engine: str, lengths: tuple[int, ...]) -> Subject:
    from tal_repro.engines.registry import get_adapter
    from tal_repro.measure.latency import Subject
    from tal_repro.measure.postprocessing import postprocess

    adapter: Any = get_adapter(model, engine)
    return Subject(
        model,
        functools.partial(adapter.build_for_timing, max(lengths)),
        functools.cache(adapter.example_input),
        lengths,
        postprocess if engine == "native" else adapter.postprocessing(),
    )


def find_limit(model: str, engine: str, device: str, known: int, cap: int) -> tuple[int, bool]:
    """Return the largest length that fits in memory, and whether `cap` was met; InputError where `known` does not."""
    from tal_repro.engines.registry import get_adapter
    from tal_repro.measure.latency import Subject, fits_in_memory, largest_length

    check_device(device)
    take_device(device)
    if not known <= cap <= MAX_LENGTH:
        raise InputError(f"lengths from {known} to {cap}", "--from, --to", f"use 1 <= from <= to <= {MAX_LENGTH}")
    adapter = get_adapter(model, engine)
    subject = Subject(model, lambda: adapter.build_for_timing(cap), adapter.example_input, (known,))
    fits = fits_in_memory(subject, subject.build().eval().to(device), device)
    if not fits(known):
        raise InputError(f"length {known} does not fit in memory", "--from", "give a smaller one")
    return largest_length(fits, known, cap)


def _tell(row: dict[str, Any], model: str, say: Say) -> None:
    if row["quantity"] == "first_call_ms":
        say(f"{model} at {row['feature_length']} steps: first call {row['value']:.1f} ms")
    elif row["quantity"] == "out_of_memory":
        say(f"{model} at {row['feature_length']} steps: does not fit in memory")


def _store(
    spec: RunSpec,
    store: RunStore,
    rows: list[dict[str, Any]],
    request: Request,
    about: dict[str, Any],
    status: dict[str, Any],
) -> RunRecord:
    """Write a finished run folder, unless there is one already."""
    from tal_repro.run.system import describe_system, machine_name
    from tal_repro.runs.record import RunRecord

    if store.state(spec) == "done":
        return RunRecord(store.folder(spec), checked=True)
    writer = store.writer(spec)
    alone = not about["doubtful"]
    writer.write_json("system", describe_system(request.device, alone))
    writer.write_measurements(rows)
    summary = summarise(rows)
    writer.write_json("details", {"surroundings": about, "linearity": summary["linearity"]})
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return writer.finish(
        **status,
        host=socket.gethostname(),
        machine=machine_name(request.device),
        device=request.device,
        alone=alone,
        attempts=1,
        finished=now,
    )


def summarise(rows: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Return per-length medians, p10 and p90, the single figures, and the verdict on linearity."""
    import numpy as np

    from tal_repro.measure.latency import QUANTITY
    from tal_repro.measure.linearity import linearity

    timed: dict[int, list[float]] = {}
    at: dict[int, dict[str, Any]] = {}
    apart: dict[str, list[float]] = {}
    for row in rows:
        quantity, length, value = str(row["quantity"]), int(row["feature_length"]), float(row["value"])
        if quantity in QUANTITY.values():
            timed.setdefault(length, []).append(value)
        elif quantity in ("out_of_memory", "warmup_unsettled"):
            at.setdefault(length, {})[quantity] = True
        elif length:
            at.setdefault(length, {})[quantity] = round(value, 4)
        else:
            apart.setdefault(quantity, []).append(value)
    for length, values in timed.items():
        low, median, high = np.percentile(values, [10, 50, 90]).tolist()
        at.setdefault(length, {}).update(
            median_ms=round(median, 4), p10_ms=round(low, 4), p90_ms=round(high, 4), samples=len(values)
        )
    medians = {length: float(np.median(values)) for length, values in timed.items()}
    return {
        "build_ms": round(float(np.mean(apart["build_ms"])), 3),
        "collection_ms": round(float(np.mean(apart["collection_ms"])), 3),
        "lengths": [{"feature_length": length, **at[length]} for length in sorted(at)],
        "linearity": linearity(medians).to_json(),
    }
