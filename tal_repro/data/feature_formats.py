"""Features of a video in whatever form a layout has them: between `feature_files` (one file) and `store`.

THUMOS14's layouts: .npy, .npz or torch, float32. A defined data set: those and HDF5, one file a video or one file of
all, either axis first. Every array comes out as [T, C] of the type it is stored in, mapped where its file allows it;
nothing is unpickled.
"""

from __future__ import annotations

import contextlib
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tal_repro.data.definition import ENDINGS, VIDEO, Definition
from tal_repro.data.feature_files import (
    first_line,
    map_npy,
    map_tensor,
    parse_header,
    read_array_header,
    read_npy_header,
    read_tensor,
)
from tal_repro.data.layouts import Layout, check_inside
from tal_repro.errors import InputError
from tal_repro.untrusted import short

_RESTORE = "restore the file, or correct [features] of the definition"
MOST_UNPACKED_BYTES = 4 << 30  # of one array
NO_H5PY = "HDF5 needs h5py, which is not installed"


def map_features(layout: Layout, video_id: str) -> npt.NDArray[Any]:
    """Return one video's features [T, C]: float32 in THUMOS14's layouts, as stored in a defined set."""
    if layout.definition is not None:
        return _opened(layout.definition, video_id)
    path = layout.feature_file(video_id)
    return map_npy(path, layout.root) if layout.name == "actionformer" else map_tensor(path, layout.root)


def read_length(layout: Layout, video_id: str) -> int:
    """Return the steps that a video's feature file states; its values are not read where the file allows it."""
    if layout.definition is not None:
        return int(_opened(layout.definition, video_id).shape[0])
    return read_npy_header(layout.feature_file(video_id), layout.root).shape[0]


def video_ids(definition: Definition) -> list[str]:
    """Return the ids that features are there for, sorted; raise InputError where the place cannot be read."""
    if definition.one_file:
        return sorted(_ids_in_file(definition))
    endings = ENDINGS[definition.file_type]
    try:
        with os.scandir(definition.features) as entries:
            names = [entry.name for entry in entries if entry.name.lower().endswith(endings)]
    except OSError as error:
        raise InputError(f"cannot be listed ({error.strerror})", definition.features, "correct features.path") from None
    return sorted(name.rpartition(".")[0] for name in names if not name.startswith("."))


def _opened(definition: Definition, video_id: str) -> npt.NDArray[Any]:
    path = definition.feature_file(video_id)
    check_inside(path, definition.features if not definition.one_file else definition.features.parent)
    readers = {"npy": _npy, "npz": _npz, "pt": _tensor, "hdf5": _hdf5}
    rows = readers[definition.file_type](path, definition, video_id)
    _check(rows, path, video_id if definition.one_file else "")
    return rows.T if definition.axes == "CT" else rows


def _check(rows: npt.NDArray[Any], path: Path, video_id: str) -> None:
    where = f"{path}: {video_id}" if video_id else str(path)
    if rows.dtype.kind != "f" or rows.dtype.itemsize > 8:
        raise InputError(f"dtype {rows.dtype}, expected float16, float32 or float64", where, "convert it")
    if rows.ndim != 2 or min(rows.shape) < 1:
        raise InputError(f"shape {tuple(rows.shape)}, expected two axes", where, _RESTORE)


def _npy(path: Path, definition: Definition, video_id: str) -> npt.NDArray[Any]:
    header = read_array_header(path)
    order: Any = "F" if header.fortran_order else "C"
    return np.memmap(path, dtype=header.dtype, mode="r", offset=header.offset, shape=header.shape, order=order)


def _npz(path: Path, definition: Definition, video_id: str) -> npt.NDArray[Any]:
    name = _key(definition, video_id)
    try:
        with zipfile.ZipFile(path) as archive:
            names = [entry.removesuffix(".npy") for entry in archive.namelist() if entry.endswith(".npy")]
            chosen = _choose(name, names, path)
            entry = archive.getinfo(f"{chosen}.npy")
            if entry.file_size > MOST_UNPACKED_BYTES:
                raise InputError(f"{short(chosen)} unpacks to {entry.file_size} bytes", path, "write it as .npy")
            with archive.open(entry) as stream:
                header = parse_header(stream, entry.file_size, path)
                values = np.frombuffer(stream.read(entry.file_size), header.dtype)
    except InputError:
        raise
    except (OSError, zipfile.BadZipFile, ValueError, EOFError, KeyError) as error:
        raise InputError(f"not a sound .npz ({first_line(error)})", path, _RESTORE) from None
    return values.reshape(header.shape, order="F" if header.fortran_order else "C")


def _tensor(path: Path, definition: Definition, video_id: str) -> npt.NDArray[Any]:
    rows: npt.NDArray[Any] = read_tensor(path, definition.key.replace(VIDEO, video_id))
    return rows


def _hdf5(path: Path, definition: Definition, video_id: str) -> npt.NDArray[Any]:
    with _file(path) as file:
        name = _key(definition, video_id)
        found = file.get(name) if name else None
        if found is None:
            found = file[_choose(name, [key for key, value in file.items() if hasattr(value, "shape")], path)]
        if hasattr(found, "keys"):
            found = found[_choose("", [key for key, value in found.items() if hasattr(value, "shape")], path)]
        return np.asarray(found[()])


@contextlib.contextmanager
def _file(path: Path) -> Iterator[Any]:
    try:
        import h5py
    except ModuleNotFoundError:
        raise InputError(NO_H5PY, path, "make setup-upstream, which brings it; or convert to .npy") from None
    try:
        with h5py.File(path, "r") as file:
            yield file
    except InputError:
        raise
    except (OSError, KeyError, RuntimeError, ValueError, TypeError) as error:
        raise InputError(f"not a sound HDF5 file ({first_line(error)})", path, _RESTORE) from None


def _key(definition: Definition, video_id: str) -> str:
    return definition.key.replace(VIDEO, video_id) or (video_id if definition.one_file else "")


def _choose(name: str, names: list[str], path: Path) -> str:
    """Return the array's name: the asked one, `feats` or `features`, or the only one."""
    if name:
        if name in names:
            return name
        raise InputError(f"no array {short(name)}, but {_listed(names)}", path, "correct features.key")
    for usual in ("feats", "features"):
        if usual in names:
            return usual
    if len(names) == 1:
        return names[0]
    raise InputError(f"{len(names)} arrays: {_listed(names)}", path, 'say which one: [features] key = "NAME"')


def _listed(names: list[str]) -> str:
    return ", ".join(map(short, names[:5])) + (", ..." if len(names) > 5 else "") if names else "none"


def _ids_in_file(definition: Definition) -> list[str]:
    """Return the ids in one file of all: the top level's names, or what stands for the video in the key."""
    path = definition.features
    if definition.file_type == "hdf5":
        with _file(path) as file:
            names = list(file.keys())
    else:
        try:
            with zipfile.ZipFile(path) as archive:
                names = [entry.removesuffix(".npy") for entry in archive.namelist() if entry.endswith(".npy")]
        except (OSError, zipfile.BadZipFile) as error:
            raise InputError(f"not a sound .npz ({first_line(error)})", path, _RESTORE) from None
    before, _, after = definition.key.partition(VIDEO) if VIDEO in definition.key else ("", "", "")
    after = "" if after.startswith("/") else after
    chosen = (name for name in names if name.startswith(before) and name.endswith(after))
    return [name[len(before) : len(name) - len(after)] for name in chosen]
