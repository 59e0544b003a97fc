"""One training of an upstream as a job: its folders, its scripts run one after another, and the scores they left.

What a model's own part of the adapter is given; the four models and a fifth one use it alike.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tal_repro import hooks
from tal_repro.data.layouts import Layout
from tal_repro.engines.adapter import RunContext
from tal_repro.engines.upstream import process, scores, shims
from tal_repro.errors import InputError

Chosen = dict[tuple[str, str], scores.Evaluated]


@dataclass
class Job:
    """A run under way: where things lie, and what was evaluated so far, by (selection, weights)."""

    run: RunContext
    recipe: Any
    tree: Path  # the patched copy
    layout: Layout  # where the data lie
    work: Path  # working directory of the scripts; deleted when the run is done
    subset: Path | None = None  # what the hooks restrict training to
    chosen: Chosen = field(default_factory=dict)
    train_wall: float = 0.0
    evaluation_wall: float = 0.0  # of evaluation scripts, their start included
    evaluation_seconds: dict[str, float] = field(default_factory=dict)  # of their test loops, by weights
    log: Path | None = None  # of the scripts' output; None: where this process's goes
    environment: Mapping[str, str] = field(default_factory=dict)  # what the authors' scripts read of it

    def train(
        self, script: str, arguments: Sequence[str], weights: str, meanwhile: Callable[[], None] = lambda: None
    ) -> None:
        """Run a training script; evaluations it makes itself become the last and the best-on-test of their weights.

        `weights` is what it evaluates, where its hooks do not tell several sets apart.
        """
        folder = _folder(self.work / "detections")
        environment = {**self.environment, hooks.DETECTIONS_VARIABLE: str(folder)}
        if self.subset is not None:
            environment[hooks.SUBSET_VARIABLE] = str(self.subset)
        self.train_wall = process.launch(
            self.run, self.tree, script, arguments, self.work, environment, meanwhile, self.log
        )
        self._keep_trained(folder, weights)

    def _keep_trained(self, folder: Path, weights: str) -> None:
        """Keep the last and the best of the evaluations that a training recorded in `folder`."""
        for evaluated in scores.evaluations(self.events, folder, weights):  # in the order of their epochs
            self.chosen["last", evaluated.weights] = evaluated
            best = self.chosen.setdefault(("best-on-test", evaluated.weights), evaluated)
            if evaluated.printed_map > best.printed_map:
                self.chosen["best-on-test", evaluated.weights] = evaluated

    def evaluate(self, script: str, arguments: Sequence[str], weights: str) -> None:
        """Run an evaluation script on the last checkpoint; `weights` tells the shims which set it is to use."""
        folder, events = _folder(self.work / f"detections-{weights}"), self.work / f"events-{weights}.jsonl"
        environment = {
            **self.environment,
            hooks.DETECTIONS_VARIABLE: str(folder),
            hooks.EVENTS_VARIABLE: str(events),
            shims.WEIGHTS_VARIABLE: weights,
        }
        self.evaluation_wall += process.launch(
            self.run, self.tree, script, arguments, self.work, environment, log=self.log
        )
        self._keep_evaluated(script, events, folder, weights)

    def _keep_evaluated(self, script: str, events: Path, folder: Path, weights: str) -> None:
        """Keep the last evaluation that a script recorded in `events` and `folder`; InputError where there is none."""
        recorded = process.read_events(events)
        self.evaluation_seconds[weights] = process.phase_seconds(recorded).get("eval", 0.0)
        evaluated = scores.evaluations(recorded, folder, weights)
        if not evaluated:
            raise InputError(f"{script} recorded no evaluation", self.tree, "see docs/adding-a-model.md: metrics")
        self.chosen["last", weights] = scores.Evaluated(
            self.last_epoch, weights, evaluated[-1].detections, evaluated[-1].printed_map
        )

    def tell(self, **settings: Any) -> None:
        """Let `tal_hooks.setting` in the patches give these values, which the scripts' configuration cannot be told."""
        self.environment = {**self.environment, hooks.SETTINGS_VARIABLE: json.dumps(settings)}

    def newest_checkpoint(self, folder: Path, pattern: str = "epoch_*.pth.tar") -> Path:
        """Return the alphabetically last checkpoint in `folder`; raise InputError where there is none."""
        return newest_checkpoint(folder, pattern)

    @property
    def events(self) -> list[process.Event]:
        """Return what the hooks recorded of the training."""
        return process.read_events(self.run.record.paths.events)

    @property
    def last_epoch(self) -> int:
        """Return the index of the last epoch that started."""
        epochs = [event["index"] for event in self.events if (event["kind"], event["phase"]) == ("epoch", "start")]
        return max(epochs, default=-1)

    def used_ids(self) -> list[str]:
        """Return the training units that upstream's data set kept."""
        used = [event["values"]["ids"] for event in self.events if event["kind"] == "subset"]
        return list(used[0]) if used else []

    def seconds(self, reported: str) -> dict[str, float]:
        """Return the phases of the training process and of the evaluations after it; `reported`: weights."""
        events = self.events
        phases = process.phase_seconds(events)
        inside = {name: phases.get(name, 0.0) for name in ("train", "eval", "checkpoint")}
        return {
            **inside,
            "setup": self.train_wall - phases.get("run", self.train_wall) + _before_first_epoch(events),
            "reported_eval": inside["eval"],
            "eval_after": self.evaluation_wall,
            "reported_eval_after": self.evaluation_seconds.get(reported, 0.0),  # its test loop, without the start
            "data_wait": process.data_wait_seconds(events),
            "total": self.train_wall + self.evaluation_wall,
        }


def _before_first_epoch(events: Sequence[process.Event]) -> float:
    """Return the seconds from the run's start event to its first epoch: data set, model, optimizer."""
    starts = {"run": 0.0, "epoch": 0.0}
    for event in reversed(events):
        if event["phase"] == "start" and event["kind"] in starts:
            starts[event["kind"]] = event["time"]
    return starts["epoch"] - starts["run"] if all(starts.values()) else 0.0


def fresh_work_folder(run: RunContext) -> Path:
    """Make the working directory of a run's scripts; what a stopped attempt left is cleared away, and said."""
    work = run.record.paths.folder.resolve() / "work"  # the scripts run in it: a relative path would lead nowhere
    if work.exists():
        print("# an earlier attempt was stopped: upstream cannot resume bit for bit; starting over", flush=True)
        shutil.rmtree(work)
    run.record.paths.events.unlink(missing_ok=True)
    work.mkdir()
    return work


def newest_checkpoint(folder: Path, pattern: str = "epoch_*.pth.tar") -> Path:
    """Return the alphabetically last checkpoint; raise InputError where there is none."""
    files = sorted(folder.glob(pattern))
    if not files:
        raise InputError("upstream wrote no checkpoint", folder, "see the log")
    return files[-1]


def sha256(path: Path) -> str:
    """Return a file's digest: only what this run wrote is ever unpickled."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _folder(path: Path) -> Path:
    path.mkdir()
    return path
