"""One training of the authors' code for the question of the twins: from a tree given, with nothing of the kit kept."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tal_repro.data.layouts import find_layout
from tal_repro.engines.adapter import RunContext, StopRequested
from tal_repro.engines.upstream import witness
from tal_repro.engines.upstream.added import adapter as upstream_adapter
from tal_repro.engines.upstream.job import Job, fresh_work_folder
from tal_repro.errors import InputError
from tal_repro.run import recipe_reads
from tal_repro.run.trial import SEED
from tal_repro.runs.store import RunStore

BACKWARD = b'"kind": "backward"'  # of a witness's note


@dataclass(frozen=True)
class Twin:
    """What a training of the authors' code did, with nothing of the kit asked.

    `end`: what it died of, "" where it came to its end or lacked only what hooks would have left.
    """

    losses: tuple[float, ...]  # in their order
    output: str  # of the scripts
    told: tuple[float, ...] = ()  # mAPs (shares) that the metrics hook was given, which only patches call
    end: str = ""
    unread: tuple[str, ...] = ()  # fields of the recipe that the description never read
    unasked: tuple[str, ...] = ()  # settings that it told the scripts, and that no patch asked for


class _AsWritten(Job):
    """A job that tells the scripts no settings and keeps nothing of what hooks record."""

    def tell(self, **settings: Any) -> None:
        """Leave the scripts their own; remember which the description would tell."""
        self.names = {*self.names, *settings}

    names: Collection[str] = ()

    def _keep_trained(self, folder: Path, weights: str) -> None:
        """Keep nothing."""

    def _keep_evaluated(self, script: str, events: Path, folder: Path, weights: str) -> None:
        """Keep nothing."""


@dataclass(frozen=True)
class Training:
    """What is trained: everything but the tree of the authors' code."""

    model: str
    recipe: Mapping[str, Any]  # hyper-parameters in place of the model's
    data: Path
    layout_data: Path  # where the scripts find it: `data`, or a copy that holds less
    kept: Collection[str] = ()  # videos that `restrict` keeps; none: all
    seed: int = SEED
    steps: int = 0  # that suffice; 0: all


def train(tree: Path, training: Training, folder: Path) -> Twin:
    """Train from a tree of the authors' code, beside a witness. Writes into `folder`, which must not exist."""
    from tal_repro.run.training import plan_training

    folder.mkdir()
    adapter = upstream_adapter(training.model)
    spec = plan_training(training.model, training.data, "upstream", 100.0, training.seed, dict(training.recipe))
    log, notes = folder / "log.txt", folder / "notes.jsonl"
    run = RunContext(spec, RunStore(folder / "runs").writer(spec), training.data, "cpu")
    run.should_stop = lambda: "now" if _suffices(notes, training.steps) else ""
    recipe, names = recipe_reads.watched(adapter.recipe(run))
    layout = find_layout(training.layout_data, adapter.layout)
    job = _AsWritten(run, recipe, tree.resolve(), layout, fresh_work_folder(run), _subset(folder, training), log=log)
    end = ""
    with _witness(folder, notes), contextlib.suppress(InputError, StopRequested):  # of an added model: nothing was kept
        try:
            adapter.run_scripts(job)
        except RuntimeError as error:  # a script failed
            end = str(error)
    seen = witness.read(notes)
    asked = {note["name"] for note in seen if note["kind"] == "setting"}
    return Twin(
        losses=tuple(float(note["loss"]) for note in seen if note["kind"] == "backward"),
        output=log.read_text(encoding="utf-8", errors="replace"),
        told=tuple(float(note["average_map"]) for note in seen if note["kind"] == "metrics"),
        end=end,
        unread=tuple(recipe_reads.unread(recipe, names)),
        unasked=tuple(sorted(set(job.names) - asked)),
    )


def _suffices(notes: Path, steps: int) -> bool:
    return bool(steps) and notes.exists() and notes.read_bytes().count(BACKWARD) >= steps


def _subset(folder: Path, training: Training) -> Path | None:
    """Write which videos `restrict` keeps, where it is to leave out any."""
    if not training.kept:
        return None
    path = folder / "subset.json"
    path.write_text(json.dumps({"ids": sorted(training.kept)}), encoding="utf-8")
    return path


@contextlib.contextmanager
def _witness(folder: Path, notes: Path) -> Iterator[None]:
    """Ask the scripts that are started meanwhile for a witness, and let their hooks write nowhere else."""
    ids = folder / "ids.json"
    ids.write_text("[]", encoding="utf-8")
    os.environ[witness.VARIABLE] = json.dumps({"out": str(notes), "ids": str(ids)})
    try:
        yield
    finally:
        del os.environ[witness.VARIABLE]
