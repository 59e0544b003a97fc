"""The native adapter, one class for all native models: what the runner's worker calls.

Everything a training needs is imported here, not when it starts, so that a warm worker pays for it once.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import pandas as pd
import torch
import torch._dynamo  # 2 s that every first optimizer would otherwise pay

from tal_repro import hooks
from tal_repro.engines.adapter import FULL_SIZE, Recipe, RunContext
from tal_repro.engines.native.clock import Clock, table2_seconds
from tal_repro.engines.native.session import open_training
from tal_repro.engines.native.trainer import Trainer
from tal_repro.engines.registry import engine_version
from tal_repro.models import build, model_entry


class NativeAdapter:
    """Train, evaluate and build a model with the native engine."""

    engine = "native"

    def __init__(self, model: str) -> None:
        self.model = model

    def version(self) -> str:
        """Return the native engine's version number, and of a model of one's own its digest too."""
        return engine_version(self.model, self.engine, "training")

    def train(self, run: RunContext) -> None:
        """Train and evaluate; write epochs, metrics and detections; go on from a checkpoint that is there."""
        hooks.event("run", "start", values={"model": self.model, "engine": self.engine})
        trainer = _open(run)
        trainer.run()
        with trainer.clock.phase("eval", trainer.epochs_done - 1, purpose="detections"):
            detections = trainer.detect(trainer.weight_sets[0])
            run.record.write_detections(detections)
        _write_results(run, trainer, detections)
        hooks.event("run", "end")

    def read_detections(self, run: RunContext) -> pd.DataFrame:
        """Return the test detections of the last checkpoint, as written or computed again."""
        path = run.record.paths.detections
        if path.exists():
            return pd.read_csv(path, dtype={"video_id": str, "label": str})
        trainer = _open(run)
        table: pd.DataFrame = trainer.detect(trainer.weight_sets[0])
        return table

    def build_for_macs(self, length: int) -> Any:
        """Return the full-size model in evaluation mode; `length` does not change it."""
        return build(self.model).eval()  # type: ignore[attr-defined]

    def build_for_timing(self, length: int, recipe: Recipe = FULL_SIZE) -> Any:
        """Return the model under a recipe: its forward pass ends before decoding."""
        return build(self.model, **recipe).eval()  # type: ignore[attr-defined]

    def example_input(self, length: int, recipe: Recipe = FULL_SIZE) -> tuple[Any, ...]:
        """Return features [1, C, length] and lengths [1]."""
        channels = recipe.get("feature_dim", model_entry(self.model).recipe.feature_dim)
        generator = torch.Generator().manual_seed(0)
        return torch.rand(1, channels, length, generator=generator), torch.tensor([length])


def adapter(model: str) -> NativeAdapter:
    """Return the native adapter of `model` (the registry's entry point)."""
    return NativeAdapter(model)


def _open(run: RunContext) -> Trainer:
    clock = Clock(run.device)
    model, units, steps_per_epoch, evaluator = open_training(run)
    trainer = Trainer(run, model, units, steps_per_epoch, evaluator, clock)
    clock.set_up()
    return trainer


def _write_results(run: RunContext, trainer: Trainer, detections: pd.DataFrame) -> None:
    run.record.write_epochs(trainer.epoch_rows)
    seconds = trainer.clock.read()
    paper_seconds, definition = table2_seconds(run.spec.model, seconds)
    score = trainer.selections.last[trainer.weight_sets[0]]
    run.record.write_metrics(
        trainer.selections.rows(),
        optimizer_steps=trainer.optimizer_steps,
        seconds=seconds,
        table2_seconds=paper_seconds,
        table2_definition=definition,
        flags=score["flags"],
        reported={"weights": trainer.weight_sets[0], "protocol": trainer.evaluator.protocol},
        epochs=trainer.epochs_done,
        steps_per_epoch=trainer.steps_per_epoch,
        training=_training_summary(trainer),
        evaluated=score["counts"],
        per_class={
            "selection": "last",
            "weights": trainer.weight_sets[0],
            "protocol": trainer.evaluator.protocol,
            "ap": trainer.evaluator.by_class(detections),
        },
    )


def _training_summary(trainer: Trainer) -> dict[str, int]:
    """Count what the run was trained on: small samples show here."""
    labels: Counter[int] = Counter()
    for unit_labels in trainer.units.labels:
        labels.update(unit_labels.tolist())
    return {
        "units": len(trainer.units.ids),
        "instances": sum(labels.values()),
        "classes": len(labels),
    }
