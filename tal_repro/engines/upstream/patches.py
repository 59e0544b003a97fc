"""Read and apply the patches of a model: insert-only, zero context, checked by git's blob ids on both sides.

`git apply --unidiff-zero` would insert twice into a file that is already patched, and at wrong lines into one that has
drifted; a blob id tells both apart from the file a patch was made for.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from tal_repro.errors import InputError

_DIFF = re.compile(rb"diff --git a/(?P<old>\S+) b/(?P<new>\S+)")
_INDEX = re.compile(rb"index (?P<before>[0-9a-f]+)\.\.(?P<after>[0-9a-f]+)(?: \d+)?")
_HUNK = re.compile(rb"@@ -(?P<line>\d+),0 \+\d+(?:,(?P<count>\d+))? @@.*")
BLOB_DIGITS = 40


@dataclass(frozen=True)
class Insertion:
    """Lines that go in after line `after` (1-based) of the file as it was."""

    after: int
    lines: tuple[bytes, ...]


@dataclass(frozen=True)
class FilePatch:
    """What a patch does to one file: its blob id before and after, and the insertions, top to bottom."""

    path: str
    before: str
    after: str
    insertions: tuple[Insertion, ...]


@dataclass(frozen=True)
class Patch:
    """One purpose: a title, the reason, and the files it inserts into."""

    source: Path
    title: str
    reason: str
    files: tuple[FilePatch, ...]


def blob_id(content: bytes) -> str:
    """Return git's object id of a file's content."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def model_patches(folder: Path) -> list[Patch]:
    """Read every patch of a model's folder in the order of their names."""
    return [read_patch(path) for path in sorted(folder.glob("*.patch"))]


def read_patch(source: Path) -> Patch:
    """Read one patch file; raise InputError naming file and line for anything but insertions into named files."""
    lines = source.read_bytes().split(b"\n")
    starts = [number for number, line in enumerate(lines) if line.startswith(b"diff --git ")]
    header = b"\n".join(lines[: starts[0]] if starts else lines).decode(errors="replace").strip()
    title, _, reason = header.partition("\n")
    if not starts or not title or not reason.strip():
        raise InputError("needs a title, a reason and at least one file", source, "see CONTRIBUTING.md")
    ends = [*starts[1:], len(lines)]
    files = tuple(_read_file(source, start, lines[start:end]) for start, end in zip(starts, ends, strict=True))
    return Patch(source, title, reason.strip(), files)


def apply_patches(tree: Path, patches: Iterable[Patch]) -> list[str]:
    """Insert every patch into `tree`; return the paths changed. Nothing is written unless everything fits."""
    contents: dict[str, bytes] = {}
    for patch in patches:
        for change in patch.files:
            content = contents.get(change.path)
            if content is None:
                content = read_tree_file(tree, change.path)
            contents[change.path] = _patched(patch, change, content, tree)
    for path, content in contents.items():
        (tree / path).write_bytes(content)
    return list(contents)


def file_states(tree: Path, patches: Sequence[Patch]) -> dict[str, str]:
    """Tell for every file the patches touch whether it is pristine, patched, missing or drifted."""
    chain: dict[str, list[str]] = {}
    for patch in patches:
        for change in patch.files:
            chain.setdefault(change.path, [change.before]).append(change.after)
    states = {}
    for path, ids in chain.items():
        file = tree / path
        digest = blob_id(file.read_bytes()) if _is_own_file(tree, path) else ""
        known = {"": "missing", ids[0]: "pristine", ids[-1]: "patched"}
        states[path] = known.get(digest, f"drifted (blob {digest}, expected {ids[0]})")
    return states


def read_tree_file(tree: Path, path: str) -> bytes:
    """Read a file of an upstream tree; raise InputError when it is missing, a link, or behind one."""
    if not _is_own_file(tree, path):
        raise InputError(f"{path} is missing or a link", tree, "check out the pinned commit again: make submodules")
    return (tree / path).read_bytes()


def _is_own_file(tree: Path, path: str) -> bool:
    """Tell whether a file lies in the tree itself: no part of its path is a link out of it, or to elsewhere in it."""
    file = tree / path
    return file.is_file() and file.resolve() == tree.resolve() / path


def _patched(patch: Patch, change: FilePatch, content: bytes, tree: Path) -> bytes:
    digest = blob_id(content)
    if digest == change.after:
        raise InputError(
            f"{change.path} is already patched by {patch.source.name} (blob {digest})",
            tree,
            "patches go into a fresh copy; restore the checkout: git submodule update --init --force",
        )
    if digest != change.before:
        raise InputError(
            f"{change.path} has blob {digest}, {patch.source.name} was made for {change.before}",
            tree,
            "check out the pinned commit again: make submodules",
        )
    result = inserted(content, change.insertions)
    if blob_id(result) != change.after:
        raise InputError(f"gives {change.path} blob {blob_id(result)}, not {change.after}", patch.source)
    return result


def inserted(content: bytes, insertions: Iterable[Insertion]) -> bytes:
    """Return `content` with the lines inserted (positions are those of the file as it was)."""
    lines = content.split(b"\n")
    for insertion in sorted(insertions, key=lambda each: each.after, reverse=True):
        if insertion.after >= len(lines):
            raise InputError(f"inserts after line {insertion.after} of a file of {len(lines) - 1} lines")
        lines[insertion.after : insertion.after] = insertion.lines
    return b"\n".join(lines)


def _read_file(source: Path, first: int, lines: Sequence[bytes]) -> FilePatch:
    """Read the part of a patch that is about one file; `first` is its 0-based line, for messages."""
    diff = _DIFF.fullmatch(lines[0])
    index = _INDEX.fullmatch(lines[1]) if len(lines) > 1 else None
    if diff is None or index is None:
        raise _refused(source, first + 1, "a new, deleted, renamed or binary file")
    path = _safe_path(source, first, diff)
    before, after = index["before"].decode(), index["after"].decode()
    if len(before) != BLOB_DIGITS or len(after) != BLOB_DIGITS:
        raise _refused(source, first + 1, "abbreviated blob ids (make it with git diff --full-index)")
    if lines[2:4] != [b"--- a/" + path.encode(), b"+++ b/" + path.encode()]:
        raise _refused(source, first + 2, "file names that do not agree")
    return FilePatch(path, before, after, tuple(_read_hunks(source, first + 4, lines[4:])))


def _read_hunks(source: Path, first: int, lines: Sequence[bytes]) -> list[Insertion]:
    insertions: list[Insertion] = []
    position = 0
    while position < len(lines) and lines[position : position + 1] != [b""]:
        hunk = _HUNK.fullmatch(lines[position])
        if hunk is None:
            raise _refused(source, first + position, "a hunk that does more than insert (use git diff -U0)")
        count = int(hunk["count"] or 1)
        body = lines[position + 1 : position + 1 + count]
        if len(body) != count or not all(line.startswith(b"+") for line in body):
            raise _refused(source, first + position, "a hunk with other lines than insertions")
        insertions.append(Insertion(int(hunk["line"]), tuple(line[1:] for line in body)))
        position += 1 + count
    if any(lines[position:]) or not insertions:
        raise _refused(source, first + position, "lines outside a hunk, or no hunk at all")
    return insertions


def _safe_path(source: Path, first: int, diff: re.Match[bytes]) -> str:
    path = diff["new"].decode(errors="replace")
    pure = PurePosixPath(path)
    if diff["old"] != diff["new"] or pure.is_absolute() or ".." in pure.parts or ".git" in pure.parts or "\\" in path:
        raise _refused(source, first, f"the path {path!r}")
    return path


def _refused(source: Path, line: int, what: str) -> InputError:
    return InputError(f"{what} is not allowed in a patch", f"{source}, line {line + 1}", "patches only insert lines")
