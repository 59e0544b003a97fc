"""The door for files from others: bounded bytes, strict JSON and CSV come in; text for terminals and sheets goes out.

Every refusal is an InputError that names file, place and remedy. Nothing below this module but `errors`.
"""

from __future__ import annotations

import csv
import errno
import gzip
import io
import json
import math
import os
import re
import stat
import zlib
from collections.abc import Iterable, Iterator, Sequence
from os import PathLike
from typing import Any

from tal_repro.errors import InputError

MAX_BYTES = 1 << 30  # unpacked
MAX_DEPTH = 64
RESTORE = "restore the file, or write it again"
_SHOWN_PROBLEMS, _SHOWN_CHARACTERS = 5, 60
_ACCESS_REMEDIES = {
    errno.ENOENT: "check the path",
    errno.ENOTDIR: "check the path",
    errno.ENAMETOOLONG: "check the path",
    errno.EISDIR: "name a file in it",
    errno.ELOOP: "replace the links, which lead in a circle, by the file",
    errno.EIO: "the disk or its network failed: try again, or copy the file elsewhere",
}
_NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_DIGITS_ALIKE = bytes.maketrans(b"123456789E", b"000000000e")
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
# Control characters but newline and tab, bidirectional overrides, line separators, halves of surrogate pairs, tags.
_UNPRINTABLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff\U000e0000-\U000e0fff]"
)
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*([eE][+-]?\d+)?|inf|nan)", re.ASCII)


def read_json_object(
    path: str | PathLike[str], *, most_bytes: int | None = None, remedy: str | None = None, what: str = "file"
) -> dict[str, Any]:
    """Read a JSON object from a file (`.gz`: unpacked); raise InputError for anything else. See `parse_json_object`."""
    return parse_json_object(read_bytes(path, most_bytes=most_bytes, remedy=remedy, what=what), path, remedy, what=what)


def read_bytes(
    path: str | PathLike[str], *, most_bytes: int | None = None, remedy: str | None = None, what: str = "file"
) -> bytes:
    """Read a whole regular file, unpacked if its name ends in .gz; InputError beyond `most_bytes` (unpacked)."""
    most_bytes = MAX_BYTES if most_bytes is None else most_bytes
    try:
        with open(path, "rb", buffering=0, opener=_open_regular) as raw:
            if os.fspath(path).endswith(".gz"):
                content: bytes = gzip.GzipFile(fileobj=raw).read(most_bytes + 1)
            else:
                content = _read_up_to(raw, most_bytes + 1)
    except (OSError, EOFError, zlib.error, ValueError) as error:  # ValueError: a null character in the path
        raise InputError(_named(what, f"cannot be read ({_reason(error)})"), path, _way_out(error, remedy)) from None
    if len(content) > most_bytes:
        size = f"{most_bytes >> 20} MiB" if most_bytes >= 1 << 20 else f"{most_bytes} bytes"
        raise InputError(_named(what, f"larger than {size}"), path, remedy or "split it into several files")
    return content


def _open_regular(path: str, flags: int) -> int:
    """Open without waiting for the writer of a pipe; only what lies in /dev may be something else than a file."""
    descriptor = os.open(path, flags | os.O_NONBLOCK)
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode) or path.startswith("/dev/"):
        os.set_blocking(descriptor, True)
        return descriptor
    os.close(descriptor)
    number = errno.EISDIR if stat.S_ISDIR(mode) else errno.EINVAL
    raise OSError(number, os.strerror(number) if number == errno.EISDIR else "not a regular file")


def _read_up_to(raw: Any, most: int) -> bytes:
    """Read a file to its end or to `most` bytes; one read for a small file."""
    parts: list[bytes] = []
    while most > 0 and (part := raw.read(min(most, 1 << 20))):
        parts.append(part)
        most -= len(part)
    return b"".join(parts)


def _reason(error: Exception) -> str:
    return error.strerror if isinstance(error, OSError) and error.strerror else str(error)[:120]


def _way_out(error: Exception, remedy: str | None) -> str:
    if isinstance(error, gzip.BadGzipFile | EOFError | zlib.error):
        return "compress it again, or give it unpacked, without .gz in its name"
    number = error.errno if isinstance(error, OSError) else errno.ENOENT
    if number == errno.ENOENT and remedy:
        return remedy
    return _ACCESS_REMEDIES.get(number or 0, "see to its permissions")


def _named(what: str, problem: str) -> str:
    return problem if what == "file" else f"{what}: {problem}"


def parse_json_object(
    content: bytes, where: str | PathLike[str], remedy: str | None = None, *, what: str = "file"
) -> dict[str, Any]:
    """Parse JSON text strictly; raise InputError naming `where` unless it is one sound object.

    Refused: text that is not UTF-8, a repeated key, NaN and Infinity, 1e400, integers of more than 4,300 digits, more
    than 64 levels, half a surrogate pair. Costs little more than `json.loads`: what is rare is looked for only where
    the bytes hold a sign of it.
    """

    def refusal(problem: str) -> InputError:
        return InputError(_named(what, problem), where, remedy or RESTORE)

    text = decode(content, where, remedy or RESTORE)
    try:
        value = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise refusal(f"not JSON, line {error.lineno} column {error.colno} ({error.msg})") from None
    except _RepeatedKey as error:
        raise refusal(f"key {short(error.args[0])} appears twice in one object") from None
    except RecursionError:
        raise refusal(f"not JSON that a reader takes: more than {MAX_DEPTH} levels") from None
    except ValueError:
        raise refusal("not JSON that a reader takes: an integer of more than 4,300 digits") from None
    if not isinstance(value, dict):
        raise refusal(f"not a JSON object, but {_kind(value)}")
    if _suspicious(content) and (problem := _first_problem(value)):
        raise refusal(problem)
    return value


def decode(content: bytes, where: str | PathLike[str], remedy: str) -> str:
    """Decode UTF-8, with or without a byte-order mark; InputError names the line of the first bad byte."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InputError(f"not UTF-8 text, first in line {line} (byte {error.start})", where, remedy) from None


class _RepeatedKey(ValueError):
    pass


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = dict(pairs)
    if len(names) != len(pairs):
        seen: set[str] = set()
        raise _RepeatedKey(next(name for name, _ in pairs if name in seen or seen.add(name)))  # type: ignore[func-returns-value]
    return names


_DECODER = json.JSONDecoder(object_pairs_hook=_unique)


def _kind(value: Any) -> str:
    names = {list: "a list", str: "text", bool: "true or false", int: "a number", float: "a number"}
    return names.get(type(value), "null")


def _suspicious(content: bytes) -> bool:
    """Tell whether sound JSON could hold something `_first_problem` finds. May be wrong, but never by a False."""
    alike = content.translate(_DIGITS_ALIKE)
    return (
        b"NaN" in content
        or b"Infinity" in content
        or b"e000" in alike
        or b"e+000" in alike
        or b"0" * 309 in alike
        or (b"\\u" in content and _SURROGATE.search(content) is not None)
        or not _shallow(content)
    )


def _shallow(content: bytes) -> bool:
    """Tell whether peeling brackets from the inside, two levels a turn at most, leaves none after half of `MAX_DEPTH`.

    Each turn removes one or two levels, so what is empty then has at most `MAX_DEPTH`; brackets in texts may say False.
    """
    brackets = content.translate(None, _NOT_BRACKETS)
    for _ in range(MAX_DEPTH // 2):
        size = len(brackets)
        brackets = brackets.replace(b"[]", b"").replace(b"{}", b"")
        if len(brackets) in (0, size):
            break
    return not brackets


def _first_problem(value: Any) -> str | None:
    """Walk a parsed document; return what no reader should take, with its place (None: sound)."""
    waiting: list[tuple[Any, tuple[Any, ...]]] = [(value, ())]
    while waiting:
        item, place = waiting.pop()
        if isinstance(item, float) and not math.isfinite(item):
            return f"{_spelled(place)} is not a finite number"
        if isinstance(item, str) and _half_pair(item):
            return f"{_spelled(place)} holds half a surrogate pair: {short(item)}"
        if isinstance(item, dict | list) and len(place) >= MAX_DEPTH:
            return f"more than {MAX_DEPTH} levels"
        if isinstance(item, dict):
            if half := next((key for key in item if _half_pair(key)), None):
                return f"a key of {_spelled(place)} holds half a surrogate pair: {short(half)}"
            waiting += [(member, (*place, key)) for key, member in reversed(item.items())]
        elif isinstance(item, list):
            waiting += [(member, (*place, index)) for index, member in reversed(list(enumerate(item)))]
    return None


def _half_pair(text: str) -> bool:
    return not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text)


def _spelled(place: tuple[Any, ...]) -> str:
    parts = [f"[{step}]" if isinstance(step, int) else f".{short(step)[1:-1]}" for step in place]
    return "".join(parts).removeprefix(".") or "the top level"


def read_csv_rows(
    path: str | PathLike[str],
    columns: Sequence[str],
    *,
    remedy: str | None = None,
    exact: bool = False,
    most_bytes: int | None = None,
) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield (line, row) of a CSV file that has these columns (`exact`: these in this order and no others).

    Raises InputError for a row with too few or too many fields, an open quote, a byte that is not UTF-8.
    """
    remedy = remedy or f"columns: {','.join(columns)}"
    return parse_csv_rows(read_bytes(path, most_bytes=most_bytes, remedy=remedy), path, columns, remedy, exact=exact)


def parse_csv_rows(
    content: bytes, where: str | PathLike[str], columns: Sequence[str], remedy: str, *, exact: bool = False
) -> Iterator[tuple[int, dict[str, str]]]:
    """Do what `read_csv_rows` does with the content of a file."""
    records = csv_records(content, where, remedy)
    _, header = next(records)
    check_columns(header, columns, where, remedy, exact=exact)
    for line, row in records:
        if len(row) != len(header):
            raise InputError(f"{len(row)} fields, the header names {len(header)}", f"{where}, line {line}", remedy)
        yield line, dict(zip(header, row, strict=True))


def csv_records(content: bytes, where: str | PathLike[str], remedy: str) -> Iterator[tuple[int, list[str]]]:
    """Yield (line on which it ends, fields) of the header and each row; blank lines count as lines alone."""
    if b"\0" in content:  # Python 3.11 and later take it for text
        line = content.count(b"\n", 0, content.index(b"\0")) + 1
        raise InputError("not a CSV file (a null byte)", f"{where}, line {line}", remedy)
    reader = csv.reader(io.StringIO(decode(content, where, remedy), newline=""), strict=True)
    empty = True
    try:
        for row in reader:
            if row:
                empty = False
                yield reader.line_num, row
    except csv.Error as error:
        raise InputError(f"not a CSV file ({error})", f"{where}, line {reader.line_num}", remedy) from None
    if empty:
        raise InputError("not a CSV file (no header)", where, remedy)


def check_columns(
    header: Sequence[str], columns: Sequence[str], where: str | PathLike[str], remedy: str, *, exact: bool = False
) -> None:
    """Raise InputError unless a CSV's header names each of these columns once (`exact`: these and no others)."""
    if exact and list(header) != list(columns):
        raise InputError(f"columns {short(','.join(header))}", f"{where}, line 1", remedy)
    for name in dict.fromkeys((*columns, *header)):
        if name and header.count(name) != 1:
            what = "repeated" if name in header else "missing"
            raise InputError(f"{what} column {short(name)}", f"{where}, line 1", remedy)


def is_number(value: Any) -> bool:
    """Tell whether a JSON value is a finite number that a float can hold (true and false are none)."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(float(value))
    except OverflowError:
        return False


def short(value: Any) -> str:
    """Return a value's representation, cut to 60 characters; nothing in it moves a terminal's cursor."""
    text = repr(value[:_SHOWN_CHARACTERS] if isinstance(value, str) and len(value) > _SHOWN_CHARACTERS else value)
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[: _SHOWN_CHARACTERS - 3]}..."


def refuse_all(problems: Iterable[str], where: str | PathLike[str], remedy: str) -> None:
    """Raise InputError that counts all problems and names the first few; do nothing where there is none."""
    listed = list(problems)
    if listed:
        more = f"\n  and {len(listed) - _SHOWN_PROBLEMS} more" if len(listed) > _SHOWN_PROBLEMS else ""
        raise InputError("; ".join(listed[:_SHOWN_PROBLEMS]) + more, where, remedy)


def printable(text: str) -> str:
    """Return text for a terminal: control characters (but newline and tab) and bidirectional overrides as escapes."""
    return text if text.isprintable() else _UNPRINTABLE.sub(_escape, text)


def _escape(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def csv_cell(value: Any) -> Any:
    """Return a cell for a spreadsheet: text that it would take for a formula gets a leading apostrophe.

    Numbers stay, as text too. Not for files that a program reads back: an id may begin with a dash.
    """
    if isinstance(value, str) and value[:1] in tuple("=+-@\t\r") and not _NUMBER.fullmatch(value):
        return f"'{value}"
    return value
