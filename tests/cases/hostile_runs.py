"""Write a finished run whose files say what a hostile hand would have them say, its digests made to fit."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tal_repro.run.archive import SCHEMA
from tal_repro.runs.folder import FORMAT, RunPaths
from tal_repro.runs.store import RunStore
from tal_repro.spec import canonical_json
from tests.paper.made_up_runs import seal, training

DEEP = b"[" * 100_000 + b"]" * 100_000


def spoilt(root: Path, **files: Any) -> Path:
    """Write a baseline on real data, then replace files of it (by name: bytes, or values that join its JSON).

    The folder is named after the specification that it then holds, as far as that can be hashed.
    """
    record = training(root, "tadtr", 50.0, experiment="baseline", synthetic=False)
    folder, paths = record.folder, record.paths
    paths.log.write_text("epoch 1\n")
    for name, change in files.items():
        path: Path = paths.__getattr__(name)
        if isinstance(change, Mapping):
            path.write_text(json.dumps(json.loads(path.read_text()) | change) if path.exists() else json.dumps(change))
        else:
            path.write_bytes(change)
    seal(folder)
    return folder.rename(folder.with_name(_name(folder)))


def _name(folder: Path) -> str:
    """Return the name that fits spec.json, whatever types its fields have."""
    import hashlib

    try:
        raw = json.loads(RunPaths(folder).spec.read_text())
    except (ValueError, RecursionError):
        return folder.name
    digest = raw.pop("data_digest", "")
    return f"{hashlib.sha256(canonical_json(raw).encode()).hexdigest()[:16]}-{digest[:8]}"


def packed(out: Path, root: Path, manifest: bytes | None = None) -> Path:
    """Pack all finished runs of a folder as `results export` would, but look at nothing."""
    folders = [record.folder for record in RunStore(root).records()]
    listed = {"schema": SCHEMA, "format": FORMAT, "runs": [folder.name for folder in folders]}
    members = {"manifest.json": json.dumps(listed).encode() if manifest is None else manifest}
    members |= {str(p.relative_to(root)): p.read_bytes() for folder in folders for p in sorted(folder.iterdir())}
    with tarfile.open(out, "w:gz", compresslevel=1) as archive:
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return out
