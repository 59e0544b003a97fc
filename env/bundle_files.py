"""The files of an offline bundle: written into a manifest with their sha256, and checked against it before use.

Standard library only: `env/bundle.py` makes and opens bundles, `env/setup.py` installs from one.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any, NoReturn

SCHEMA = "tal-repro/bundle/1"
MANIFEST = "manifest.json"
MOST_MANIFEST_BYTES = 64 * 2**20
_SHA256 = re.compile(r"[0-9a-f]{64}")


def die(what: str, remedy: str) -> NoReturn:
    """End with exit status 2, naming what is wrong and what to do."""
    print(f"bundle: {what}\n  remedy: {remedy}", file=sys.stderr)
    sys.exit(2)


def sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def write_manifest(bundle: Path, about: dict[str, Any]) -> None:
    """Write every file of a bundle with size and digest beside what is said about it; last, in one rename."""
    files = {name: {"bytes": path.stat().st_size, "sha256": sha256(path)} for name, path in sorted(listed(bundle))}
    beside = bundle / f".{MANIFEST}.tmp"
    text = json.dumps({"schema": SCHEMA, **about, "files": files}, indent=1)
    with beside.open("w", encoding="utf-8") as stream:
        stream.write(text + "\n")
        stream.flush()
        os.fsync(stream.fileno())
    beside.rename(bundle / MANIFEST)


def listed(bundle: Path) -> Iterator[tuple[str, Path]]:
    """Yield the files of a bundle but its manifest, by name; end the program at a link or anything that is none."""
    for folder, folders, names in os.walk(bundle):
        for name in [*names, *folders]:
            path = Path(folder, name)
            if path.is_symlink() or not (path.is_file() or path.is_dir()):
                die(f"{path} is a link or no plain file", "make the bundle again: make bundle")
        for name in names:
            relative = Path(folder, name).relative_to(bundle).as_posix()
            if relative != MANIFEST:
                yield relative, Path(folder, name)


def read_manifest(bundle: Path) -> dict[str, Any]:
    """Return the manifest of a bundle; end the program where it is none."""
    path, again = bundle / MANIFEST, "give the folder that make bundle wrote: BUNDLE=DIR"
    try:
        if path.is_symlink() or path.stat().st_size > MOST_MANIFEST_BYTES:
            die(f"{path} is not a manifest", again)
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        die(f"{path} cannot be read ({error})", again)
    if not isinstance(manifest, dict) or manifest.get("schema") != SCHEMA:
        die(f"{path} is not of schema {SCHEMA}", "make the bundle with the kit that you use")
    files = manifest.get("files")
    if not isinstance(files, dict) or not all(_is_entry(name, entry) for name, entry in files.items()):
        die(f"{path} names a file that no bundle holds", again)
    torch = manifest.get("torch")
    if not isinstance(torch, list) or not all(isinstance(name, str) for name in torch):
        die(f"{path} does not say which torch it holds", again)
    return manifest


def _is_entry(name: object, entry: object) -> bool:
    """Tell whether a name stays within the bundle and its entry is a size and a digest."""
    if not isinstance(name, str) or not isinstance(entry, dict) or "\\" in name or "\0" in name:
        return False
    pure = PurePosixPath(name)
    inside = not pure.is_absolute() and ".." not in pure.parts and str(pure) == name and name not in ("", ".", MANIFEST)
    size, digest = entry.get("bytes"), entry.get("sha256")
    sized = isinstance(size, int) and not isinstance(size, bool) and size >= 0
    return inside and sized and isinstance(digest, str) and bool(_SHA256.fullmatch(digest))


def check(bundle: Path, part: str = "") -> dict[str, Any]:
    """Compare a bundle (or a folder of it) with its manifest and return that; end the program naming what differs."""
    manifest = read_manifest(bundle)
    wanted = {name: entry for name, entry in manifest["files"].items() if name.startswith(part)}
    there = {name: path for name, path in listed(bundle) if name.startswith(part)}
    wrong = [f"{name} is missing" for name in wanted if name not in there]
    wrong += [f"{name} is not in the manifest" for name in there if name not in wanted]
    for name, entry in wanted.items():
        if name in there and there[name].stat().st_size != entry["bytes"]:
            wrong.append(f"{name} has {there[name].stat().st_size} bytes, not {entry['bytes']}")
        elif name in there and sha256(there[name]) != entry["sha256"]:
            wrong.append(f"{name} has another sha256")
    if wrong:
        more = f" and {len(wrong) - 5} more" if len(wrong) > 5 else ""
        die(f"{bundle}: {'; '.join(wrong[:5])}{more}", "copy it again from where it was made; trust nothing in it")
    return manifest
