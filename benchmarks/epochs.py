"""Time whole epochs of real trainings, native against the authors' own: python -m benchmarks.epochs [--trace].

Every training is a `tal-repro train` of a full-size model on synthetic videos of THUMOS14's lengths, on the GPU where
there is one: the authors' scripts with their loader's processes, the native engine with its thread, in turn. The first
epoch warms up and does not count. An evaluation is the test loop and the mAP of the reported weights, without the
start of a script. An epoch is scaled to THUMOS14's training units and test videos: ratios count.
"""

from __future__ import annotations

import argparse
import csv
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch

from benchmarks import skeleton
from benchmarks.reference.report import describe_run
from tal_repro.data import load_dataset
from tal_repro.data.synthetic import write_synthetic
from tal_repro.data.synthetic_annotations import SyntheticConfig
from tal_repro.models import model_entry
from tal_repro.runs.record import read_json

MODELS = ("tadtr", "actionformer", "tridet", "temporalmaxer")
ENGINES = ("native", "upstream")
TRAIN_SLICES, TRAIN_VIDEOS, TEST_VIDEOS = 3200, 200, 212  # of THUMOS14
Side = dict[str, Any]


def main() -> None:
    """Train each chosen model on both sides in turn; print a line each and write JSON."""
    options = _parse()
    if options.epochs < 2:
        raise SystemExit("--epochs 2 or more: the first warms up and does not count")
    report = describe_run(options.models, options.upstream, 0)
    report |= {"schema": "tal-repro/bench-epochs/1", "synthetic": True, "load_average": os.getloadavg()[0]}
    report["device"] = torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
    report |= {"epochs": options.epochs, "models": {}}
    with tempfile.TemporaryDirectory() as folder:
        config = SyntheticConfig(options.videos, options.test, 2048, 20, difficulty=0.2, seed=5)
        data = options.data or write_synthetic(Path(folder) / "data", config)
        counts = {side: len(getattr(load_dataset(data, "actionformer"), side)) for side in ("train", "test")}
        report |= {"train_videos": counts["train"], "test_videos": counts["test"]}
        runs = options.runs or Path(folder) / "runs"
        for name in options.models:
            sides: dict[str, list[Side]] = {engine: [] for engine in ENGINES}
            for seed in range(options.rounds):
                for engine in ENGINES:
                    sides[engine].append(train(name, engine, seed, data, runs, options))
            report["threads"] = sides["native"][0]["threads"]  # of the trainings
            report["models"][name] = found = compare(name, sides, counts["test"])
            print(_line(name, found), flush=True)
            skeleton.write(options.out, report)


def train(name: str, engine: str, seed: int, data: Path, runs: Path, options: argparse.Namespace) -> Side:
    """Train for a few epochs in a process of its own; return the seconds of an iteration and of an evaluation."""
    out = runs / f"{name}-{engine}-{seed}"
    settings = [f"epochs={options.epochs}"]
    settings += [f"lr_decay_epoch={options.epochs - 1}"] if name == "tadtr" else ["warmup_epochs=1"]
    command = [sys.executable, "-m", "tal_repro", "train", "--model", name, "--engine", engine, "--data", str(data)]
    command += ["--seed", str(seed), "--out", str(out), *(word for item in settings for word in ("--set", item))]
    command += ["--trace"] if options.trace else []
    environment = {**os.environ, "TAL_REPRO_THIRD_PARTY": str(options.upstream.resolve())}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
    (folder,) = (path.parent for path in out.rglob("metrics.json"))
    return read_run(folder)


def read_run(folder: Path) -> Side:
    """Return what a run's folder says of its time."""
    seconds = read_json(folder / "metrics.json")["seconds"]
    with (folder / "epochs.csv").open() as stream:
        epochs = list(csv.DictReader(stream))
    steps = int(epochs[-1]["optimizer_steps"]) // len(epochs)
    evaluations = sum(float(row["eval_seconds"] or 0) > 0 for row in epochs) or 1  # none: one, by a script of its own
    return {
        "iteration": statistics.median(float(row["train_seconds"]) / steps for row in epochs[1:]),
        "evaluation": (seconds["reported_eval"] + seconds.get("reported_eval_after", 0.0)) / evaluations,
        "threads": read_json(folder / "spec.json")["threads"],
        "data_wait_share": seconds["data_wait"] / seconds["train"],
        "steps_per_epoch": steps,
        "seconds": seconds,
    }


def compare(name: str, sides: dict[str, list[Side]], test_videos: int) -> dict[str, Any]:
    """Return medians of both sides, and the ratio of neighbouring trainings: median, lowest and highest."""
    units = TRAIN_SLICES if name == "tadtr" else TRAIN_VIDEOS
    steps = units // model_entry(name).recipe.batch_size
    for side in (side for both in sides.values() for side in both):
        side["epoch"] = steps * side["iteration"] + TEST_VIDEOS / test_videos * side["evaluation"]
    found: dict[str, Any] = {"runs": sides}
    for what in ("iteration", "evaluation", "epoch"):
        native, upstream = ([side[what] for side in sides[engine]] for engine in ENGINES)
        found[f"{what}_seconds"] = {"native": statistics.median(native), "upstream": statistics.median(upstream)}
        found[f"{what}_speedup"] = list(skeleton.spread(upstream, native))
    waits = {engine: statistics.median(side["data_wait_share"] for side in sides[engine]) for engine in ENGINES}
    return {**found, "data_wait_share": waits}


def _line(name: str, found: dict[str, Any]) -> str:
    parts = []
    for what in ("iteration", "evaluation", "epoch"):
        middle, low, high = found[f"{what}_speedup"]
        seconds = found[f"{what}_seconds"]
        parts.append(f"{what} x{middle:.2f} ({low:.2f} to {high:.2f}; {seconds['native']:.3g} s)")
    waits = " and ".join(f"{100 * found['data_wait_share'][engine]:.1f} % ({engine})" for engine in ENGINES)
    return f"{name:14s} {', '.join(parts)}; waiting for data {waits}"


def _parse() -> argparse.Namespace:
    parser = skeleton.parser(__doc__, upstream=True, models=MODELS, rounds=2)
    parser.add_argument("--videos", type=int, default=60)
    parser.add_argument("--test", type=int, default=40)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--data", type=Path, help="synthetic data of 2048 channels in both layouts (default: made)")
    parser.add_argument("--runs", type=Path, help="keep the run folders here")
    parser.add_argument("--trace", action="store_true", help="sample the hardware meanwhile")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
