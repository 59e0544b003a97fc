"""The names in a results folder: every file of a run, and how a run's folder is called in each state."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

FORMAT = 2  # of the run folder; raised when a reader must know. 2: the folder's name holds the data digest
EPOCH_COLUMNS = ("epoch", "optimizer_steps", "learning_rate", "loss", "train_seconds", "eval_seconds")
METRIC_COLUMNS = ("epoch", "selection", "weights", "protocol", "tiou", "ap")
MEASUREMENT_COLUMNS = ("quantity", "feature_length", "sample", "value", "unit")
DETECTION_COLUMNS = ("video_id", "start_s", "end_s", "label", "score")

FILE_NAMES = {
    "spec": "spec.json",
    "system": "system.json",
    "data": "data.json",  # what the run was made from: digests, layout, timing and features in short
    "subset": "subset.json",
    "metrics": "metrics.json",
    "epochs": "epochs.csv",
    "measurements": "measurements.csv",
    "details": "details.json",  # of measurements: MACs by operator, clocks, linearity
    "trace": "trace.csv",
    "events": "events.jsonl",
    "detections": "detections.csv.gz",
    "log": "log.txt",
    "status": "status.json",
    "checkpoint": "checkpoint.pt",  # only while partial
    "heartbeat": "heartbeat",  # only while partial
}
WAITS = " waits"  # in the heartbeat of a run that has not had its turn
TRANSIENT = ("checkpoint", "heartbeat")


@dataclass(frozen=True)
class RunPaths:
    """Every file name of a run folder."""

    folder: Path

    def __getattr__(self, name: str) -> Path:
        try:
            return self.folder / FILE_NAMES[name]
        except KeyError:
            raise AttributeError(name) from None


def name_of(folder: Path) -> str:
    """Return a run's name (planned id and data digest) from its folder's, whatever state that is in."""
    return folder.name.partition(".")[0]


def planned_id(name: str) -> str:
    """Return the planned id in a run's name."""
    return name.partition("-")[0]


def folders(parent: Path) -> list[Path]:
    """Return the folders in `parent` by name; hidden ones (locks and the like) and links are left out."""
    try:
        scanned = os.scandir(parent)
    except (FileNotFoundError, NotADirectoryError):
        return []
    with scanned as entries:
        return [
            Path(entry.path)
            for entry in sorted(entries, key=lambda entry: entry.name)
            if entry.is_dir(follow_symlinks=False) and not entry.name.startswith(".")
        ]
