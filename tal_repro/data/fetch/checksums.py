"""Is this the file that was published? By its md5; where none ever was, by what the first fetch recorded."""

from __future__ import annotations

import datetime
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tal_repro.data.fetch.download import Progress
from tal_repro.data.fetch.sources import Archive
from tal_repro.data.layouts import read_inside
from tal_repro.errors import InputError
from tal_repro.files import is_own_there, write_json

SCHEMA = "tal-repro/archives/1"
FILE_NAME = "archives.json"  # in the data folder
BYTES_AT_ONCE = 2**20


@dataclass(frozen=True)
class Sums:
    """What identifies a file."""

    md5: str
    sha256: str
    size_bytes: int


def sums_of(path: Path, progress: Progress) -> Sums:
    """Read a file once; return its checksums."""
    # md5 says whether it is the published file, not whether somebody meant harm: unpacking trusts nothing.
    md5, sha256 = hashlib.md5(usedforsecurity=False), hashlib.sha256()
    done, total = 0, path.stat().st_size
    with path.open("rb") as stream:
        while block := stream.read(BYTES_AT_ONCE):
            md5.update(block)
            sha256.update(block)
            done += len(block)
            progress(done, total)
    return Sums(md5.hexdigest(), sha256.hexdigest(), done)


def complaint(root: Path, archive: Archive, sums: Sums) -> str | None:
    """Return what is wrong with a file's checksum, None where nothing is (or nothing is known)."""
    if archive.md5s:
        if sums.md5 in archive.md5s:
            return None
        return f"its md5 is {sums.md5}, published {'is' if len(archive.md5s) == 1 else 'are'} {_listed(archive)}"
    entry = recorded(root).get(archive.name)
    if entry is None or entry["sha256"] == sums.sha256:
        return None
    return f"its SHA-256 is {sums.sha256}, the first fetch ({entry['on']}) recorded {entry['sha256']}"


def describe(root: Path, archive: Archive) -> str:
    """Say by what a file fetched by hand can be told to be the right one."""
    if archive.md5s:
        return f"md5 {_listed(archive)}"
    entry = recorded(root).get(archive.name)
    if entry is not None:
        return f"SHA-256 {entry['sha256']}, recorded at the first fetch"
    return "no checksum was ever published; the first fetch records one"


def recorded(root: Path) -> dict[str, dict[str, Any]]:
    """Return what was recorded of earlier fetches, by archive name; raise InputError for a damaged record."""
    path = root / FILE_NAME
    if not is_own_there(path, "the next fetch records anew"):
        return {}
    raw = read_inside(path, root)
    entries = raw.get("archives")
    good = raw.get("schema") == SCHEMA and isinstance(entries, dict)
    if not good or not all(_is_entry(entry) for entry in entries.values()):  # type: ignore[union-attr]
        raise InputError(f"not a record of version {SCHEMA}", path, "restore it, or move it away to record anew")
    return dict(entries)  # type: ignore[arg-type]


def record(root: Path, archive: Archive, sums: Sums, source: str, content: str = "") -> bool:
    """Record a file that was unpacked; return whether this is the first record of a file without published checksum.

    `content`: what of it was judged in place of a checksum.
    """
    entries = recorded(root)
    first = archive.name not in entries and not archive.md5s and not content
    published = "published md5" if archive.md5s else "nothing: first fetch, none was published"
    if archive.name not in entries or entries[archive.name]["sha256"] != sums.sha256:
        entries[archive.name] = {
            "md5": sums.md5,
            "sha256": sums.sha256,
            "bytes": sums.size_bytes,
            "from": source,
            "on": datetime.datetime.now(datetime.UTC).date().isoformat(),
            "checked_against": content or published,
        }
        write_json(root / FILE_NAME, {"schema": SCHEMA, "archives": entries})
    return first


def _is_entry(entry: Any) -> bool:
    return isinstance(entry, dict) and all(isinstance(entry.get(key), str) for key in ("sha256", "on"))


def _listed(archive: Archive) -> str:
    """List the published checksums, each with its pack."""
    notes = {mirror.md5: mirror.note for mirror in reversed(archive.mirrors) if mirror.md5 and mirror.host != "by-hand"}
    notes = notes or {mirror.md5: "" for mirror in archive.mirrors if mirror.md5}
    return " or ".join(f"{md5} ({note})" if note else str(md5) for md5, note in reversed(notes.items()))
