"""Write made-up finished runs through the one writer, for tests of whatever reads runs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from tal_repro import thumos14
from tal_repro.runs.record import RunRecord, sha256_of
from tal_repro.runs.run import REPORTED
from tal_repro.runs.store import RunStore
from tal_repro.runs.writer import RunWriter
from tal_repro.spec import DataSpec, RunSpec, SubsetSpec
from tal_repro.thumos14 import TIOUS

CPU, A10 = "made-up CPU, 2 cores", "NVIDIA A10"
NATIVE = "native"
SYNTHETIC = DataSpec("synthetic-demo", "1", "0" * 64, True)
REAL = DataSpec(thumos14.NAME, "i3d", thumos14.ANNOTATION_HASH, False)
DIGEST = "d" * 64  # of whatever data a made-up run is of
FACTS = {"feature_dim": thumos14.FEATURE_DIM, "thumos14_videos": 412, "thumos14_unlike_lengths": 0}


def writer_of(root: Path, spec: RunSpec, **facts: Any) -> RunWriter:
    """Open a made-up run; one of data bears a digest and says what it is made from."""
    if spec.data is None:
        return RunStore(root).writer(spec)
    spec = replace(spec, data_digest=spec.data_digest or DIGEST)
    writer = RunStore(root).writer(spec)
    writer.write_json("data", {"schema": "tal-repro/data/1", "digest": spec.data_digest, **FACTS, **facts})
    return writer


def finish(writer: RunWriter, **status: Any) -> RunRecord:
    """Finish a made-up run as the worker does."""
    about = {"layout": "actionformer", "data_set": DIGEST[:16]} if writer.spec.data else {}
    return writer.finish(**{**about, **status})


def seal(folder: Path) -> None:
    """Write the digests of a finished run anew, after a test has changed its files."""
    status = json.loads((folder / "status.json").read_text())
    names = [path.name for path in folder.iterdir() if path.name != "status.json"]
    status["digests"] = {name: sha256_of(folder / name) for name in sorted(names)}
    (folder / "status.json").write_text(json.dumps(status))


def training(
    root: Path, model: str, average_map: float, *, experiment: str = "data_sweep", percent: float = 100, seed: int = 0,
    synthetic: bool = True, engine: str = "native", seconds: float = 10.0, machine: str = CPU,
    flags: tuple[str, ...] = (), recipe: Mapping[str, Any] | None = None, **metrics: Any,
) -> RunRecord:  # fmt: skip
    """Write a training whose reported average mAP (in percent) is `average_map`."""
    spec = RunSpec(
        experiment, model, engine, "1", dict(recipe or {"epochs": 15}), SYNTHETIC if synthetic else REAL,  # type: ignore[arg-type]
        SubsetSpec("slice" if model == "tadtr" else "video", "uniform", percent, seed), seed,
    )  # fmt: skip
    writer = writer_of(root, spec)
    selection, weights, protocol = REPORTED.get(model, ("last", "ema", "af-212"))
    shared = {"epoch": 14, "weights": weights, "protocol": protocol}
    rows = [
        {**shared, "selection": s, "tiou": tiou, "ap": max(0.0, average_map / 100 - lower)}
        for s, lower in ((selection, 0.0), ("last" if selection != "last" else "best-on-test", 0.01))
        for tiou in TIOUS
    ]
    writer.write_json("system", {"schema": "tal-repro/system/1", "machine": machine, "device": {"name": "cpu"}})
    writer.write_metrics(
        rows, optimizer_steps=100, seconds={"total": seconds, "train": seconds, "eval": 0.0, "checkpoint": 0.0},
        table2_seconds=seconds, table2_definition="training", flags=flags, **metrics,
    )  # fmt: skip
    return finish(writer)


def curved(root: Path, **more: Any) -> Path:
    """Write a finished training with three epochs and the AP of two classes."""
    spec = RunSpec("baseline", "tadtr", "native", "2", {"epochs": 3, "learning_rate": 0.0002}, SYNTHETIC,
                   SubsetSpec("slice", "uniform", 100, 0), 0)  # fmt: skip
    writer = writer_of(root, spec)
    writer.write_epochs([
        {"epoch": n, "optimizer_steps": n, "learning_rate": 0.1, "loss": 3.0 - n, "train_seconds": 1.0,
         "eval_seconds": 0.5, "map_raw": "" if n == 0 else 0.2 * n}
        for n in range(3)
    ])  # fmt: skip
    classes = {"selection": "last", "weights": "raw", "protocol": "tadtr-210", "ap": {"Diving": 0.25, "<b>": 0.5}}
    writer.write_metrics([], optimizer_steps=3, seconds={}, table2_seconds=1.0, table2_definition="made up",
                         per_class=classes, **more)  # fmt: skip
    writer.paths.log.write_text("epoch 3 of 3\n")
    return finish(writer).folder


def measured(
    root: Path, experiment: str, model: str, rows: Iterable[Mapping[str, Any]], machine: str = CPU,
    engine: str = NATIVE, seed: int = 0,
) -> RunRecord:  # fmt: skip
    """Write a macs or inference run."""
    device = "cuda:0" if "NVIDIA" in machine else "cpu"
    spec = RunSpec(experiment, model, engine, "1", {}, None, None, seed, (100, 200), "fp32", device.split(":")[0])  # type: ignore[arg-type]
    writer = writer_of(root, spec)
    writer.write_json("system", {"schema": "tal-repro/system/1", "machine": machine, "device": {"name": device}})
    writer.write_measurements(rows)
    return finish(writer)


def row(quantity: str, length: int, value: float, sample: int = 0, unit: str = "") -> dict[str, Any]:
    """Return one row of measurements.csv."""
    return {"quantity": quantity, "feature_length": length, "sample": sample, "value": value, "unit": unit}


def trace(
    root: Path, seconds: float = 10.0, synthetic: bool = True, gpu: bool = False, step: float = 0.1,
    seed: int = 0,
) -> RunRecord:  # fmt: skip
    """Write a trace of TadTR with three epochs and a bit, each 0.2 of the time training and 0.08 evaluation."""
    spec = RunSpec("trace", "tadtr", "native", "1", {}, SYNTHETIC if synthetic else REAL, SubsetSpec("slice"), seed)
    writer = writer_of(root, spec)
    start, random = 1e9, np.random.default_rng(0)
    time_s = np.arange(1, int(seconds / step) + 1) * step
    busy = (time_s % (0.28 * seconds)) < 0.2 * seconds
    columns = {
        "unix_time": start + time_s,
        "time_s": time_s,
        "cpu_mean_percent": np.where(busy, 62, 31) + random.normal(0, 4, len(time_s)),
        "cpu_busiest_percent": np.minimum(100, np.where(busy, 93, 99) + random.normal(0, 3, len(time_s))),
        "memory_free_percent": np.full(len(time_s), 93.0),
    }
    if gpu:
        columns["gpu_percent"] = np.where(busy, 38, 12) + random.normal(0, 3, len(time_s))
    lines = [",".join(f"{value:.4f}" for value in values) for values in zip(*columns.values(), strict=True)]
    writer.paths.trace.write_text("\n".join([",".join(columns), *lines]) + "\n", encoding="utf-8")
    events = []
    for epoch, at in enumerate(np.arange(0, seconds - 0.28 * seconds + 1e-9, 0.28 * seconds)):
        for kind, left, right in (("train", 0.0, 0.2), ("eval", 0.2, 0.28)):
            events += [(at + left * seconds, kind, "start", epoch), (at + right * seconds, kind, "end", epoch)]
    writer.paths.events.write_text(
        "".join(json.dumps({"time": start + t, "kind": k, "phase": p, "index": i}) + "\n" for t, k, p, i in events),
        encoding="utf-8",
    )
    writer.write_json("system", {"schema": "tal-repro/system/1", "machine": A10 if gpu else CPU})
    return finish(writer)


def demo(root: Path) -> Path:
    """Write a small study of every experiment on synthetic data."""
    random = np.random.default_rng(1)
    for place, (model, top, bend) in enumerate(
        (("tadtr", 78, 14), ("actionformer", 88, 38), ("tridet", 90, 30), ("temporalmaxer", 85, 22))
    ):
        for percent in (10, 20, 40, 60, 80, 100):
            for seed in range(2):
                value = top * (1 - np.exp(-percent / bend)) + random.normal(0, 1.5)
                training(root, model, float(np.clip(value, 0, 99)), percent=percent, seed=seed)
        for seed in range(2):
            training(root, model, top - 2 + seed, experiment="baseline", seed=seed, seconds=5.0 + place + 0.3 * seed)
        macs = [row("gmacs", length, (0.005 + 0.008 * place) * length) for length in (200, 600, 1000, 2000, 3000)]
        measured(root, "macs", model, macs)
        times = [
            row("latency_ms", length, (0.05 + 0.06 * place) * length * random.lognormal(0, 0.05), sample, "ms")
            for length in (100, 400, 1000, 2000)
            for sample in range(5)
        ]
        measured(root, "inference", model, times)
    trace(root)
    return root
