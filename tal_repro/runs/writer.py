"""The one writer of run folders: written to `<name>.partial/`, renamed to `<name>/` when complete, so "done" means
"the folder exists". A killed run leaves its partial folder with a checkpoint; a failed one is kept as `<name>.failed/`
and never counts.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import shutil
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tal_repro.errors import InputError
from tal_repro.files import is_there, write_whole
from tal_repro.runs.folder import (
    DETECTION_COLUMNS,
    EPOCH_COLUMNS,
    FORMAT,
    MEASUREMENT_COLUMNS,
    METRIC_COLUMNS,
    TRANSIENT,
    WAITS,
    RunPaths,
)
from tal_repro.runs.record import RunRecord, sha256_of
from tal_repro.spec import RunSpec

if TYPE_CHECKING:
    import pandas as pd


class RunWriter:
    """Write a run into `partial`: nothing is visible as `done` before `finish`, as `failed` before `fail`."""

    def __init__(self, spec: RunSpec, partial: Path, done: Path, failed: Path) -> None:
        self.spec, self.done, self.failed = spec, done, failed
        self.paths = RunPaths(partial)
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

    def beat(self, *, waits: bool = False) -> None:
        """Tell whoever watches that the run is alive; `waits`: for its turn, so that nothing is computed yet."""
        self.paths.heartbeat.write_text(f"{time.time():.3f}{WAITS if waits else ''}\n")

    def finish(self, **status: Any) -> RunRecord:
        """Drop what is transient, write digests and status, and rename the folder into place."""
        for name in TRANSIENT:
            self.paths.__getattr__(name).unlink(missing_ok=True)
        files = sorted(path for path in self.paths.folder.iterdir() if path != self.paths.status and is_there(path))
        digests = {path.name: sha256_of(path) for path in files}
        self.write_json("status", {"format": FORMAT, "state": "done", **status, "digests": digests})
        _sync_all([*files, self.paths.status, self.paths.folder])
        self.paths.folder.rename(self.done)
        _sync(self.done.parent)
        shutil.rmtree(self.failed, ignore_errors=True)
        return RunRecord(self.done, checked=True)

    def fail(self, reason: str, **status: Any) -> Path:
        """Set the run aside as failed, log and all, replacing an earlier failure; its checkpoint goes."""
        for name in TRANSIENT:
            self.paths.__getattr__(name).unlink(missing_ok=True)
        self.write_json("status", {"format": FORMAT, "state": "failed", "reason": reason, **status})
        shutil.rmtree(self.failed, ignore_errors=True)
        self.paths.folder.rename(self.failed)
        return self.failed

    def _write_csv(self, name: str, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
        buffer = io.StringIO()
        writer = csv.DictWriter(buffer, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        self._write(self.paths.__getattr__(name), buffer.getvalue().encode())

    def _write(self, path: Path, content: bytes) -> None:
        """Write whole, but leave waiting for the disk to `finish`: a partial run may lose all but its checkpoint."""
        write_whole(path, content, durable=False)


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
