"""Check a data set file by file: what `tal-repro data verify` prints. Every problem is listed, none stops the rest."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from unicodedata import normalize

from tal_repro.annotations import Problem
from tal_repro.data.annotations import read_dataset
from tal_repro.data.dataset import DataSet, LayoutName, Video
from tal_repro.data.endings import without_features
from tal_repro.data.feature_checks import CheckedFile, as_problem, check_file, size_notes, width_problems
from tal_repro.data.feature_formats import video_ids
from tal_repro.data.fingerprint import Fingerprint, annotation_files, hash_file, in_threads
from tal_repro.data.geometry import check_geometry
from tal_repro.data.layouts import Layout, find_layout, find_layouts, is_safe_id
from tal_repro.data.quirks import known_quirks, known_without_annotation
from tal_repro.data.set_checks import split_problems
from tal_repro.data.state import SYNTHETIC_FILE, read_generator
from tal_repro.data.store import pack_is_current, pack_path, packed_sha256
from tal_repro.errors import InputError
from tal_repro.files import is_own_there

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class LayoutReport:
    """The outcome for one layout. `fingerprint` is None while there are errors."""

    layout: Layout
    problems: list[Problem]
    dataset: DataSet | None = None
    fingerprint: Fingerprint | None = None
    feature_files: int = 0
    feature_bytes: int = 0

    @property
    def errors(self) -> int:
        """Count the problems that make the layout unusable as it stands."""
        return sum(problem.severity == "error" for problem in self.problems)

    def to_json(self) -> dict[str, Any]:
        """Return the layout's entry in the machine-readable report."""
        train, test = ([], []) if self.dataset is None else (self.dataset.train, self.dataset.test)
        return {
            "layout": self.layout.name,
            "folder": str(self.layout.folder),
            "synthetic": self.dataset is not None and self.dataset.synthetic,
            "annotation_hash": self.dataset.annotation_hash if self.dataset else None,
            "fingerprint": self.fingerprint.digest if self.fingerprint else None,
            "train": _counts(train),
            "test": _counts(test),
            "feature_files": self.feature_files,
            "feature_bytes": self.feature_bytes,
            "errors": self.errors,
            "problems": [asdict(problem) for problem in self.problems],
        }


def _counts(videos: list[Video]) -> dict[str, int]:
    return {"videos": len(videos), "instances": sum(len(video.labels) for video in videos)}


def verify(root: Path, layout: LayoutName | None = None, progress: Progress | None = None) -> list[LayoutReport]:
    """Check every layout in a data folder (or the one asked for); raise InputError only where there is none."""
    find_layout(root, layout or "auto")  # says what is missing where nothing is there
    return [_verify_layout(each, progress) for each in find_layouts(root) if layout in (None, each.name)]


def _verify_layout(layout: Layout, progress: Progress | None) -> LayoutReport:
    dataset: DataSet | None = None
    try:
        dataset, problems = read_dataset(layout)
    except InputError as error:  # the features are checked all the same, as far as they go by themselves
        problems = [as_problem(error, layout.annotation_file, "annotations")]
    names, folder_problems = (_defined_names if layout.defined else _feature_names)(layout, dataset)
    problems += folder_problems
    checked = []
    for result in in_threads(lambda name: check_file(layout, dataset, name), names):
        checked.append(result)
        if progress:
            progress(len(checked), len(names))
    seen = {(problem.file, problem.what) for problem in problems}  # headers were read with the annotations already
    problems += [problem for file in checked for problem in file.problems if (problem.file, problem.what) not in seen]
    geometry = _geometry(layout, dataset, [file for file in checked if not file.problems]) if dataset else []
    named = {problem.where for problem in geometry if problem.severity == "error"}  # transposed: another width
    problems += geometry + width_problems(layout, [file for file in checked if file.video_id not in named])
    problems += size_notes(layout, checked)
    problems += _pack_problems(layout)
    problems += _generator_problems(dataset) if dataset else []
    problems += known_quirks(layout, dataset, len(names)) if dataset and not dataset.defined else []
    sides = split_problems if layout.defined else _empty_sides
    problems += sides(dataset, layout) if dataset else []
    errors = any(problem.severity == "error" for problem in problems)
    hashes = {file.video_id: file.sha256 for file in checked}
    places = {layout.feature_file(name) for name in names}
    size = sum(place.stat().st_size for place in places if place.is_file())
    fingerprint = None if errors or dataset is None else _fingerprint(layout, dataset, hashes)
    return LayoutReport(layout, problems, dataset, fingerprint, len(names), size)


def _geometry(layout: Layout, dataset: DataSet, checked: list[CheckedFile]) -> list[Problem]:
    """Check features against annotations, as every training does; of sound files, contents too."""
    shapes = {file.video_id: file.shape for file in checked if file.shape}
    return check_geometry(
        dataset,
        {video_id: shape[0] for video_id, shape in shapes.items()},
        widths={video_id: shape[1] for video_id, shape in shapes.items()},
        digests={file.video_id: file.sha256 for file in checked},
        layout=layout,
    )


def _empty_sides(dataset: DataSet, layout: Layout) -> Iterable[Problem]:
    """Name a side of the data set without a single action: nothing can be trained, or scored, on it."""
    file, remedy = str(layout.annotation_file), "restore the annotations from the archive"
    return [
        Problem("error", file, name, f"no {name} video holds an action", remedy)
        for name, videos in (("training", dataset.train), ("test", dataset.test))
        if not any(len(video.labels) for video in videos)
    ]


def _feature_names(layout: Layout, dataset: DataSet | None) -> tuple[list[str], list[Problem]]:
    """Return the ids of the feature files that are there, and what is missing or surplus (without annotations: that
    no annotation can name)."""
    folder, problems = layout.feature_folder, []
    annotated = {*dataset.videos, *dataset.refused} if dataset else set()

    def add(where: str, what: str, remedy: str) -> None:
        problems.append(Problem("error", str(folder / where) if where else str(folder), where, what, remedy))

    try:
        entries = sorted(path.name for path in folder.iterdir())
    except OSError as error:
        add("", f"cannot be listed ({error.strerror})", "extract the feature archive here")
        return [], problems
    names = []
    for entry in entries:
        stem = entry[: len(entry) - len(layout.suffix)]
        if not entry.endswith(layout.suffix) or not is_safe_id(stem) or (folder / entry).is_dir():
            remedy = "convert it to .npy" if entry.endswith(".npz") else "keep it in another folder"
            add(entry, "surplus: not a feature file", remedy)
        else:
            names.append(stem)
            if dataset and stem not in annotated and stem not in known_without_annotation(layout.name):
                add(entry, "surplus: no annotation names this video", "keep it in another folder, or correct its name")
    spellings = {normalize("NFC", name) for name in names}
    for video_id in sorted(annotated - set(names)):
        renamed = "rename the one of that name in another Unicode form (accents apart, as macOS writes them)"
        remedy = renamed if normalize("NFC", video_id) in spellings else "restore it"
        add(f"{video_id}{layout.suffix}", "missing: annotated, but there is no feature file", remedy)
    return names, problems


def _defined_names(layout: Layout, dataset: DataSet | None) -> tuple[list[str], list[Problem]]:
    """Return the ids of a defined set's videos that have features, and what is missing; others' features may lie there.

    Without annotations: every id that features are there for.
    """
    folder = str(layout.feature_folder)
    try:
        names = [name for name in video_ids(layout) if is_safe_id(name)]
    except InputError as error:
        return [], [as_problem(error, layout.feature_folder, "features")]
    if dataset is None:
        return names, []
    if dataset.videos and not dataset.videos.keys() & set(names):
        return [], [as_problem(without_features(layout, dataset.videos), layout.feature_folder, "features")]
    missing = sorted(set(dataset.videos) - set(names))  # entries that are refused have their problem already
    remedy = "extract them, or leave the video out of a copy of the annotations"
    problems = [Problem("error", folder, video_id, "annotated, but without features", remedy) for video_id in missing]
    if unread := len(set(names) - set(dataset.videos)):
        what = f"{unread} further videos have features, and no annotation that is read in a split"
        problems.append(Problem("note", folder, "features", what, "nothing to do: they are not read"))
    return [name for name in names if name in dataset.videos], problems


def _pack_problems(layout: Layout) -> list[Problem]:
    """Say which packs are damaged, or of other files than those that are there now; a defined set has none."""
    problems: list[Problem] = []
    if layout.defined:
        return problems
    for dtype in ("float32", "float16"):
        index = pack_path(layout.root, layout.name, dtype)
        try:
            if not is_own_there(index, "tal-repro data pack DIR again"):
                continue
            stated, present = packed_sha256(index)
            if stated != present:
                what = "its rows are not those that were packed: altered since, or damaged"
                problems.append(Problem("error", str(index), index.name, what, "tal-repro data pack DIR again"))
            elif not pack_is_current(index, layout):
                what = "packed from other feature files than these, or by an older kit; or copied without their times"
                problems.append(
                    Problem("note", str(index), index.name, what, "not used; tal-repro data pack DIR again")
                )
        except InputError as error:
            problems.append(as_problem(error, index, index.name))
    return problems


def _generator_problems(dataset: DataSet) -> list[Problem]:
    """Say what a training would refuse of the file that names a synthetic set's generator."""
    path = dataset.root / SYNTHETIC_FILE
    try:
        read_generator(dataset)
    except InputError as error:
        return [as_problem(error, path, path.name)]
    return []


def _annotation_hashes(layout: Layout) -> dict[str, str]:
    """Return the hashes of a defined set's annotations: one file as `annotations`, several under their names."""
    files = annotation_files(layout)
    names = ["annotations", *(f"annotations/{path.name}" for path in files[1:])]
    if layout.annotations.is_folder:
        home = layout.annotation_file
        names = [f"annotations/{os.path.relpath(path, home)}" for path in files]
    return {name: hash_file(path) for name, path in zip(names, files, strict=True)}


def _fingerprint(layout: Layout, dataset: DataSet, hashes: dict[str, str]) -> Fingerprint:
    if layout.defined:  # its files may lie anywhere
        files = _annotation_hashes(layout)
        files |= {f"features/{video_id}": content for video_id, content in hashes.items()}
        return Fingerprint(layout.name, dataset.annotation_hash, files, dataset.name)
    files = {path.relative_to(layout.folder).as_posix(): hash_file(path) for path in annotation_files(layout)}
    for video_id, content in hashes.items():
        files[layout.feature_file(video_id).relative_to(layout.folder).as_posix()] = content
    return Fingerprint(layout.name, dataset.annotation_hash, files, dataset.name)
