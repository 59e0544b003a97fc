"""How many runs a GPU has room for, by what `tal-repro gpu-check` measured on it and kept.

Its reports lie below results/reference, one folder a system. `jobs_per_gpu=measured` reads them; without one of this
very card a GPU takes one run at a time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tal_repro import kit
from tal_repro.errors import InputError
from tal_repro.machine.gpus import gpu_use, visible_gpus
from tal_repro.machine.host import GIB, cores, memory, shared_memory
from tal_repro.run.packing import MEMORY_SHARE
from tal_repro.spec import RunSpec
from tal_repro.untrusted import read_json_object

SCHEMA = "tal-repro/gpu-check/1"
FILE_NAME = "gpu-check.json"
MOST_PACKED = 4
EVALUATION_MARGIN = 1.25  # the longest test videos may take more of the card than a training step
RUN_MEMORY_BYTES = 4 * GIB  # of the host: the largest model's training on a CPU peaked at 3.4 GB
RUN_SHARED_BYTES = GIB  # in /dev/shm: loader workers hand batches over there
RUN_CORES = 2  # one that launches kernels, one for the loader workers
SAME_CARD = 0.02  # of the memory that two looks at one kind of card may tell differently

StepMemory = Mapping[str, Mapping[str, float]]  # engine -> model -> MiB of the card that its training takes


@dataclass(frozen=True)
class Host:
    """What the machine around a card has to share out, in bytes and cores."""

    memory_bytes: int
    shared_bytes: int  # -1 where there is no /dev/shm
    cores: int


def host() -> Host:
    """Look at this machine."""
    return Host(memory()[1], shared_memory(), cores())


@dataclass(frozen=True)
class Card:
    """A GPU's memory: all of it, and what was taken before anything of ours ran."""

    product: str
    total_mib: float
    used_mib: float = 0.0


def lacks(jobs: int, card: Card, step_mib: float, host: Host) -> str:
    """Say what `jobs` runs at a time lack ("" where they have room); `step_mib`: of the largest of them."""
    needed = jobs * step_mib * EVALUATION_MARGIN
    if needed > MEMORY_SHARE * card.total_mib - card.used_mib:
        return f"the card: {jobs} x {step_mib / 1024:.1f} GiB and a margin, of {card.total_mib / 1024:.1f} GiB"
    if host.shared_bytes < jobs * RUN_SHARED_BYTES:
        return f"shared memory: {jobs} GiB needed, {max(host.shared_bytes, 0) / GIB:.1f} GiB there"
    if host.memory_bytes < jobs * RUN_MEMORY_BYTES:
        return f"memory: {jobs * RUN_MEMORY_BYTES / GIB:.0f} GiB needed, {host.memory_bytes / GIB:.1f} GiB there"
    if host.cores < jobs * RUN_CORES:
        return f"cores: {jobs * RUN_CORES} needed, {host.cores} there"
    return ""


def room(card: Card, step_mib: float, host: Host) -> int:
    """Return how many such runs fit at a time, 1 to MOST_PACKED."""
    fitting = (jobs for jobs in range(MOST_PACKED, 1, -1) if not lacks(jobs, card, step_mib, host))
    return next(fitting, 1)


def folders() -> list[Path]:
    """Return where kept reports are looked for: below the working folder, and what the kit ships."""
    return list(dict.fromkeys((Path("results", "reference"), kit.reference_folder())))


def kept_reports(places: Iterable[Path] | None = None) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yield the kept reports of gpu-check, of real cards alone; raise InputError naming one that cannot be read."""
    for place in folders() if places is None else places:
        for path in sorted(place.glob(f"*/{FILE_NAME}")):
            report = read_json_object(path)
            if report.get("schema") != SCHEMA or not isinstance(report.get("card"), dict):
                raise InputError(f"is no report of {SCHEMA}", path, "make it again: tal-repro gpu-check --out DIR")
            if not report.get("rehearsal"):
                yield path, report


def measured_jobs(
    specs: Iterable[RunSpec], card: Card, here: Host, places: Iterable[Path] | None = None
) -> tuple[int, str]:
    """Return how many of these runs share a card at a time by its kept report, and why.

    One where no report is of this card, or it did not measure a model under its engine.
    """
    pairs = sorted({(spec.engine, spec.model) for spec in specs})
    if not pairs:
        return 1, "no run may share a GPU"
    for path, report in kept_reports(places):
        if not _is_of(report["card"], card):
            continue
        if report.get("fit") is not True:
            return 1, f"{path} found something in the way"
        taken = [_step_mib(report, engine, model) for engine, model in pairs]
        if unknown := [f"{m} ({e})" for (e, m), mib in zip(pairs, taken, strict=True) if mib is None]:
            return 1, f"{path} did not measure {', '.join(unknown)}"
        largest = max(mib for mib in taken if mib is not None)
        jobs = room(card, largest, here)
        limit = "" if jobs == MOST_PACKED else f"; {jobs + 1} lack {lacks(jobs + 1, card, largest, here)}"
        return jobs, f"the largest takes {largest / 1024:.1f} GiB, by {path}{limit}"
    return 1, f"no kept report of gpu-check is of a {card.product} like this one"


def runs_that_fit(specs: Iterable[RunSpec]) -> tuple[int, str]:
    """Return `measured_jobs` of these runs on the GPUs that CUDA shows here: of several the fewest."""
    specs, here = list(specs), host()
    try:
        looked = [gpu_use(device) for device in visible_gpus()]
    except InputError as error:  # a MIG slice does not tell who is on it
        return 1, error.what
    jobs_of_cards = [measured_jobs(specs, Card(gpu.name, gpu.total_mib, gpu.used_mib), here) for gpu in looked]
    return min(jobs_of_cards, default=(1, "CUDA shows no GPU here"))


def _is_of(report: Mapping[str, Any], card: Card) -> bool:
    total = report.get("total_mib")
    return (
        report.get("product") == card.product
        and isinstance(total, int | float)
        and abs(total - card.total_mib) <= SAME_CARD * card.total_mib
    )


def _step_mib(report: Mapping[str, Any], engine: str, model: str) -> float | None:
    by_engine = report.get("step_mib")
    by_model = by_engine.get(engine) if isinstance(by_engine, dict) else None
    mib = by_model.get(model) if isinstance(by_model, dict) else None
    return float(mib) if isinstance(mib, int | float) and 0 < mib < float("inf") else None
