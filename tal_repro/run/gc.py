"""What a results folder can do without: abandoned partial runs, failed and damaged ones, stale locks and leftovers."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tal_repro.errors import InputError
from tal_repro.run import locks
from tal_repro.run.archive import LOCK as STAGING_LOCK
from tal_repro.runs.folder import name_of, planned_id
from tal_repro.runs.store import RunStore

KINDS = ("partial", "failed", "damaged", "orphan", "lock", "import")


@dataclass(frozen=True)
class Rubbish:
    """One thing that may go, and why."""

    path: Path
    kind: str  # one of KINDS
    bytes: int


def find_rubbish(store: RunStore, planned: set[str] | None = None) -> list[Rubbish]:
    """List what nobody is at. With `wanted` (run ids of a study) finished runs outside of it are orphans."""
    rubbish = [item for folder in store.leftovers() if (item := _leftover(store, folder)) is not None]
    if planned is not None:
        rubbish += [
            Rubbish(record.folder, "orphan", _size(record.folder))
            for record in store.records()
            if planned_id(record.folder.name) not in planned
        ]
    return rubbish + list(_strays(store)) + list(_stale_locks(store)) + list(_imports(store))


def in_use(store: RunStore) -> list[Path]:
    """Return the partial folders that a runner is at: they are never rubbish."""
    partial = (folder for folder in store.leftovers() if folder.suffix == ".partial")
    return [folder for folder in partial if _is_held(store, name_of(folder))]


def delete(store: RunStore, items: list[Rubbish]) -> int:
    """Delete what is still nobody's; return the bytes freed. Raise InputError for what cannot be deleted."""
    freed = 0
    for item in items:
        lock = None
        if item.kind != "lock":
            lock = locks.acquire(_guard(store, item))
            if lock is None:
                continue  # somebody has taken it up since
        try:
            if item.path.is_dir():
                shutil.rmtree(item.path)
            elif item.kind != "lock" or locks.owner(item.path) is None:
                item.path.unlink(missing_ok=True)
            freed += item.bytes
        except OSError as error:
            remedy = "delete it by hand, or make the folder writable"
            raise InputError(f"cannot be deleted ({error.strerror})", item.path, remedy) from None
        finally:
            if lock is not None:
                lock.release()
    return freed


def _guard(store: RunStore, item: Rubbish) -> Path:
    """Return the lock of whoever could be at it."""
    if item.kind == "import":
        return item.path / STAGING_LOCK
    return locks.lock_path(store.root, name_of(item.path))


def _leftover(store: RunStore, folder: Path) -> Rubbish | None:
    name, _, rest = folder.name.partition(".")
    kind = rest.split("-")[0]
    if kind not in KINDS or (kind == "partial" and _is_held(store, name)):
        return None
    return Rubbish(folder, kind, _size(folder))


def _is_held(store: RunStore, name: str) -> bool:
    return locks.owner(locks.lock_path(store.root, name)) is not None


def _stale_locks(store: RunStore) -> Iterator[Rubbish]:
    folder = store.root / ".locks"
    if folder.is_dir():
        for path in sorted(folder.iterdir()):
            if path.is_file() and locks.owner(path) is None:
                yield Rubbish(path, "lock", path.stat().st_size)


def _imports(store: RunStore) -> Iterator[Rubbish]:
    for folder in sorted(store.root.glob(".import-*")):
        if locks.owner(folder / STAGING_LOCK) is None:
            yield Rubbish(folder, "import", _size(folder))


def _strays(store: RunStore) -> Iterator[Rubbish]:
    """Yield what was set aside as damaged because it was no folder."""
    for path in sorted(store.root.glob("*/*/*.damaged*")):
        if not path.is_dir():
            yield Rubbish(path, "damaged", path.lstat().st_size)


def _size(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        with contextlib.suppress(FileNotFoundError):  # its owner may be at work
            total += path.stat().st_size if path.is_file() else 0
    return total
