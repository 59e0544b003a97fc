"""Training steps of the native engine, taken one by one, for the account of what a step waits for."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator
from typing import Any

import torch

from tal_repro.engines.adapter import RunContext
from tal_repro.engines.native.clock import Clock
from tal_repro.engines.native.session import open_training
from tal_repro.engines.native.trainer import LossWatch, Trainer
from tal_repro.measure.attribution import Attribution, attribute, profile, sampled_stacks, time_steps

WARMUP = 2
PROFILED = 3
LOADER_THREAD = "batches"


def attribute_steps(run: RunContext, steps: int) -> Attribution:
    """Return the attribution of `steps` training steps of a run, from its checkpoint where it has one.

    Nothing is saved and no event is told: the run's record stays as it is.
    """
    network, units, steps_per_epoch, evaluator = open_training(run)
    trainer = Trainer(run, network, units, steps_per_epoch, evaluator, Clock(run.device))
    watch = LossWatch(lag=0)
    batches = _endless(trainer)
    trainer.model.train()  # type: ignore[attr-defined]

    def step(batch: Any) -> None:
        trainer._step(batch, watch)
        trainer.optimizer_steps += 1

    def wait() -> None:
        if run.device.startswith("cuda"):
            torch.cuda.synchronize(run.device)

    time_steps(batches, step, WARMUP, wait)
    times = time_steps(batches, step, steps, wait)
    with sampled_stacks() as stacks:
        time_steps(batches, step, steps, wait)
    ready = list(itertools.islice(batches, PROFILED))

    def profiled() -> None:
        for batch in ready:
            step(batch)
        wait()

    spans = profile(profiled, run.device)
    loader: Counter[str] = Counter()
    for name, counts in stacks.items():
        if name.startswith(LOADER_THREAD):
            loader += counts
    return attribute(times, spans, stacks.get("MainThread"), loader)


def _endless(trainer: Trainer) -> Iterator[Any]:
    for epoch in itertools.count():
        yield from trainer._batches(epoch)
