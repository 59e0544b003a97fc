"""Read a user's (train_percent, mAP[, run]) points, naming file, line, field and remedy of whatever is wrong."""

from __future__ import annotations

import csv
import math
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tal_repro.curves.families import Array
from tal_repro.errors import InputError

MAX_BYTES = 64 * 2**20
MAX_DISTINCT = 200  # more percentages than this are merged into neighbours before anything is fitted
PERCENT_NAMES = ("train_percent", "percent", "p")
VALUE_NAMES = ("map", "map_mean", "average_map")


@dataclass(frozen=True)
class Points:
    """One learning curve: percentages (ascending, distinct), mean values, sample std over runs, runs.

    `percent`, `mean`, `std`, `runs` are arrays [points]; std is NaN where there is one run.
    """

    percent: Array
    mean: Array
    std: Array
    runs: Array
    merged: bool = False

    def __len__(self) -> int:
        return len(self.percent)

    @property
    def has_runs(self) -> bool:
        """Say whether any percentage was run more than once."""
        return bool((self.runs > 1).any())


def make_points(
    percent: Sequence[float] | Array,
    value: Sequence[float] | Array,
    std: Sequence[float] | Array | None = None,
    runs: Sequence[int] | Array | int | None = None,
) -> Points:
    """Group values by percentage; `std` and `runs` are given when the values are already means."""
    x, y = np.asarray(percent, dtype=float).ravel(), np.asarray(value, dtype=float).ravel()
    if len(x) != len(y):
        raise InputError(f"{len(x)} percentages but {len(y)} values", remedy="give one value for each")
    if not (np.isfinite(x).all() and np.isfinite(y).all() and (x > 0).all()):
        raise InputError("a point is not finite or its percentage is not positive", remedy="drop or correct it")
    order = np.lexsort((y, x))
    x, y = x[order], y[order]
    if std is not None or runs is not None:
        return _given_means(x, y, std, runs, order)
    distinct, first, counts = np.unique(x, return_index=True, return_counts=True)
    mean = np.add.reduceat(y, first) / counts if len(x) else y
    squares = np.add.reduceat((y - np.repeat(mean, counts)) ** 2, first) if len(x) else y
    spread = np.where(counts > 1, np.sqrt(squares / np.maximum(counts - 1, 1)), np.nan)
    return _merge(Points(distinct, mean, spread, counts.astype(float)))


def _given_means(
    x: Array,
    y: Array,
    std: Sequence[float] | Array | None,
    runs: Sequence[int] | Array | int | None,
    order: Array,
) -> Points:
    if len(np.unique(x)) != len(x):
        raise InputError("a percentage appears twice although means are given", remedy="give one mean for each")
    sizes = np.ones(len(x)) if runs is None else np.broadcast_to(np.asarray(runs, dtype=float), x.shape)
    spread = np.full(len(x), np.nan) if std is None else np.asarray(std, dtype=float).ravel()
    sorted_sizes = sizes[np.asarray(order, dtype=int)]
    return Points(x, y, np.where(sorted_sizes > 1, spread[np.asarray(order, dtype=int)], np.nan), sorted_sizes)


def _merge(points: Points) -> Points:
    """Merge neighbouring percentages when there are more than MAX_DISTINCT of them."""
    count = len(points)
    if count <= MAX_DISTINCT:
        return points
    edges = np.geomspace(points.percent[0], points.percent[-1], MAX_DISTINCT + 1)[1:-1]
    group = np.searchsorted(edges, points.percent)
    _, first = np.unique(group, return_index=True)
    total = np.add.reduceat(points.runs, first)
    mean = np.add.reduceat(points.mean * points.runs, first) / total
    percent = np.add.reduceat(points.percent * points.runs, first) / total
    return Points(percent, mean, np.full(len(first), np.nan), total, merged=True)


def read_points(source: str) -> Points:
    """Read points from a CSV file, or from standard input if `source` is "-"."""
    name = "standard input" if source == "-" else source
    return parse_points(_read_text(source, name), name)


def _read_text(source: str, name: str) -> str:
    if source == "-":
        raw = sys.stdin.buffer.read(MAX_BYTES + 1)
    else:
        path = Path(source)
        if path.is_dir():
            raise InputError("this is a directory", name, "give a CSV file of train_percent,mAP[,run]")
        try:
            with path.open("rb") as file:
                raw = file.read(MAX_BYTES + 1)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise InputError(f"cannot be read ({reason})", name, "check the path and its permissions") from None
    if len(raw) > MAX_BYTES:
        raise InputError(f"holds more than {MAX_BYTES // 2**20} MiB", name, "give one row per training run")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"byte {error.start} is not UTF-8", name, "save the file as plain UTF-8 CSV") from None


def parse_points(text: str, name: str) -> Points:
    """Parse CSV text whose first line is train_percent,mAP[,run]; `name` stands in error messages."""
    rows = _rows(text, name)
    try:
        header_line, header = next(rows)
    except StopIteration:
        raise InputError("holds no points", name, "first line: train_percent,mAP[,run]; then a row a run") from None
    p_column, y_column, run_column, model_column = _columns(header, f"{name}:{header_line}")
    seen: dict[tuple[float, str], int] = {}
    models: set[str] = set()
    x: list[float] = []
    y: list[float] = []
    for line, row in rows:
        where = f"{name}:{line}"
        _check_width(row, header, where)
        percent = _number(row[p_column], header[p_column], where, 100.0, above=0.0)
        value = _number(row[y_column], header[y_column], where, 100.0)
        run = row[run_column].strip() if run_column is not None else repr(value)
        _check_run(run, run_column, where)
        if (percent, run) in seen:
            raise InputError(*_duplicate(percent, run, run_column, seen[percent, run], where))
        seen[percent, run] = line
        models.add(row[model_column].strip() if model_column is not None else "")
        x.append(percent)
        y.append(value)
    _check_whole(x, y, models, name)
    return make_points(x, y)


def _rows(text: str, name: str) -> Iterable[tuple[int, list[str]]]:
    """Yield (line, fields) of every row that is not blank; the header comes first."""
    lines = text.splitlines()
    first = next((line for line in lines if line.strip()), "")
    delimiter = next((mark for mark in (",", ";", "\t") if mark in first), ",")
    if "\0" in text:
        raise InputError("holds a NUL byte", name, "give plain text CSV, not a spreadsheet file")

    def generate() -> Iterable[tuple[int, list[str]]]:
        started = False
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                if started and any(rest.strip() for rest in lines[number:]):
                    raise InputError("the row is empty", f"{name}:{number}", "delete the line")
                continue
            started = True
            try:
                yield number, next(csv.reader([line], delimiter=delimiter))
            except csv.Error as error:
                raise InputError(f"not a CSV row ({error})", f"{name}:{number}", "correct it") from None

    return iter(generate())  # type: ignore[call-overload, no-any-return]


def _columns(header: list[str], where: str) -> tuple[int, int, int | None, int | None]:
    names = [field.strip().lower() for field in header]
    repeated = {field for field in names if names.count(field) > 1}
    if repeated:
        raise InputError(f"column {sorted(repeated)[0]!r} appears twice", where, "keep one of them")
    percent = next((names.index(name) for name in PERCENT_NAMES if name in names), None)
    value = next((names.index(name) for name in VALUE_NAMES if name in names), None)
    if percent is None or value is None:
        missing = "train_percent" if percent is None else "mAP"
        raise InputError(
            f"no column {missing!r} in the header ({', '.join(field.strip() or '(empty)' for field in header)})",
            where,
            "the first line must be train_percent,mAP or train_percent,mAP,run",
        )
    run = names.index("run") if "run" in names else None
    return percent, value, run, names.index("model") if "model" in names else None


def _check_width(row: list[str], header: list[str], where: str) -> None:
    if len(row) == len(header):
        return
    hint = "a row needs one field per column"
    if len(row) > len(header):
        hint += "; write decimals with a point, not a comma (55.3, not 55,3)"
    raise InputError(f"{len(row)} fields where the header has {len(header)}", where, hint)


def _number(text: str, field: str, where: str, high: float, above: float | None = None) -> float:
    field, text = field.strip(), text.strip()
    if not text:
        raise InputError(f"field {field!r} is empty", where, "fill it in or delete the row")
    try:
        if "_" in text:
            raise ValueError
        value = float(text)
    except ValueError:
        comma = "," in text and text.replace(",", "").replace(".", "").lstrip("+-").isdigit()
        remedy = "write decimals with a point (55.3)" if comma else "give a plain number, without a unit"
        raise InputError(f"field {field!r} is not a number: {text[:40]!r}", where, remedy) from None
    if not math.isfinite(value):
        raise InputError(f"field {field!r} is {text[:40]}", where, "delete the row or run it again")
    low = 0.0 if above is None else above
    if value > high or value < low or (above is not None and value <= above):
        bound = f"(0, {high:g}]" if above is not None else f"[0, {high:g}]"
        raise InputError(f"field {field!r} is {value:g}, outside {bound}", where, "give it in percent")
    return value


def _check_run(run: str, run_column: int | None, where: str) -> None:
    if run_column is not None and not run:
        raise InputError("field 'run' is empty", where, "number the runs, or drop the column")


def _duplicate(percent: float, run: str, run_column: int | None, line: int, where: str) -> tuple[str, str, str]:
    if run_column is None:
        return (
            f"repeats line {line} ({percent:g} %, mAP {run})",
            where,
            "delete it, or add a column run if two runs gave the same mAP",
        )
    return f"run {run!r} at {percent:g} % already stands on line {line}", where, "delete it or number it anew"


def _check_whole(x: list[float], y: list[float], models: set[str], name: str) -> None:
    if len(models) > 1:
        shown = ", ".join(sorted(models)[:5])
        raise InputError(f"holds {len(models)} curves ({shown})", name, "give the rows of one model")
    if len(x) < 2:
        held = "no points" if not x else "one point"
        raise InputError(f"holds {held}; a curve needs more", name, "give at least 4 percentages, better 6")
    if max(y) <= 1.0 and max(y) > 0.0:
        raise InputError(
            f"every mAP is at most 1 (largest {max(y):g}): these look like fractions", name, "multiply mAP by 100"
        )
    if max(x) <= 1.0:
        raise InputError(
            f"every train_percent is at most 1 (largest {max(x):g}): these look like fractions",
            name,
            "multiply train_percent by 100",
        )
