"""Load the published numbers, checking every cell: the first step of verdicts, tables and figures."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from tal_repro.errors import InputError
from tal_repro.published.schema import SCHEMAS, Schema
from tal_repro.published.table import Table, from_rows

Published = Mapping[str, Table]
FOLDER = Path(__file__).parent  # package data, so that an installed wheel has them


def load_published(folder: Path | None = None) -> Published:
    """Load and check all published tables; raise InputError naming file, line and column of what is broken."""
    return _load_all((folder or FOLDER).resolve())


@cache
def _load_all(folder: Path) -> Published:
    if not folder.is_dir():
        raise InputError("not a folder", folder, "give the folder that holds the published CSV files")
    return {name: load_table(folder / f"{name}.csv", schema) for name, schema in SCHEMAS.items()}


def load_table(path: Path, schema: Schema) -> Table:
    """Load one CSV file under `schema`."""
    rows: list[list[Any]] = []
    origins: list[str] = []
    seen: dict[tuple[Any, ...], int] = {}
    names = list(schema.columns)
    for line, cells in _cells(path, names):
        row = [_parse(path, line, name, cell, schema) for name, cell in zip(names, cells, strict=True)]
        key = tuple(row[names.index(column)] for column in schema.key)
        if key in seen:
            label = ", ".join(f"{column} {value}" for column, value in zip(schema.key, key, strict=True))
            raise InputError(f"repeats line {seen[key]} ({label})", f"{path}:{line}", "keep one of the two rows")
        seen[key] = line
        rows.append(row)
        origins.append(f"{path.name}:{line}")
    if not rows:
        raise InputError("holds no rows", path, "restore the file from the repository")
    return from_rows(path.name, {name: column.kind for name, column in schema.columns.items()}, rows, origins)


def _cells(path: Path, names: list[str]) -> Iterator[tuple[int, list[str]]]:
    """Yield (line number, stripped cells) of each row after the header (BOM and CRLF are tolerated)."""
    if not path.is_file():
        raise InputError("missing" if not path.exists() else "not a file", path, "restore it from the repository")
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.reader(stream, strict=True)
            header = [cell.strip() for cell in next(reader, [])]
            if not any(header):
                raise InputError("is empty, or has no header", path, f"the first line is: {','.join(names)}")
            if header != names:
                raise InputError(f"columns {', '.join(header)}", f"{path}:1", f"use exactly: {', '.join(names)}")
            for cells in reader:
                if len(cells) != len(names):
                    raise InputError(
                        f"{len(cells)} cells, expected {len(names)}",
                        f"{path}:{reader.line_num}",
                        "write one cell per column, with decimal points",
                    )
                yield reader.line_num, [cell.strip() for cell in cells]
    except (csv.Error, UnicodeDecodeError) as error:
        raise InputError(f"not readable as CSV in UTF-8 ({error})", path, "save it as plain CSV") from None


def _parse(path: Path, line: int, name: str, cell: str, schema: Schema) -> Any:
    try:
        return schema.columns[name].parse(cell)
    except ValueError as error:
        what, _, remedy = str(error).partition("; ")
        remedy = remedy or "correct the cell, or restore the file from the repository"
        raise InputError(f"{name}: {what}", f"{path}:{line}", remedy) from None
