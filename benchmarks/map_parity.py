"""Ask whether native and upstream training reach the same mAP: python -m benchmarks.map_parity [--upstream DIR].

Small models on one synthetic data set, `--runs` seeds, the same on both sides: a seed means the same orders and crops.
With `--starts own` each side draws its initial weights for itself: the question as a user would put it. But some starts
have a dead offset (its ReLU is 0 at nearly every point, so nothing teaches it): the mAP ends near 45 or near 90 as
rounding has it, and one such run in twenty hides every other difference. With `--starts shared` both sides start from
the authors' weights, those with a dead offset are left out before any training, and runs are compared in pairs.

The native side is the adapter that studies run; upstream's side is the authors' data set, model, losses, optimizer,
schedule and moving average, scored by the same evaluator. Two one-sided t-tests (TOST) against +-1.5 mAP points at 5 %
say equivalent; a 95 % interval of the difference that leaves out 0 says different; anything else is inconclusive.
Stochastic depth and dropout are off on both sides.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch

from benchmarks import skeleton
from benchmarks.comparing import compare
from benchmarks.reference import pair
from benchmarks.reference.report import describe_run
from benchmarks.train_parity import (
    MODELS,
    SMALL,
    pyramid_dataset,
    pyramid_optimizer,
    tadtr_dataset,
    tadtr_optimizer,
    units_of,
)
from tal_repro.data import load_dataset, open_features
from tal_repro.data.synthetic import write_synthetic
from tal_repro.data.synthetic_annotations import SyntheticConfig
from tal_repro.engines.adapter import RunContext
from tal_repro.engines.child import die_with_parent
from tal_repro.engines.native import native_version, session
from tal_repro.engines.native.adapter import NativeAdapter
from tal_repro.engines.native.batches import epoch_batches, epoch_plan
from tal_repro.engines.native.evaluation import Evaluator
from tal_repro.engines.native.samples import VideoFeatures
from tal_repro.models import model_entry
from tal_repro.models.recipes import with_overrides
from tal_repro.runs.store import RunStore
from tal_repro.spec import Precision, RunSpec
from tal_repro.study import resolve_recipe

LEAST_ALIVE = 0.05  # of the points, for each offset of a start
SYNTHETIC = SyntheticConfig(60, 40, 64, 20, (20.0, 40.0), difficulty=0.05, seed=21)
WIDE = replace(SYNTHETIC, train_videos=120, test_videos=80, feature_dim=2048)  # TadTR's: its width is fixed upstream
LEARNING: dict[str, Any] = {
    "epochs": 12, "warmup_epochs": 2, "learning_rate": 1e-3, "ema_decay": 0.97, "loss_normalizer_start": 20.0,
    "early_stop": False, "max_detections": 40,
}  # fmt: skip
TADTR: dict[str, Any] = {  # small enough for minutes, large enough that seeds differ by a point or two and not by five
    "hidden_dim": 64, "ffn_dim": 128, "encoder_layers": 2, "queries": 20, "batch_size": 8, "learning_rate": 1e-3,
    "epochs": 24, "lr_decay_epoch": 12,
}  # fmt: skip


def main() -> None:
    """Train both sides of each chosen model; print and write the tests."""
    options = _parse()
    report = describe_run(options.models, options.upstream, 0)
    report["threads"] = 1  # of each training
    report |= {"schema": "tal-repro/map-parity/1", "synthetic": True, "starts": options.starts, "models": {}}
    checkouts = options.upstream if options.starts == "shared" else None
    with tempfile.TemporaryDirectory() as folder, _processes(options.jobs) as pool, _cancelling(pool):
        for name in options.models:
            config = synthetic_of(name)
            data = write_synthetic(Path(folder) / name, config)
            seeds = list(range(options.first, options.first + options.runs))
            skipped: list[int] = []
            if checkouts is not None:
                seeds, skipped = usable_seeds(name, data, checkouts, options.first, options.runs)
            started = [  # in turn, so that an interrupted session is balanced
                (
                    pool.submit(train_native, name, data, Path(folder) / "runs", seed, "fp32", checkouts),
                    pool.submit(train_upstream, name, data, options.upstream, seed),
                )
                for seed in seeds
            ]
            maps: dict[str, list[float]] = {"native": [], "upstream": []}
            for seed, (native, upstream) in zip(seeds, started, strict=True):
                maps["native"].append(native.result())
                maps["upstream"].append(upstream.result())
                print(name, seed, {side: round(values[-1], 2) for side, values in maps.items()}, flush=True)
                found = {"data": repr(config), "seeds": seeds[: len(maps["native"])], "dead_starts": skipped, **maps}
                found["overrides"] = overrides(name)
                report["models"][name] = {**found, **compare(**maps, paired=checkouts is not None)}
                skeleton.write(options.out, report)
            print(name, {key: value for key, value in report["models"][name].items() if key not in found}, flush=True)


def _processes(jobs: int) -> ProcessPoolExecutor:
    """Return processes of one thread each; forked ones would inherit locks of torch's threads."""
    return ProcessPoolExecutor(jobs, get_context("spawn"), initializer=_begin)


@contextmanager
def _cancelling(pool: ProcessPoolExecutor) -> Iterator[None]:
    """Where one training fails, do not run those in the queue first."""
    try:
        yield
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        raise


def _begin() -> None:
    die_with_parent()
    torch.set_num_threads(1)


def _parse() -> argparse.Namespace:
    parser = skeleton.parser(__doc__, upstream=True, models=MODELS)
    parser.add_argument("--starts", choices=("own", "shared"), default="own", help="initial weights  [default: own]")
    parser.add_argument("--runs", type=int, default=10, help="seeds a side")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--jobs", type=int, default=1, help="trainings at once, a core each")
    return parser.parse_args()


def synthetic_of(name: str) -> SyntheticConfig:
    """Return the data set on which a model is compared."""
    return WIDE if name == "tadtr" else SYNTHETIC


def overrides(name: str) -> dict[str, Any]:
    """Return what differs from the model's own recipe on both sides."""
    if name == "tadtr":
        return {**SMALL[name], **TADTR}
    return {**SMALL[name], **LEARNING}


def train_native(
    name: str, data: Path, root: Path, seed: int, precision: Precision = "fp32", checkouts: Path | None = None
) -> float:
    """Train and evaluate a small model as a study does; return its reported mAP in percent.

    With `checkouts` it starts from the weights that the authors' model draws with this seed.
    """
    recipe = resolve_recipe(name, "native", overrides(name))
    options = {"evaluate_every": 1000}
    spec = RunSpec(
        "ablation", name, "native", native_version("ablation"), recipe, seed=seed, options=options, precision=precision
    )
    run = RunContext(spec=spec, record=RunStore(root).writer(spec), data_dir=data, device="cpu")
    with nullcontext() if checkouts is None else _starting_from(authors_model(name, checkouts, seed).native):
        NativeAdapter(name).train(run)
    metrics = json.loads(run.record.paths.metrics.read_text())
    wanted = ("last", metrics["reported"]["weights"], metrics["reported"]["protocol"])
    rows = [r["ap"] for r in metrics["rows"] if (r["selection"], r["weights"], r["protocol"]) == wanted]
    return 100 * statistics.fmean(rows)


def authors_model(name: str, checkouts: Path, seed: int) -> Any:
    """Return the authors' small model with the initial weights of a seed, and the native one with the same."""
    torch.manual_seed(seed)
    recipe = with_overrides(model_entry(name).recipe, overrides(name))
    return pair(name, recipe, checkouts / model_entry(name).submodule)


@contextmanager
def _starting_from(model: torch.nn.Module) -> Iterator[None]:
    """Let native trainings inside the block start from the weights of `model`."""
    weights, build = dict(model.named_parameters()), session.build

    def build_and_load(*args: Any, **settings: Any) -> Any:
        built: Any = build(*args, **settings)
        with torch.no_grad():
            for key, parameter in built.named_parameters():
                parameter.copy_(weights[key])
        return built

    session.build = build_and_load
    try:
        yield
    finally:
        session.build = build


def usable_seeds(name: str, data: Path, checkouts: Path, first: int, runs: int) -> tuple[list[int], list[int]]:
    """Return the first `runs` seeds whose starts have no dead offset, and those passed over."""
    usable: list[int] = []
    dead: list[int] = []
    while len(usable) < runs:
        seed = first + len(usable) + len(dead)
        alive = least_alive(name, authors_model(name, checkouts, seed).native, data)
        (usable if alive >= LEAST_ALIVE else dead).append(seed)
    return usable, dead


@torch.no_grad()
def least_alive(name: str, model: Any, data: Path) -> float:
    """Return the share of points at which the deader one of a start's two offsets is not 0, over all training videos.

    TadTR and TriDet predict their offsets without a ReLU at the end: nothing can be dead.
    """
    if name not in ("actionformer", "temporalmaxer"):
        return 1.0
    recipe = with_overrides(model_entry(name).recipe, overrides(name))
    units = units_of(name, data, recipe)
    plan = epoch_plan(0, 0, len(units.ids), recipe.batch_size, len(units.ids) // recipe.batch_size)
    shares = []
    for batch in epoch_batches(units, plan, 0):
        offsets = model.eval()(batch.features, batch.lengths).offsets
        shares.append((torch.cat(offsets, -1) > 0).float().mean((0, 2)))
    return float(torch.stack(shares).mean(0).min())


def train_upstream(name: str, data: Path, checkouts: Path, seed: int) -> float:
    """Train and evaluate the authors' small model; return its mAP in percent, of its average where it has one."""
    both, folder = authors_model(name, checkouts, seed), checkouts / model_entry(name).submodule
    recipe = with_overrides(model_entry(name).recipe, overrides(name))
    model, units = both.upstream.train(), units_of(name, data, recipe)
    steps = len(units.ids) // recipe.batch_size
    make = tadtr_optimizer if name == "tadtr" else pyramid_optimizer
    optimizer, scheduler, average = make(model, folder, recipe, steps)
    fetch = tadtr_dataset(data, folder) if name == "tadtr" else pyramid_dataset(name, data, folder, recipe, seed)
    for epoch in range(recipe.epochs):
        for passage, chosen in epoch_plan(seed, epoch, len(units.ids), recipe.batch_size, steps):
            samples = [fetch(units.ids[index], passage) for index in chosen]
            targets: Any = [{"segments": segments, "labels": labels} for _, segments, labels in samples]
            optimizer.zero_grad()
            both.upstream_losses([features for features, _, _ in samples], targets)["total"].backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.clip_norm)
            optimizer.step()
            if name != "tadtr":
                scheduler.step()
                average.update(model)
        if name == "tadtr":
            scheduler.step()
    return _score(name, both, data, average.module if average is not None else model)


def _score(name: str, both: Any, data: Path, trained: Any) -> float:
    """Return the average mAP of upstream's weights in the native model (equal outputs: see benchmarks.parity)."""
    own = dict(both.native.named_parameters())
    with torch.no_grad():
        for key, parameter in trained.named_parameters():
            own[both.names[key]].copy_(parameter.reshape(own[both.names[key]].shape))
    layout: Any = "tadtr" if name == "tadtr" else "actionformer"
    features = VideoFeatures(open_features(data, layout), model_entry(name).feature_stride_frames)
    evaluator = Evaluator(load_dataset(data, layout), features, both.native, "fp32")
    if name == "tadtr":
        both.native.mask_padding = False
    return 100 * float(evaluator.score(evaluator.detect(both.native), 0)["average"])


if __name__ == "__main__":
    sys.exit(main())
