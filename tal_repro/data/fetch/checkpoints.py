"""The authors' released checkpoints, for `tal-repro released`. No checksum was published for any of them."""

from __future__ import annotations

import os
import shutil
import zipfile
from pathlib import Path

from tal_repro.data.fetch.obtain import Obtained, Way, obtain, remember, sorted_given, tidy
from tal_repro.data.fetch.sources import TADTR_FOLDER, Archive, Mirror
from tal_repro.data.fetch.unpack import unpack
from tal_repro.data.fetch.web import printable
from tal_repro.data.workplace import fsync_folder, on_disk, staging_in, workplace
from tal_repro.errors import InputError
from tal_repro.machine.host import GIB

MOST_BYTES = 4 * GIB  # the largest checkpoint of the four models has 0.5 GiB

# What is fetched, under the name it is fetched as, and the file to look for inside where it is an archive.
CHECKPOINTS: dict[str, tuple[Archive, str]] = {
    "tadtr": (
        Archive("thumos14_i3d2s_tadtr_reference.pth", TADTR_FOLDER, MOST_BYTES),
        "thumos14_i3d2s_tadtr_reference.pth",
    ),
    "actionformer": (
        Archive(
            "actionformer-released",
            (
                Mirror(
                    "google-drive",
                    "https://drive.google.com/file/d/1isG3bc1dG5-llBRFCivJwz_7c_b0XDcY/view",
                    note="whatever its name, with thumos_i3d_reproduce/epoch_034.pth.tar in it",
                ),
            ),
            MOST_BYTES,
        ),
        "epoch_034.pth.tar",
    ),
    "tridet": (
        Archive(
            "tridet-released",
            (
                Mirror(
                    "google-drive-folder",
                    "https://drive.google.com/drive/folders/1eVROG6z-vHtm4AnXsh4N8ruUKkAidLqZ",
                    note="the checkpoint for THUMOS14",
                ),
            ),
            MOST_BYTES,
        ),
        ".pth.tar",
    ),
}


def fetch_checkpoint(model: str, way: Way, archive: Archive | None = None) -> Path:
    """Bring a model's released checkpoint into `way.root`; return the file (also where it was there already).

    Raises InputError, with what to do by hand, where its host does not give it.
    """
    published, inside = CHECKPOINTS[model]
    source = archive or published
    target = way.root / (inside if not inside.startswith(".") else f"{model}{inside}")
    with workplace(way.root):
        if target.is_file():
            return target
        obtained = obtain(source, sorted_given([source], way.given)[source.name], way)
        with staging_in(way.root) as content:
            file = _checkpoint_in(obtained, content, inside, way)
            remember(obtained, way)
            on_disk(lambda: file.replace(target), target)
            on_disk(lambda: fsync_folder(way.root), way.root)
        tidy([obtained], False, way)
    return target


def _checkpoint_in(obtained: Obtained, content: Path, inside: str, way: Way) -> Path:
    """Return a copy of the checkpoint on the way to its name: the file itself, or the one in an archive."""
    if _is_checkpoint(obtained.path):
        copy = content / "checkpoint"
        on_disk(lambda: _copy(obtained.path, copy), copy)
        return copy
    unpack(obtained.path, content, way.limits, way.bytes_unpacked)
    files = sorted(path for path in content.rglob(f"*{inside}") if path.is_file())
    if len(files) != 1:
        listed = ", ".join(path.relative_to(content).as_posix() for path in files) or "none"
        raise InputError(f"holds not one *{inside} but {listed}", obtained.path, "unpack it and choose by hand")
    return files[0]


def _is_checkpoint(path: Path) -> bool:
    """Tell a torch file (a zip with `data.pkl` since torch 1.6, a pickle before) from an archive around one."""
    with path.open("rb") as stream:
        first = stream.read(2)
    if first != b"PK":
        return first[:1] == b"\x80"
    try:
        with zipfile.ZipFile(path) as archive:  # its list of names only
            return any(name.rpartition("/")[2] == "data.pkl" for name in archive.namelist())
    except (zipfile.BadZipFile, ValueError, NotImplementedError, EOFError) as error:
        raise InputError(f"a damaged file ({printable(str(error))})", path, "fetch it again") from None


def _copy(source: Path, target: Path) -> None:
    with source.open("rb") as content, target.open("xb") as out:
        shutil.copyfileobj(content, out, 2**20)
        out.flush()
        os.fsync(out.fileno())
