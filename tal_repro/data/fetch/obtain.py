"""One archive, found or fetched, and checked: given by hand, lying in downloads/, or from the mirrors in order."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from tal_repro.data.fetch import checksums, download
from tal_repro.data.fetch.checksums import Sums
from tal_repro.data.fetch.download import Patience, Progress, Say
from tal_repro.data.fetch.sources import Archive, Mirror, instructions
from tal_repro.data.fetch.unpack import Limits
from tal_repro.data.fetch.web import MirrorFailed, check_url, shown
from tal_repro.data.workplace import on_disk
from tal_repro.errors import InputError
from tal_repro.untrusted import read_json_object

DOWNLOADS = "downloads"


@dataclass(frozen=True)
class Obtained:
    """An archive on this disk that passed its check, and where it came from."""

    archive: Archive
    path: Path
    sums: Sums
    source: str
    ours: bool  # the kit fetched it, so the kit may delete it
    by_content: bool = False  # its checksum says nothing: what is in it decides


@dataclass(frozen=True)
class Way:
    """What a fetch needs besides the layout: where to, from where, how patiently, and whom to tell."""

    root: Path
    given: tuple[str, ...]  # --from: files, folders, URLs
    patience: Patience
    limits: Limits
    bytes_fetched: Progress
    bytes_checked: Progress
    bytes_unpacked: Progress
    say: Say


def sorted_given(archives: Sequence[Archive], given: Sequence[str]) -> dict[str, list[Path | Mirror]]:
    """Return what --from gives for each archive: a file (any name, where one archive is all), a folder, or a URL."""
    result: dict[str, list[Path | Mirror]] = {archive.name: [] for archive in archives}
    for item in given:
        local = "://" not in item
        path = Path(item) if local else Path(_name_in(item))
        if local and not (path.is_file() or path.is_dir()):
            raise InputError("no such file or folder", item, "give the archive, or the folder it is in")
        folder = path.is_dir() if local else item.endswith("/")
        for archive in archives:
            if folder:
                result[archive.name].append(path / archive.name if local else _plain(f"{item}{archive.name}", archive))
            elif path.name == archive.name or len(archives) == 1:
                result[archive.name].append(path if local else _plain(item, archive))
        if not folder and len(archives) > 1 and path.name not in result:
            raise InputError(f"{path.name!r} is none of {', '.join(result)}", "--from", "keep the published names")
    return result


def _name_in(url: str) -> str:
    try:
        check_url(url)
    except MirrorFailed as error:
        raise InputError(str(error), "--from", "give an http or https URL without a login, or a file") from None
    return urlsplit(url).path.rpartition("/")[2]


def _plain(url: str, archive: Archive) -> Mirror:
    return Mirror("plain", url, next(iter(archive.md5s)) if len(archive.md5s) == 1 else None, by_content=True)


def obtain(archive: Archive, given: Sequence[Path | Mirror], way: Way) -> Obtained:
    """Return a checked archive: a given file, one that lies in downloads/, or a fresh download."""
    checksums.recorded(way.root)  # a damaged record is told before anything is fetched, and is no mirror's fault
    for path in given:
        if isinstance(path, Path) and path.is_file():
            return _checked(archive, path, str(path.resolve()), way, ours=False, by_content=not is_json(archive))
        if isinstance(path, Path):
            way.say(f"{path.parent} holds no {archive.name}")
    path = way.root / DOWNLOADS / archive.name
    if path.is_file():
        ours, link = download.note_path(path).is_file(), download.came_from(path)
        by_content = any(mirror.by_content and mirror.link == link for mirror in archive.mirrors)
        try:
            return _checked(archive, path, f"{DOWNLOADS}/", way, ours=ours, by_content=by_content)
        except InputError as error:
            if not ours:
                raise
            way.say(f"{error.what}: fetching it again")
            download.discard(path)
    return _fetch(archive, [item for item in given if isinstance(item, Mirror)] or archive.mirrors, path, way)


def _fetch(archive: Archive, mirrors: Sequence[Mirror], target: Path, way: Way) -> Obtained:
    """Try the mirrors in order; raise InputError saying what to do by hand where none gives the file."""
    on_disk(lambda: target.parent.mkdir(exist_ok=True), target.parent)
    failures: list[tuple[Mirror, str]] = []
    for mirror in mirrors:
        if mirror.host == "by-hand":
            continue
        way.say(f"{archive.name} from {shown(mirror.link)}")
        try:
            return _from_mirror(archive, mirror, target, way)
        except MirrorFailed as error:
            way.say(f"  {error}")
            failures.append((mirror, str(error)))
    raise instructions(archive, target, failures, checksums.describe(way.root, archive))


def _from_mirror(archive: Archive, mirror: Mirror, target: Path, way: Way) -> Obtained:
    for whole in (False, True):
        went_on = download.download(archive, mirror, target, way.patience, way.bytes_fetched, way.say)
        try:
            by_content = mirror.by_content and not is_json(archive) and (whole or not went_on)
            return _checked(archive, target, shown(mirror.link), way, ours=True, by_content=by_content)
        except InputError as error:
            download.discard(target)
            if whole or not went_on:
                raise MirrorFailed(error.what) from None
            way.say(f"{error.what}: it was put together from two downloads, so once more from the start")
    raise AssertionError("unreachable")


def _checked(archive: Archive, path: Path, source: str, way: Way, *, ours: bool, by_content: bool = False) -> Obtained:
    """Check a file's size and checksum before anything reads its content; `by_content`: another packing will do."""
    if path.stat().st_size > archive.most_bytes:
        raise InputError(f"has more than {archive.most_bytes} bytes", path, "this is not the published archive")
    sums = checksums.sums_of(path, way.bytes_checked)
    wrong = checksums.complaint(way.root, archive, sums)
    if wrong and by_content:
        way.say(f"{path.name}: {wrong}; another packing perhaps: its content will tell")
        return Obtained(archive, path, sums, source, ours, by_content=True)
    if wrong:
        remedy = (
            f"download it again; where the new one is meant: take its entry out of {way.root / checksums.FILE_NAME}"
        )
        raise InputError(wrong, path, "download it again" if archive.md5s else remedy)
    if is_json(archive):
        read_json_object(path)  # an object, or refused by name
    return Obtained(archive, path, sums, source, ours)


def tidy(obtained: Sequence[Obtained], keep_archive: bool, way: Way) -> None:
    """Delete what the kit fetched, unless it is to be kept; never what somebody put there."""
    for file in obtained:
        if file.ours and not keep_archive:
            download.discard(file.path)
        elif not file.ours:
            way.say(f"kept as it is: {file.path}")
    with contextlib.suppress(OSError):
        (way.root / DOWNLOADS).rmdir()  # when empty


def remember(obtained: Obtained, way: Way, content: str = "") -> None:
    """Record what was unpacked; say so where nothing but this record will ever vouch for it."""
    if checksums.record(way.root, obtained.archive, obtained.sums, obtained.source, content):
        way.say(
            f"{obtained.archive.name}: no checksum was ever published; this first fetch recorded its SHA-256 "
            f"{obtained.sums.sha256[:16]}... in {checksums.FILE_NAME}, later ones are checked against it"
        )


def is_json(archive: Archive) -> bool:
    """Tell whether an archive is a JSON file, which is used as it is."""
    return archive.name.endswith(".json")
