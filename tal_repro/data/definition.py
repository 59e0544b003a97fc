"""The definition of a data set (`my-data.toml`): where its annotations and features lie, and what they mean.

Read like a study file, key by key; `layouts` makes of it a layout that every reader below knows. THUMOS14's two
archives need none: their layouts are known.
"""

from __future__ import annotations

import difflib
import math
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from tal_repro.annotations import AMBIGUOUS, Source
from tal_repro.annotations.source import TimeUnit
from tal_repro.errors import InputError
from tal_repro.study_file import Table, read_table

SCHEMA = "tal-repro/data/1"
FileType = Literal["npy", "npz", "pt", "hdf5"]
Axes = Literal["TC", "CT"]
AXES: tuple[str, ...] = get_args(Axes)
ENDINGS: dict[FileType, tuple[str, ...]] = {
    "npy": (".npy",), "npz": (".npz",), "pt": (".pt", ".pth"), "hdf5": (".h5", ".hdf5"),
}  # fmt: skip
VIDEO = "{video}"  # stands for the id in a key
MAX_STRIDE_FRAMES, MAX_RATE = 100_000.0, 1_000.0
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}")


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

    def feature_file(self, video_id: str) -> Path:
        """Return the file that holds a video's features; its id must be a plain name where it names the file."""
        if self.one_file:
            return self.features
        places = [self.features / f"{video_id}{ending}" for ending in ENDINGS[self.file_type]]
        return next((place for place in places if os.path.exists(place)), places[0])  # noqa: PTH110  may raise


def read_definition(path: Path) -> Definition:
    """Read and check a definition; raise InputError naming the key and what is allowed."""
    table = read_table(path, "check the path, or write one: tal-repro data describe ... --out my-data.toml")
    try:
        return _read(table, path)
    except InputError as error:
        raise _with_guess(error, table) from None


def _read(table: Table, path: Path) -> Definition:
    table.expect("schema", [SCHEMA])
    name = table.text("name")
    if not _NAME.fullmatch(name):
        raise table.error("name", name, "use up to 40 letters, digits, dots and dashes")
    splits, features, time = table.table("splits"), table.table("features"), table.table("time")
    annotations = Source(
        path=_path(table, "annotations", path),
        videos=_path(table, "videos", path) if table.text("videos", "") else None,
        labels=table.text("labels", ""),
        classes=_classes(table),
        unit=time.choice("unit", get_args(TimeUnit), "seconds"),  # type: ignore[arg-type]
        fps=positive(time, "fps", MAX_RATE),
    )
    train, test = tuple(splits.texts("train")), tuple(splits.texts("test"))
    if both := sorted(set(train) & set(test)):
        raise splits.error("test", both[0], "a subset is trained on or tested on, not both")
    place = _path(features, "path", path)
    file_type: FileType = features.choice("type", get_args(FileType), _guess_type(place))  # type: ignore[assignment]
    definition = Definition(
        path=path.resolve(),
        name=name,
        annotations=annotations,
        train=train,
        test=test,
        features=place,
        file_type=file_type,
        key=features.text("key", ""),
        axes=features.choice("axes", AXES, "TC"),  # type: ignore[arg-type]
        stride_frames=positive(features, "stride_frames", MAX_STRIDE_FRAMES),
        steps_per_second=positive(features, "steps_per_second", MAX_RATE),
        clip_frames=positive(features, "clip_frames", MAX_STRIDE_FRAMES),
    )
    for part in (splits, features, time, table):
        part.reject_unknown()
    if (definition.stride_frames is None) == (definition.steps_per_second is None):
        raise InputError(
            "neither stride_frames nor steps_per_second" if definition.stride_frames is None else "two feature steps",
            features.where,
            "write stride_frames = 4 (frames between two features), or steps_per_second = 2.0, one of them",
        )
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


def _guess_type(place: Path) -> str:
    """Return the type that a file's ending says; .npy for a folder."""
    return next((kind for kind, ends in ENDINGS.items() if place.suffix.lower() in ends), "npy")


def _path(table: Table, key: str, beside: Path) -> Path:
    """Return a path, relative to the definition's folder, as an absolute one."""
    return (beside.resolve().parent / Path(table.text(key)).expanduser()).absolute()


def positive(table: Table, key: str, most: float) -> float | None:
    """Return a number above 0 and at most `most`; None where the key is not there."""
    value = table.get(key, None)
    if value is None:
        return None
    number = table.number(key, high=most)
    if not 0 < number < math.inf:
        raise table.error(key, value, "use a number above 0")
    return number


def _with_guess(error: InputError, table: Table) -> InputError:
    """Add the nearest key to the error about an unknown one."""
    unknown = re.match(r"unknown key '(.*)'", error.what)
    known = (error.remedy or "").removeprefix("known keys: ").split(", ")
    near = difflib.get_close_matches(unknown[1], known, 1) if unknown else []
    return InputError(error.what, error.where, f"did you mean {near[0]}? {error.remedy}") if near else error


def definition_text(definition: Definition, comments: dict[str, str] | None = None) -> str:
    """Return the file of a definition; `comments`: key -> what is said behind it. `read_definition` reads it back."""
    said = comments or {}

    def line(key: str, value: object) -> str:
        return f"{key} = {_toml(value)}" + (f"  # {said[key]}" if key in said else "")

    def shown(path: Path) -> str:
        home = definition.path.parent
        return str(path.relative_to(home)) if path.is_relative_to(home) else str(path)

    step = (
        ("stride_frames", definition.stride_frames)
        if definition.stride_frames is not None
        else ("steps_per_second", definition.steps_per_second)
    )
    optional = {"key": definition.key or None, "clip_frames": definition.clip_frames}
    source = definition.annotations
    said_of_annotations = {
        "videos": shown(source.videos) if source.videos else None,
        "labels": source.labels or None,
        "classes": list(source.classes) or None,
    }
    lines = [
        line("schema", SCHEMA), line("name", definition.name), line("annotations", shown(source.path)),
        *(line(key, value) for key, value in said_of_annotations.items() if value is not None),
        "", "[splits]", line("train", list(definition.train)), line("test", list(definition.test)),
        "", "[features]", line("path", shown(definition.features)), line("type", definition.file_type),
        line("axes", definition.axes), line(*step),
        *(line(key, value) for key, value in optional.items() if value is not None),
        "", "[time]", line("unit", source.unit),
        *([line("fps", source.fps)] if source.fps is not None else []),
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def _toml(value: object) -> str:
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else repr(value)
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    text = str(value).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'
