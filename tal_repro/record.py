"""The run folder: one writer, one reader, and the only module that knows its file names.

A run is written to `<run_id>.partial/` and renamed to `<run_id>/` when complete, so "done" means "the folder exists".
A killed run leaves its partial folder with a checkpoint; a failed one is kept as `<run_id>.failed/` and never counts.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import os
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tal_repro.errors import InputError
from tal_repro.spec import RunSpec

if TYPE_CHECKING:
    import pandas as pd

FORMAT = 1  # of the run folder; raised when a reader must know
EPOCH_COLUMNS = ("epoch", "optimizer_steps", "learning_rate", "loss", "train_seconds", "eval_seconds")
METRIC_COLUMNS = ("epoch", "selection", "weights", "protocol", "tiou", "ap")
MEASUREMENT_COLUMNS = ("quantity", "feature_length", "sample", "value", "unit")
DETECTION_COLUMNS = ("video_id", "start_s", "end_s", "label", "score")


@dataclass(frozen=True)
class RunPaths:
    """Every file name of a run folder."""

    folder: Path

    def __getattr__(self, name: str) -> Path:
        try:
            return self.folder / FILE_NAMES[name]
        except KeyError:
            raise AttributeError(name) from None


FILE_NAMES = {
    "spec": "spec.json",
    "system": "system.json",
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
TRANSIENT = ("checkpoint", "heartbeat")


@dataclass(frozen=True)
class RunRecord:
    """A finished run, read lazily and never written."""

    folder: Path

    @property
    def paths(self) -> RunPaths:
        return RunPaths(self.folder)

    @cached_property
    def spec(self) -> RunSpec:
        spec = RunSpec.from_json(read_json(self.paths.spec), str(self.paths.spec))
        if spec.run_id != self.folder.name.split(".")[0]:
            raise InputError(f"holds the specification of run {spec.run_id}", self.folder, "restore or delete it")
        return spec

    @cached_property
    def status(self) -> dict[str, Any]:
        status = read_json(self.paths.status)
        if status.get("format") != FORMAT:
            raise InputError(
                f"run folder format {status.get('format')!r}, this kit reads {FORMAT}",
                self.paths.status,
                "read it with the kit version that wrote it, or run it again",
            )
        return status

    @cached_property
    def system(self) -> dict[str, Any]:
        return read_json(self.paths.system)

    @cached_property
    def metrics(self) -> dict[str, Any]:
        """Return `{rows, optimizer_steps, seconds, table2_seconds, table2_definition, flags}` or {}."""
        return read_json(self.paths.metrics) if self.paths.metrics.exists() else {}

    @property
    def measurements(self) -> pd.DataFrame:
        import pandas as pd

        return pd.read_csv(self.paths.measurements)

    @property
    def detections(self) -> pd.DataFrame:
        import pandas as pd

        return pd.read_csv(self.paths.detections, dtype={"video_id": str, "label": str})

    def damaged(self) -> list[str]:
        """Return what does not match the digests written when the run was finished (empty: whole)."""
        digests = self.status.get("digests")
        if not isinstance(digests, dict) or not digests:  # without them nothing vouches for the rest
            return [FILE_NAMES["status"]]
        found = [name for name in digests if not (self.folder / name).is_file()]
        return found + [
            name for name, digest in digests.items() if name not in found and _sha256(self.folder / name) != digest
        ]


class RunStore:
    """All runs under one results folder: `<root>/<experiment>/<model>/<run_id>/`."""

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.root = Path(root)

    def folder(self, spec: RunSpec) -> Path:
        return self.root / spec.experiment / spec.model / spec.run_id

    def partial(self, spec: RunSpec) -> Path:
        return self.folder(spec).with_suffix(".partial")

    def failed(self, spec: RunSpec) -> Path:
        return self.folder(spec).with_suffix(".failed")

    def state(self, spec: RunSpec) -> str:
        """Return done, failed, partial (started, not finished; maybe running) or todo."""
        for state, folder in (
            ("done", self.folder(spec)),
            ("partial", self.partial(spec)),
            ("failed", self.failed(spec)),
        ):
            if folder.is_dir():
                return state
        return "todo"

    def states(self, specs: Iterable[RunSpec]) -> dict[str, str]:
        """Return run id -> state for many runs: one listing a folder instead of three look-ups a run."""
        listings: dict[tuple[str, str], set[str]] = {}
        states: dict[str, str] = {}
        for spec in specs:
            key = (spec.experiment, spec.model)
            if key not in listings:
                listings[key] = {folder.name for folder in _folders(self.root / spec.experiment / spec.model)}
            names, run_id = listings[key], spec.run_id
            states[run_id] = "todo"
            for state, name in (("done", run_id), ("partial", f"{run_id}.partial"), ("failed", f"{run_id}.failed")):
                if name in names:
                    states[run_id] = state
                    break
        return states

    def set_aside(self, folder: Path) -> Path:
        """Rename a damaged run folder to `<run_id>.damaged[-N]`: kept for a look, never read again."""
        for number in range(1, 1000):
            target = folder.with_name(f"{folder.name.split('.')[0]}.damaged" + (f"-{number}" if number > 1 else ""))
            if not target.exists():
                folder.rename(target)
                return target
        raise InputError("set aside a thousand times", folder, "delete its .damaged folders")

    def leftovers(self) -> Iterator[Path]:
        """Yield what is not a finished run: partial, failed and damaged folders."""
        for experiment in _folders(self.root):
            for model in _folders(experiment):
                yield from (run for run in _folders(model) if "." in run.name)

    def find(self, run_id: str) -> list[Path]:
        """Return the folders of runs whose id starts with `run_id`, finished ones first."""
        found = [
            run
            for experiment in _folders(self.root)
            for model in _folders(experiment)
            for run in _folders(model)
            if run.name.startswith(run_id)
        ]
        return sorted(found, key=lambda folder: ("." in folder.name, folder.name))

    def writer(self, spec: RunSpec) -> RunWriter:
        """Open the partial folder of `spec`, keeping a checkpoint that is there."""
        return RunWriter(self, spec)

    def records(self) -> Iterator[RunRecord]:
        """Yield the finished runs in the order of their paths."""
        for experiment in _folders(self.root):
            for model in _folders(experiment):
                yield from (RunRecord(run) for run in _folders(model) if "." not in run.name)


class RunWriter:
    """Write one run. Nothing is visible as done before `finish`."""

    def __init__(self, store: RunStore, spec: RunSpec) -> None:
        self.store, self.spec = store, spec
        self.paths = RunPaths(store.partial(spec))
        self.paths.folder.mkdir(parents=True, exist_ok=True)
        for leftover in self.paths.folder.iterdir():
            if leftover.name.startswith(".") and leftover.suffix == ".tmp":  # half-written by a killed process
                leftover.unlink(missing_ok=True)
        self.write_json("spec", spec.to_json())

    def write_json(self, name: str, value: Any) -> None:
        """Write `spec`, `system`, `subset`, `metrics` or `details` whole."""
        self._write(self.paths.__getattr__(name), json.dumps(value, indent=1, allow_nan=False).encode() + b"\n")

    def write_epochs(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write the per-epoch table (its common columns, then whatever else the rows hold)."""
        extra = sorted({key for row in rows for key in row} - set(EPOCH_COLUMNS))
        self._write_csv("epochs", (*EPOCH_COLUMNS, *extra), rows)

    def write_measurements(self, rows: Iterable[Mapping[str, Any]]) -> None:
        self._write_csv("measurements", MEASUREMENT_COLUMNS, rows)

    def write_metrics(
        self,
        rows: Sequence[Mapping[str, Any]],
        *,
        optimizer_steps: int,
        seconds: Mapping[str, float],
        table2_seconds: float,
        table2_definition: str,
        flags: Sequence[str] = (),
        **more: Any,
    ) -> None:
        """Write metrics.json; a `flag` names a reason why the mAP must not be used."""
        unknown = [key for row in rows for key in row if key not in METRIC_COLUMNS]
        if unknown:
            raise InputError(f"unknown metric column {unknown[0]!r}", self.paths.metrics)
        self.write_json(
            "metrics",
            {
                "schema": "tal-repro/metrics/1",
                "optimizer_steps": optimizer_steps,
                "seconds": dict(seconds),
                "table2_seconds": table2_seconds,
                "table2_definition": table2_definition,
                "flags": list(flags),
                **more,
                "rows": list(rows),
            },
        )

    def write_detections(self, table: pd.DataFrame) -> None:
        """Write the detections compressed, with the same bytes for the same table."""
        text = table.loc[:, list(DETECTION_COLUMNS)].to_csv(index=False, lineterminator="\n").encode()
        buffer = io.BytesIO()
        with gzip.GzipFile(fileobj=buffer, mode="wb", mtime=0, compresslevel=6) as stream:
            stream.write(text)
        self._write(self.paths.detections, buffer.getvalue())

    def beat(self) -> None:
        """Tell whoever watches that the run is alive."""
        self.paths.heartbeat.write_text(f"{time.time():.3f}\n")

    def finish(self, **status: Any) -> RunRecord:
        """Drop what is transient, write digests and status, and rename the folder into place."""
        for name in TRANSIENT:
            self.paths.__getattr__(name).unlink(missing_ok=True)
        files = sorted(path for path in self.paths.folder.iterdir() if path.is_file() and path != self.paths.status)
        digests = {path.name: _sha256(path) for path in files}
        self.write_json("status", {"format": FORMAT, "state": "done", **status, "digests": digests})
        _sync_all([*files, self.paths.status, self.paths.folder])
        target = self.store.folder(self.spec)
        self.paths.folder.rename(target)
        _sync(target.parent)
        shutil.rmtree(self.store.failed(self.spec), ignore_errors=True)
        return RunRecord(target)

    def fail(self, reason: str, **status: Any) -> Path:
        """Set the run aside as failed, log and all, replacing an earlier failure; its checkpoint goes."""
        for name in TRANSIENT:
            self.paths.__getattr__(name).unlink(missing_ok=True)
        self.write_json("status", {"format": FORMAT, "state": "failed", "reason": reason, **status})
        target = self.store.failed(self.spec)
        shutil.rmtree(target, ignore_errors=True)
        self.paths.folder.rename(target)
        return target

    def _write_csv(self, name: str, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
        buffer = io.StringIO()
        writer = csv.DictWriter(buffer, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        self._write(self.paths.__getattr__(name), buffer.getvalue().encode())

    def _write(self, path: Path, content: bytes) -> None:
        """Write whole, but leave waiting for the disk to `finish`: a partial run may lose all but its checkpoint."""
        write_whole(path, content, durable=False)


def write_whole(path: Path, content: bytes, *, durable: bool = True) -> None:
    """Replace `path` by `content` or leave it as it was: written beside, fsynced if `durable`, renamed.

    A device or pipe is written to instead.
    """
    if path.exists() and not path.is_file():
        path.write_bytes(content)
        return
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with beside.open("wb") as stream:
            stream.write(content)
            stream.flush()
            if durable:
                os.fsync(stream.fileno())
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def read_json(path: Path) -> dict[str, Any]:
    """Read one JSON object; raise InputError naming the file."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError("missing", path, "delete the run folder and run it again") from None
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InputError(f"not readable as JSON ({error})", path, "delete the run folder and run it again") from None
    if not isinstance(value, dict):
        raise InputError("not a JSON object", path)
    return value


def _folders(parent: Path) -> list[Path]:
    if not parent.is_dir():
        return []
    with os.scandir(parent) as entries:
        return [
            Path(entry.path)
            for entry in sorted(entries, key=lambda e: e.name)
            if entry.is_dir(follow_symlinks=False) and not entry.name.startswith(".")  # locks and the like
        ]


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _sync_all(paths: Sequence[Path]) -> None:
    """Sync many files at once: side by side they share the disk's flushes (5 times quicker than one by one)."""
    with ThreadPoolExecutor(len(paths)) as pool:
        list(pool.map(_sync, paths))


def _sync(path: Path) -> None:
    """Make a file's content, or the names in a folder, survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
