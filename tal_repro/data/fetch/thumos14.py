"""THUMOS14 in one layout: find or fetch its archives, check them, unpack them beside, rename the folder into place."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath

from tal_repro.data.dataset import LayoutName
from tal_repro.data.fetch import content
from tal_repro.data.fetch.download import discard
from tal_repro.data.fetch.obtain import Obtained, Way, is_json, obtain, remember, sorted_given, tidy
from tal_repro.data.fetch.sources import ARCHIVES, Archive, Mirror, NotFetched, together
from tal_repro.data.fetch.unpack import unpack
from tal_repro.data.layouts import ANNOTATION_FILE, FEATURE_FOLDER, FEATURE_INFO_FILE, FOLDERS, find_layouts
from tal_repro.data.workplace import fsync_folder, on_disk, staging_in, workplace
from tal_repro.errors import InputError

FINAL_FOLDER: dict[LayoutName, str] = {name: PurePath(folder).name for name, folder in FOLDERS.items()}


def fetch_layout(
    layout: LayoutName, way: Way, keep_archive: bool = False, archives: Sequence[Archive] | None = None
) -> Path | None:
    """Bring a layout into `way.root`; return its folder, or None where the layout was there already.

    The folder appears under its name when all of it is written and fsynced. Raises InputError, with what to do by
    hand where no mirror gives an archive.
    """
    needed = tuple(ARCHIVES[layout] if archives is None else archives)
    packed = [archive.name for archive in needed if not is_json(archive)]
    parts, rest = content.given_parts(way.given, layout, packed)
    with workplace(way.root):
        if any(there.name == layout for there in find_layouts(way.root)):
            return None
        target = way.root / FINAL_FOLDER[layout]
        if target.exists() or target.is_symlink():
            raise InputError(
                f"is there, but holds no {ANNOTATION_FILE[layout]}", target, "move it away, then fetch again"
            )
        if parts.features is not None:
            _lay_out_into(target, layout, parts, parts.features, way)
            return target
        obtained = _obtain_all(layout, needed, sorted_given(needed, rest), way)
        _unpack_into(target, layout, obtained, parts, way)
        tidy(obtained, keep_archive, way)
    return target


def _obtain_all(
    layout: LayoutName, needed: Sequence[Archive], given: Mapping[str, Sequence[Path | Mirror]], way: Way
) -> list[Obtained]:
    """Return every archive; where some cannot be had, ask for all of them at once."""
    obtained: list[Obtained] = []
    missing: list[NotFetched] = []
    for archive in needed:
        try:
            obtained.append(obtain(archive, given[archive.name], way))
        except NotFetched as error:
            missing.append(error)
    if missing:
        derive = f"derive its layout, as a labelled deviation: tal-repro data derive-tadtr {way.root}"
        raise together(missing, derive if layout == "tadtr" else "")
    return obtained


def _unpack_into(target: Path, layout: LayoutName, files: Sequence[Obtained], parts: content.Parts, way: Way) -> None:
    """Build the layout's folder in a hidden one beside its place, then rename it; a failure leaves nothing.

    `parts`: files that --from gave beside the archives.
    """
    with staging_in(way.root) as unpacked:
        (tar,) = (file for file in files if not is_json(file.archive))
        done = unpack(tar.path, unpacked, way.limits, way.bytes_unpacked)
        way.say(f"{tar.archive.name}: {done.files} files, {done.total_bytes / 2**30:.2f} GiB unpacked")
        if tar.by_content:
            jsons = {file.archive.name: file.path for file in files if is_json(file.archive)}
            given = content.Parts(None, jsons.get(ANNOTATION_FILE[layout]), jsons.get(FEATURE_INFO_FILE))
            there = content.find_parts(unpacked, layout).or_else(parts).or_else(given)
            try:
                judgement = _lay_out_into(target, layout, there, tar.path, way, move=there.features != parts.features)
            except content.NotThumos14:
                if tar.ours:  # else the next start would find it here again
                    discard(tar.path)
                raise
        else:
            folder, judgement = _layout_folder(unpacked, layout, tar.path), ""
            for file in files:
                if is_json(file.archive):
                    on_disk(lambda file=file: _copy(file.path, folder / file.archive.name), folder)  # type: ignore[misc]
            _into_place(folder, target, way)
        for file in files:
            remember(file, way, judgement if file is tar else "")


def _lay_out_into(
    target: Path, layout: LayoutName, parts: content.Parts, source: Path, way: Way, move: bool = False
) -> str:
    """Lay files of any packing out in a hidden folder; rename it when they are THUMOS14; return what was judged."""
    with staging_in(way.root) as folder:
        content.lay_out(parts, layout, folder, source, way.say, move)
        judgement = content.judge(folder, layout, source)
        way.say(f"{source}: held to its {judgement}")
        _into_place(folder, target, way)
    return judgement


def _into_place(folder: Path, target: Path, way: Way) -> None:
    """Give a finished folder its name."""
    on_disk(lambda: fsync_folder(folder), folder)
    on_disk(lambda: folder.rename(target), target)
    on_disk(lambda: fsync_folder(way.root), way.root)


def _layout_folder(unpacked: Path, layout: LayoutName, source: Path) -> Path:
    """Return the one folder of an unpacked archive that holds the layout, wherever its authors put it."""
    ending = ANNOTATION_FILE[layout] if layout == "actionformer" else FEATURE_FOLDER[layout]
    up = ending.count("/") + 1
    named = [path for path in unpacked.rglob(ending.rpartition("/")[2]) if path.match(ending)]
    matches = [path.parents[up - 1] for path in named if path.is_file() == (layout == "actionformer")]
    if not matches and layout == "tadtr" and (features := _only_folder_of_files(unpacked)):
        assembled = unpacked.with_name("assembled")
        assembled.mkdir()
        features.rename(assembled / ending)
        return assembled
    if len(matches) != 1:
        what = f"holds no {ending}" if not matches else f"holds {ending} {len(matches)} times"
        raise InputError(what, source, "this is not the published archive; fetch it again")
    return matches[0]


def _only_folder_of_files(unpacked: Path) -> Path | None:
    """Return the folder that all files lie in: TadTR's features under another folder's name, or under none."""
    folders = {path.parent for path in unpacked.rglob("*") if path.is_file()}
    return folders.pop() if len(folders) == 1 else None


def _copy(source: Path, target: Path) -> None:
    with source.open("rb") as content, target.open("xb") as out:
        shutil.copyfileobj(content, out)
        out.flush()
        os.fsync(out.fileno())
