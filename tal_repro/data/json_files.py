"""JSON from others: read as an object without repeated keys, or refused by name. Written whole or not at all."""

from __future__ import annotations

import errno
import json
import os
import tempfile
from pathlib import Path
from typing import Any

from tal_repro.data.layouts import check_inside
from tal_repro.errors import InputError


def read_json(path: Path, root: Path | None = None) -> dict[str, Any]:
    """Read a JSON object; raise InputError naming file and place. With `root`, refuse a file outside of it."""
    if root is not None:
        check_inside(path, root)
    try:
        value = json.loads(path.read_text(encoding="utf-8-sig"), object_pairs_hook=_unique)
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror})", path) from None
    except _RepeatedKey as error:
        raise InputError(f"key {error.args[0]!r} appears twice in one object", path, "keep one of them") from None
    except json.JSONDecodeError as error:
        raise InputError(
            f"not JSON, line {error.lineno} column {error.colno} ({error.msg})", path, "restore the file"
        ) from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"not JSON ({str(error)[:120]})", path, "restore the file") from None
    if not isinstance(value, dict):
        raise InputError("not a JSON object", path, "restore the file, or give another")
    return value


def write_json(path: Path, value: Any, *, indent: int | None = 1) -> None:
    """Write JSON atomically: a reader sees the old file or the whole new one."""
    write_bytes(path, (json.dumps(value, indent=indent, allow_nan=False) + "\n").encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file beside its place, fsync it, and rename it; leave nothing behind when that fails.

    A device or pipe is written to: a file renamed onto /dev/null would be its end.
    """
    try:
        if path.exists() and not path.is_file():
            path.write_bytes(content)
            return
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        temporary = Path(name)
        try:
            with os.fdopen(handle, "wb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
            temporary.chmod(0o644)
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        remedies = {errno.ENOENT: "make its folder first", errno.EISDIR: "name a file in it"}
        remedy = remedies.get(error.errno or 0, "free space or choose another folder")
        raise InputError(f"cannot be written ({error.strerror})", path, remedy) from None


class _RepeatedKey(ValueError):
    pass


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, value in pairs:
        if key in result:
            raise _RepeatedKey(key)
        result[key] = value
    return result
