"""CSV from others: rows with their lines, or a refusal that names the line."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from os import PathLike

from tal_repro.errors import InputError
from tal_repro.untrusted.output import short
from tal_repro.untrusted.reading import decode, read_bytes


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
    """As `read_csv_rows`, for content that was already read; `where` names it in errors."""
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
