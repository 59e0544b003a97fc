"""What the kit is told of annotations beside their path, and which files a path stands for."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tal_repro.errors import InputError, system_remedy

TABLES, TEXTS = ".csv", ".txt"
MOST_FILES = 10_000
TimeUnit = Literal["seconds", "milliseconds", "frames"]


@dataclass(frozen=True)
class Source:
    """Annotations: a JSON file, a table (csv), or a folder of tables or of THUMOS' text files.

    `videos` is a table of the videos' durations, frames a second and subsets, `labels` the column of the classes where
    a table has several, `classes` their names in order; `unit` is that of the segments, `fps` that of every video whose
    annotation states none.
    """

    path: Path
    videos: Path | None = None
    labels: str = ""
    classes: tuple[str, ...] = ()
    unit: TimeUnit = "seconds"
    fps: float | None = None

    @property
    def is_folder(self) -> bool:
        """Tell whether the path is a folder; False where the system refuses an answer."""
        return os.path.isdir(self.path)  # noqa: PTH112  Path.is_dir raises where its folder may not be entered

    def files(self) -> list[Path]:
        """Return every file that is read, sorted: of a folder its tables and texts, and texts one folder below."""
        files = _files_of(self.path) if self.is_folder else [self.path]
        return files if self.videos is None else [*files, self.videos]


def _files_of(folder: Path) -> list[Path]:
    try:
        here, folders = _listed(folder, (TABLES, TEXTS))
        below = [path for inner in folders for path in _listed(inner, (TEXTS,))[0]]
    except OSError as error:
        remedy = system_remedy(error, "check the path")
        raise InputError(f"cannot be listed ({error.strerror})", folder, remedy) from None
    files = sorted(here) + sorted(below)
    if len(files) > MOST_FILES:
        raise InputError(f"{len(files)} files of text", folder, "name the folder that holds the annotations alone")
    return files


def _listed(folder: Path, endings: tuple[str, ...]) -> tuple[list[Path], list[Path]]:
    """Return the files of these endings in a folder, and its folders."""
    with os.scandir(folder) as entries:
        shown = [entry for entry in entries if not entry.name.startswith(".")]
        folders = [Path(entry.path) for entry in shown if entry.is_dir()]
        return [
            Path(entry.path) for entry in shown if entry.name.lower().endswith(endings) and not entry.is_dir()
        ], folders
