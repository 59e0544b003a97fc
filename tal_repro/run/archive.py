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
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Self

from tal_repro.errors import NO_SPACE, InputError
from tal_repro.models.registry import MODELS
from tal_repro.planned import FOLDER as NOTES
from tal_repro.planned import adopt_notes, notes, portable_notes
from tal_repro.run import locks
from tal_repro.run.failures import find_damage
from tal_repro.run.space import free_mib
from tal_repro.runs.folder import FILE_NAMES, FORMAT
from tal_repro.runs.portable import portable_files, same_results
from tal_repro.runs.record import FORMER_FORMATS, RunRecord
from tal_repro.runs.run import open_run
from tal_repro.runs.store import RunStore
from tal_repro.spec import EXPERIMENTS, RunSpec
from tal_repro.untrusted import parse_json_object, short

SCHEMA = "tal-repro/results-archive/1"
MANIFEST = "manifest.json"
LOCK = ".lock"  # in a staging folder, held while its import lives
LARGE_FILES = tuple(FILE_NAMES[name] for name in ("detections", "trace", "events", "log"))
MOST_FILE_BYTES, MOST_SMALL_BYTES, MOST_NOTE_BYTES = 1 << 30, 16 << 20, 1 << 16
MOST_ARCHIVE_BYTES, MOST_MEMBERS, MOST_FILES_OF_RUN = 256 << 30, 5_000_000, 64
MOST_TIMES, LEAST_UNPACKED = 200, 256 << 20  # all of it unpacks to no more than the larger of these
_RUN_ID = re.compile(r"[0-9a-f]{16}(-[0-9a-f]{8})?")
_NOTE = re.compile(r"[\w-]{1,200}\.json")  # of a study
_EXTRA_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")


_SPARSE = "a sparse file, which no run holds"


@dataclass
class Imported:
    """What an import did with each run."""

    added: list[str] = field(default_factory=list)
    present: list[str] = field(default_factory=list)  # here already, whole, with the same results
    damaged: dict[str, str] = field(default_factory=dict)  # added in place of a damaged one, and what was wrong with it
    busy: list[str] = field(default_factory=list)  # left out: a runner is at it


def export_runs(
    store: RunStore, out: Path, chosen: Callable[[RunSpec], bool] = lambda spec: True, with_host: bool = False
) -> list[str]:
    """Write the chosen finished runs into one archive; raise InputError for a damaged run. Return their ids.

    Names of host and user and absolute paths stay here unless `with_host`; the copies get digests of their own.
    """
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
                for name, note in portable_notes(store.root):
                    _add(archive, f"{NOTES}/{name}", io.BytesIO(note), len(note))
                for record in records:
                    _add_run(archive, store.root, record.folder, {} if with_host else portable_files(record))
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
            adopt_notes(store.root, staging)
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
    notes(staging)
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
    if not same_results(here, record):
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
        state = _look(store, record, source)
        if state == "same":
            imported.present.append(target.name)
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        if state:
            store.set_aside(target)
            imported.damaged[target.name] = state
        record.folder.rename(target)
        imported.added.append(target.name)
    finally:
        lock.release()


def _add_run(archive: tarfile.TarFile, root: Path, folder: Path, portable: Mapping[str, bytes]) -> None:
    for path in sorted(folder.iterdir()):
        if not path.is_file() or path.is_symlink() or path.name.startswith("."):
            continue
        name = path.relative_to(root).as_posix()
        if (content := portable.get(path.name)) is not None:
            _add(archive, name, io.BytesIO(content), len(content))
        else:
            with path.open("rb") as stream:
                _add(archive, name, stream, path.stat().st_size)


def _add(archive: tarfile.TarFile, name: str, stream: IO[bytes], size: int) -> None:
    entry = tarfile.TarInfo(name)  # no owner, no time: the same runs give the same bytes
    entry.size = size
    archive.addfile(entry, stream)


class _Entry(tarfile.TarInfo):
    """A member whose long names and other notes are small: tarfile reads them, and maps of holes, into memory whole."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        entry = super().frombuf(buf, encoding, errors)
        if entry.type not in tarfile.REGULAR_TYPES and entry.size > MOST_NOTE_BYTES:
            raise tarfile.ReadError("a member's notes are larger than any run needs")
        if entry.type == tarfile.GNUTYPE_SPARSE:
            raise tarfile.ReadError(_SPARSE)
        return entry

    def _proc_gnusparse_10(self, *_: object) -> None:  # tarfile's, of a map that stands in the member's own bytes
        raise tarfile.ReadError(_SPARSE)


def _extract(source: Path, staging: Path) -> list[str]:
    """Copy the regular files of an archive whose names are those of a run folder; return the manifest's run names."""
    names: list[str] | None = None
    total = members = 0
    files: Counter[Path] = Counter()
    most = min(MOST_ARCHIVE_BYTES, max(LEAST_UNPACKED, MOST_TIMES * source.stat().st_size))
    try:
        with gzip.open(source) as packed, tarfile.open(fileobj=packed, mode="r|", tarinfo=_Entry) as archive:
            for entry in archive:
                archive.members.clear()  # type: ignore[attr-defined]  # tarfile keeps every member that it has passed
                total, members = total + entry.size, members + 1
                _check_entry(entry, source)
                if total > most or members > MOST_MEMBERS:
                    raise InputError("unpacks to more than any archive of runs of its size", source, "do not trust it")
                stream = archive.extractfile(entry)
                assert stream is not None
                if names is None:
                    names = _read_manifest(entry, stream, source)
                    continue
                target = staging / _checked_name(entry.name, source)
                files[target.parent] += 1
                if files[target.parent] > MOST_FILES_OF_RUN:
                    what = f"holds more than {MOST_FILES_OF_RUN} files of {target.parent.name}"
                    raise InputError(what, source, "do not trust it")
                with _writing(staging.parent):
                    _copy(stream, target, source)
            while packed.read(1 << 20):  # to the end, where gzip's checksum is
                pass
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:  # a bad gzip stream has none
            raise InputError(f"cannot be read ({error.strerror})", source, "name a readable archive") from None
        raise InputError(f"not a whole archive of runs ({error})", source, "copy or export it again") from None
    except (ValueError, OverflowError, RecursionError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"not a whole archive of runs ({error})", source, "copy or export it again") from None
    if names is None:
        raise InputError("empty archive", source, "copy or export it again")
    return names


def _check_entry(entry: tarfile.TarInfo, source: Path) -> None:
    """Raise InputError for what is no plain file, or is larger than any run's file of that name."""
    name = entry.name.rpartition("/")[2]
    most = MOST_FILE_BYTES if name in LARGE_FILES else MOST_SMALL_BYTES
    if not entry.isreg() or entry.issparse() or entry.size > most:
        raise InputError(f"member {short(entry.name)} is not a plain file of sane size", source, "do not trust it")


def _copy(stream: IO[bytes], target: Path, source: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        with target.open("xb") as out:
            shutil.copyfileobj(stream, out, 1 << 20)
    except FileExistsError:
        raise InputError(f"holds {target.name} twice", source, "do not trust it") from None


def _read_manifest(entry: tarfile.TarInfo, stream: IO[bytes], source: Path) -> list[str]:
    where, remedy = f"{source}: {MANIFEST}", "make it with: tal-repro results export"
    if entry.name != MANIFEST:
        raise InputError(f"its first member is {short(entry.name)}, not {MANIFEST}", source, remedy)
    manifest = parse_json_object(stream.read(entry.size), where, remedy)
    if manifest.get("schema") != SCHEMA or manifest.get("format") not in (FORMAT, *FORMER_FORMATS):
        raise InputError(f"not an archive of runs of format {FORMAT}", where, remedy)
    runs = manifest.get("runs")
    if not isinstance(runs, list) or not all(isinstance(run, str) for run in runs):
        raise InputError("its field runs is not a list of names", where, remedy)
    return runs


def _checked_name(name: str, source: Path) -> Path:
    """Return the relative path of a member; raise InputError unless it is `<experiment>/<model>/<run_id>/<file>`."""
    parts = name.split("/")
    known = set(FILE_NAMES.values())
    if len(parts) == 2 and parts[0] == NOTES and _NOTE.fullmatch(parts[1]):
        return Path(*parts)
    if (
        len(parts) != 4
        or parts[0] not in EXPERIMENTS
        or parts[1] not in MODELS
        or not _RUN_ID.fullmatch(parts[2])
        or not (parts[3] in known or _EXTRA_FILE.fullmatch(parts[3]))
    ):
        raise InputError(f"member {short(name)} is not a file of a run", source, "do not trust it")
    return Path(*parts)


def _check(record: RunRecord, source: Path) -> None:
    """Raise InputError unless a staged run is whole, and everything that readers look at is of its kind."""
    member = "/".join(record.folder.parts[-3:])
    try:
        open_run(record.folder, former=True)
        for name in ("system", "details", "data", "subset"):
            RunRecord(record.folder, checked=True).json(name, {})
        if wrong := record.damaged():
            raise InputError(f"{wrong[0]} does not match its digest")
        there = {path.name for path in record.folder.iterdir()} - {FILE_NAMES["status"]}
        if there != set(record.digests):
            raise InputError(f"{sorted(there ^ set(record.digests))[0]} is in one of files and digests alone")
    except InputError as error:
        where = (error.where or "").rpartition("/")[2]
        raise InputError(f"run {member}: {where}: {error.what}", source, "do not trust it; export it again") from None
