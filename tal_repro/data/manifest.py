"""A checksum for every feature file, so that who has a data set can tell whether it is the authors' byte for byte.

`data verify DIR --manifest OUT` writes one, in the form that `sha256sum -c` reads. Nobody has contributed one of the
real THUMOS14 yet; one that is kept here as manifests/thumos14-<layout>.sha256 is held against what `data fetch --from`
is given.
"""

from __future__ import annotations

import re
from pathlib import Path

from tal_repro.data.dataset import LayoutName
from tal_repro.data.fingerprint import Fingerprint, hash_file, in_threads
from tal_repro.data.layouts import FEATURE_FOLDER
from tal_repro.errors import InputError
from tal_repro.files import is_there, write_bytes
from tal_repro.untrusted import read_bytes

KEPT = Path(__file__).with_name("manifests")
_LINE = re.compile(r"([0-9a-f]{64}) [ *](\S.*)")


def write_manifest(path: Path, fingerprints: list[Fingerprint]) -> None:
    """Write the checksums of a verified data folder's files, features and annotations, one a line."""
    files = {name: digest for fingerprint in fingerprints for name, digest in fingerprint.files.items()}
    write_bytes(path, "".join(f"{digest}  {name}\n" for name, digest in sorted(files.items())).encode())


def read_manifest(path: Path) -> dict[str, str]:
    """Return file -> SHA-256; raise InputError naming the line that is none."""
    digests: dict[str, str] = {}
    text = read_bytes(path).decode("utf-8", errors="replace")
    for number, line in enumerate(text.splitlines(), 1):
        matched = _LINE.fullmatch(line)
        if matched is None:
            raise InputError("is no line of a checksum file", f"{path} line {number}", "write it again: --manifest OUT")
        digests[matched[2]] = matched[1]
    return digests


def kept_manifest(layout: str) -> Path:
    """Return where the manifest of the authors' files is kept, once somebody has contributed it."""
    return KEPT / f"thumos14-{layout}.sha256"


def differing(folder: Path, layout: LayoutName) -> list[str] | None:
    """Return the feature files of a layout's folder that differ from the kept manifest; None where none is kept."""
    path = kept_manifest(layout)
    if not is_there(path):
        return None
    kept = {name: digest for name, digest in read_manifest(path).items() if name.startswith(FEATURE_FOLDER[layout])}

    def is_other(name: str) -> bool:
        file = folder / name
        return not is_there(file) or hash_file(file) != kept[name]

    names = sorted(kept)
    return [name for name, other in zip(names, in_threads(is_other, names), strict=True) if other]
