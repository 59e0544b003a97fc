"""What bfloat16 gains and what it costs: python -m benchmarks.precision [--models ...] [--only cost] [--out FILE].

Gain: a full-size inference and a whole training step, float32 and bfloat16 autocast in turn (A B A B), one process.
It is a gain of a processor that computes in bfloat16 only; the report says whether this one does.
Cost: small models trained and evaluated in each on one synthetic data set, paired by seed; the difference of their
mAPs with its 95 % interval. Native engine only; the authors' code knows no bfloat16.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from scipy import stats

from benchmarks import skeleton
from benchmarks.map_parity import MODELS, overrides, synthetic_of, train_native
from benchmarks.reference import cases
from benchmarks.reference.report import describe_run
from benchmarks.reference.settings import real_lengths, settings
from tal_repro.data.synthetic import write_synthetic
from tal_repro.engines.native.batches import Batch
from tal_repro.engines.native.optimization import build_optimizer
from tal_repro.engines.native.trainer import batch_loss
from tal_repro.models import build
from tal_repro.run.bfloat16 import has_native_bfloat16
from tal_repro.spec import Precision

PRECISIONS: tuple[Precision, Precision] = ("fp32", "bf16")


def main() -> None:
    """Time and train the chosen models in both precisions; print a line each and write JSON."""
    options = _parse()
    if options.threads:
        torch.set_num_threads(options.threads)
    report, native = describe_run((), Path(), 0), has_native_bfloat16("cpu")
    report |= {"schema": "tal-repro/bench-precision/1", "native_bfloat16": native}
    if native is False and options.only != "cost":
        print("this processor emulates bfloat16: what is timed is no gain; try --only cost", file=sys.stderr)
    report |= {"synthetic": True}
    wanted = ("gain", "cost") if options.only is None else (options.only,)
    found: dict[str, dict[str, Any]] = {name: {"gain": None, "cost": None} for name in options.models}
    with tempfile.TemporaryDirectory() as folder:
        for half in wanted:  # all gains first: they take a minute, and want a quiet machine
            for name in options.models:
                measured = gain(name, options.rounds) if half == "gain" else cost(name, Path(folder), options.runs)
                found[name][half] = measured
                print(name, half, json.dumps(measured), flush=True)
                skeleton.write(options.out, {**report, "models": found})


def gain(name: str, rounds: int) -> dict[str, Any]:
    """Return how many times as fast bfloat16 is: median of neighbouring pairs and range."""
    setting, lengths = settings(name), real_lengths(name)["train_full"][0]
    model = build(name)
    optimizer = build_optimizer(model, setting.recipe)
    videos = cases.videos("bench", 1, setting.channels, lengths)
    targets = cases.targets("one" if name == "tadtr" else "fifteen", lengths, setting.recipe.num_classes, 1)
    batch = Batch(tuple(map(str, range(len(videos)))), torch.stack(videos), torch.tensor(lengths), targets)

    def infer(precision: Precision) -> None:
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            model.eval()(batch.features[:1], batch.lengths[:1])

    def step(precision: Precision) -> None:
        optimizer.zero_grad(set_to_none=True)
        batch_loss(model.train(), batch, precision).backward()
        optimizer.step()

    return {"inference": _alternate(infer, rounds), "training_step": _alternate(step, rounds)}


def _alternate(work: Callable[[Precision], None], rounds: int) -> dict[str, Any]:
    taken = skeleton.in_turn({precision: partial(work, precision) for precision in PRECISIONS}, rounds)
    seconds = {precision: [turn[0] for turn in turns] for precision, turns in taken.items()}
    middle, *bounds = skeleton.spread(seconds["fp32"], seconds["bf16"])
    return {"speedup": middle, "speedup_range": bounds, "seconds": seconds}


def cost(name: str, folder: Path, runs: int) -> dict[str, Any]:
    """Return the mAPs of both precisions by seed, and the mean difference with its 95 % interval (t, paired)."""
    data = write_synthetic(folder / name, synthetic_of(name))
    maps: dict[str, list[float]] = {precision: [] for precision in PRECISIONS}
    for seed in range(runs):
        for precision in PRECISIONS:
            began = time.perf_counter()
            maps[precision].append(train_native(name, data, folder / "runs", seed, precision))
            seconds = time.perf_counter() - began
            print(f"{name} seed {seed} {precision}: {maps[precision][-1]:.2f} mAP, {seconds:.0f} s", flush=True)
    settings = {"data": repr(synthetic_of(name)), "overrides": overrides(name)}
    return {"map": maps, **settings, **paired(maps["fp32"], maps["bf16"])}


def paired(first: Sequence[float], second: Sequence[float]) -> dict[str, Any]:
    """Return second - first: its mean and the half-width of its 95 % interval."""
    differences = [b - a for a, b in zip(first, second, strict=True)]
    error = statistics.stdev(differences) / math.sqrt(len(differences)) if len(differences) > 1 else math.inf
    half = float(stats.t.ppf(0.975, max(len(differences) - 1, 1))) * error
    return {"difference": statistics.fmean(differences), "half_width_95": half}


def _parse() -> argparse.Namespace:
    parser = skeleton.parser(__doc__, models=MODELS, threads=True, rounds=3)
    parser.add_argument("--only", choices=("gain", "cost"), help="one half  [default: both]")
    parser.add_argument("--runs", type=int, default=5, help="seeds a precision")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
