"""Runs as they may travel, in an archive or on a page: without the host, the user and the folders of their machine."""

from __future__ import annotations

import hashlib
import json
import os
import re
import socket
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

from tal_repro.files import is_there
from tal_repro.runs.folder import FILE_NAMES
from tal_repro.runs.record import RunRecord

Clean = Callable[[str], str]
# what tells of the machine; everything else of a run is its result, and travels byte for byte
PRIVATE = tuple(FILE_NAMES[name] for name in ("status", "system", "details", "events", "log"))
_QUOTED = re.compile(r"""(?<=["'`])(?:file://)?~?/[^"'`\n]*[^"'`\n/\\]/*(?=["'`])""")
_BARE = re.compile(r"""(?:file://|(?<![\w.:/~<>)\]-]))~?(?:/[^\s/:;,'"`()<>|\\]+){2,}/*""")
_SHORTEST_USER = 3  # letters: a shorter name is a part of too many words


@lru_cache(maxsize=256)
def cleaner(*hosts: str) -> Clean:
    """Return what takes names of machines (and this one), of its user, and folders of absolute paths out of a text."""
    user = os.environ.get("USER") or os.environ.get("LOGNAME") or ""
    users = {user} if len(user) >= _SHORTEST_USER and user != "root" else set()
    machines = {host for name in (*hosts, socket.gethostname()) for host in (name, name.partition(".")[0]) if host}
    words = [(_word(machines - {"localhost"}), "HOST"), (_word(users), "USER")]

    def clean(text: str) -> str:
        for pattern in (_QUOTED, _BARE):
            text = pattern.sub(lambda path: path[0].rstrip("/").rpartition("/")[2], text)
        for word, name in words:
            text = text if word is None else word.sub(name, text)
        return text

    return clean


def _word(names: set[str]) -> re.Pattern[str] | None:
    longest_first = sorted(map(re.escape, names), key=len, reverse=True)
    return re.compile(rf"(?<![\w-])(?:{'|'.join(longest_first)})(?![\w-])") if names else None


def portable_files(record: RunRecord) -> dict[str, bytes]:
    """Return file name -> content of those files of a finished run that must not travel as they are."""
    status, system = record.status, record.system
    clean = cleaner(str(status.get("host", "")), str(system.get("host", "")))
    files = {name: _cleaned(record.folder / name, clean) for name in PRIVATE[1:] if is_there(record.folder / name)}
    digests = {**record.digests, **{name: hashlib.sha256(content).hexdigest() for name, content in files.items()}}
    kept = {key: value for key, value in status.items() if key not in ("host", "pid", "digests")}
    kept = {**_values(kept, clean), "digests": digests}
    if isinstance(study := kept.get("study"), str):
        kept["study"] = Path(study).name
    return {**files, PRIVATE[0]: _json(kept)}


def _cleaned(path: Path, clean: Clean) -> bytes:
    if path.suffix != ".json":
        return clean(path.read_text(encoding="utf-8", errors="surrogateescape")).encode("utf-8", "surrogateescape")
    content = json.loads(path.read_bytes())
    content.pop("host", None)
    return _json(_values(content, clean))


def _values(value: Any, clean: Clean) -> Any:
    """Clean every text in a JSON value; one that is a path as a whole keeps its last name."""
    if isinstance(value, dict):
        return {key: _values(item, clean) for key, item in value.items()}
    if isinstance(value, list):
        return [_values(item, clean) for item in value]
    if isinstance(value, str):
        return Path(value).name if value.startswith("/") and "\n" not in value else clean(value)
    return value


def _json(value: Any) -> bytes:
    return json.dumps(value, indent=1, allow_nan=False).encode() + b"\n"


def same_results(first_run: RunRecord, second_run: RunRecord) -> bool:
    """Tell whether two runs have the same results, whatever was taken out of what tells of their machines."""
    first, second = ({n: d for n, d in run.digests.items() if n not in PRIVATE} for run in (first_run, second_run))
    return first == second
