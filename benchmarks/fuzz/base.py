"""A results folder of every kind of run and file, made up: what fuzz_readers mutates. Nothing here was measured."""

from __future__ import annotations

import io
import json
import random
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from tal_repro import thumos14
from tal_repro.planned import keep
from tal_repro.run.archive import SCHEMA
from tal_repro.runs.folder import FORMAT
from tal_repro.runs.run import REPORTED, TIOUS
from tal_repro.runs.store import RunStore
from tal_repro.runs.writer import RunWriter
from tal_repro.spec import RunSpec
from tal_repro.study import load_study

DIGEST = "d" * 64
TEXT = """
schema = "tal-repro/study/1"
name = "fuzzed"
[data]
name = "thumos14"
version = "i3d"
[defaults]
engines = ["native"]
device = "cpu"
[[experiments]]
experiment = "data_sweep"
models = ["tadtr"]
percentages = [10, 40, 100]
repeats = 1
[[experiments]]
experiment = "baseline"
models = ["tadtr", "tridet"]
seeds = [0]
[[experiments]]
experiment = "trace"
models = ["tadtr"]
[[experiments]]
experiment = "macs"
models = ["tadtr"]
feature_lengths = [100, 200]
[[experiments]]
experiment = "inference"
models = ["tadtr"]
feature_lengths = [100, 200]
"""
STUDY = Path("fuzzed.toml")
_START = 1e9


def make_base(folder: Path) -> Path:
    """Write the folder, another to compare it with, a study file and annotations; return the first."""
    base, study_file = folder / "runs", folder / STUDY
    study_file.write_text(TEXT)
    study = load_study(str(study_file))
    for root in (base, folder / "other"):
        store = RunStore(root)
        for spec in study.runs():
            _finish(store, spec)
    specs = [replace(spec, data_digest=DIGEST) if spec.data else spec for spec in study.runs()]
    keep(base, study, "core", specs, {"actionformer": DIGEST})
    state = {"schema": "tal-repro/data-state/1", "layout": "actionformer", "videos": {"v": ["0" * 16] * 4}}
    (base / ".data").mkdir()
    (base / ".data" / f"state-{DIGEST[:8]}.json").write_text(json.dumps(state))
    _unfinished(RunStore(base), specs[0])
    truth = {"v": {"subset": "test", "duration": 30.0, "annotations": [{"label": "Diving", "segment": [1.0, 2.0]}]}}
    (folder / "truth.json").write_text(json.dumps({"database": truth}))
    return base


def _finish(store: RunStore, spec: RunSpec) -> None:
    writer = store.writer(replace(spec, data_digest=DIGEST) if spec.data else spec)
    system = {"schema": "tal-repro/system/1", "machine": "made up", "host": "h", "alone": True, "packages": {"a": "1"}}
    writer.write_json("system", {**system, "device": {"name": "cpu"}, "cpu": {"torch_instructions": "AVX2"}})
    writer.paths.log.write_text("# attempt 1\nepoch 1\n")
    if spec.data is not None:
        _train(writer, spec)
    else:
        kinds = {"macs": ("gmacs", ""), "inference": ("latency_ms", "ms")}
        quantity, unit = kinds[spec.experiment]
        writer.write_measurements(
            {"quantity": quantity, "feature_length": length, "sample": sample, "value": 1.0 + sample, "unit": unit}
            for length in spec.feature_lengths
            for sample in range(6)
        )
        writer.write_json("details", {"linearity": {"slope": 1.0}, "clocks": [1, 2], "energy": {"joules": {"gpu": 2}}})
    if spec.experiment == "trace":
        _trace(writer)
    about = {"layout": "actionformer", "data_set": DIGEST[:16]} if spec.data else {}
    cost = {"seconds": 1.5, "attempts": 1, "machine": "made up", "finished": "2026-01-01T00:00:00+00:00"}
    writer.finish(study="fuzzed", settings=["repeats=1"], **cost, **about)


def _train(writer: RunWriter, spec: RunSpec) -> None:
    facts = {"feature_dim": thumos14.FEATURE_DIM, "thumos14_videos": 412, "thumos14_unlike_lengths": 0}
    writer.write_json("data", {"schema": "tal-repro/data/1", "digest": DIGEST, **facts})
    writer.write_json("subset", {"schema": "tal-repro/subset/1", "ids": ["a", "b"], "unit": "video"})
    selection, weights, protocol = REPORTED[spec.model]
    shared = {"epoch": 1, "selection": selection, "weights": weights, "protocol": protocol, "ap": 0.5}
    writer.write_metrics(
        [{**shared, "tiou": tiou} for tiou in TIOUS], optimizer_steps=3,
        seconds={"total": 1.5, "train": 1.0, "eval": 0.5, "checkpoint": 0.0},
        table2_seconds=1.0, table2_definition="training", flags=[],
    )  # fmt: skip
    writer.write_epochs([{"epoch": 0, "optimizer_steps": 3, "learning_rate": 0.1, "loss": 1.0}])
    row = {"video_id": "v", "start_s": 1.0, "end_s": 2.0, "label": "Diving", "score": 0.9}
    writer.write_detections(pd.DataFrame([row, {**row, "start_s": 1.5}]))


def _trace(writer: RunWriter) -> None:
    lines = [f"{_START + 0.1 * n},{0.1 * n:.1f},{50 + n % 7},{90 - n % 5},93" for n in range(1, 60)]
    header = "unix_time,time_s,cpu_mean_percent,cpu_busiest_percent,memory_free_percent"
    writer.paths.trace.write_text("\n".join([header, *lines]) + "\n")
    events = [(0.1, "train", "start"), (3.0, "train", "end"), (3.0, "eval", "start"), (5.0, "eval", "end")]
    text = (json.dumps({"time": _START + at, "kind": k, "phase": p, "index": 0}) for at, k, p in events)
    writer.paths.events.write_text("\n".join(text) + "\n")


def _unfinished(store: RunStore, spec: RunSpec) -> None:
    """Add a run that failed, and one that was killed half way."""
    failed = store.writer(replace(spec, seed=7))
    failed.fail("out of memory (device): 20 GiB", study="fuzzed", attempts=1, seconds=2.0)
    partial = store.writer(replace(spec, seed=8))
    partial.write_json("status", {"format": FORMAT, "state": "running", "host": "elsewhere", "pid": 1, "attempts": 1})
    partial.beat()


def pack(base: Path, out: Path, rng: random.Random) -> Path:
    """Pack the finished runs and notes as `results export` would, but look at nothing; break the bytes now and then."""
    folders = [record.folder for record in RunStore(base).records()]
    manifest: Any = {"schema": SCHEMA, "format": FORMAT, "runs": [folder.name for folder in folders]}
    members = {"manifest.json": json.dumps(manifest).encode()}
    paths = [path for folder in (base / ".studies", *folders) if folder.is_dir() for path in sorted(folder.iterdir())]
    members |= {str(p.relative_to(base)): p.read_bytes() for p in paths if p.is_file() and not p.is_symlink()}
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w:gz", compresslevel=1) as archive:
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    content = bytearray(raw.getvalue())
    if rng.random() < 0.3:
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    out.write_bytes(content[: rng.randrange(len(content))] if rng.random() < 0.1 else content)
    return out
