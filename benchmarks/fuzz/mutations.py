"""One mutation of a results folder at a time, undone afterwards: of bytes, JSON values, cells, or the file itself."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import json
import os
import random
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from tal_repro.errors import InputError
from tal_repro.runs.folder import name_of
from tal_repro.spec import canonical_json

BOMB_BYTES = 1200 << 20
_HUGE = "\0huge\0"  # stands for an integer that json.dumps would not write
VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1.5, -0.0, 2**63, 10**400, 1e308, 5e-324, "", "x", "1", "nan", "\x1b]0;t\x07\u202e",
    "=cmd|'x'!A1", "\ud800", "../../etc/passwd", "x" * 20_000, [], {}, [[]], [1], ["x"], [None], {"x": 1}, [[1, "a"]],
    float("nan"), float("inf"), _HUGE, "\n".join("abc"), "%s{x}<b>$(x)", "2026-13-45", "\u0000",
)  # fmt: skip


@dataclass
class Mutated:
    """What was done: its kind, in words with the file, and the run folder that it was done to (where it now lies)."""

    kind: str
    what: str
    run: Path | None = None


@contextlib.contextmanager
def mutated(base: Path, rng: random.Random) -> Iterator[Mutated]:
    """Mutate one file of a results folder; put everything back at the end."""
    path = _choose(base, rng)
    folder = path.parent
    kept = {file: file.read_bytes() for file in folder.iterdir() if file.is_file()}
    kind = rng.choices(list(KINDS), [weight for _, weight in KINDS.values()])[0]
    what = KINDS[kind][0](path, rng)
    finished = (folder / "status.json").is_file() and "." not in folder.name and not folder.name.startswith(".")
    sealed = finished and rng.random() < 0.5
    place = folder
    try:
        if sealed:
            place = _sealed(folder, path, rng)
        name = path.relative_to(base)
        yield Mutated(kind, f"{name}: {what}{', sealed' * sealed}", place if finished else None)
    finally:
        _restore(folder, place, kept)


def _choose(base: Path, rng: random.Random) -> Path:
    """Choose a kind of file first: each is as likely as another, however many runs there are."""
    by_name: dict[str, list[Path]] = {}
    for path in _files(base):
        by_name.setdefault(path.suffix if path.parent.name.startswith(".") else path.name, []).append(path)
    return rng.choice(by_name[rng.choice(sorted(by_name))])


@cache
def _files(base: Path) -> list[Path]:
    return sorted(path for path in base.rglob("*") if path.is_file() and ".locks" not in path.parts)


def _restore(folder: Path, place: Path, kept: dict[Path, bytes]) -> None:
    if place != folder:
        place.rename(folder)
    for path in folder.iterdir():
        if path not in kept or path.is_symlink() or not path.is_file():
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    for path, content in kept.items():
        if not path.is_file() or path.read_bytes() != content:
            path.write_bytes(content)


def _sealed(folder: Path, path: Path, rng: random.Random) -> Path:
    """Write the digest of the mutated file anew; half of the time name the folder after the specification it holds."""
    status_file = folder / "status.json"
    with contextlib.suppress(ValueError, OSError, KeyError, TypeError, AttributeError, RecursionError, InputError):
        if path != status_file:
            status = json.loads(status_file.read_text())
            digests = status["digests"]
            if path.is_file():
                digests[path.name] = hashlib.sha256(path.read_bytes()).hexdigest()
            else:
                digests.pop(path.name, None)
            status_file.write_text(json.dumps(status))
        if path.name == "spec.json" and path.is_file() and rng.random() < 0.7:
            raw = json.loads(path.read_text())
            digest = str(raw.pop("data_digest", ""))[:8]
            name = hashlib.sha256(canonical_json(raw).encode()).hexdigest()[:16] + (f"-{digest}" if digest else "")
            if name.replace("-", "").isalnum() and name != name_of(folder):
                return folder.rename(folder.with_name(name))
    return folder


def _flip(path: Path, rng: random.Random) -> str:
    content = bytearray(path.read_bytes() or b"\0")
    for _ in range(rng.choice((1, 1, 2, 8))):
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    path.write_bytes(content)
    return "bits flipped"


def _cut(path: Path, rng: random.Random) -> str:
    content = path.read_bytes()
    size = rng.choice((0, rng.randrange(len(content) + 1)))
    path.write_bytes(content[:size])
    return f"cut to {size} bytes"


def _junk(path: Path, rng: random.Random) -> str:
    content, junk = (
        path.read_bytes(),
        rng.choice((b"\xff\xfe", b"\0", b"\xed\xa0\x80", b"\r", b'"', b"\n\n", b"\x1b[2J")),
    )
    at = rng.randrange(len(content) + 1)
    path.write_bytes(content[:at] + junk * rng.choice((1, 1, 3000)) + content[at:])
    return f"{junk!r} put in at {at}"


def _json(path: Path, rng: random.Random) -> str:
    """Change a value, drop a key, add one, double one, nest deeply, or replace the whole."""
    if path.suffix != ".json":
        return _cells(path, rng)
    raw = json.loads(path.read_text())
    places = list(_places(raw))
    holder, key = rng.choice(places)
    how = rng.choice(("value", "value", "value", "value", "drop", "double", "deep", "whole", "rename"))
    before, text = f"{key!r}", None
    if how == "value":
        holder[key] = rng.choice(VALUES)
    elif how == "drop":
        del holder[key]
    elif how == "whole":
        raw = rng.choice(VALUES)
    elif how == "rename" and isinstance(holder, dict):
        holder[rng.choice(("x", "", "\x1b[2J", f"{key} ", "\ud800"))] = holder.pop(key)
    elif how == "deep":
        holder[key] = "\0deep\0"
    else:
        text = json.dumps(raw).replace("{", '{"x": 1, "x": 2, ', 1)
    path.write_text(_spelled(raw, rng) if text is None else text, encoding="utf-8", errors="surrogatepass")
    return f"{how} {before}"


def _spelled(raw: Any, rng: random.Random) -> str:
    text = json.dumps(raw, ensure_ascii=rng.random() < 0.8)
    depth = rng.choice((20, 70, 3000, 100_000))
    huge = rng.choice(("9" * 5000, "1e400", "-1e400", "9" * 400, "0." + "1" * 6000))
    return text.replace(json.dumps(_HUGE), huge).replace(json.dumps("\0deep\0"), "[" * depth + "]" * depth)


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Yield (holder, key or index) of every value of a document."""
    pairs = (
        list(value.items()) if isinstance(value, dict) else list(enumerate(value)) if isinstance(value, list) else []
    )
    for key, item in pairs:
        yield value, key
        yield from _places(item)


CELLS = (
    "",
    "x",
    "nan",
    "inf",
    "-1",
    "1e400",
    "9" * 5000,
    '"',
    "\x1b[2J",
    "=1+1",
    "\ud800",
    " 1",
    "1_0",
    "0x1",
    "-0",
    "1,2",
)


def _cells(path: Path, rng: random.Random) -> str:
    """Break a cell, a row or the header of a CSV file (in .gz too), or a line of another."""
    packed = path.suffix == ".gz"
    content = gzip.decompress(path.read_bytes()) if packed else path.read_bytes()
    lines = content.decode("utf-8", "replace").split("\n")
    number = rng.randrange(len(lines))
    cells = lines[number].split(",")
    place, how = rng.randrange(len(cells)), rng.choice(("cell", "cell", "cell", "drop", "add", "double", "long"))
    if how == "cell":
        cells[place] = rng.choice(CELLS)
    elif how == "drop":
        del cells[place]
    elif how == "add":
        cells.append("x")
    elif how == "double":
        lines.insert(number, lines[number])
    else:
        cells[place] = "x" * 200_000
    lines[number + (how == "double")] = ",".join(cells)
    text = "\n".join(lines).encode("utf-8", "surrogatepass")
    path.write_bytes(gzip.compress(text, 1) if packed else text)
    return f"{how} in line {number + 1}"


def _other(path: Path, rng: random.Random) -> str:
    """Replace the file by something else: a folder, a link, a pipe, nothing, a file without end, a bomb."""
    how = rng.choice(("folder", "link", "loop", "pipe", "gone", "device", "bomb" if path.suffix == ".gz" else "gone"))
    path.unlink()
    if how == "folder":
        path.mkdir()
    elif how == "pipe":
        os.mkfifo(path)
    elif how == "bomb":
        path.write_bytes(_bomb())
    elif how != "gone":
        path.symlink_to({"link": "/etc/passwd", "loop": path.name, "device": "/dev/zero"}[how])
    return how


@cache
def _bomb() -> bytes:
    """Return a packed CSV file of 1.2 GiB."""
    out, rows = io.BytesIO(), b"v,0,1,Diving,0.5\n" * 65536
    with gzip.GzipFile(fileobj=out, mode="wb", compresslevel=1) as stream:
        stream.write(b"video_id,start_s,end_s,label,score\n")
        for _ in range(BOMB_BYTES // len(rows)):
            stream.write(rows)
    return out.getvalue()


KINDS: dict[str, tuple[Callable[[Path, random.Random], str], int]] = {
    "bits": (_flip, 3), "cut": (_cut, 2), "junk": (_junk, 2), "values": (_json, 12), "cells": (_cells, 1),
    "file": (_other, 2),
}  # fmt: skip
