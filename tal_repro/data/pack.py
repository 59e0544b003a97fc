"""Pack a layout's feature files into one flat file and an index: what `FeatureStore.open` maps."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np

from tal_repro.data.dataset import LayoutName
from tal_repro.data.feature_formats import map_features
from tal_repro.data.layouts import Layout, find_layout
from tal_repro.data.store import PACK_SCHEMA, FileStamp, feature_stamps, pack_path
from tal_repro.data.workplace import require_room
from tal_repro.errors import InputError
from tal_repro.files import write_json

ROWS_AT_ONCE = 4096

StoredType = Literal["float32", "float16"]
Progress = Callable[[int, int], None]


def pack_features(
    root: str | Path,
    layout: LayoutName | Literal["auto"] = "auto",
    dtype: StoredType = "float32",
    progress: Progress | None = None,
) -> Path:
    """Pack the features of a data folder into `packed/`; return the index file.

    The rows are written beside their place, fsynced and renamed; the index, renamed last, names them. A failure
    (full disk, bad feature file) raises InputError and leaves what was there before.
    """
    source = find_layout(Path(root), layout)
    if source.defined:
        what = "features of a defined set are read where they lie, and are not packed"
        raise InputError(what, root, "nothing to do; one .h5 file holds them all where many files are slow")
    stamps = feature_stamps(source)
    if not stamps:
        raise InputError("no feature files", source.feature_folder, "extract the features, or run data synth")
    index_path = pack_path(source.root, source.name, dtype)
    if not index_path.parent.resolve().is_relative_to(source.root.resolve()):
        raise InputError("a link that leads out of the data folder", index_path.parent, "replace it by a folder")
    _remove_leftovers(index_path)
    source_bytes = sum(stamp.source_bytes for stamp in stamps.values())
    needed = source_bytes * (2 if dtype == "float16" else 4) // 4
    require_room(index_path.parent, needed, "free space on this disk, or pack as float16")
    try:
        index_path.parent.mkdir(exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{index_path.stem}.", dir=index_path.parent)
        temporary = Path(name)
        try:
            with os.fdopen(handle, "wb") as stream:
                with contextlib.suppress(OSError):  # a disk that knows no locks
                    fcntl.flock(stream, fcntl.LOCK_EX)  # ends with this process, however that ends
                index = _write_rows(stream, source, stamps, dtype, progress)
                stream.flush()
                os.fsync(stream.fileno())
            temporary.chmod(0o644)
            rows_path = index_path.with_name(f"{index_path.stem}-{index['sha256'][:12]}.bin")
            temporary.replace(rows_path)
            index["rows_file"] = rows_path.name
            index["rows_modified_s"] = int(rows_path.stat().st_mtime)  # whole seconds: see FileStamp
            write_json(index_path, index)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise InputError(
            f"cannot be written ({error.strerror})", index_path, "free space on this disk, then pack again"
        ) from None
    _remove_older(rows_path, index_path)
    return index_path


def _write_rows(
    stream: BinaryIO, layout: Layout, stamps: dict[str, FileStamp], dtype: StoredType, progress: Progress | None
) -> dict[str, Any]:
    """Write all rows; return the index without the name of the rows file."""
    digest = hashlib.sha256()
    videos: dict[str, dict[str, int]] = {}
    offset = dim = 0
    for done, (video_id, stamp) in enumerate(stamps.items(), start=1):
        rows = map_features(layout, video_id)
        dim = dim or rows.shape[1]
        if rows.shape[1] != dim:
            raise InputError(
                f"{rows.shape[1]} channels, the files before it have {dim}",
                layout.feature_file(video_id),
                "features of one kind only belong in this folder",
            )
        for first in range(0, len(rows), ROWS_AT_ONCE):
            with np.errstate(over="ignore"):
                part = np.ascontiguousarray(rows[first : first + ROWS_AT_ONCE].astype(dtype, copy=False))
            if not np.isfinite(part).all():
                bad = first + int(np.flatnonzero(~np.isfinite(part).all(axis=1))[0])
                raise InputError(
                    f"not finite as {dtype}, first at step {bad}",
                    layout.feature_file(video_id),
                    "restore the file from the archive" + ("; or pack as float32" if dtype == "float16" else ""),
                )
            digest.update(part.data)
            stream.write(part.data)
        videos[video_id] = {"offset": offset, "length": len(rows), **stamp._asdict()}
        offset += len(rows)
        if progress:
            progress(done, len(stamps))
    return {
        "schema": PACK_SCHEMA,
        "layout": layout.name,
        "stride_frames": layout.stride_frames,
        "dtype": dtype,
        "dim": dim,
        "sha256": digest.hexdigest(),
        "videos": videos,
    }


def _remove_leftovers(index_path: Path) -> None:
    """Remove the rows that killed packings left half-written; one that is still at work holds a lock on its own."""
    for path in index_path.parent.glob(f".{index_path.stem}.*"):
        if path.name.startswith(f".{index_path.name}."):
            continue  # an index: written in an instant, without a lock
        with contextlib.suppress(OSError), path.open("r+b") as stream:  # BlockingIOError: at work
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()


def _remove_older(rows_path: Path, index_path: Path) -> None:
    """Remove rows that the index no longer names (a reader that mapped them keeps them)."""
    for path in index_path.parent.glob(f"{index_path.stem}-*.bin"):
        if path != rows_path:
            with contextlib.suppress(OSError):
                path.unlink()
