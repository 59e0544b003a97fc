"""Features of a video in whatever form a layout has them: between `feature_files` (one file) and `store`.

Files of numpy, torch or HDF5, one a video or (but .npy) one of all, either axis first. Every array comes out as [T, C]
of the type it is stored in, which a definition may fix, mapped where its file allows it; nothing is unpickled.
"""

from __future__ import annotations

import contextlib
import functools
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from tal_repro.data.definition import VIDEO, Definition
from tal_repro.data.feature_files import (
    OtherType,
    check_array,
    first_line,
    map_array,
    map_npy,
    parse_header,
    read_npy_header,
    stored_at,
)
from tal_repro.data.layouts import Layout, check_inside
from tal_repro.data.torch_features import map_tensor, read_tensor_of, video_ids_of
from tal_repro.errors import InputError
from tal_repro.untrusted import short

_RESTORE = "restore the file, or correct [features] of the definition"
MOST_UNPACKED_BYTES = 4 << 30  # of one array
NO_H5PY = "HDF5 needs h5py, which is not installed"


def map_features(layout: Layout, video_id: str) -> npt.NDArray[Any]:
    """Return one video's features [T, C] as they are stored."""
    definition, path = layout.definition, _inside(layout, video_id)
    where = f"{path}: {video_id}" if definition.one_file else path
    with _of_stated_type(layout):
        rows = _READERS[definition.file_type](path, layout, video_id)
        check_array(rows.shape, rows.dtype, where, definition.dtype)
    return rows.T if definition.axes == "CT" else rows


@contextlib.contextmanager
def _of_stated_type(layout: Layout) -> Iterator[None]:
    """Offer to correct the definition of a set of one's own, where values are of another type than it states."""
    try:
        yield
    except OtherType as error:
        if not layout.defined:
            raise
        remedy = f"{error.remedy}; or correct dtype in [features] of {layout.definition.path.name}"
        raise InputError(error.what, error.where, remedy) from None


def read_length(layout: Layout, video_id: str) -> int:
    """Return the steps that a video's feature file states; its values are not read where the file allows it."""
    return read_shape(layout, video_id)[0]


def read_shape(layout: Layout, video_id: str) -> tuple[int, int]:
    """Return (T, C) of a video's features as its file states it; raise InputError where there is no such array."""
    definition, path = layout.definition, _inside(layout, video_id)
    if definition.file_type == "pt":
        return _shape(map_features(layout, video_id), path)
    with _of_stated_type(layout):
        first, second = _stored_shape(path, layout, video_id)
    return (second, first) if definition.axes == "CT" else (first, second)


def _stored_shape(path: Path, layout: Layout, video_id: str) -> tuple[int, int]:
    """Return both axes as a file that is not torch's states them, in its order."""
    definition = layout.definition
    if definition.file_type == "hdf5":
        with _file(path) as file:
            return _shape(_array(file, _key(definition, video_id), path), path)
    if definition.file_type == "npz":
        with _member(path, _key(definition, video_id)) as (stream, entry):
            header = parse_header(stream, entry.file_size, path)
        check_array(header.shape, header.dtype, path, definition.dtype)
        return header.shape
    return read_npy_header(path, layout.feature_root, definition.dtype).shape


def _shape(array: Any, path: Path) -> tuple[int, int]:
    if len(array.shape) != 2:
        raise InputError(f"shape {tuple(array.shape)}, expected two axes", path, _RESTORE)
    return int(array.shape[0]), int(array.shape[1])


def video_ids(layout: Layout) -> list[str]:
    """Return the ids that features are there for, sorted; raise InputError where the place cannot be read."""
    definition = layout.definition
    if definition.one_file:
        check_inside(definition.features, definition.features.parent)  # a pipe would be waited for
        return sorted(_ids_in_file(definition))
    try:
        with os.scandir(definition.features) as entries:
            names = [entry.name for entry in entries if not entry.is_dir(follow_symlinks=False)]
    except OSError as error:
        remedy = "correct features.path" if layout.defined else "extract the features"
        raise InputError(f"cannot be listed ({error.strerror})", definition.features, remedy) from None
    cut = {name: next((end for end in definition.endings if name.lower().endswith(end)), None) for name in names}
    return sorted(
        name[: len(name) - len(end)] for name, end in cut.items() if end is not None and not name.startswith(".")
    )


def _inside(layout: Layout, video_id: str) -> Path:
    """Return a video's feature file, which may not lead out of its folder."""
    path = layout.definition.feature_file(video_id)
    check_inside(path, layout.feature_root)
    return path


def _npy(path: Path, layout: Layout, video_id: str) -> npt.NDArray[Any]:
    return map_npy(path, layout.feature_root, layout.definition.dtype)


def _npz(path: Path, layout: Layout, video_id: str) -> npt.NDArray[Any]:
    """Return an array of a .npz: mapped where it is stored as it is, unpacked where it is compressed."""
    with _member(path, _key(layout.definition, video_id)) as (stream, entry):
        header = parse_header(stream, entry.file_size, path)
        if entry.compress_type == zipfile.ZIP_STORED:
            return map_array(path, header, stored_at(path, entry))
        values = np.frombuffer(stream.read(entry.file_size), header.dtype)
    return values.reshape(header.shape, order="F" if header.fortran_order else "C")


@contextlib.contextmanager
def _member(path: Path, name: str) -> Iterator[tuple[IO[bytes], zipfile.ZipInfo]]:
    """Open an array of a .npz; yield its stream and its entry."""
    try:
        stat = path.stat()
        archive = _archive(path, stat.st_mtime_ns, stat.st_size, os.getpid())
        entry = _entry(archive, name, path)
        with archive.open(entry) as stream:
            yield stream, entry
    except InputError:
        raise
    except (OSError, zipfile.BadZipFile, ValueError, EOFError, KeyError) as error:
        raise InputError(f"not a sound .npz ({first_line(error)})", path, _RESTORE) from None


@functools.lru_cache(maxsize=2)
def _archive(path: Path, modified_ns: int, size: int, process: int) -> zipfile.ZipFile:
    """Open an archive once: its directory alone takes a second where it lists 100,000 videos. Not shared by forks."""
    return zipfile.ZipFile(path)


def _entry(archive: zipfile.ZipFile, name: str, path: Path) -> zipfile.ZipInfo:
    """Return the entry of an array; a named one is looked up, not searched for."""
    if name and f"{name}.npy" in archive.NameToInfo:
        entry = archive.NameToInfo[f"{name}.npy"]
    else:
        names = [member.removesuffix(".npy") for member in archive.namelist() if member.endswith(".npy")]
        entry = archive.getinfo(f"{_choose(name, names, path)}.npy")
    if entry.file_size > MOST_UNPACKED_BYTES:
        raise InputError(f"{short(entry.filename)} unpacks to {entry.file_size} bytes", path, "write it as .npy")
    return entry


def _tensor(path: Path, layout: Layout, video_id: str) -> npt.NDArray[Any]:
    definition = layout.definition
    if definition.one_file:
        return read_tensor_of(path, video_id, definition.key)
    return map_tensor(path, layout.feature_root, definition.key.replace(VIDEO, video_id), definition.dtype)


def _hdf5(path: Path, layout: Layout, video_id: str) -> npt.NDArray[Any]:
    with _file(path) as file:
        return np.asarray(_array(file, _key(layout.definition, video_id), path)[()])


def _array(file: Any, name: str, path: Path) -> Any:
    """Return an array of an HDF5 file by name; that of a group, where the name is one, or the only one."""
    entry = file.get(name) if name else None
    if entry is None:
        entry = file[_choose(name, [key for key, value in file.items() if hasattr(value, "shape")], path)]
    if hasattr(entry, "keys"):
        entry = entry[_choose("", [key for key, value in entry.items() if hasattr(value, "shape")], path)]
    return entry


@contextlib.contextmanager
def _file(path: Path) -> Iterator[Any]:
    try:
        import h5py
    except ModuleNotFoundError:
        raise InputError(NO_H5PY, path, "make setup, which brings it; or convert to .npy") from None
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
    raise InputError(
        f"{len(names)} arrays: {_listed(names)}",
        path,
        'name the features feats, or say which one: [features] key = "NAME"',
    )


def _listed(names: list[str]) -> str:
    return ", ".join(map(short, names[:5])) + (", ..." if len(names) > 5 else "") if names else "none"


def _ids_in_file(definition: Definition) -> list[str]:
    """Return the ids in one file of all: the top level's names, or what stands for the video in the key."""
    path = definition.features
    if definition.file_type == "pt":
        return video_ids_of(path)
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


_READERS = {"npy": _npy, "npz": _npz, "pt": _tensor, "hdf5": _hdf5}
