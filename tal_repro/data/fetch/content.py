"""Is it THUMOS14, whoever packed it? Told by what is in it: the annotations, and how long each video's features are.

For what somebody has already: a folder of feature files, or an archive of another packing than the authors' (its md5
says nothing then). Files are found by the names of THUMOS14's videos, wherever they lie, and laid out anew.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tal_repro.data.annotations import load_dataset
from tal_repro.data.dataset import LayoutName
from tal_repro.data.layouts import ANNOTATION_FILE, FEATURE_FOLDER, FEATURE_INFO_FILE
from tal_repro.data.manifest import differing
from tal_repro.data.quirks import ONLY_AMBIGUOUS, real_steps, unlike_lengths
from tal_repro.data.store import open_features
from tal_repro.data.workplace import on_disk, require_room
from tal_repro.errors import InputError
from tal_repro.thumos14 import ANNOTATION_HASH, FEATURE_DIM

MOST_DEPTH = 8
SHOWN = 3
SUFFIX: dict[LayoutName, str] = {"actionformer": ".npy", "tadtr": ""}
DISK_FULL_REMEDY = "free space on this disk, or choose another folder with --out"
_OTHER = "this is not THUMOS14 as the authors give it; fetch theirs, or train on it as a data set of your own (docs/your-data.md)"  # noqa: E501


class NotThumos14(InputError):
    """What was given is another data set, or a part of it."""


@dataclass(frozen=True)
class Parts:
    """Where the parts of a layout lie below some folders; None where one is not there."""

    features: Path | None = None
    annotations: Path | None = None
    info: Path | None = None  # TadTR's feature lengths

    def or_else(self, other: Parts) -> Parts:
        """Return these parts, and those of `other` where one is missing."""
        return Parts(self.features or other.features, self.annotations or other.annotations, self.info or other.info)


def find_parts(folder: Path, layout: LayoutName) -> Parts:
    """Look for a layout's files below a folder; nothing behind a link counts."""
    known = {f"{video}{SUFFIX[layout]}" for video in (*real_steps(), ONLY_AMBIGUOUS)}
    annotation_name = ANNOTATION_FILE[layout].rpartition("/")[2]
    best, most = None, 0
    named: dict[str, Path] = {}
    for place, folders, files in os.walk(folder):
        path = Path(place)
        if len(path.relative_to(folder).parts) >= MOST_DEPTH:
            folders.clear()
        folders.sort()
        plain = [name for name in files if not (path / name).is_symlink()]
        count = sum(name in known for name in plain)
        best, most = (path, count) if count > most else (best, most)
        for name in plain:
            named.setdefault(name, path / name)
    info = named.get(FEATURE_INFO_FILE) if layout == "tadtr" else None
    return Parts(best, named.get(annotation_name), info)


def given_parts(given: Iterable[str], layout: LayoutName, archive_names: Sequence[str]) -> tuple[Parts, list[str]]:
    """Return the parts that --from gives unpacked, and what else it gives: archives, folders with them, addresses.

    `archive_names`: those that hold features; a folder with one of them is that archive's.
    """
    parts, rest = Parts(), []
    for item in given:
        path = Path(item)
        if "://" not in item and path.is_dir() and not any((path / name).is_file() for name in archive_names):
            there = find_parts(path, layout)
            parts = parts.or_else(there)
            if there.features is None:
                rest.append(item)
        elif "://" not in item and path.is_file() and path.name == ANNOTATION_FILE[layout].rpartition("/")[2]:
            parts = parts.or_else(Parts(annotations=path))
            if layout == "tadtr":  # it is one of the authors' three files as well
                rest.append(item)
        else:
            rest.append(item)
    return parts, rest


def lay_out(
    parts: Parts, layout: LayoutName, folder: Path, source: Path, say: Callable[[str], None], move: bool = False
) -> None:
    """Copy (or move) a layout's features into an empty folder, copy the rest; InputError where a part is missing."""
    lacking = _lacking(parts, layout)
    if lacking:
        remedy = f"give it too: --from {lacking.rpartition('/')[2]}, or --from the folder that holds it"
        raise InputError(f"holds no {lacking}", source, f"{remedy} (the authors' archive has it)")
    assert parts.features is not None and parts.annotations is not None
    names = [f"{video}{SUFFIX[layout]}" for video in (*real_steps(), ONLY_AMBIGUOUS)]
    files = [parts.features / name for name in names if (parts.features / name).is_file()]
    if not move:
        require_room(folder, sum(path.stat().st_size for path in files), DISK_FULL_REMEDY)
    target = folder / FEATURE_FOLDER[layout]
    on_disk(lambda: target.mkdir(parents=True), target)
    others = sum(1 for entry in os.scandir(parts.features) if entry.name not in names)
    for path in files:
        if move:
            on_disk(lambda path=path: path.rename(target / path.name), target)  # type: ignore[misc]
        else:
            _copy(path, target / path.name)
    annotations = folder / ANNOTATION_FILE[layout]
    on_disk(lambda: annotations.parent.mkdir(parents=True, exist_ok=True), annotations)
    _copy(parts.annotations, annotations)
    if parts.info is not None:
        _copy(parts.info, folder / FEATURE_INFO_FILE)
    say(
        f"{len(files)} feature files of THUMOS14's videos in {parts.features}"
        + (f", {others} others left" * (others > 0))
    )


def judge(folder: Path, layout: LayoutName, source: Path) -> str:
    """Say what a laid-out folder was held to; raise NotThumos14 where it is not THUMOS14."""
    try:
        dataset = load_dataset(folder, layout)
        dim = open_features(folder, layout).dim
    except InputError as error:
        raise NotThumos14(f"cannot be read as THUMOS14: {error.what}", source, error.remedy or _OTHER) from None
    if dataset.annotation_hash != ANNOTATION_HASH:
        what = f"its annotations are not THUMOS14's ({dataset.annotation_hash[:12]}, theirs {ANNOTATION_HASH[:12]})"
        raise NotThumos14(what, source, _OTHER)
    if dim != FEATURE_DIM:
        raise NotThumos14(f"its features have {dim} channels, THUMOS14's {FEATURE_DIM}", source, _OTHER)
    if lacking := [
        name for name in real_steps() if name not in dataset.videos or not dataset.videos[name].has_features
    ]:
        raise NotThumos14(f"{_listed(lacking)} without features", source, "is it all of it? fetch or copy it again")
    if unlike := unlike_lengths(dataset):
        raise NotThumos14(f"{_listed(unlike)} with features of another length than THUMOS14's", source, _OTHER)
    wrong = differing(folder, layout)
    if wrong:
        what = f"{_listed(wrong)} differ from the checksums that the kit keeps of the authors' files"
        raise NotThumos14(what, source, _OTHER)
    against = "" if wrong is None else ", and the kept checksums"
    return f"content: annotations and the lengths of {len(real_steps())} videos{against}"


def _lacking(parts: Parts, layout: LayoutName) -> str:
    """Return the first part that is missing, "" where none is."""
    if parts.features is None:
        return FEATURE_FOLDER[layout]
    if parts.annotations is None:
        return ANNOTATION_FILE[layout]
    return FEATURE_INFO_FILE if layout == "tadtr" and parts.info is None else ""


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"{len(names)} videos ({', '.join(names[:SHOWN])}{more})"


def _copy(source: Path, target: Path) -> None:
    def work() -> None:
        with source.open("rb") as content, target.open("xb") as out:
            shutil.copyfileobj(content, out, 2**20)
            out.flush()
            os.fsync(out.fileno())

    on_disk(work, target)
