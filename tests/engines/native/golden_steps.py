"""Twenty training steps of each model as numbers: `python -m tests.engines.native.golden_steps` writes them again.

Write them again only where a change of results is meant; NATIVE_VERSION is raised with it.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch

from tal_repro.data import load_dataset
from tal_repro.data.subsets import training_units
from tal_repro.data.synthetic import write_synthetic
from tal_repro.data.synthetic_config import SyntheticConfig
from tal_repro.engines.adapter import RunContext
from tal_repro.engines.native.clock import Clock
from tal_repro.engines.native.session import open_training
from tal_repro.engines.native.trainer import LossWatch, Trainer
from tal_repro.runs.store import RunStore
from tal_repro.spec import RunSpec, SubsetSpec
from tal_repro.study import resolve_recipe

FILE = Path(__file__).parent / "golden_steps.json"
MODELS = ("tadtr", "actionformer", "tridet", "temporalmaxer")
STEPS = (1, 2, 5, 10, 20)
EPOCHS, STEPS_PER_EPOCH, BATCH = 4, 5, 2
SIZES: dict[str, Any] = {"feature_dim": 8, "num_classes": 4, "epochs": EPOCHS, "batch_size": BATCH, "ema_decay": 0.8}
PYRAMID: dict[str, Any] = {
    **SIZES, "embed_dim": 16, "head_dim": 16, "levels": 2, "regression_ranges": [[0, 8], [8, 10000]],
    "max_seq_len": 64, "warmup_epochs": 1, "learning_rate": 0.002, "clip_norm": 0.1, "pre_nms_topk": 40,
    "nms_sigma": 0.2, "max_detections": 40,
}  # fmt: skip
SMALL: dict[str, dict[str, Any]] = {
    "tadtr": {
        **SIZES, "hidden_dim": 32, "ffn_dim": 16, "encoder_layers": 1, "decoder_layers": 2, "attention_heads": 2,
        "queries": 6, "slice_length": 32, "lr_decay_epoch": 3, "clip_norm": 2.0, "learning_rate": 0.001,
    },
    "actionformer": {**PYRAMID, "mlp_dim": 16, "stem_blocks": 1, "attention_heads": 2, "attention_window": 5},
    "tridet": {**PYRAMID, "mlp_dim": 16, "stem_blocks": 1},
    "temporalmaxer": PYRAMID,
}  # fmt: skip


def make_data(folder: Path) -> Path:
    """Write a data set of 12 short videos."""
    return write_synthetic(folder / "golden", SyntheticConfig(10, 2, 8, 4, (12.0, 20.0), difficulty=0.1, seed=3))


def trace(model: str, data: Path, folder: Path) -> dict[str, list[float]]:
    """Train twenty steps; return losses, gradients before and after clipping, and how far weights have moved.

    Weights are measured as their distance to the initial ones, which shows more than their size; `detections` holds
    number and sum of the scores that the averaged weights give.
    """
    recipe = resolve_recipe(model, "native", SMALL[model])
    unit = "slice" if model == "tadtr" else "video"
    spec = RunSpec("data_sweep", model, "native", "1", recipe, subset=SubsetSpec(unit), seed=1)  # type: ignore[arg-type]
    ids = tuple(training_units(load_dataset(data), "video"))[: BATCH * STEPS_PER_EPOCH]
    if model == "tadtr":
        ids = tuple(_slices(data, recipe))[: BATCH * STEPS_PER_EPOCH]
    run = RunContext(spec, RunStore(folder).writer(spec), data, "cpu", ids)
    network, units, steps, evaluator = open_training(run)
    assert steps == STEPS_PER_EPOCH
    trainer = Trainer(run, network, units, steps, evaluator, Clock("cpu"))
    with recorded(trainer) as rows:
        for epoch in range(EPOCHS):
            trainer._train(epoch)
    kept = {name: [values[step - 1] for step in STEPS] for name, values in rows.items()}
    detections = trainer.detect("ema")
    return {**kept, "detections": [float(len(detections)), float(detections["score"].sum())]}


def _slices(data: Path, recipe: dict[str, Any]) -> dict[str, list[int]]:
    from tal_repro.data.windows import Slicing

    return training_units(load_dataset(data, "tadtr"), "slice", Slicing.of(recipe))


@contextmanager
def recorded(trainer: Trainer) -> Iterator[dict[str, list[float]]]:
    """Note what each optimizer step of a trainer works with and leaves behind."""
    assert trainer.average is not None
    live = list(trainer.model.parameters())  # type: ignore[attr-defined]
    start = [weights.detach().clone() for weights in live]
    rows: dict[str, list[float]] = {name: [] for name in ("loss", "gradient", "clipped", "raw", "ema")}
    clip, add, step = torch.nn.utils.clip_grad_norm_, LossWatch.add, trainer._step

    def note_gradient(*arguments: Any) -> Any:
        norm = clip(*arguments)
        rows["gradient"].append(float(norm))
        return norm

    def note_loss(watch: LossWatch, loss: torch.Tensor, *rest: Any) -> None:
        rows["loss"].append(float(loss))
        add(watch, loss, *rest)

    def note_weights(*arguments: Any) -> None:
        step(*arguments)
        assert trainer.average is not None
        rows["clipped"].append(_norm([weights.grad for weights in live if weights.grad is not None]))
        for name, weights in (("raw", live), ("ema", trainer.average.weights)):
            rows[name].append(_norm([now.detach() - before for now, before in zip(weights, start, strict=True)]))

    with (
        patch.object(torch.nn.utils, "clip_grad_norm_", note_gradient),
        patch.object(LossWatch, "add", note_loss),
        patch.object(trainer, "_step", note_weights),
    ):
        yield rows


def _norm(tensors: list[torch.Tensor]) -> float:
    return float(torch.stack([tensor.double().norm() for tensor in tensors]).norm())


def main() -> None:
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        data = make_data(Path(folder))
        found = {model: trace(model, data, Path(folder) / "runs") for model in MODELS}
    text = json.dumps({"steps": STEPS, "torch": torch.__version__, "models": found}, indent=1) + "\n"
    (Path(sys.argv[1]) if len(sys.argv) > 1 else FILE).write_text(text)


if __name__ == "__main__":
    main()
