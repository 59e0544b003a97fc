"""Files from others, up to plain values: bounded reading, JSON without repeated keys or NaN, all problems at once."""

from __future__ import annotations

import gzip
import json
import math
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tal_repro.errors import InputError

MAX_BYTES = 1 << 30  # decompressed
MAX_SECONDS = 1e6  # 11 days: no video is longer
_SHOWN = 5


def read_bytes(path: Path) -> bytes:
    """Read a whole file, unpacked if its name ends in .gz; InputError beyond `MAX_BYTES`."""
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise InputError(f"cannot be read ({reason})", path, _way_out(error)) from None
    if len(content) > MAX_BYTES:
        raise InputError(f"larger than {MAX_BYTES >> 20} MiB", path, "split it by video")
    return bytes(content)


def _way_out(error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return "check the path"
    if isinstance(error, IsADirectoryError):
        return "name a file in it"
    if isinstance(error, gzip.BadGzipFile | EOFError | zlib.error):
        return "compress it again, or give it unpacked, without .gz in its name"
    return "see to its permissions"


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object; InputError for anything else, a repeated key or a NaN."""

    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is not a number")

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        names = dict(pairs)
        if len(names) != len(pairs):
            raise ValueError("a key occurs twice in one object: " + _first_repeated(k for k, _ in pairs))
        return names

    content = read_bytes(path)
    try:
        document = json.loads(content, parse_constant=refuse, object_pairs_hook=unique)
    except (ValueError, RecursionError) as error:
        raise InputError(f"not readable as JSON ({str(error)[:200]})", path, "write the file again as JSON") from None
    if not isinstance(document, dict):
        raise InputError("the top level is not an object", path, "see docs/data.md for both forms")
    return document


def _first_repeated(names: Iterable[str]) -> str:
    seen: set[str] = set()
    return repr(next(name for name in names if name in seen or seen.add(name)))  # type: ignore[func-returns-value]


def member(document: Mapping[str, Any], name: str, kind: type, path: Path, place: str) -> Any:
    """Return a member of a document; InputError if it is absent or of another kind."""
    if not isinstance(document.get(name), kind):
        raise InputError(f"{place} has no object {name!r}", path, "give an ActivityNet-like JSON file")
    return document[name]


def seconds_or_nan(value: Any, place: str, problems: list[str]) -> float:
    """Return a duration, NaN for none; note a problem for anything that is not a number of seconds."""
    if isinstance(value, float) and math.isnan(value):  # absent: JSON itself cannot hold a NaN here
        return value
    if not is_number(value) or not 0 <= value <= MAX_SECONDS:
        problems.append(f"{place} is not a number of seconds from 0 to {MAX_SECONDS:g}")
        return math.nan
    return float(value)


def is_number(value: Any) -> bool:
    """Tell whether a JSON value is a finite number that a float can hold."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    try:
        return math.isfinite(float(value))
    except OverflowError:
        return False


def is_pair(value: Any) -> bool:
    """Tell whether a JSON value is a list of two finite numbers."""
    return isinstance(value, list) and len(value) == 2 and all(is_number(v) for v in value)


def is_integer(value: Any) -> bool:
    """Tell whether a JSON value is an integer (true is none)."""
    return isinstance(value, int) and not isinstance(value, bool)


def refuse_all(problems: Iterable[str], path: Path, remedy: str) -> None:
    """Raise InputError that counts all problems and names the first few."""
    found = list(problems)
    if found:
        more = f"\n  and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        raise InputError("; ".join(found[:_SHOWN]) + more, path, remedy)
