"""Time a training epoch, native against the authors' own: python -m benchmarks.train [--upstream DIR].

Full-size models from the same weights on synthetic videos of THUMOS14's lengths. An iteration is everything from the
feature file to the updated average; an evaluation everything from the feature file to the mAP. Both sides alternate in
blocks, A B A B, in one process with one thread; upstream's soft-NMS is the numpy one where its extension is not built,
and its evaluators run in this process. An epoch is scaled from the measured iterations and videos: ratios count, not
seconds. Peak memory is that of a process of its own per side.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import importlib
import io
import os
import statistics
import subprocess
import sys
import tempfile
import time
import types
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from benchmarks import skeleton
from benchmarks.reference import pair
from benchmarks.reference.report import describe_run
from benchmarks.reference.stubs import checkout
from benchmarks.train_parity import (
    MODELS,
    pyramid_dataset,
    pyramid_optimizer,
    tadtr_dataset,
    tadtr_optimizer,
    units_of,
    upstream_stubs,
)
from tal_repro.data import load_dataset, open_features
from tal_repro.data.layouts import find_layout
from tal_repro.data.synthetic import write_synthetic
from tal_repro.data.synthetic_annotations import SyntheticConfig
from tal_repro.engines.native.batches import epoch_batches, epoch_plan
from tal_repro.engines.native.evaluation import Evaluator
from tal_repro.engines.native.freed_memory import keep_freed_memory
from tal_repro.engines.native.optimization import WeightAverage, build_optimizer, set_learning_rates
from tal_repro.engines.native.samples import VideoFeatures
from tal_repro.engines.native.trainer import batch_loss
from tal_repro.models import model_entry

TRAIN_VIDEOS, TEST_VIDEOS = 200, 212  # of THUMOS14, which an epoch is scaled to
TRAIN_SLICES = 3200  # TadTR's non-empty training slices
TADTR_PACKAGES = ("datasets", "util", "opts", "Evaluation")


def main() -> None:
    """Time the chosen models; print a line each and write JSON."""
    options = _parse()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        data = options.data or _synthesize(Path(folder) / "data", options)
        if options.memory_of:
            print(_peak_mib(options, data))
            return
        report = describe_run(options.models, options.upstream, 0)
        report |= {"schema": "tal-repro/bench-train/1", "synthetic": True, "iterations": options.iterations}
        report |= {"train_videos": options.videos, "test_videos": options.test, "models": {}}
        for name in options.models:
            found = _time_model(name, data, options)
            found["peak_mib"] = {side: _peak_of(side, name, data, options) for side in ("native", "upstream")}
            report["models"][name] = found
            _print(name, found)
    skeleton.write(options.out, report)


def _print(name: str, found: dict[str, Any]) -> None:
    ratios = {kind: found[kind]["speedup"] for kind in ("iteration", "evaluation")}
    peaks = " against ".join(f"{found['peak_mib'][side]:.0f}" for side in ("native", "upstream"))
    print(
        f"{name:14s} iteration x{ratios['iteration']:.2f}, evaluation x{ratios['evaluation']:.2f}, epoch with "
        f"evaluation x{found['epoch_speedup']:.2f}, waiting for data {100 * found['data_wait_share']:.1f} %, "
        f"peak memory {peaks} MiB",
        flush=True,
    )


def _parse() -> argparse.Namespace:
    parser = skeleton.parser(__doc__, upstream=True, models=MODELS)
    parser.add_argument("--iterations", type=int, default=10)
    parser.add_argument("--block", type=int, default=2, help="iterations of one side before the other's turn")
    parser.add_argument("--videos", type=int, default=24)
    parser.add_argument("--test", type=int, default=4)
    parser.add_argument(
        "--memory-of", choices=["native", "upstream"], help="print one side's peak memory (MiB) and stop"
    )
    parser.add_argument("--data", type=Path, help="synthetic data of 2048 channels in both layouts (default: made)")
    return parser.parse_args()


def _synthesize(folder: Path, options: argparse.Namespace) -> Path:
    # one class per video at most is enough: time does not depend on what is learnt
    config = SyntheticConfig(options.videos, max(options.test, 1), 2048, 20, difficulty=0.2, seed=5)
    return write_synthetic(folder, config)


def _time_model(name: str, data: Path, options: argparse.Namespace) -> dict[str, Any]:
    sides = {"native": NativeSide(name, data, options), "upstream": UpstreamSide(name, data, options)}
    iteration = _alternate({key: side.iterate for key, side in sides.items()}, options.iterations, options.block)
    evaluation = _alternate({key: side.evaluate for key, side in sides.items()}, 2, 1)
    units = TRAIN_SLICES if name == "tadtr" else TRAIN_VIDEOS
    steps = units // model_entry(name).recipe.batch_size
    epoch = {
        key: steps * statistics.mean(iteration[key]) + TEST_VIDEOS / options.test * statistics.mean(evaluation[key])
        for key in sides
    }
    native = sides["native"]
    assert isinstance(native, NativeSide)
    return {
        "iteration": iteration,
        "evaluation": evaluation,
        "epoch_seconds_scaled": epoch,
        "epoch_speedup": epoch["upstream"] / epoch["native"],
        "train_epoch_speedup": statistics.mean(iteration["upstream"]) / statistics.mean(iteration["native"]),
        "data_wait_share": native.waited / max(sum(native.taken), 1e-9),
    }


def _alternate(work: dict[str, Callable[[], None]], rounds: int, block: int) -> dict[str, Any]:
    """Return seconds of each side, taken in turn in blocks after one unmeasured call, and the ratio of blocks."""
    turns = skeleton.in_turn(
        work,
        -(-rounds // block),
        block=block,
        before=lambda side: keep_freed_memory(side == "native"),  # the native engine's own setting
    )
    taken = {key: [seconds for (seconds,) in values] for key, values in turns.items()}
    blocks = {key: [sum(values[i : i + block]) for i in range(0, len(values), block)] for key, values in taken.items()}
    middle, low, high = skeleton.spread(blocks["upstream"], blocks["native"])
    return {**taken, "speedup": middle, "speedup_low": low, "speedup_high": high}


class NativeSide:
    """The native pipeline, from the feature store to the average and to the mAP."""

    def __init__(self, name: str, data: Path, options: argparse.Namespace) -> None:
        layout: Any = "tadtr" if name == "tadtr" else "actionformer"
        self.recipe = dataclasses.replace(model_entry(name).recipe)
        self.model: Any = pair(name, self.recipe, options.upstream / model_entry(name).submodule).native
        if name == "tadtr":
            self.model.mask_padding = False  # a slice counts as full
        self.optimizer = build_optimizer(self.model, self.recipe)
        self.average = WeightAverage(self.model, self.recipe.ema_decay) if self.recipe.ema_decay else None
        self.units = units_of(name, data, self.recipe)
        dataset, store = load_dataset(data, layout), open_features(data, layout)
        features = VideoFeatures(store, model_entry(name).feature_stride_frames)
        self.evaluator = Evaluator(dataset, features, self.model, "fp32")
        self.steps, self.waited, self.taken = 0, 0.0, list[float]()
        self._batches = self._endless()

    def _endless(self) -> Iterator[Any]:
        per_pass = len(self.units.ids) // self.recipe.batch_size
        for epoch in range(10**6):
            plan = epoch_plan(0, epoch, len(self.units.ids), self.recipe.batch_size, per_pass)
            yield from epoch_batches(self.units, plan, 0)

    def iterate(self) -> None:
        """Take one optimizer step."""
        started = time.perf_counter()
        self.model.train()
        batch = next(self._batches)
        set_learning_rates(self.optimizer, self.recipe, self.steps, TRAIN_VIDEOS // self.recipe.batch_size)
        self.optimizer.zero_grad(set_to_none=True)
        loss = batch_loss(self.model, batch, "fp32")
        loss.item()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.clip_norm)
        self.optimizer.step()
        if self.average is not None:
            self.average.update()
        self.steps += 1
        self.waited += batch.wait_seconds
        self.taken.append(time.perf_counter() - started)

    def evaluate(self) -> None:
        """Detect in all test videos and compute the mAP."""
        self.evaluator.score(self.evaluator.detect(self.model), 0)


class UpstreamSide:
    """The authors' data set, model, losses, optimizer, post-processing and evaluator."""

    def __init__(self, name: str, data: Path, options: argparse.Namespace) -> None:
        self.name, self.data = name, data
        self.folder = options.upstream / model_entry(name).submodule
        self.recipe = model_entry(name).recipe
        self.pair: Any = pair(name, self.recipe, self.folder)
        make = tadtr_optimizer if name == "tadtr" else pyramid_optimizer
        self.optimizer, self.scheduler, self.average = make(self.pair.upstream, self.folder, self.recipe)
        self.fetch = tadtr_dataset(data, self.folder) if name == "tadtr" else self._pyramid_training()
        self.ids = units_of(name, data, self.recipe).ids
        self.draws = np.random.default_rng(0)
        self.evaluator = TadtrEvaluation(self) if name == "tadtr" else PyramidEvaluation(self)

    def _pyramid_training(self) -> Any:
        return pyramid_dataset(self.name, self.data, self.folder, self.recipe)

    def iterate(self) -> None:
        """Take one optimizer step."""
        model = self.pair.upstream.train()
        chosen = self.draws.choice(len(self.ids), self.recipe.batch_size, replace=False)
        samples = [self.fetch(self.ids[index], 0) for index in chosen]
        targets: Any = [{"segments": segments, "labels": labels} for _, segments, labels in samples]
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.pair.upstream_losses([features for features, _, _ in samples], targets)["total"]
        loss.item()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), self.recipe.clip_norm)
        self.optimizer.step()
        self.scheduler.step()
        if self.average is not None:
            self.average.update(model)

    @torch.no_grad()
    def evaluate(self) -> None:
        """Detect in all test videos and compute the mAP."""
        self.pair.upstream.eval()
        with contextlib.redirect_stdout(io.StringIO()):
            self.evaluator.run()


class PyramidEvaluation:
    """Upstream's test loop of the pyramid models, and ActivityNet's evaluator as they ship it."""

    def __init__(self, side: UpstreamSide) -> None:
        self.side = side
        layout = find_layout(side.data, "actionformer")
        setattr(np, "float", float)  # noqa: B010 (gone from numpy, used by the evaluators)
        with checkout(side.folder, ("libs",), upstream_stubs()):
            module = importlib.import_module("libs.datasets.thumos14")
            self.metrics = importlib.import_module("libs.utils.metrics")
        self.dataset = module.THUMOS14Dataset(
            False, ["test"], str(layout.feature_folder), str(layout.annotation_file), 4, 16, None, 1, 2304, 0.5,
            [0.9, 1.0], 2048, 20, None, ".npy", False,
        )  # fmt: skip
        self.annotations = str(layout.annotation_file)

    def run(self) -> None:
        """Run the loop."""
        import joblib

        found: dict[str, list[Any]] = {key: [] for key in ("video-id", "t-start", "t-end", "label", "score")}
        for index in range(len(self.dataset)):
            (video,) = self.side.pair.upstream([self.dataset[index]])
            found["video-id"] += [video["video_id"]] * len(video["scores"])
            segments = video["segments"].numpy()
            columns = (segments[:, 0], segments[:, 1], video["labels"].numpy(), video["scores"].numpy())
            for key, column in zip(list(found)[1:], columns, strict=True):
                found[key].append(column)
        results = {key: value if key == "video-id" else np.concatenate(value) for key, value in found.items()}
        with joblib.parallel_config(backend="sequential"):
            self.metrics.ANETdetection(self.annotations, "test", tiou_thresholds=np.linspace(0.3, 0.7, 5)).evaluate(
                results, verbose=False
            )


class TadtrEvaluation:
    """TadTR's test loop and its evaluator, whose pool of processes is made one thread."""

    def __init__(self, side: UpstreamSide) -> None:
        self.side = side
        layout = find_layout(side.data, "tadtr")
        setattr(np, "float", float)  # noqa: B010
        vision = types.ModuleType("torchvision")
        with checkout(side.folder, TADTR_PACKAGES, {"torchvision": vision}), _accepting_axis():
            module = importlib.import_module("datasets.tad_dataset")
            self.evaluation = importlib.import_module("datasets.tad_eval")
            features = {"local_path": str(layout.feature_folder), "format": "torch", "fn_templ": "%s"}
            self.dataset = module.TADDataset(
                "test", "val", features, str(layout.annotation_file), str(layout.definition.lengths), None,
                online_slice=True, slice_len=128, slice_overlap=0.25,
            )  # fmt: skip
        self.evaluation.concurrent.futures.ProcessPoolExecutor = lambda workers: ThreadPoolExecutor(1)
        self.root = Path(tempfile.mkdtemp())
        (self.root / "data").mkdir()
        (self.root / "data" / "thumos14").symlink_to(layout.folder)

    def run(self) -> None:
        """Run the loop."""
        with contextlib.chdir(self.root), _accepting_axis():
            evaluator = self.evaluation.TADEvaluator(
                "thumos14", "val", self.dataset.video_dict, ["raw"], [0.3, 0.4, 0.5, 0.6, 0.7]
            )
            for first in range(0, len(self.dataset), 16):
                items = [self.dataset[i] for i in range(first, min(first + 16, len(self.dataset)))]
                batch = torch.stack([features for features, _ in items])
                outputs = self.side.pair.upstream((batch, torch.zeros(len(batch), batch.shape[2], dtype=torch.bool)))
                seconds = torch.tensor([target["video_duration"] for _, target in items], dtype=torch.float32)
                found = self.side.pair.postprocess(outputs, seconds, fuse_score=True)
                evaluator.update({target["video_id"]: one for (_, target), one in zip(items, found, strict=True)})
            evaluator.accumulate(0.25)
            evaluator.compute_map("raw")


@contextlib.contextmanager
def _accepting_axis() -> Iterator[None]:
    """Let `DataFrame.drop` take its axis by position, as the pandas of upstream's day did."""
    kept = pd.DataFrame.drop
    pd.DataFrame.drop = lambda self, labels, axis=0, **rest: kept(self, labels, axis=axis, **rest)  # type: ignore
    try:
        yield
    finally:
        pd.DataFrame.drop = kept  # type: ignore[method-assign]


def _peak_of(side: str, name: str, data: Path, options: argparse.Namespace) -> float:
    """Return the peak memory of one side, measured in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.train", "--memory-of", side, "--models", name, "--data", str(data)]
    command += ["--upstream", str(options.upstream), "--test", str(options.test)]
    found = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(found.stdout.split()[-1])


def _peak_mib(options: argparse.Namespace, data: Path) -> float:
    """Return the peak resident memory of one side's iterations and evaluation (of the first model named)."""
    kind = NativeSide if options.memory_of == "native" else UpstreamSide
    if options.memory_of == "native":
        keep_freed_memory()
    side = kind(options.models[0], data, options)
    for _ in range(3):
        side.iterate()
    side.evaluate()
    # not getrusage: its peak is inherited from the process that started this one
    status = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in status if line.startswith("VmHWM")).split()[1]) / 1024


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(main())
