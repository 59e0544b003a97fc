"""Feature rows by video, from either layout's files or from one packed file: what trainers and evaluators read."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from tal_repro.data.dataset import LayoutName
from tal_repro.data.endings import without_features
from tal_repro.data.feature_formats import map_features, video_ids
from tal_repro.data.layouts import Layout, check_inside, find_layout, is_safe_id
from tal_repro.errors import InputError
from tal_repro.files import is_own_there
from tal_repro.machine.host import MIB
from tal_repro.measure.memory import available_mib
from tal_repro.untrusted import read_json_object

PACK_SCHEMA = "tal-repro/feature-store/1"
PACK_FOLDER = "packed"
MOST_MAPPED = 600  # files, each with a descriptor: many systems allow 1,024
RESIDENT_SHARE = 0.5  # of the available memory that `resident="auto"` may take
_REPACK = "pack again: tal-repro data pack DIR"

FloatRows = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class FeatureStore:
    """Features of many videos: `read` a slice of one without reading the rest."""

    source: Path
    dim: int
    stride_frames: float
    video_ids: tuple[str, ...]  # sorted
    _rows: Callable[[str], npt.NDArray[Any]]  # video id -> [T, C], mapped
    file_of: Callable[[str], Path]  # video id -> the file that holds its values
    reading: str = ""  # how values are read from the files, where that may be said otherwise: array, axes

    @property
    def packed(self) -> bool:
        """Tell whether values come from one packed file, not from the feature files themselves."""
        return self.source.suffix == ".json"

    @cached_property
    def video_ids_set(self) -> frozenset[str]:
        return frozenset(self.video_ids)

    @classmethod
    def open(cls, path: str | Path, resident: bool | Literal["auto"] = False) -> FeatureStore:
        """Open a packed store by its index file; resident: copy it into memory (auto: when it fits in half)."""
        return _open_packed(Path(path), resident)

    def values(self, video_id: str) -> npt.NDArray[Any]:
        """Return a video's values as they are stored, [T, C], mapped and unchecked."""
        return self._video(video_id)

    def length(self, video_id: str) -> int:
        """Return the number of feature steps T of a video."""
        return int(self._video(video_id).shape[0])

    def read(self, video_id: str, start: int = 0, stop: int | None = None) -> FloatRows:
        """Return steps [start, stop) of a video as a new [T, C] float32 array (clipped to its length).

        Raises InputError where a value is NaN or infinite: no model says so on a GPU, nor does the authors' code.
        """
        rows = self._video(video_id)
        stop = len(rows) if stop is None else stop
        if start < 0 or stop < start:
            raise ValueError(f"steps [{start}, {stop}) of {video_id}")
        read = np.array(rows[start:stop], dtype=np.float32, order="C")
        self._check_finite(read, video_id, start)
        return read

    def _check_finite(self, rows: FloatRows, video_id: str, start: int) -> None:
        with np.errstate(over="ignore", invalid="ignore"):
            if np.isfinite(rows.sum()):  # NaN and infinity survive a sum, which is one pass and no temporary
                return
        bad = np.flatnonzero(~np.isfinite(rows).all(axis=1))
        if len(bad):
            raise InputError(
                f"features of video {video_id} are not finite, first at step {start + int(bad[0])}",
                self.source,
                "restore its file; tal-repro data verify DIR lists every such file",
            )

    def _video(self, video_id: str) -> npt.NDArray[Any]:
        try:
            return self._rows(video_id)
        except KeyError:
            raise InputError(
                f"no features of video {video_id}", self.source, "tal-repro data verify DIR lists every missing file"
            ) from None


def open_features(
    root: str | Path,
    layout: LayoutName | Literal["auto"] = "auto",
    packed: bool | Literal["auto"] = "auto",
    resident: bool | Literal["auto"] = False,
) -> FeatureStore:
    """Open the features of a data folder: its packed store where one matches the files, else the files themselves."""
    layout_here = find_layout(Path(root), layout)
    index = pack_path(layout_here.home, layout_here.name, "float32")
    if not layout_here.defined and (packed is True or (packed == "auto" and pack_is_current(index, layout_here))):
        return FeatureStore.open(index, resident)
    return open_layout(layout_here)


def pack_path(root: Path, layout: LayoutName, dtype: str) -> Path:
    """Return the index file of a data folder's packed store; it names the file of rows beside it."""
    return root / PACK_FOLDER / f"{layout}-{dtype}.json"


class FileStamp(NamedTuple):
    """What tells a feature file from another one in its place, as far as can be told without reading it."""

    source_bytes: int
    source_modified_s: int  # whole seconds: archives and other disks keep no more


def feature_stamps(layout: Layout) -> dict[str, FileStamp]:
    """Return video id -> size and time of each feature file of a layout, by id."""
    try:
        stats = {key: os.stat(layout.feature_file(key)) for key in video_ids(layout)}  # noqa: PTH116  one call a file
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror})", layout.feature_folder, "extract the features") from None
    return {key: FileStamp(stat.st_size, int(stat.st_mtime)) for key, stat in stats.items()}


def open_layout(layout: Layout) -> FeatureStore:
    """Memory-map the feature files of a layout, each when it is first asked for."""
    ids = tuple(video_ids(layout))
    if not ids and layout.defined:
        raise without_features(layout)
    if not ids:
        raise InputError("no feature files", layout.feature_folder, "extract the features, or run data synth")
    definition, known, maps = layout.definition, frozenset(ids), dict[str, npt.NDArray[Any]]()
    dim = int(map_features(layout, ids[0]).shape[1])

    def rows(video_id: str) -> npt.NDArray[Any]:
        if video_id not in known:
            raise KeyError(video_id)
        mapped = maps.get(video_id)
        if mapped is None:
            mapped = map_features(layout, video_id)
            if mapped.shape[1] != dim:
                raise InputError(
                    f"{mapped.shape[1]} channels, {ids[0]} has {dim}",
                    layout.feature_file(video_id),
                    "features of one kind only belong in this folder",
                )
            if len(maps) >= MOST_MAPPED:
                maps.pop(next(iter(maps.copy())), None)
            if definition.mapped or isinstance(mapped, np.memmap):  # what is not mapped would fill the memory
                maps[video_id] = mapped
        return mapped

    reading = f"{definition.file_type} {definition.axes} {definition.key}" if layout.defined else ""
    return FeatureStore(layout.feature_folder, dim, layout.stride_frames, ids, rows, layout.feature_file, reading)


def pack_is_current(index: Path, layout: Layout) -> bool:
    """Tell whether a pack is there and its rows are those of the feature files: none replaced, added or removed since.

    A replaced file is known by size and time; of the same kind of features, sizes alone are equal. The same holds for
    the packed rows themselves.
    """
    if not is_own_there(index, _REPACK):
        return False
    check_inside(index, layout.root)
    content = read_index(index)
    packed = {
        key: (video.get("source_bytes"), video.get("source_modified_s")) for key, video in content["videos"].items()
    }
    untouched = content.get("rows_modified_s") == int(_rows_file(index, content).stat().st_mtime)
    return untouched and packed == feature_stamps(layout)


def packed_sha256(index: Path) -> tuple[str, str]:
    """Return the hash of the rows that an index states, and that of the rows that are there."""
    content = read_index(index)
    with _rows_file(index, content).open("rb") as stream:
        return str(content.get("sha256")), hashlib.file_digest(stream, "sha256").hexdigest()


def read_index(path: Path) -> dict[str, Any]:
    """Read and check a packed store's index: rows tile the `.bin` file exactly."""
    index = read_json_object(path)
    if index.get("schema") != PACK_SCHEMA:
        raise InputError(f"not a feature store of version {PACK_SCHEMA}", path, _REPACK)
    try:
        dim, stride, dtype = int(index["dim"]), int(index["stride_frames"]), str(index["dtype"])
        videos = dict(index["videos"])
        spans = sorted((int(video["offset"]), int(video["length"])) for video in videos.values())
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise InputError(f"damaged index ({error!r})", path, _REPACK) from None
    ends = [offset + length for offset, length in spans]
    tiled = [offset for offset, _ in spans] == [0, *ends[:-1]] and all(length > 0 for _, length in spans)
    if dtype not in ("float32", "float16") or min(dim, stride) < 1 or not spans or not tiled:
        raise InputError("damaged index (rows do not follow each other)", path, _REPACK)
    if not all(is_safe_id(video_id) for video_id in videos):
        raise InputError("damaged index (a video id is not a plain name)", path, _REPACK)
    rows_path = _rows_file(path, index)
    if not is_own_there(rows_path, _REPACK):
        raise InputError("its rows are missing", rows_path, _REPACK)
    check_inside(rows_path, path.parent)
    expected = ends[-1] * dim * np.dtype(dtype).itemsize
    if rows_path.stat().st_size != expected:
        raise InputError(f"{rows_path.stat().st_size} bytes, the index needs {expected}", rows_path, _REPACK)
    return index


def _rows_file(path: Path, index: dict[str, Any]) -> Path:
    name = index.get("rows_file")
    if not isinstance(name, str) or not is_safe_id(name):
        raise InputError("damaged index (no plain 'rows_file')", path, _REPACK)
    return path.with_name(name)


def _open_packed(path: Path, resident: bool | Literal["auto"]) -> FeatureStore:
    if not is_own_there(path, _REPACK):
        raise InputError("no packed feature store", path, _REPACK)
    index = read_index(path)
    rows_path = _rows_file(path, index)
    shape = (sum(int(video["length"]) for video in index["videos"].values()), int(index["dim"]))
    flat: npt.NDArray[Any] = np.memmap(rows_path, dtype=index["dtype"], mode="r", shape=shape)
    if resident is True or (resident == "auto" and flat.nbytes <= RESIDENT_SHARE * available_memory_bytes()):
        flat = np.fromfile(rows_path, dtype=index["dtype"]).reshape(shape)
    spans = {key: (int(video["offset"]), int(video["length"])) for key, video in index["videos"].items()}

    def rows(video_id: str) -> npt.NDArray[Any]:
        offset, length = spans[video_id]
        return flat[offset : offset + length]

    dim, stride = int(index["dim"]), int(index["stride_frames"])
    return FeatureStore(path, dim, stride, tuple(sorted(spans)), rows, lambda _: rows_path)


def available_memory_bytes() -> int:
    """Return the memory that can still be taken without swapping: of the machine, or of the container if that is less.

    Files that the system caches are no loss: after a pass over the features most memory holds them, and little is free.
    """
    available = available_mib()
    if available is not None:
        return max(int(available * MIB), 0)
    try:  # not Linux
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError):
        return 0
