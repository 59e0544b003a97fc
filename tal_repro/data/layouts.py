"""Where the files of a data set lie: the folder layouts of ActionFormer's and TadTR's THUMOS14 archives."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tal_repro.annotations import Source
from tal_repro.data.dataset import LayoutName
from tal_repro.data.definition import Definition, read_definition
from tal_repro.errors import InputError, system_remedy
from tal_repro.untrusted import read_json_object

STRIDE_FRAMES: dict[LayoutName, int] = {"actionformer": 4, "tadtr": 8}
# Relative to the data folder; the last is what both upstreams' own settings name.
_PARENTS: dict[LayoutName, tuple[str, ...]] = {
    "actionformer": (".", "thumos", "data/thumos"),
    "tadtr": (".", "thumos14", "data/thumos14"),
}
ANNOTATION_FILE: dict[LayoutName, str] = {
    "actionformer": "annotations/thumos14.json",
    "tadtr": "th14_annotations_with_fps_duration.json",
}
FEATURE_FOLDER: dict[LayoutName, str] = {"actionformer": "i3d_features", "tadtr": "I3D_2stream_Pth"}
FEATURE_INFO_FILE = "th14_i3d2s_ft_info.json"
SLICE_MARK = "_window_"  # a slice is <video>_window_<start>_<stop>: no video may be called so
MAX_ID_BYTES = 200


@dataclass(frozen=True)
class Layout:
    """The files of one data set in one layout. `root` is the folder that no file may lead out of."""

    name: LayoutName
    root: Path
    folder: Path
    archives: bool = False  # ActionFormer's layout with one .npz a video instead of one .npy
    definition: Definition | None = None  # of a data set that is in neither of the two; `root` is its file

    @property
    def annotation_file(self) -> Path:
        """Return the path of the annotations."""
        return self.annotations.path

    @property
    def annotations(self) -> Source:
        """Return where the annotations lie, and what a definition says of them."""
        if self.definition is not None:
            return self.definition.annotations
        return Source(self.folder / ANNOTATION_FILE[self.name])

    @property
    def feature_folder(self) -> Path:
        """Return the folder of feature files."""
        if self.definition is not None:
            return self.definition.features
        return self.folder / FEATURE_FOLDER[self.name]

    @property
    def feature_info_file(self) -> Path | None:
        """Return the path of TadTR's feature lengths (None in ActionFormer's layout)."""
        return self.folder / FEATURE_INFO_FILE if self.name == "tadtr" else None

    @property
    def stride_frames(self) -> float:
        """Return the frames between two feature steps."""
        return STRIDE_FRAMES[self.name] if self.definition is None else self.definition.stride

    @property
    def annotation_root(self) -> Path:
        """Return the folder that no annotation file may lead out of."""
        if self.definition is None:
            return self.root
        return self.annotation_file if self.annotations.is_folder else self.annotation_file.parent

    @property
    def home(self) -> Path:
        """Return the folder in which packs of its features lie."""
        return self.root if self.definition is None else self.definition.path.parent

    @property
    def suffix(self) -> str:
        """Return the ending of feature files (TadTR's have none)."""
        return "" if self.name == "tadtr" else ".npz" if self.archives else ".npy"

    def feature_file(self, video_id: str) -> Path:
        """Return the path of a video's features; raise InputError for an id that is not a plain file name."""
        if not is_safe_id(video_id):
            raise InputError(f"video id {video_id!r} is not a plain file name", self.annotation_file)
        if self.definition is not None:
            return self.definition.feature_file(video_id)
        return self.feature_folder / f"{video_id}{self.suffix}"


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
        definition = read_definition(root)
        return [Layout("actionformer", root, definition.path.parent, definition=definition)]
    return [
        _layout(name, root, root / parent)
        for name, parents in _PARENTS.items()
        for parent in parents
        if os.path.isfile(root / parent / ANNOTATION_FILE[name])  # noqa: PTH113  Path.is_file may raise
    ]


def is_definition(root: Path) -> bool:
    """Tell whether a data set is given by its definition's file instead of a folder."""
    return root.suffix.lower() == ".toml"


def _layout(name: LayoutName, root: Path, folder: Path) -> Layout:
    return Layout(name, root, folder, name == "actionformer" and _only_archives(folder / FEATURE_FOLDER[name]))


def _only_archives(folder: Path) -> bool:
    """Tell whether a folder of features holds .npz files and no .npy."""
    try:
        with os.scandir(folder) as entries:
            kinds = {entry.name[-4:] for entry in entries}
    except OSError:
        return False  # told where the features are opened
    return ".npz" in kinds and ".npy" not in kinds


def find_layout(root: Path, name: LayoutName | Literal["auto"] = "auto") -> Layout:
    """Return the wanted layout of a data folder (auto: ActionFormer's where both are there)."""
    if not is_definition(root) and not os.path.isdir(root):  # noqa: PTH112  Path.is_dir may raise
        raise InputError(
            "no such data folder, or none that may be entered",
            root,
            "make one: tal-repro data synth --out DIR, or fetch THUMOS14; of your own: tal-repro data describe",
        )
    matching = [layout for layout in find_layouts(root) if layout.definition or name in ("auto", layout.name)]
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
