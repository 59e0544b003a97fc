"""Where the files of a data set lie: as its definition says, or as THUMOS14's two layouts are found in a folder."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from tal_repro.annotations import Source
from tal_repro.data.dataset import LayoutName
from tal_repro.data.definition import Definition, kit_definition, kit_layouts, read_definition
from tal_repro.errors import InputError, system_remedy
from tal_repro.untrusted import read_json_object

ANNOTATION_FILE: dict[LayoutName, str] = {name: known["annotations"] for name, known in kit_layouts().items()}
FEATURE_FOLDER: dict[LayoutName, str] = {name: known["features"]["path"] for name, known in kit_layouts().items()}
FOLDERS: dict[LayoutName, str] = {name: known["folders"][-1] for name, known in kit_layouts().items()}
FEATURE_INFO_FILE: str = kit_layouts()["tadtr"]["features"]["lengths"]
SLICE_MARK = "_window_"  # a slice is <video>_window_<start>_<stop>: no video may be called so
MAX_ID_BYTES = 200


@dataclass(frozen=True)
class Layout:
    """The files of one data set in one layout. `root` is the folder that no file may lead out of.

    `given`: the definition of a data set of one's own, `root` is its file then; else it is THUMOS14's.
    """

    name: LayoutName
    root: Path
    folder: Path
    given: Definition | None = None

    @classmethod
    def of(cls, definition: Definition, root: Path | None = None) -> Layout:
        """Return the layout that a definition of one's own describes."""
        return cls("actionformer", root or definition.path, definition.path.parent, definition)

    @property
    def defined(self) -> bool:
        """Tell whether it is of a data set of one's own, whose files may lie anywhere, among others."""
        return self.given is not None

    @cached_property
    def definition(self) -> Definition:
        """Return what says where the files lie and what they mean."""
        return kit_definition(self.name, self.folder) if self.given is None else self.given

    @property
    def annotation_file(self) -> Path:
        """Return the path of the annotations."""
        return self.annotations.path

    @property
    def annotations(self) -> Source:
        """Return where the annotations lie, and what the definition says of them."""
        return self.definition.annotations

    @property
    def feature_folder(self) -> Path:
        """Return the folder of feature files."""
        return self.definition.features

    @property
    def stride_frames(self) -> float:
        """Return the frames between two feature steps."""
        return self.definition.stride

    @property
    def annotation_root(self) -> Path:
        """Return the folder that no annotation file may lead out of."""
        if not self.defined:
            return self.root
        return self.annotation_file if self.annotations.is_folder else self.annotation_file.parent

    @property
    def feature_root(self) -> Path:
        """Return the folder that no feature file may lead out of."""
        if not self.defined:
            return self.root
        return self.feature_folder.parent if self.definition.one_file else self.feature_folder

    @property
    def home(self) -> Path:
        """Return the folder in which packs of its features lie."""
        return self.definition.path.parent if self.defined else self.root

    @property
    def suffix(self) -> str:
        """Return the usual ending of feature files (TadTR's have none)."""
        return self.definition.endings[0]

    def feature_file(self, video_id: str) -> Path:
        """Return the path of a video's features; raise InputError for an id that is not a plain file name."""
        if not is_safe_id(video_id):
            raise InputError(f"video id {video_id!r} is not a plain file name", self.annotation_file)
        return self.definition.feature_file(video_id)


def is_safe_id(video_id: str) -> bool:
    """Tell whether a video id can name a file that lies in its folder.

    Letters and digits of any script, spaces between them, punctuation; no slash or backslash, nothing that is not
    printed, no dot in front, no space at either end, at most 200 bytes, and not the mark of a slice.
    """
    return (
        0 < len(video_id.encode(errors="replace")) <= MAX_ID_BYTES
        and video_id.isprintable()
        and video_id.strip() == video_id
        and not video_id.startswith(".")
        and not any(mark in video_id for mark in ("/", "\\", SLICE_MARK))
    )


def find_layouts(root: Path) -> list[Layout]:
    """Return the layouts whose annotation file exists under `root`, ActionFormer's first; that of a definition."""
    if is_definition(root):
        return [Layout.of(read_definition(root), root)]
    return [
        Layout(name, root, root / folder)
        for name, known in kit_layouts().items()
        for folder in known["folders"]
        if os.path.isfile(root / folder / ANNOTATION_FILE[name])  # noqa: PTH113  Path.is_file may raise
    ]


def is_definition(root: Path) -> bool:
    """Tell whether a data set is given by its definition's file instead of a folder."""
    return root.suffix.lower() == ".toml"


def find_layout(root: Path, name: LayoutName | Literal["auto"] = "auto") -> Layout:
    """Return the wanted layout of a data folder (auto: ActionFormer's where both are there)."""
    if not is_definition(root) and not os.path.isdir(root):  # noqa: PTH112  Path.is_dir may raise
        raise InputError(
            "no such data folder, or none that may be entered",
            root,
            "make one: tal-repro data synth --out DIR, or fetch THUMOS14; of your own: tal-repro data describe",
        )
    matching = [layout for layout in find_layouts(root) if layout.defined or name in ("auto", layout.name)]
    if not matching:
        names = [file for key, file in ANNOTATION_FILE.items() if name in ("auto", key)]
        raise InputError(
            f"no annotations of layout {name}",
            root,
            f"put {' or '.join(names)} there (also looked in thumos/, thumos14/ and data/)",
        )
    return matching[0]


def check_inside(path: Path, root: Path) -> None:
    """Raise InputError unless `path` is a regular file that lies in `root` after following symlinks."""
    if path.parent == root and _is_plain_file(path):
        return
    try:
        resolved = path.resolve(strict=True)
        regular = stat.S_ISREG(resolved.stat().st_mode)
    except (OSError, RuntimeError, ValueError) as error:
        raise InputError(
            f"cannot be read ({_reason(error)})", path, system_remedy(error, "restore the file from the archive")
        ) from None
    if not resolved.is_relative_to(root.resolve()):
        raise InputError("a link that leads out of the data folder", path, "replace it by a copy of the file")
    if not regular:
        raise InputError("not a regular file", path, "replace it by the file of the archive")


def _is_plain_file(path: Path) -> bool:
    """Tell whether a path is a file and no link: then it lies in the folder that it names."""
    try:
        return stat.S_ISREG(os.lstat(path).st_mode)
    except (OSError, ValueError):
        return False


def read_inside(path: Path, root: Path) -> dict[str, Any]:
    """Read a JSON object from a file that must lie in the data folder."""
    check_inside(path, root)
    return read_json_object(path)


def _reason(error: Exception) -> str:
    return error.strerror if isinstance(error, OSError) and error.strerror else str(error)
