"""The one reader of a run folder: format, name, types and digests are checked before a value is believed."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tal_repro.errors import InputError
from tal_repro.files import is_there
from tal_repro.runs.folder import FILE_NAMES, FORMAT, RunPaths, name_of
from tal_repro.spec import RunSpec
from tal_repro.untrusted import parse_csv_rows, parse_json_object, read_bytes, read_json_object

if TYPE_CHECKING:
    import pandas as pd

FORMER_FORMATS = (1,)  # read, but a training of theirs names no data
MOST_JSON_BYTES, MOST_BYTES = 16 << 20, 64 << 20  # parsed, they take twenty times as much memory
_KNOWN = frozenset(FILE_NAMES.values()) - {FILE_NAMES["status"]}
_REMEDY = "move the folder away and run it again"


class DamagedRun(InputError):
    """A file of a finished run is not as it was written; `folder` is the run's."""

    def __init__(self, what: str, path: Path) -> None:
        super().__init__(what, path, _REMEDY)
        self.folder = path.parent


@dataclass(frozen=True)
class RunRecord:
    """A run folder, read lazily and never written. `checked`: a file is read only if its digest fits."""

    folder: Path
    checked: bool = False

    @property
    def paths(self) -> RunPaths:
        return RunPaths(self.folder)

    @cached_property
    def spec(self) -> RunSpec:
        """Return the specification; raise InputError where it is not the one that the folder is named after."""
        spec = RunSpec.from_json(self.json("spec"), str(self.paths.spec))
        if spec.name != name_of(self.folder):
            raise InputError(f"holds the specification of run {spec.name}", self.folder, _REMEDY)
        return spec

    @cached_property
    def status(self) -> dict[str, Any]:
        """Return status.json; raise InputError for a format that this kit does not read."""
        status = read_json(self.paths.status)
        if type(status.get("format")) is not int or status["format"] not in (FORMAT, *FORMER_FORMATS):
            raise InputError(
                f"run folder format {str(status.get('format'))[:20]!r}, this kit reads {FORMAT}",
                self.paths.status,
                "read it with the kit version that wrote it, or run it again",
            )
        return status

    @cached_property
    def system(self) -> dict[str, Any]:
        """Return system.json ({} where there is none)."""
        return self.json("system", {})

    @cached_property
    def metrics(self) -> dict[str, Any]:
        """Return `{rows, optimizer_steps, seconds, table2_seconds, table2_definition, flags}` or {}."""
        return self.json("metrics", {})

    @cached_property
    def details(self) -> dict[str, Any]:
        """Return what a run kept beside its measurements ({} where it kept none)."""
        return self.json("details", {})

    @property
    def measurements(self) -> pd.DataFrame:
        import pandas as pd

        return pd.read_csv(self.paths.measurements)

    @property
    def detections(self) -> pd.DataFrame:
        import pandas as pd

        return pd.read_csv(self.paths.detections, dtype={"video_id": str, "label": str})

    @cached_property
    def digests(self) -> dict[str, str]:
        """Return file name -> SHA-256 as written when the run was finished; raise DamagedRun where there are none."""
        digests = self.status.get("digests")
        if self.status.get("state") != "done" or not isinstance(digests, dict) or not digests:
            raise DamagedRun("says nothing of a finished run", self.paths.status)
        return digests

    def has(self, name: str) -> bool:
        """Tell whether the run wrote this file (`metrics`, `trace`, ...)."""
        return FILE_NAMES[name] in self.digests if self.checked else is_there(self.paths.__getattr__(name))

    def read(self, name: str, most_bytes: int = MOST_BYTES) -> bytes:
        """Return the content of a file; where `checked`, raise DamagedRun unless it is as it was written."""
        file = FILE_NAMES[name]
        try:
            content = read_bytes(f"{self.folder}/{file}", most_bytes=most_bytes, remedy=_REMEDY)
        except InputError as error:
            raise DamagedRun(error.what, self.folder / file) from None
        if self.checked and self.digests.get(file) != hashlib.sha256(content).hexdigest():
            raise DamagedRun("is not as it was written", self.folder / file)
        return content

    def json(self, name: str, default: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return a file's JSON object; `default` where the run wrote none."""
        if default is not None and not self.has(name):
            return default
        try:
            return parse_json_object(self.read(name, MOST_JSON_BYTES), FILE_NAMES[name], _REMEDY)
        except DamagedRun:
            raise
        except InputError as error:
            raise DamagedRun(error.what, self.folder / FILE_NAMES[name]) from None

    def rows(self, name: str, columns: Sequence[str]) -> Iterator[tuple[str, dict[str, str]]]:
        """Yield (file:line, cells by column) of a CSV file; raise DamagedRun where it is none, or lacks a column."""
        path: Path = self.paths.__getattr__(name)
        try:
            for line, row in parse_csv_rows(self.read(name), path, columns, _REMEDY):
                yield f"{path}:{line}", row
        except DamagedRun:
            raise
        except InputError as error:
            raise DamagedRun(error.what, path) from None

    def damaged(self) -> list[str]:
        """Return the files that are not as their digests say, are missing, or were added later (empty: whole)."""
        try:
            digests = self.digests
        except DamagedRun:  # without them nothing vouches for the rest
            return [FILE_NAMES["status"]]
        known = set(FILE_NAMES.values()) - {FILE_NAMES["status"]}
        added = [name for name in sorted(known - set(digests)) if os.path.lexists(self.folder / name)]
        missing = [name for name in digests if not is_there(self.folder / name)]
        return [
            *missing,
            *added,
            *(name for name, d in digests.items() if name not in missing and sha256_of(self.folder / name) != d),
        ]


def open_checked(folder: Path, former: bool = False) -> RunRecord:
    """Open a finished run for publishing; raise InputError unless format, name, place, files and digests fit.

    `former`: runs of a former version may come in, too, though they name no data and are not published.
    """
    record = RunRecord(folder, checked=True)
    digests, spec = record.digests, record.spec
    if (spec.experiment, spec.model) != (folder.parent.parent.name, folder.parent.name):
        raise InputError(f"is of {spec.experiment}, {spec.model}: it lies in another's place", folder, _REMEDY)
    if not former and record.status["format"] in FORMER_FORMATS and spec.data is not None:
        what = "made by a former version of the kit, which did not record the data a run was made from"
        raise InputError(what, folder, "it does not count; run it again, or read it with that version")
    if spec.data_digest and record.status["format"] == FORMAT and FILE_NAMES["data"] not in digests:
        raise DamagedRun("missing: nothing says what data the run was made from", folder / FILE_NAMES["data"])
    there = set(os.listdir(folder))  # noqa: PTH208  # 10^5 folders: names are all that is looked at
    if missing := digests.keys() - there:
        raise DamagedRun("missing", folder / min(missing))
    if added := (there & _KNOWN) - digests.keys():
        raise DamagedRun("was not there when the run was finished", folder / min(added))
    return record


def read_json(path: Path) -> dict[str, Any]:
    """Read one JSON object of a run; raise InputError naming the file."""
    return read_json_object(path, most_bytes=MOST_JSON_BYTES, remedy=_REMEDY)


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file (hex)."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
