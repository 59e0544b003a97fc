"""From units to batches: the order of a pass, collation with padding, and one thread that prepares ahead.

A pass is one shuffled sweep over the units; a rest smaller than a batch is dropped. With `budget = "epochs"` an epoch
is a pass; with "steps" it has as many batches as the whole training set would give, taken from passes in a row.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from tal_repro.engines.native.samples import Sample, Units, draws_for
from tal_repro.models.interface import Target

BATCHES_AHEAD = 2


@dataclass(frozen=True, eq=False)
class Batch:
    """Samples side by side: `features [B, C, T]`, zero behind each of the `lengths [B]`."""

    ids: tuple[str, ...]
    features: Tensor
    lengths: Tensor
    targets: list[Target]
    wait_seconds: float = 0.0  # that training stood still for it


def pass_order(seed: int, passage: int, units: int) -> list[int]:
    """Return the shuffled order of one pass."""
    order: list[int] = draws_for(seed, passage, "").permutation(units).tolist()
    return order


def epoch_plan(seed: int, epoch: int, units: int, batch_size: int, steps: int) -> list[tuple[int, list[int]]]:
    """Return the `steps` batches of an epoch as (pass, unit indices)."""
    per_pass = units // batch_size
    plan = []
    orders: dict[int, list[int]] = {}
    for batch in range(epoch * steps, (epoch + 1) * steps):
        passage, place = divmod(batch, per_pass)
        if passage not in orders:
            orders[passage] = pass_order(seed, passage, units)
        plan.append((passage, orders[passage][place * batch_size : (place + 1) * batch_size]))
    return plan


def epoch_batches(
    units: Units,
    plan: Iterable[tuple[int, list[int]]],
    seed: int,
    device: str = "cpu",
) -> Iterator[Batch]:
    """Yield the batches of a plan, prepared by a thread that runs ahead."""

    def prepare(passage: int, indices: list[int]) -> Batch:
        samples = [units.sample(index, draws_for(seed, passage, units.ids[index])) for index in indices]
        return collate(samples, device)

    return _ahead([lambda job=job: prepare(*job) for job in plan])  # type: ignore[misc]


def _ahead(jobs: Sequence[Callable[[], Batch]]) -> Iterator[Batch]:
    """Run jobs in order in one thread, at most two ahead; note how long each was waited for."""
    pending: deque[Future[Batch]] = deque()
    remaining = iter(jobs)
    pool = ThreadPoolExecutor(1, "batches")
    try:
        while True:
            for job in remaining:
                pending.append(pool.submit(job))
                if len(pending) > BATCHES_AHEAD:
                    break
            if not pending:
                return
            started = time.perf_counter()
            batch = pending.popleft().result()
            yield Batch(batch.ids, batch.features, batch.lengths, batch.targets, time.perf_counter() - started)
    finally:  # without joining: an abandoned generator may be collected in the pool's own thread
        pool.shutdown(wait=False, cancel_futures=True)


def collate(samples: Sequence[Sample], device: str = "cpu") -> Batch:
    """Pad samples with zeros to the longest; lengths and targets stay on the CPU, where models read them.

    How far upstream would pad is the model's matter: it computes what depends on it.
    """
    lengths = [sample.features.shape[1] for sample in samples]
    parts = [sample.features for sample in samples]
    features = _stack_by_numpy(parts) if parts[0].device.type == "cpu" else _stack(parts)
    targets: list[Target] = [{"segments": sample.segments, "labels": sample.labels} for sample in samples]
    ids = tuple(sample.id for sample in samples)
    return Batch(ids, features.to(device), torch.tensor(lengths), targets)


def _stack_by_numpy(parts: Sequence[Tensor]) -> Tensor:
    """Stack features in the calling thread alone.

    torch would give the thread that runs ahead an OpenMP team of its own. With more OpenMP threads than cores, the
    teams no longer spin between two operators but sleep: TadTR's step takes half as long again.
    """
    rows = np.empty((len(parts), parts[0].shape[0], max(part.shape[1] for part in parts)), parts[0].numpy().dtype)
    for row, part in zip(rows, parts, strict=True):
        row[:, : part.shape[1]] = part.numpy()
        row[:, part.shape[1] :] = 0
    return torch.from_numpy(rows)


def _stack(parts: Sequence[Tensor]) -> Tensor:
    features = parts[0].new_zeros((len(parts), parts[0].shape[0], max(part.shape[1] for part in parts)))
    for row, part in zip(features, parts, strict=True):
        row[:, : part.shape[1]] = part
    return features
