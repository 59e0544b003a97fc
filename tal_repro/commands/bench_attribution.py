"""What `tal-repro bench attribution` does: take real training steps of the native engine and divide their time."""

from __future__ import annotations

import itertools
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tal_repro.errors import InputError

if TYPE_CHECKING:
    from tal_repro.engines.native.trainer import Trainer
    from tal_repro.measure.attribution import Attribution
    from tal_repro.record import RunRecord

WARMUP = 2
PROFILED = 3
LOADER_THREAD = "batches"


def attribute_training(model: str, data_dir: Path, overrides: dict[str, Any], device: str, steps: int) -> Attribution:
    """Return the attribution of `steps` training steps of a native model on a data folder."""
    from tal_repro.commands.train import plan
    from tal_repro.engines.adapter import RunContext
    from tal_repro.engines.native.clock import Clock
    from tal_repro.engines.native.session import open_training
    from tal_repro.engines.native.trainer import Trainer
    from tal_repro.record import RunStore

    spec = plan(model, data_dir, "native", 100.0, 0, overrides)
    with tempfile.TemporaryDirectory() as folder:
        run = RunContext(spec=spec, record=RunStore(folder).writer(spec), data_dir=data_dir, device=device)
        network, units, steps_per_epoch, evaluator = open_training(run)
        trainer = Trainer(run, network, units, steps_per_epoch, evaluator, Clock(device))
        return _attribute(trainer, device, steps)


def _attribute(trainer: Trainer, device: str, steps: int) -> Attribution:
    from tal_repro.engines.native.trainer import LossWatch
    from tal_repro.measure.attribution import attribute, profile, sampled_stacks, time_steps

    watch = LossWatch(lag=0)
    batches = _endless(trainer)
    trainer.model.train()  # type: ignore[attr-defined]

    def step(batch: Any) -> None:
        trainer._step(batch, watch)
        trainer.optimizer_steps += 1

    time_steps(batches, step, WARMUP, lambda: _wait(device))
    times = time_steps(batches, step, steps, lambda: _wait(device))
    with sampled_stacks() as stacks:
        time_steps(batches, step, steps, lambda: _wait(device))
    ready = list(itertools.islice(batches, PROFILED))

    def profiled() -> None:
        for batch in ready:
            step(batch)
        _wait(device)

    spans = profile(profiled, device)
    loader: Counter[str] = Counter()
    for name, counts in stacks.items():
        if name.startswith(LOADER_THREAD):
            loader += counts
    return attribute(times, spans, stacks.get("MainThread"), loader)


def _endless(trainer: Trainer) -> Iterator[Any]:
    for epoch in itertools.count():
        yield from trainer._batches(epoch)


def _wait(device: str) -> None:
    if device.startswith("cuda"):
        import torch

        torch.cuda.synchronize(device)


def attribute_run(record: RunRecord) -> dict[str, Any]:
    """Return what a finished run of any engine tells: the share of training that waited for data, its trace's loads."""
    from tal_repro.measure.trace import summarise

    seconds = record.metrics.get("seconds", {})
    if not seconds.get("train"):
        raise InputError("is not a run of training", record.folder, "give a folder of baseline, data_sweep or trace")
    share = seconds.get("data_wait", 0.0) / seconds["train"]
    found: dict[str, Any] = {
        "model": record.spec.model,
        "engine": record.spec.engine,
        "train_seconds": seconds["train"],
        "data_wait_share": share,
        "verdict": f"{record.spec.model} {record.spec.engine}: {100 * share:.0f} % of training waiting for the loader",
    }
    if record.paths.trace.exists():
        columns = summarise(record.paths.trace)
        wanted = ("thread_busiest_percent", "cpu_mean_percent", "gpu_percent")
        found["trace"] = {name: columns[name]["mean"] for name in wanted if name in columns}
    return found
