"""Every field of every native recipe is read or refused: another value gives another training, or an error by name.

A field is looked for where it can show, the quickest place first: the network, the rates and turns of all epochs, the
units, one optimizer step, the detections.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch

from tal_repro.data.synthetic import write_synthetic
from tal_repro.data.synthetic_config import SyntheticConfig
from tal_repro.data.windows import Slicing
from tal_repro.engines.adapter import RunContext
from tal_repro.engines.native.clock import Clock
from tal_repro.engines.native.samples import draws_for
from tal_repro.engines.native.schedule import Selections, is_evaluated
from tal_repro.engines.native.session import open_training
from tal_repro.engines.native.trainer import LossWatch, Trainer
from tal_repro.errors import InputError
from tal_repro.models.native_recipe import NativeRecipe
from tal_repro.models.recipes import PyramidRecipe
from tal_repro.models.registry import MODELS
from tal_repro.runs.store import RunStore
from tal_repro.spec import RunSpec, SubsetSpec
from tal_repro.study import resolve_recipe

SIZES: dict[str, Any] = {"feature_dim": 8, "num_classes": 4, "epochs": 3, "ema_decay": 0.9, "batch_size": 2}
PYRAMID: dict[str, Any] = {
    **SIZES, "embed_dim": 16, "head_dim": 16, "levels": 2, "regression_ranges": [[0, 8], [8, 10000]],
    "max_seq_len": 64, "warmup_epochs": 0, "learning_rate": 0.01,
}  # fmt: skip
SMALL: dict[str, dict[str, Any]] = {
    "tadtr": {
        **SIZES, "hidden_dim": 32, "ffn_dim": 16, "encoder_layers": 1, "decoder_layers": 1, "attention_heads": 2,
        "queries": 6, "slice_length": 32, "lr_decay_epoch": 2,
    },
    "actionformer": {**PYRAMID, "mlp_dim": 16, "stem_blocks": 1, "attention_heads": 2, "attention_window": 5},
    "tridet": {**PYRAMID, "mlp_dim": 16, "stem_blocks": 1},
    "temporalmaxer": PYRAMID,
}  # fmt: skip
# field -> another value, with what must go along
OTHER: dict[str, dict[str, Any]] = {
    "levels": {"levels": 3, "regression_ranges": [[0, 8], [8, 16], [16, 10000]]},
    "regression_ranges": {"regression_ranges": [[0, 20], [20, 10000]]},
    "crop_ratio": {"crop_ratio": [0.5, 0.6], "max_seq_len": 256},
    "truncation_threshold": {"truncation_threshold": 1.0},
    "loss_normalizer_start": {"loss_normalizer_start": 10.0},
    "drop_path": {"drop_path": 0.9},
    "dropout": {"dropout": 0.0},
    "pre_nms_score": {"pre_nms_score": 0.9},
    "pre_nms_topk": {"pre_nms_topk": 5},
    "detections_per_slice": {"detections_per_slice": 5},
    "max_detections": {"max_detections": 3},
    "batch_size": {"batch_size": 1},
    "weight_decay": {"weight_decay": 0.9},
    "clip_norm": {"clip_norm": 0.001},
    "min_duration": {"min_duration": 18.0},
    "nms_min_score": {"nms_min_score": 0.9},
    "early_stop": {},
    "actionness": {"actionness": False},
    "cost_class": {"cost_class": 1000.0},
    "cost_iou": {"cost_iou": 1000.0},
    "cost_segment": {"cost_segment": 1000.0},
    "budget": {"budget": "steps"},
    "nms_iou": {"nms_iou": 0.0},
}
FIELDS = [(model, field.name) for model in SMALL for field in dataclasses.fields(MODELS[model].recipe)]


@pytest.fixture(scope="module")
def run_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., RunContext]:
    """Return a function that opens a run of a model on eight videos of a few seconds, half of the training units."""
    folder = tmp_path_factory.mktemp("fields")
    config = SyntheticConfig(6, 2, 8, 4, (12.0, 20.0), difficulty=0.1, seed=3)
    data = write_synthetic(folder / "data", config, "actionformer")
    _overlap_actions(data / "data/thumos/annotations/thumos14.json")

    def make(model: str, **overrides: Any) -> RunContext:
        recipe = resolve_recipe(model, "native", {**SMALL[model], **overrides})
        spec = RunSpec("data_sweep", model, "native", "1", recipe, subset=SubsetSpec("video"), seed=1)
        ids = tuple(f"video_validation_000000{number}" for number in (1, 2, 3))
        return RunContext(spec, RunStore(folder / "runs").writer(spec), data, "cpu", ids)

    return make


def _overlap_actions(annotations: Path) -> None:
    """Put a wider action of another class over each: which of two a point finds is a matter of costs."""
    document = json.loads(annotations.read_text())
    for video in document["database"].values():
        first, last = video["annotations"][0], video["annotations"][-1]
        start, end = first["segment"]
        over = {**last, "segment": [max(start - 1, 0), end + 1.5]}
        video["annotations"].append(over)
    annotations.write_text(json.dumps(document))


def stages(run: RunContext) -> Iterator[Any]:
    """Yield what a recipe decides, stage by stage, as plain values."""
    torch.set_num_threads(1)
    network, units, steps, evaluator = open_training(run)
    trainer = Trainer(run, network, units, steps, evaluator, Clock("cpu"))
    recipe: NativeRecipe = network.recipe
    yield {name: tuple(value.shape) for name, value in network.state_dict().items()}  # type: ignore[attr-defined]
    groups = [group["initial_lr"] for group in trainer.optimizer.param_groups]
    yield [recipe.learning_rate_at(base, step, 4) for base in groups for step in range(4 * recipe.epochs)]
    yield [is_evaluated(recipe, epoch) for epoch in range(recipe.epochs)], Selections(without_better=9).stops(recipe)
    samples = [units.sample(index, draws_for(1, 0, name)) for index, name in enumerate(units.ids)]
    yield units.ids, steps, [tuple(part.numpy().tobytes() for part in sample[1:]) for sample in samples]
    network.train()  # type: ignore[attr-defined]
    watch = LossWatch(lag=0)
    trainer._step(next(iter(trainer._batches(0))), watch)
    average = trainer.average.weights if trainer.average else []
    live = network.parameters()  # type: ignore[attr-defined]
    yield watch.mean(), [weights.detach().numpy().tobytes() for weights in (*live, *average)]
    _widen_scores(network)
    yield evaluator.detect(network).to_csv()


def _widen_scores(network: Any) -> None:
    """Spread the scores over 0 ... 1 and the segments over each other, as a trained network's are."""
    torch.manual_seed(5)
    heads = [network.classifier] if isinstance(network.recipe, PyramidRecipe) else [*network.class_heads]
    for head in heads:
        last = [module for module in head.modules() if hasattr(module, "bias") and module.bias is not None][-1]
        torch.nn.init.normal_(last.weight, std=2.0)
        torch.nn.init.normal_(last.bias, std=2.0)
    for head in getattr(network, "segment_heads", []):
        torch.nn.init.normal_(head[-1].weight, std=0.3)


@pytest.fixture(scope="module")
def base(run_of: Callable[..., RunContext]) -> Callable[[str], list[Any]]:
    return cache(lambda model: list(stages(run_of(model))))


def another(model: str, field: str) -> dict[str, Any]:
    """Return another value of a field, and what must go along with it."""
    value = {**dataclasses.asdict(MODELS[model].recipe), **SMALL[model]}[field]
    if field in OTHER:
        return OTHER[field] or {field: not value}
    return {field: value * 2 or 1 if isinstance(value, int) else value / 2 or 0.3}


@pytest.mark.parametrize(("model", "field"), FIELDS)
def test_a_field_is_read_or_refused(
    model: str, field: str, run_of: Callable[..., RunContext], base: Callable[[str], list[Any]]
) -> None:
    change = another(model, field)
    try:
        run = run_of(model, **change)
        changed = any(now != before for now, before in zip(stages(run), base(model), strict=True))
    except InputError as error:
        assert field in str(error) and error.remedy
        assert field not in SMALL[model] or field in ("feature_dim", "num_classes")
    else:
        assert changed, f"{model}: {change} changes nothing"


def test_the_default_slicing_is_that_of_the_recipe() -> None:
    """Pyramid models are trained on TadTR's slices, and their recipes do not name them."""
    assert Slicing() == Slicing.of(vars(MODELS["tadtr"].recipe)) == Slicing.of(vars(MODELS["tridet"].recipe))
