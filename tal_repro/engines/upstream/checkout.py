"""The authors' checkouts: which commit, clean or not; and the patched copy that runs, outside third_party/."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from tal_repro import kit
from tal_repro.engines.registry import patch_hash
from tal_repro.engines.upstream.patches import Patch, apply_patches, file_states, model_patches
from tal_repro.errors import InputError
from tal_repro.files import write_whole
from tal_repro.models.registry import ModelEntry, model_entry

THIRD_PARTY_VARIABLE = "TAL_REPRO_THIRD_PARTY"  # folder of the four checkouts
PREPARED_VARIABLE = "TAL_REPRO_UPSTREAM"  # folder of the patched copies
MARK = ".tal-repro-prepared.json"
GET = "git submodule update --init, or make submodules (MIRROR=DIR without a network)"


@dataclass(frozen=True)
class Status:
    """What is known of one model's checkout."""

    model: str
    folder: str
    present: bool
    pinned_commit: str
    commit: str  # "" where the folder is no git checkout
    clean: bool | None  # None where that cannot be told
    files: dict[str, str]  # state of each file the patches touch
    prepared: str  # the patched copy, "" while there is none
    problem: str
    remedy: str


def checkout_folder(entry: ModelEntry) -> Path:
    """Return where the checkout of a model is expected."""
    return Path(os.environ.get(THIRD_PARTY_VARIABLE) or (kit.checkout() or Path()) / "third_party") / entry.submodule


def prepared_folder(entry: ModelEntry, out: Path | None = None) -> Path:
    """Return where the patched copy of a model lies: named by commit and patches, so that neither can go stale."""
    base = out or Path(os.environ.get(PREPARED_VARIABLE) or (kit.checkout() or Path()) / ".cache" / "upstream")
    return base / f"{entry.name}-{entry.commit[:12]}-{patch_hash(entry.name)}"


def status(model: str) -> Status:
    """Look at a model's checkout; change nothing."""
    entry = model_entry(model)
    folder = checkout_folder(entry)
    present = folder.is_dir() and any(folder.iterdir())
    commit = _git(folder, "rev-parse", "HEAD") if present else ""
    clean = _git(folder, "status", "--porcelain", "--untracked-files=no") == "" if commit else None
    files = file_states(folder, model_patches(kit.patches(model))) if present else {}
    prepared = prepared_folder(entry)
    problem, remedy = _problem(entry, folder, present, commit, clean, files)
    where = str(prepared) if (prepared / MARK).is_file() else ""
    return Status(model, str(folder), present, entry.commit, commit, clean, files, where, problem, remedy)


def prepare(model: str, out: Path | None = None) -> Path:
    """Return the patched copy of a model's checkout, made if need be.

    Raises InputError for a missing checkout, another commit, a changed file, or a patch that does not fit.
    """
    entry = model_entry(model)
    target = prepared_folder(entry, out)
    patches = model_patches(kit.patches(model))
    if _ready(target, patches):
        return target
    state = status(model)
    if state.problem:
        raise InputError(state.problem, state.folder, state.remedy)
    return _copy_and_patch(Path(state.folder), target, patches, entry)


def _ready(target: Path, patches: Sequence[Patch]) -> bool:
    """Tell whether a copy is as it was made: patched, and every other file of the authors' unchanged too."""
    patched = (target / MARK).is_file() and set(file_states(target, patches).values()) <= {"patched"}
    return patched and not changed_files(target)


def changed_files(copy: Path) -> list[str]:
    """Return the files of a patched copy that are not as they were put there (its mark, where that says nothing)."""
    try:
        recorded = json.loads((copy / MARK).read_text(encoding="utf-8"))["files"]
        return [name for name, digest in recorded.items() if _digest(copy / name) != digest]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):  # a mark of before, or a damaged one
        return [MARK]


def _digests(tree: Path) -> dict[str, str]:
    """Return the SHA-256 of each plain file of a tree, by name."""
    files = sorted(path for path in tree.rglob("*") if path.is_file() and not path.is_symlink())
    return {path.relative_to(tree).as_posix(): _digest(path) for path in files}


def _digest(path: Path) -> str:
    """Return a file's SHA-256, "" where it is gone."""
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError:
        return ""


def _copy_and_patch(source: Path, target: Path, patches: Sequence[Patch], entry: ModelEntry) -> Path:
    """Copy, patch, mark, and rename into place: a half-made copy is never found."""
    staging = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    shutil.rmtree(staging, ignore_errors=True)
    staging.parent.mkdir(parents=True, exist_ok=True)
    try:
        shutil.copytree(source, staging, ignore=shutil.ignore_patterns(".git", "__pycache__"), symlinks=True)
        changed = apply_patches(staging, patches)
        mark = {
            "model": entry.name,
            "commit": entry.commit,
            "patches": patch_hash(entry.name),
            "changed": changed,
            "files": _digests(staging),
        }
        write_whole(staging / MARK, json.dumps(mark, indent=1).encode() + b"\n")
        if not _ready(target, patches):  # another process may have made it meanwhile, and may be running from it
            shutil.rmtree(target, ignore_errors=True)
            staging.rename(target)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return target


def _problem(
    entry: ModelEntry, folder: Path, present: bool, commit: str, clean: bool | None, files: dict[str, str]
) -> tuple[str, str]:
    """Return what stops the checkout from being used, and the command that mends it ("" and "": nothing)."""
    restore = f"git -C {folder} checkout --force {entry.commit}"
    if not present:
        return f"the checkout of {entry.title} is missing", GET if kit.checkout() else kit.CLONE
    if commit and commit != entry.commit:
        return f"is at commit {commit}, pinned is {entry.commit}", restore
    if clean is False:
        return "has local changes", f"git -C {folder} stash, or {restore}"
    wrong = [f"{path} is {state}" for path, state in files.items() if state != "pristine"]
    return (wrong[0], restore) if wrong else ("", "")


def _git(folder: Path, *arguments: str) -> str:
    """Ask the checkout's own git; "" where it is none (an exported tree) or git is not there."""
    if not (folder / ".git").exists():
        return ""
    command = ["git", "-C", str(folder), *arguments]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return answer.stdout.strip() if answer.returncode == 0 else ""


def to_json(state: Status) -> dict[str, object]:
    """Return plain values for `upstream status --json`."""
    return asdict(state)
