"""A small training of a model through the command line, as a user would start it, and what is seen of it.

`models check` asks for it. The authors' code runs beside a witness; a training whose mAP is still near 0 is made again
from another seed (a network may have started dead: DyFADet) and with as many more epochs as the time allows.
"""

from __future__ import annotations

import csv
import itertools
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tal_repro import kit
from tal_repro.errors import InputError
from tal_repro.models.registry import ModelEntry, model_entry
from tal_repro.run.evidence import LEARNT, Evidence
from tal_repro.run.repeat import setting_value
from tal_repro.run.tracebacks import of_authors
from tal_repro.runs.record import RunRecord
from tal_repro.runs.store import RunStore

PERCENT = 60  # of the units: a subset is drawn
DATA = "data"  # folder of the set, in the scratch folder
BUDGET_S = 900.0  # of all trainings of a check
SEED = 3  # of the first training
MORE = 4.0  # times as many epochs at most where too little was learnt
LEAST_S = 1e-3  # that a training is taken to last
LAST_LINES = 12
DOCS = "docs/adding-a-model.md"


@dataclass(frozen=True)
class Trial:
    """One small training that came to its end."""

    record: RunRecord
    evidence: Evidence | None  # of the authors' code
    epochs: int
    seed: int

    @property
    def tried(self) -> str:
        """Say what was trained and how much was learnt: one of several is never shown as the only one."""
        return f"seed {self.seed}, {self.epochs} epochs: {self.best_map:.1%}"

    @property
    def best_map(self) -> float:
        """Return the best average mAP under the model's own protocol, as a share."""
        own = self.record.metrics["reported"]["protocol"]
        averages = averages_of(self.record)
        return max((average for (_, _, protocol), average in averages.items() if protocol == own), default=0.0)


def averages_of(record: RunRecord) -> dict[tuple[str, str, str], float]:
    """Return a run's average mAPs as shares, by selection, weights and protocol."""
    shares: dict[tuple[str, str, str], list[float]] = {}
    for row in record.metrics["rows"]:
        shares.setdefault((row["selection"], row["weights"], row["protocol"]), []).append(row["ap"])
    return {key: sum(values) / len(values) for key, values in shares.items()}


def trials(
    model: str, engine: str, settings: Mapping[str, Any], scratch: Path, budget_s: float = BUDGET_S
) -> Iterator[Trial]:
    """Yield small trainings until one has learnt or the next, no shorter than the one before, would take too long.

    `settings` replace hyper-parameters; where they say `epochs`, there is one training. Raises InputError where one
    fails, with the authors' traceback.
    """
    sizes = {**small(model, engine), **settings}
    data = _small_data(scratch / DATA, int(sizes["feature_dim"]), learnable=_must_learn(model, engine))
    deadline = time.monotonic() + budget_s
    for seed in itertools.count(SEED):
        started = time.monotonic()
        trial = _train(model, engine, sizes, seed, data, scratch / f"epochs-{sizes['epochs']}")
        yield trial
        took = time.monotonic() - started
        enough = "epochs" in settings or not _must_learn(model, engine) or trial.best_map >= LEARNT
        longer = min(MORE, (deadline - time.monotonic()) / max(took, LEAST_S))
        if enough or longer < 1:
            return
        sizes["epochs"] = int(sizes["epochs"] * longer)


def _must_learn(model: str, engine: str) -> bool:
    """Tell whether a check has to see a mAP far from 0: of all code but the kit's own, whose parts have their tests."""
    return engine == "upstream" or model_entry(model).beyond


def small(model: str, engine: str) -> dict[str, Any]:
    """Return the hyper-parameters that make a small training of a model."""
    entry = model_entry(model)
    if "native" not in entry.engines:
        return {"feature_dim": entry.recipe.feature_dim, **_small_of_description(entry)}
    # TadTR's own code knows no width but 2048
    return {"feature_dim": 2048 if (engine, model) == ("upstream", "tadtr") else 16, **entry.recipe.small(model)}


def _small_of_description(entry: ModelEntry) -> dict[str, Any]:
    import importlib

    from tal_repro.engines.upstream.description import small_recipe

    return small_recipe(importlib.import_module(entry.adapter))


def _said(entry: ModelEntry, name: str, usual: Any) -> Any:
    """Return what the description of an added model says under a name, or what is usual."""
    import importlib

    return getattr(importlib.import_module(entry.adapter), name, usual) if entry.adapter else usual


def _stops_early(entry: ModelEntry) -> bool:
    """Tell whether the authors' code may end before its recipe's epochs."""
    return bool(_said(entry, "STOPS_EARLY", getattr(entry.recipe, "patience", None) is not None))


def _small_data(out: Path, feature_dim: int, learnable: bool) -> Path:
    """Make the data: 20 test videos hold every class (TadTR's own evaluation needs that).

    `learnable`: without noise, so that any sound model passes a mAP of 20 % in a short training.
    """
    from tal_repro.data.synthetic import write_synthetic
    from tal_repro.data.synthetic_config import SyntheticConfig

    difficulty = 0.0 if learnable else 0.1
    return write_synthetic(out, SyntheticConfig(20, 20, feature_dim, 20, (20.0, 40.0), difficulty=difficulty, seed=5))


def setting_words(sizes: Mapping[str, Any]) -> list[str]:
    """Return --set for each hyper-parameter but those that follow the data."""
    given = {key: value for key, value in sizes.items() if key not in ("feature_dim", "num_classes")}
    return [f"--set={key}={setting_value(value)}" for key, value in given.items()]


def _train(model: str, engine: str, sizes: Mapping[str, Any], seed: int, data: Path, folder: Path) -> Trial:
    folder.mkdir()
    words = setting_words(sizes)
    command = [sys.executable, "-m", "tal_repro", "train", "--model", model, "--engine", engine, "--data", str(data)]
    command += ["--percent", str(PERCENT), "--seed", str(seed), "--out", str(folder / "runs"), *words]
    environment = kit.child_environment()
    if engine == "upstream":
        environment |= _with_witness(model, data, folder)
    answer = subprocess.run(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    records = list(RunStore(folder / "runs").records())
    if answer.returncode != 0 or not records:
        tail = "\n".join(answer.stdout.splitlines()[-LAST_LINES:])
        where, what = of_authors(answer.stdout, model) if engine == "upstream" else ("", "")
        raise InputError(
            what or f"exit code {answer.returncode}\n{tail}", where or "training", remedy(answer.stdout, model)
        )
    evidence = gather(records[0], folder / "notes.jsonl", data, answer.stdout) if engine == "upstream" else None
    return Trial(records[0], evidence, int(sizes["epochs"]), seed)


def remedy(output: str, model: str) -> str:
    """Return the next command after a training that failed."""
    again = f"then: tal-repro models check {model}"
    gone = ("No module named", "has no attribute", "Weights only load failed", "not compiled with CUDA")
    if any(words in output for words in gone):
        return f"is there a shim for it (tal-repro upstream diff all lists them)? Add its name to SHIMS, {again}"
    return f"mend the description or the patch ({DOCS}), {again}"


def _with_witness(model: str, data: Path, folder: Path) -> dict[str, str]:
    from tal_repro.engines.upstream import witness

    dataset = _dataset(model, data)
    ids = folder / "ids.json"
    ids.write_text(json.dumps(sorted(dataset.videos)), encoding="utf-8")
    return {witness.VARIABLE: json.dumps({"out": str(folder / "notes.jsonl"), "ids": str(ids)})}


def _dataset(model: str, data: Path) -> Any:
    from tal_repro.data import load_dataset

    return load_dataset(data, model_entry(model).layout)


def gather(record: RunRecord, notes: Path, data: Path, output: str) -> Evidence:
    """Return what is known of a training of the authors' code, whose scripts printed `output`."""
    from tal_repro.engines.upstream import witness
    from tal_repro.engines.upstream.process import read_events

    dataset, upstream = _dataset(record.spec.model, data), record.metrics["upstream"]
    with record.paths.epochs.open(encoding="utf-8", newline="") as stream:
        losses = {int(row["epoch"]): float(row["loss"]) for row in csv.DictReader(stream) if row.get("loss")}
    return Evidence(
        notes=witness.read(notes),
        events=read_events(record.paths.events),
        loss_by_epoch=losses,
        used=frozenset(upstream["used_ids"]),
        own_print=upstream["own_print"],
        training_ids=frozenset(video.id for video in dataset.videos.values() if video.subset != "test"),
        test_ids=frozenset(video.id for video in dataset.videos.values() if video.subset == "test"),
        detected_ids=frozenset(video.id for video in dataset.detected),
        batch_size=int(record.spec.recipe["batch_size"]),
        repeats=int(_said(model_entry(record.spec.model), "REPEATS", 1)),
        stops_early=_stops_early(model_entry(record.spec.model)),
        output=output,
        averages=averages_of(record),
        epochs=int(record.spec.recipe["epochs"]),
    )
