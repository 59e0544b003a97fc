"""The fingerprint of a data set: a SHA-256 of every file, and one of all. `data verify` writes it, doctor reads it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from tal_repro.data.dataset import DataSet
from tal_repro.data.layouts import Layout, is_definition, read_inside
from tal_repro.errors import InputError
from tal_repro.files import is_own_there, write_json

SCHEMA = "tal-repro/fingerprint/1"
FILE_NAME = "fingerprint.json"
BYTES_AT_ONCE = 2**20
_AGAIN = "write it again: tal-repro data verify DIR"

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Fingerprint:
    """The content of one layout: file (relative to the layout's folder) -> SHA-256, and the hash over them."""

    layout: str
    annotation_hash: str
    files: dict[str, str]
    data_name: str = ""  # says where features are derived

    @property
    def digest(self) -> str:
        """Return the hash of names and contents of all files (hex)."""
        lines = "".join(f"{content}  {name}\n" for name, content in sorted(self.files.items()))
        return hashlib.sha256(lines.encode()).hexdigest()

    def to_json(self) -> dict[str, Any]:
        """Return the entry of fingerprint.json."""
        return {
            "layout": self.layout,
            "name": self.data_name,
            "annotation_hash": self.annotation_hash,
            "fingerprint": self.digest,
            "files": dict(sorted(self.files.items())),
        }


def hash_file(path: Path) -> str:
    """Return the SHA-256 of a file, reading a MiB at once."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(BYTES_AT_ONCE):
            digest.update(block)
    return digest.hexdigest()


def annotation_files(layout: Layout) -> list[Path]:
    """Return the files beside the features that define a layout."""
    lengths = layout.definition.lengths
    return layout.annotations.files() if lengths is None else [*layout.annotations.files(), lengths]


def in_threads(work: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """Run work on items in one thread a core, results in order (hashing and numpy release the interpreter)."""
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        yield from pool.map(work, items)


def fingerprint_file(root: Path) -> Path:
    """Return where the fingerprint of a data folder lies: in it; beside a definition, under its name."""
    return root.with_suffix(f".{FILE_NAME}") if is_definition(root) else root / FILE_NAME


def write_fingerprints(root: Path, dataset: DataSet, fingerprints: list[Fingerprint]) -> Path:
    """Write fingerprint.json into the data folder, or beside the definition."""
    path = fingerprint_file(root)
    content = {"schema": SCHEMA, "name": dataset.name, "version": dataset.version, "synthetic": dataset.synthetic}
    write_json(path, {**content, "layouts": [fingerprint.to_json() for fingerprint in fingerprints]})
    return path


def recorded_fingerprint(root: Path, layout: str) -> str | None:
    """Return the digest that fingerprint.json records for a layout (None where it does not)."""
    path = fingerprint_file(root)
    if not is_own_there(path, _AGAIN):
        return None
    raw = read_inside(path, path.parent)
    if raw.get("schema") != SCHEMA or not isinstance(raw.get("layouts"), list):
        raise InputError(f"not a fingerprint of version {SCHEMA}", path, _AGAIN)
    for entry in raw["layouts"]:
        if isinstance(entry, dict) and entry.get("layout") == layout and isinstance(entry.get("fingerprint"), str):
            return str(entry["fingerprint"])
    return None
