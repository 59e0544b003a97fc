"""Finished runs travel between machines as one archive: `results export` writes it, `results import` checks all of it.

An archive is a gzipped tar: `manifest.json` first, then `<experiment>/<model>/<run_id>/<file>`. An import trusts
nothing: member names, sizes, run ids and digests are checked before a folder is renamed into place.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import os
import re
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from tal_repro.errors import InputError
from tal_repro.models.registry import MODELS
from tal_repro.run import locks
from tal_repro.run.failures import find_damage
from tal_repro.run.space import NO_SPACE, free_mib
from tal_repro.runs.folder import FILE_NAMES, FORMAT
from tal_repro.runs.record import RunRecord
from tal_repro.runs.store import RunStore
from tal_repro.spec import EXPERIMENTS, RunSpec

SCHEMA = "tal-repro/results-archive/1"
MANIFEST = "manifest.json"
LOCK = ".lock"  # in a staging folder, held while its import lives
MOST_FILE_BYTES = 4 << 30
MOST_ARCHIVE_BYTES = 256 << 30
_RUN_ID = re.compile(r"[0-9a-f]{16}")
_EXTRA_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")


@dataclass
class Imported:
    """What an import did with each run."""

    added: list[str] = field(default_factory=list)
    present: list[str] = field(default_factory=list)  # here already, whole, with the same results
    damaged: dict[str, str] = field(default_factory=dict)  # added in place of a damaged one, and what was wrong with it
    busy: list[str] = field(default_factory=list)  # left out: a runner is at it


def export_runs(store: RunStore, out: Path, chosen: Callable[[RunSpec], bool] = lambda spec: True) -> list[str]:
    """Write the chosen finished runs into one archive; raise InputError for a damaged run. Return their ids."""
    records = [record for record in store.records() if chosen(record.spec)]
    if not records:
        raise InputError("no finished run to export", store.root, "run the study first, or widen --only")
    for record in records:
        if wrong := find_damage(record):
            raise InputError(wrong, record.folder, "run it again: tal-repro run")
    ids = [record.folder.name for record in records]
    beside = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    try:
        with beside.open("wb") as raw, gzip.GzipFile("", "wb", fileobj=raw, mtime=0) as packed:
            with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive:
                manifest = json.dumps({"schema": SCHEMA, "format": FORMAT, "runs": ids}, indent=1).encode()
                _add(archive, MANIFEST, io.BytesIO(manifest), len(manifest))
                for record in records:
                    _add_run(archive, store.root, record.folder)
            packed.close()
            raw.flush()
            os.fsync(raw.fileno())
        beside.replace(out)
    except OSError as error:
        raise InputError(f"cannot be written ({error.strerror})", out, "free space or choose another path") from None
    finally:
        beside.unlink(missing_ok=True)
    return ids


def import_runs(store: RunStore, source: Path) -> Imported:
    """Check an archive and add its runs; a run that is here with other results, or a bad archive, adds nothing."""
    if not source.exists():
        raise InputError("no such file", source)
    made = [folder for folder in (store.root, *store.root.parents) if not folder.exists()]
    try:
        with _writing(store.root), _staging(store.root) as staging:
            records = _read_archive(source, staging)
            for record in records:  # all are good: only then does any of them appear
                _look(store, record, source)
            imported = Imported()
            for record in records:
                _place(store, record, source, imported)
            return imported
    finally:
        for folder in made:  # a failed import leaves no empty folder
            with contextlib.suppress(OSError):
                folder.rmdir()


@contextlib.contextmanager
def _writing(root: Path) -> Iterator[None]:
    """Turn an error of the results folder's disk into InputError."""
    try:
        yield
    except OSError as error:
        if error.errno is None:  # gzip's own: a bad stream
            raise
        free = f"; {free_mib(root)} MiB free" if error.errno in NO_SPACE else ""
        remedy = "free space, make it writable, or import into another folder: --results DIR"
        raise InputError(f"cannot be written ({error.strerror}{free})", root, remedy) from None


@contextlib.contextmanager
def _staging(root: Path) -> Iterator[Path]:
    """Yield a folder in `root`, locked while the import lives so that nobody clears it away, and gone at its end."""
    root.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=".import-", dir=root))
    lock = None
    try:
        lock = locks.acquire(staging / LOCK)
        if lock is None:
            raise InputError("taken by a clean-up before it was locked", staging, "import again")
        yield staging
    finally:
        shutil.rmtree(staging, ignore_errors=True)
        if lock is not None:
            lock.release()


def _read_archive(source: Path, staging: Path) -> list[RunRecord]:
    """Unpack an archive and return its runs, each of them whole."""
    names = _extract(source, staging)
    records = list(RunStore(staging).records())
    if sorted(record.folder.name for record in records) != sorted(names):
        raise InputError("its manifest names other runs than it holds", source, "export it again")
    for record in records:
        _check(record, source)
    return records


def _look(store: RunStore, record: RunRecord, source: Path) -> str:
    """Tell what is here of a staged run: "" (nothing), "same", or what is wrong with it.

    Raise InputError for other results.
    """
    target = store.folder(record.spec)
    if not os.path.lexists(target):
        return ""
    here = RunRecord(target)
    if wrong := find_damage(here):
        return wrong
    if here.status["digests"] != record.status["digests"]:
        raise InputError(f"run {target.name} is here already with other results", source, "import into another folder")
    return "same"


def _place(store: RunStore, record: RunRecord, source: Path, imported: Imported) -> None:
    """Rename a staged run into place while nobody is at it."""
    target = store.folder(record.spec)
    lock = locks.acquire(locks.lock_path(store.root, target.name))
    if lock is None:
        imported.busy.append(target.name)
        return
    try:
        found = _look(store, record, source)
        if found == "same":
            imported.present.append(target.name)
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        if found:
            store.set_aside(target)
            imported.damaged[target.name] = found
        record.folder.rename(target)
        imported.added.append(target.name)
    finally:
        lock.release()


def _add_run(archive: tarfile.TarFile, root: Path, folder: Path) -> None:
    for path in sorted(folder.iterdir()):
        if path.is_file() and not path.is_symlink() and not path.name.startswith("."):
            with path.open("rb") as stream:
                _add(archive, path.relative_to(root).as_posix(), stream, path.stat().st_size)


def _add(archive: tarfile.TarFile, name: str, stream: IO[bytes], size: int) -> None:
    entry = tarfile.TarInfo(name)  # no owner, no time: the same runs give the same bytes
    entry.size = size
    archive.addfile(entry, stream)


def _extract(source: Path, staging: Path) -> list[str]:
    """Copy the regular files of an archive whose names are those of a run folder; return the manifest's run ids."""
    names: list[str] | None = None
    total = 0
    try:
        with gzip.open(source) as packed, tarfile.open(fileobj=packed, mode="r|") as archive:
            for entry in archive:
                total += entry.size
                if not entry.isreg() or entry.size > MOST_FILE_BYTES or total > MOST_ARCHIVE_BYTES:
                    raise InputError(f"{entry.name!r} is not a plain file of sane size", source, "do not trust it")
                stream = archive.extractfile(entry)
                assert stream is not None
                if names is None:
                    names = _read_manifest(entry.name, stream, source)
                    continue
                target = staging / _checked_name(entry.name, source)
                with _writing(staging.parent):
                    _copy(stream, target, source)
            while packed.read(1 << 20):  # to the end, where gzip's checksum is
                pass
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:  # a bad gzip stream has none
            raise InputError(f"cannot be read ({error.strerror})", source, "name a readable archive") from None
        raise InputError(f"not a whole archive of runs ({error})", source, "copy or export it again") from None
    except (ValueError, UnicodeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"not a whole archive of runs ({error})", source, "copy or export it again") from None
    if names is None:
        raise InputError("empty archive", source)
    return names


def _copy(stream: IO[bytes], target: Path, source: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        with target.open("xb") as out:
            shutil.copyfileobj(stream, out, 1 << 20)
    except FileExistsError:
        raise InputError(f"holds {target.name} twice", source, "do not trust it") from None


def _read_manifest(name: str, stream: IO[bytes], source: Path) -> list[str]:
    raw = stream.read(64 << 20)
    try:
        manifest = json.loads(raw) if name == MANIFEST else {}
    except ValueError:
        manifest = {}
    if not isinstance(manifest, dict) or manifest.get("schema") != SCHEMA or manifest.get("format") != FORMAT:
        raise InputError(f"not an archive of runs of format {FORMAT}", source, "make it with: tal-repro results export")
    runs = manifest.get("runs")
    if not isinstance(runs, list) or not all(isinstance(run, str) for run in runs):
        raise InputError("its manifest names no runs", source, "export it again")
    return runs


def _checked_name(name: str, source: Path) -> Path:
    """Return the relative path of a member; raise InputError unless it is `<experiment>/<model>/<run_id>/<file>`."""
    parts = name.split("/")
    known = set(FILE_NAMES.values())
    if (
        len(parts) != 4
        or parts[0] not in EXPERIMENTS
        or parts[1] not in MODELS
        or not _RUN_ID.fullmatch(parts[2])
        or not (parts[3] in known or _EXTRA_FILE.fullmatch(parts[3]))
    ):
        raise InputError(f"member {name!r} is not a file of a run", source, "do not trust it")
    return Path(*parts)


def _check(record: RunRecord, source: Path) -> None:
    """Raise InputError unless a staged run is whole and lies where its specification says."""
    spec = record.spec  # checks that the folder's name is the hash of its specification
    if (spec.experiment, spec.model) != (record.folder.parent.parent.name, record.folder.parent.name):
        raise InputError(f"run {record.folder.name} lies under another experiment or model", source, "do not trust it")
    digests = record.status.get("digests")
    if record.status.get("state") != "done" or not isinstance(digests, dict):
        raise InputError(f"run {record.folder.name} is not a finished one", source, "do not trust it")
    there = {path.name for path in record.folder.iterdir()} - {FILE_NAMES["status"]}
    if there != set(digests) or record.damaged():
        raise InputError(f"run {record.folder.name} does not match its digests", source, "copy or export it again")
