"""The definition of a data set (`my-data.toml`): where its annotations and features lie, and what they mean.

Read like a study file, key by key; `layouts` makes of it a layout that every reader below knows. THUMOS14's ships with
the kit (`definitions/thumos14.toml`), where it lies in two arrangements: `kit_definitions` reads those.
"""

from __future__ import annotations

import difflib
import os
import re
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal, get_args

from tal_repro import thumos14
from tal_repro.annotations import AMBIGUOUS, Source
from tal_repro.annotations.source import TimeUnit
from tal_repro.data.dataset import LayoutName
from tal_repro.errors import InputError
from tal_repro.study_file import Table, read_table

SCHEMA = "tal-repro/data/1"
FileType = Literal["npy", "npz", "pt", "hdf5"]
Axes = Literal["TC", "CT"]
AXES: tuple[str, ...] = get_args(Axes)
FLOATS = ("float16", "float32", "float64")
ENDINGS: dict[FileType, tuple[str, ...]] = {
    "npy": (".npy",), "npz": (".npz",), "pt": (".pt", ".pth"), "hdf5": (".h5", ".hdf5"),
}  # fmt: skip
VIDEO = "{video}"  # stands for the id in a key
MAX_STRIDE_FRAMES, MAX_RATE = 100_000.0, 1_000.0
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}")
_HASH = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Definition:
    """A data set of anybody. Paths are absolute."""

    path: Path
    name: str
    annotations: Source  # where they lie, and what is said of them
    train: tuple[str, ...]  # subsets, as the annotations name them, that are trained on
    test: tuple[str, ...]
    features: Path  # a folder of one file a video, or one file of all
    file_type: FileType
    key: str  # of the array in its file ("": the only one)
    axes: Axes
    stride_frames: float | None  # frames from one feature step to the next
    steps_per_second: float | None  # of the features, where a stride is not known
    clip_frames: float | None  # that a feature step sees; None: as many as lie between two steps
    slice_stride_frames: float | None = None  # between two steps of TadTR's slices; None: between two of the features
    ending: str | None = None  # of a file of features; None: those of its type
    dtype: str = ""  # of the values in every file; "": any of half to double precision
    lengths: Path | None = None  # file of JSON: steps, and steps a second, of each video (as TadTR's authors give)
    annotation_hash: str = ""  # of its annotations: with others it is another set; "": whatever they are

    @property
    def fps(self) -> float | None:
        """Return the frames a second of every video whose annotation states none."""
        return self.annotations.fps

    @property
    def one_file(self) -> bool:
        """Tell whether one file holds the features of all videos."""
        return self.features.suffix.lower() in (*ENDINGS["hdf5"], *ENDINGS["npz"], *ENDINGS["pt"])

    @property
    def mapped(self) -> bool:
        """Tell whether arrays are mapped from their files instead of read into memory."""
        return self.file_type in ("npy", "pt")

    @property
    def stride(self) -> float:
        """Return the frames between two feature steps; a frame is a step where only steps a second are known."""
        return 1.0 if self.stride_frames is None else self.stride_frames

    @property
    def clip(self) -> float:
        """Return the frames that a feature step sees."""
        return self.stride if self.clip_frames is None else self.clip_frames

    @property
    def slice_stride(self) -> float:
        """Return the frames between two steps of TadTR's slices."""
        return self.stride if self.slice_stride_frames is None else self.slice_stride_frames

    @property
    def endings(self) -> tuple[str, ...]:
        """Return what a file of features may end in."""
        return ENDINGS[self.file_type] if self.ending is None else (self.ending,)

    @property
    def stated(self) -> dict[str, Any]:
        """Return what the file says of the data, as JSON values by key; where the data lies is left out."""
        source = self.annotations
        return {
            "train": list(self.train), "test": list(self.test), "type": self.file_type, "key": self.key,
            "axes": self.axes, "stride_frames": self.stride_frames, "steps_per_second": self.steps_per_second,
            "clip_frames": self.clip_frames, "slice_stride_frames": self.slice_stride_frames, "ending": self.ending,
            "dtype": self.dtype, "fps": source.fps, "unit": source.unit, "labels": source.labels,
            "classes": list(source.classes),
        }  # fmt: skip

    def feature_file(self, video_id: str) -> Path:
        """Return the file that holds a video's features; its id must be a plain name where it names the file."""
        if self.one_file:
            return self.features
        places = [self.features / f"{video_id}{ending}" for ending in self.endings]
        return places[0] if len(places) == 1 else next((place for place in places if os.path.exists(place)), places[0])  # noqa: PTH110  may raise


def read_definition(path: Path) -> Definition:
    """Read and check a definition; raise InputError naming the key and what is allowed."""
    table = read_table(path, "check the path, or write one: tal-repro data describe ... --out my-data.toml")
    try:
        return _read(table, path.resolve(), path.resolve().parent)
    except InputError as error:
        raise _with_guess(error, table) from None


@cache
def kit_layouts() -> dict[LayoutName, dict[str, Any]]:
    """Return THUMOS14's definition in each of its layouts, as the keys that `read_definition` takes, and `folders`."""
    content = thumos14.definition()
    common = {key: value for key, value in content.items() if key not in ("layouts", "expected")}
    return {name: {**common, **content["layouts"][name]} for name in get_args(LayoutName)}


def kit_definition(layout: LayoutName, folder: Path) -> Definition:
    """Return THUMOS14's definition in one of its layouts, of the files in a folder.

    Its stride stays the whole number that it is: the digests of data, by which runs are reused, are of 4, not of 4.0.
    """
    values = {key: value for key, value in kit_layouts()[layout].items() if key != "folders"}
    read = _read(Table(values, thumos14.DEFINITION.name), thumos14.DEFINITION, folder)
    return replace(read, stride_frames=values["features"]["stride_frames"])


def _read(table: Table, path: Path, home: Path) -> Definition:
    """Read a definition that lies at `path`; what it names is relative to `home`."""
    table.expect("schema", [SCHEMA])
    name = table.text("name")
    if not _NAME.fullmatch(name):
        raise table.error("name", name, "use up to 40 letters, digits, dots and dashes")
    annotation_hash = table.text("annotation_hash", "")
    if annotation_hash and not _HASH.fullmatch(annotation_hash):
        raise table.error("annotation_hash", annotation_hash, "use that of tal-repro data verify --json")
    splits, features, time = table.table("splits"), table.table("features"), table.table("time")
    annotations = Source(
        path=_path(table, "annotations", home),
        videos=_path(table, "videos", home) if table.text("videos", "") else None,
        labels=table.text("labels", ""),
        classes=_classes(table),
        unit=time.choice("unit", get_args(TimeUnit), "seconds"),  # type: ignore[arg-type]
        fps=time.positive("fps", MAX_RATE),
    )
    train, test = tuple(splits.texts("train")), tuple(splits.texts("test"))
    if both := sorted(set(train) & set(test)):
        raise splits.error("test", both[0], "a subset is trained on or tested on, not both")
    place = _path(features, "path", home)
    file_type: FileType = features.choice("type", get_args(FileType), _guess_type(place))  # type: ignore[assignment]
    definition = Definition(
        path=path,
        name=name,
        annotations=annotations,
        train=train,
        test=test,
        features=place,
        file_type=file_type,
        key=features.text("key", ""),
        axes=features.choice("axes", AXES, "TC"),  # type: ignore[arg-type]
        stride_frames=features.positive("stride_frames", MAX_STRIDE_FRAMES),
        steps_per_second=features.positive("steps_per_second", MAX_RATE),
        clip_frames=features.positive("clip_frames", MAX_STRIDE_FRAMES),
        slice_stride_frames=features.positive("slice_stride_frames", MAX_STRIDE_FRAMES),
        ending=_ending(features),
        dtype=features.choice("dtype", ("", *FLOATS), ""),
        lengths=_path(features, "lengths", home) if features.text("lengths", "") else None,
        annotation_hash=annotation_hash,
    )
    for part in (splits, features, time, table):
        part.reject_unknown()
    if (definition.stride_frames is None) == (definition.steps_per_second is None):
        raise InputError(
            "neither stride_frames nor steps_per_second" if definition.stride_frames is None else "two feature steps",
            features.where,
            "write stride_frames = 4 (frames between two features), or steps_per_second = 2.0, one of them",
        )
    if definition.slice_stride < definition.stride or definition.slice_stride % definition.stride:
        what = f"{definition.stride:g} frames between two steps"
        raise features.error("slice_stride_frames", definition.slice_stride, f"use a multiple of the {what}")
    return definition


def _classes(table: Table) -> tuple[str, ...]:
    """Return the names of the classes in order; () where the annotations number them."""
    names = table.texts("classes", []) if table.get("classes", None) is not None else []
    for name in names:
        if not name or not name.isprintable() or name == AMBIGUOUS:
            raise table.error("classes", name, f"name classes in one line each; {AMBIGUOUS} segments need none")
        if names.count(name) > 1:
            raise table.error("classes", name, "list each class once")
    return tuple(names)


def _ending(features: Table) -> str | None:
    """Return what files of features end in, where it is said; it is joined to ids, so it leads nowhere."""
    if features.get("ending", None) is None:
        return None
    ending = features.text("ending")
    if "/" in ending or "\\" in ending:
        raise features.error("ending", ending, "use the end of a file's name, such as .npy")
    return ending


def _guess_type(place: Path) -> FileType:
    """Return the type that a file's ending says; of a folder .npz where it holds such files and no .npy, else .npy."""
    named: FileType | None = next((kind for kind, ends in ENDINGS.items() if place.suffix.lower() in ends), None)
    if named is not None:
        return named
    try:
        with os.scandir(place) as entries:
            endings = {entry.name[-4:] for entry in entries}
    except OSError:
        return "npy"  # said where the features are opened
    return "npz" if ".npz" in endings and ".npy" not in endings else "npy"


def _path(table: Table, key: str, home: Path) -> Path:
    """Return a path that is relative to the folder `home`, or absolute."""
    return home / Path(table.text(key)).expanduser()


def _with_guess(error: InputError, table: Table) -> InputError:
    """Add the nearest key to the error about an unknown one."""
    unknown = re.match(r"unknown key '(.*)'", error.what)
    known = (error.remedy or "").removeprefix("known keys: ").split(", ")
    near = difflib.get_close_matches(unknown[1], known, 1) if unknown else []
    return InputError(error.what, error.where, f"did you mean {near[0]}? {error.remedy}") if near else error
