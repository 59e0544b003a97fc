"""Measure how far native training is from the authors' own: python -m benchmarks.train_parity [--upstream DIR].

On one synthetic data set (both layouts of the same videos), at small widths, with stochastic layers off:
  samples   every training video as the authors' data set gives it, whole and under the same drawn crops;
  losses    50 optimizer steps from the same weights on the same batches, each side with its own optimizer, schedule,
            clipping and moving average; compared with upstream's distance from itself under one-ulp noise.
The exit status is 1 if any comparison misses its limit.
"""

from __future__ import annotations

import argparse
import importlib
import random
import sys
import tempfile
import types
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks import skeleton
from benchmarks.reference import pair
from benchmarks.reference.checks import Row, distance
from benchmarks.reference.report import describe_run, print_table, write_report
from benchmarks.reference.stubs import checkout, nms_stub
from benchmarks.reference.training import add_ulp_noise
from tal_repro.data import load_dataset, open_features
from tal_repro.data.layouts import find_layout
from tal_repro.data.synthetic import write_synthetic
from tal_repro.data.synthetic_annotations import SyntheticConfig
from tal_repro.data.windows import training_windows
from tal_repro.engines.native.batches import Batch, epoch_batches, epoch_plan
from tal_repro.engines.native.optimization import WeightAverage, build_optimizer, set_learning_rates
from tal_repro.engines.native.samples import (
    ClipUnits,
    SliceUnits,
    Units,
    VideoFeatures,
    crop_margin,
    draws_for,
    whole_video,
)
from tal_repro.engines.native.trainer import batch_loss
from tal_repro.models import model_entry
from tal_repro.models.recipes import with_overrides

MODELS = ("tadtr", "actionformer", "tridet", "temporalmaxer")
SYNTHETIC = SyntheticConfig(24, 20, 64, 20, (30.0, 70.0), difficulty=0.2, seed=11)
EPOCH_STEPS = 12  # of 24 videos in batches of 2
NOISE_FACTOR = 3.0  # times upstream's distance from itself under one-ulp noise
LEAST_LIMIT = 1e-5  # of a loss: float32 rounding over thousands of points
SMALL: dict[str, dict[str, Any]] = {
    name: {"feature_dim": 64, "embed_dim": 64, "head_dim": 64, "mlp_dim": 128, "max_seq_len": 576, "epochs": 5,
           "warmup_epochs": 2, "drop_path": 0.0, "input_noise_std": 0.0}
    for name in MODELS[1:]
}  # fmt: skip
SMALL["actionformer"]["mlp_dim"] = 256  # upstream's is four times the width
del SMALL["temporalmaxer"]["mlp_dim"], SMALL["temporalmaxer"]["drop_path"]  # which it does not have
SMALL["tadtr"] = {"dropout": 0.0, "epochs": 5, "lr_decay_epoch": 3}  # upstream's input width is fixed at 2048


def main() -> int:
    """Run the comparisons of the chosen models and write one JSON file."""
    options = _parse()
    torch.set_num_threads(1)
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        for name in options.models:
            width = 2048 if name == "tadtr" else SYNTHETIC.feature_dim
            data = write_synthetic(Path(folder) / name, replace(SYNTHETIC, feature_dim=width))
            checkout_folder = options.upstream / model_entry(name).submodule
            found = [*_samples(name, data, checkout_folder), *_losses(name, data, checkout_folder, options.steps)]
            print_table(found)
            rows += found
    if options.out:
        head = describe_run(options.models, options.upstream, SYNTHETIC.seed)
        settings = {"synthetic": True, "data": repr(SYNTHETIC), "steps": options.steps, "recipes": SMALL}
        write_report(options.out, {**head, "schema": "tal-repro/train-parity/1", **settings}, rows)
    return 0 if all(row.passed for row in rows) else 1


def _parse() -> argparse.Namespace:
    parser = skeleton.parser(__doc__, upstream=True, models=MODELS)
    parser.add_argument("--steps", type=int, default=50)
    return parser.parse_args()


def _recipe(name: str) -> Any:
    return with_overrides(model_entry(name).recipe, SMALL[name])


def units_of(name: str, data: Path, recipe: Any) -> Units:
    layout: Any = "tadtr" if name == "tadtr" else "actionformer"
    dataset = load_dataset(data, layout)
    features = VideoFeatures(open_features(data, layout), model_entry(name).feature_stride_frames)
    if name == "tadtr":
        return SliceUnits(training_windows(dataset), features, recipe.slice_length)
    clips = [whole_video(video, features) for video in dataset.train]
    return ClipUnits(clips, features, recipe, crop_margin(name, dataset.train))


# --- samples ---------------------------------------------------------------------------------------------------------


def _samples(name: str, data: Path, folder: Path) -> list[Row]:
    """Compare training samples with the authors' data set, crops drawn by the native generator for both."""
    recipe = _recipe(name)
    units = units_of(name, data, recipe)
    theirs = tadtr_dataset(data, folder) if name == "tadtr" else pyramid_dataset(name, data, folder, recipe)
    rows = []
    for passage in range(1 if name == "tadtr" else 5):
        farthest, where = 0.0, ""
        for index, unit_id in enumerate(units.ids):
            ours = units.sample(index, draws_for(0, passage, unit_id))
            features, segments, labels = theirs(unit_id, passage)
            far = max(distance(ours.features, features), distance(ours.segments.float(), segments))
            if ours.labels.tolist() != labels.tolist():
                far = float("inf")
            if far > farthest:
                farthest, where = far, unit_id
        case = f"{len(units.ids)} units, pass {passage}"
        rows.append(Row(name, "samples", case, farthest, 1e-6, {"worst": where, "synthetic": True}))
    return rows


Fetch = Callable[[str, int], tuple[Tensor, Tensor, Tensor]]


class _Replay:
    """Stands in for `random.randint` of upstream's crop: the same generator draws, in the same order."""

    def __init__(self) -> None:
        self.draws = np.random.default_rng(0)

    def randint(self, low: int, high: int) -> int:
        return int(self.draws.integers(low, high, endpoint=True))


def pyramid_dataset(name: str, data: Path, folder: Path, recipe: Any, seed: int = 0) -> Fetch:
    """Return the authors' training data set; its crops are drawn by the native generators of `seed`."""
    layout = find_layout(data, "actionformer")
    replay = _Replay()
    with checkout(folder, ("libs",), upstream_stubs()):
        module = importlib.import_module("libs.datasets.thumos14")
        importlib.import_module("libs.datasets.data_utils").random = replay  # type: ignore[attr-defined]
        dataset = module.THUMOS14Dataset(
            True, ["validation"], str(layout.feature_folder), str(layout.annotation_file), 4, 16, None, 1,
            recipe.max_seq_len, recipe.truncation_threshold, list(recipe.crop_ratio), recipe.feature_dim, 20, None,
            ".npy", False,
        )  # fmt: skip
    place = {item["id"]: index for index, item in enumerate(dataset.data_list)}

    def fetch(unit_id: str, passage: int) -> tuple[Tensor, Tensor, Tensor]:
        replay.draws = draws_for(seed, passage, unit_id)
        item = dataset[place[unit_id]]
        return item["feats"], item["segments"], item["labels"]

    return fetch


def tadtr_dataset(data: Path, folder: Path) -> Fetch:
    layout = find_layout(data, "tadtr")
    with checkout(folder, ("datasets", "util", "opts", "Evaluation"), {"torchvision": types.ModuleType("torchvision")}):
        module = importlib.import_module("datasets.tad_dataset")
        features = {"local_path": str(layout.feature_folder), "format": "torch", "fn_templ": "%s"}
        dataset = module.TADDataset(
            "val", "train", features, str(layout.annotation_file), str(layout.definition.lengths), None,
            online_slice=True, slice_len=128, slice_overlap=0.75,
        )  # fmt: skip
    place = {unit_id: index for index, unit_id in enumerate(dataset.video_list)}

    def fetch(unit_id: str, passage: int) -> tuple[Tensor, Tensor, Tensor]:
        item, target = dataset[place[unit_id]]
        centre, width = target["segments"].unbind(-1)
        return item, torch.stack((centre - width / 2, centre + width / 2), -1) * 128, target["labels"]

    return fetch


def upstream_stubs() -> dict[str, types.ModuleType]:
    board: Any = types.ModuleType("torch.utils.tensorboard")
    board.SummaryWriter = object
    return {"nms_1d_cpu": nms_stub(), "torch.utils.tensorboard": board}


# --- losses ----------------------------------------------------------------------------------------------------------


@dataclass
class _Course:
    """What a training did: its losses, final weights and moving average by native parameter name."""

    losses: list[float]
    weights: dict[str, Tensor]
    average: dict[str, Tensor]


def _losses(name: str, data: Path, folder: Path, steps: int) -> list[Row]:
    recipe = _recipe(name)
    both: Any = pair(name, recipe, folder)
    units = units_of(name, data, recipe)
    start = {key: value.clone() for key, value in both.upstream.state_dict().items()}
    epochs = -(-steps // EPOCH_STEPS)
    batches = [
        batch
        for epoch in range(epochs)
        for batch in epoch_batches(units, epoch_plan(0, epoch, len(units.ids), recipe.batch_size, EPOCH_STEPS), 0)
    ][:steps]
    theirs = _train_upstream(name, both, folder, recipe, batches)
    both.upstream.load_state_dict(start)
    both.reset()
    add_ulp_noise(both.upstream, seed=1)
    noisy = _train_upstream(name, both, folder, recipe, batches)
    both.reset()
    ours = _train_native(both.native, recipe, batches)
    return [
        _loss_row(name, ours, theirs, noisy, min(5, steps)),
        _loss_row(name, ours, theirs, noisy, steps),
        _weights_row(name, "weights", ours.weights, theirs.weights, noisy.weights),
        *([_weights_row(name, "average", ours.average, theirs.average, noisy.average)] if theirs.average else []),
    ]


def _loss_row(name: str, ours: _Course, theirs: _Course, noisy: _Course, steps: int) -> Row:
    far = [abs(a / b - 1) for a, b in zip(ours.losses[:steps], theirs.losses[:steps], strict=True)]
    own = [abs(a / b - 1) for a, b in zip(noisy.losses[:steps], theirs.losses[:steps], strict=True)]
    limit = max(LEAST_LIMIT, NOISE_FACTOR * max(own))
    detail = {
        "upstream_from_itself": max(own),
        "native": ours.losses[:steps],
        "upstream": theirs.losses[:steps],
        "synthetic": True,
    }
    return Row(name, "losses", f"{steps} steps, relative", max(far), limit, detail)


def _weights_row(
    name: str, what: str, ours: dict[str, Tensor], theirs: dict[str, Tensor], noisy: dict[str, Tensor]
) -> Row:
    """Compare all weights as one vector: single ones near zero are decided by rounding on either side."""
    names = sorted(theirs)

    def far(left: dict[str, Tensor]) -> float:
        gap = sum(float((left[n].double() - theirs[n].double()).square().sum()) for n in names)
        size = sum(float(theirs[n].double().square().sum()) for n in names)
        return (gap / size) ** 0.5

    limit = max(LEAST_LIMIT, NOISE_FACTOR * far(noisy))
    return Row(name, what, "after the last step, relative", far(ours), limit, {"upstream_from_itself": far(noisy)})


def _train_native(model: nn.Module, recipe: Any, batches: list[Batch]) -> _Course:
    model.train()
    optimizer = build_optimizer(model, recipe)
    average = WeightAverage(model, recipe.ema_decay) if recipe.ema_decay else None
    losses = []
    for step, batch in enumerate(batches):
        set_learning_rates(optimizer, recipe, step, EPOCH_STEPS)
        optimizer.zero_grad(set_to_none=True)
        loss = batch_loss(model, batch, "fp32")  # type: ignore[arg-type]
        losses.append(loss.item())
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.clip_norm)
        optimizer.step()
        if average is not None:
            average.update()
    weights = {key: parameter.detach().clone() for key, parameter in model.named_parameters()}
    return _Course(losses, weights, average.state() if average is not None else {})


def _train_upstream(name: str, both: Any, folder: Path, recipe: Any, batches: list[Batch]) -> _Course:
    model = both.upstream.train()
    make = tadtr_optimizer if name == "tadtr" else pyramid_optimizer
    optimizer, scheduler, average = make(model, folder, recipe)
    losses = []
    for step, batch in enumerate(batches):
        optimizer.zero_grad()
        videos = [row[:, :length] for row, length in zip(batch.features, batch.lengths.tolist(), strict=True)]
        loss = both.upstream_losses(videos, batch.targets)["total"]
        losses.append(loss.item())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.clip_norm)
        optimizer.step()
        if name != "tadtr" or (step + 1) % EPOCH_STEPS == 0:  # TadTR's schedule goes by epoch
            scheduler.step()
        if average is not None:
            average.update(model)
    named = dict(model.named_parameters())
    averaged = dict(average.module.named_parameters()) if average is not None else {}
    return _Course(losses, _native_names(both, named), _native_names(both, averaged))


def _native_names(both: Any, parameters: dict[str, Tensor]) -> dict[str, Tensor]:
    shapes = {key: parameter.shape for key, parameter in both.native.named_parameters()}
    return {
        both.names[key]: value.detach().clone().reshape(shapes[both.names[key]]) for key, value in parameters.items()
    }


def pyramid_optimizer(
    model: nn.Module, folder: Path, recipe: Any, epoch_steps: int = EPOCH_STEPS
) -> tuple[Any, Any, Any]:
    """Return the authors' optimizer, scheduler and moving average."""
    with checkout(folder, ("libs",), upstream_stubs()):
        tools = importlib.import_module("libs.utils.train_utils")
    for module in model.modules():  # the model's own classes, which this import made again
        if hasattr(tools, type(module).__name__):
            setattr(tools, type(module).__name__, type(module))
    options = {
        "type": "AdamW", "learning_rate": recipe.learning_rate, "weight_decay": recipe.weight_decay, "warmup": True,
        "warmup_epochs": recipe.warmup_epochs, "epochs": recipe.epochs - recipe.warmup_epochs,
        "schedule_type": "cosine", "eta_min": 1e-8,
    }  # fmt: skip
    optimizer = tools.make_optimizer(model, options)
    scheduler = tools.make_scheduler(optimizer, options, epoch_steps)
    return optimizer, scheduler, tools.ModelEma(model, decay=recipe.ema_decay)


def tadtr_optimizer(
    model: nn.Module, folder: Path, recipe: Any, epoch_steps: int = EPOCH_STEPS
) -> tuple[Any, Any, Any]:
    """Return what TadTR's main script makes of its options."""
    slow = ("reference_points", "sampling_offsets")
    parts: tuple[list[nn.Parameter], list[nn.Parameter]] = ([], [])
    for key, parameter in model.named_parameters():
        if parameter.requires_grad:
            parts[any(part in key for part in slow)].append(parameter)
    rates = (recipe.learning_rate, recipe.learning_rate * recipe.slow_lr_factor)
    groups = [{"params": part, "lr": rate} for part, rate in zip(parts, rates, strict=True)]
    optimizer = torch.optim.AdamW(groups, lr=recipe.learning_rate, weight_decay=recipe.weight_decay)
    return optimizer, torch.optim.lr_scheduler.MultiStepLR(optimizer, [recipe.lr_decay_epoch]), None


if __name__ == "__main__":
    random.seed(0)
    sys.exit(main())
