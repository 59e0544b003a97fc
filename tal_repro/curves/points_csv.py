"""Read a user's CSV of (train_percent, mAP[, run]) rows, naming file, line, field and remedy of whatever is wrong."""

from __future__ import annotations

import csv
import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from tal_repro.curves.points import Points, make_points
from tal_repro.curves.units import PERCENT, Units
from tal_repro.errors import InputError

MAX_BYTES = 64 * 2**20
X_NAMES = {
    "percent": ("train_percent", "percent", "p"),
    "fraction": ("train_fraction", "fraction", "train_percent"),
    "count": ("train_count", "count", "examples", "train_percent"),
}
VALUE_NAMES = {"up": ("map", "map_mean", "average_map"), "down": ("error", "error_rate", "map")}
EXAMPLE = "train_percent,mAP,run\n10,18.1,1\n10,18.5,2\n20,38.3,1"
FORMAT = "the first line must be train_percent,mAP or train_percent,mAP,run"

SHOWN_FORMAT = f"give a CSV file: {FORMAT}; then one row per training run, for example\n{EXAMPLE}"


@dataclass(frozen=True)
class Columns:
    """Where the fields stand in a row."""

    header: list[str]
    percent: int
    value: int
    run: int | None
    model: int | None


def read_points(source: str, units: Units = PERCENT) -> Points:
    """Read points from a CSV file, or from standard input if `source` is "-"."""
    name = "standard input" if source == "-" else source
    return parse_points(_read_text(source, name), name, units)


def _read_text(source: str, name: str) -> str:
    if source == "-":
        raw = sys.stdin.buffer.read(MAX_BYTES + 1)
    else:
        path = Path(source)
        if path.is_dir():
            raise InputError("this is a directory", name, SHOWN_FORMAT)
        try:
            with path.open("rb") as file:
                raw = file.read(MAX_BYTES + 1)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            remedy = f"check the path and its permissions; {SHOWN_FORMAT}"
            raise InputError(f"cannot be read ({reason})", name, remedy) from None
    if len(raw) > MAX_BYTES:
        raise InputError(f"holds more than {MAX_BYTES // 2**20} MiB", name, "give one row per training run")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"byte {error.start} is not UTF-8", name, "save the file as plain UTF-8 CSV") from None


def parse_points(text: str, name: str, units: Units = PERCENT) -> Points:
    """Parse CSV text whose first line is train_percent,mAP[,run]; `name` stands in error messages.

    `units` say what the numbers are; the points that come back are in percent and rise with data.
    """
    rows = _rows(text, name)
    header_line, header = next(rows, (0, []))
    if not header_line:
        raise InputError("holds no points", name, SHOWN_FORMAT)
    columns = _columns(header, f"{name}:{header_line}", units)
    seen: dict[tuple[float, str], int] = {}
    model: str | None = None
    x: list[float] = []
    y: list[float] = []
    for line, row in rows:
        where = f"{name}:{line}"
        _check_width(row, header, where)
        model = _one_model(row, columns, model, where)
        percent = _x(row[columns.percent], header[columns.percent], where, units)
        value = _value(row[columns.value], header[columns.value], where, units)
        run = _run(row, columns, value, where)
        if (percent, run) in seen:
            raise _duplicate(percent, run, columns, seen[percent, run], where)
        seen[percent, run] = line
        x.append(percent)
        y.append(value)
    _check_whole(x, y, name, units)
    units = units.with_largest(max(x))
    points = make_points([units.percent(each) for each in x], [units.inner(each) for each in y])
    return replace(points, units=units)


def _rows(text: str, name: str) -> Iterator[tuple[int, list[str]]]:
    """Yield (line, fields) from the header on; blank lines are allowed only before and after the table."""
    if "\0" in text:
        raise InputError("holds a NUL byte", name, "give plain text CSV, not a spreadsheet file")
    lines = text.replace("\r\n", "\n").replace("\r", "\n").rstrip().split("\n")
    first = next((line for line in lines if line.strip()), "")
    delimiter = next((mark for mark in (",", ";", "\t") if mark in first), ",")
    started = False
    for number, line in enumerate(lines, start=1):
        if line.strip():
            started = True
            try:
                yield number, next(csv.reader([line], delimiter=delimiter))
            except csv.Error as error:
                raise InputError(f"not a CSV row ({error})", f"{name}:{number}", "correct it") from None
        elif started:
            raise InputError("the row is empty", f"{name}:{number}", "leave the line out")


def _columns(header: list[str], where: str, units: Units) -> Columns:
    names = [field.strip().lower() for field in header]
    repeated = [field for field in names if names.count(field) > 1]
    if repeated:
        raise InputError(f"column {repeated[0]!r} appears twice", where, "keep one of them")
    x_names, value_names = X_NAMES[units.x], VALUE_NAMES[units.direction]
    percent = next((names.index(name) for name in x_names if name in names), None)
    value = next((names.index(name) for name in value_names if name in names), None)
    if percent is None or value is None:
        missing = x_names[0] if percent is None else "error" if units.falls else "mAP"
        shown = ", ".join(field.strip()[:40] or "(empty)" for field in header[:8])
        raise InputError(f"no column {missing!r} in the header ({shown})", where, _header_remedy(names, units))
    run, model = (names.index(name) if name in names else None for name in ("run", "model"))
    return Columns(header, percent, value, run, model)


def _header_remedy(names: list[str], units: Units) -> str:
    """Say which option reads this header, if one does, else show the format."""
    said = [
        f"--x-unit {unit}" for unit in ("fraction", "count") if unit != units.x and set(X_NAMES[unit][:-1]) & set(names)
    ]
    if not units.falls and {"error", "error_rate"} & set(names):
        said.append("--direction down")
    return f"say {' '.join(said)}" if said else f"{FORMAT}, for example\n{EXAMPLE}"


def _one_model(row: list[str], columns: Columns, model: str | None, where: str) -> str | None:
    if columns.model is None:
        return None
    here = row[columns.model].strip()
    if model is not None and here != model:
        raise InputError(f"a second curve begins ({here[:40]!r} after {model[:40]!r})", where, "keep one model's rows")
    return here


def _check_width(row: list[str], header: list[str], where: str) -> None:
    if len(row) == len(header):
        return
    hint = "a row needs one field per column"
    if len(row) > len(header):
        hint += "; write decimals with a point, not a comma (55.3, not 55,3)"
    raise InputError(f"{len(row)} fields where the header has {len(header)}", where, hint)


def _x(text: str, field: str, where: str, units: Units) -> float:
    """Return an amount of data, in the unit of the user."""
    value, top = _number(text, field, where), {"percent": 100.0, "fraction": 1.0}.get(units.x, math.inf)
    if 0.0 < value <= top:
        return value
    remedy = {
        "percent": "give it in percent, or say --x-unit count",
        "fraction": "give fractions of the data, or say --x-unit percent or --x-unit count",
    }.get(units.x, "give how many examples were trained on")
    allowed = f"(0, {top:g}]" if top < math.inf else "(0, ...)"
    raise InputError(f"field {field.strip()!r} is {value:g}, outside {allowed}", where, remedy)


def _value(text: str, field: str, where: str, units: Units) -> float:
    """Return a value of the metric, in the unit of the user."""
    value, top = _number(text, field, where), 1.0 if units.metric == "fraction" else 100.0
    if 0.0 <= value <= top:
        return value
    remedy = "give it in percent" if top > 1 else "give fractions, or say --metric-unit percent"
    raise InputError(f"field {field.strip()!r} is {value:g}, outside [0, {top:g}]", where, remedy)


def _number(text: str, field: str, where: str) -> float:
    """Return the field as a finite number."""
    field, text = field.strip(), text.strip()
    if not text:
        raise InputError(f"field {field!r} is empty", where, "fill it in, or leave the row out")
    try:
        if "_" in text:  # Python reads 1_0 as 10; a table does not
            raise ValueError
        value = float(text)
    except ValueError:
        comma = "," in text and text.replace(",", "").replace(".", "").lstrip("+-").isdigit()
        remedy = "write decimals with a point (55.3)" if comma else "give a plain number, without a unit"
        raise InputError(f"field {field!r} is not a number: {text[:40]!r}", where, remedy) from None
    if not math.isfinite(value):
        raise InputError(f"field {field!r} is {text[:40]}", where, "give the number that was measured")
    return value


def _run(row: list[str], columns: Columns, value: float, where: str) -> str:
    """Return what tells this run from others at its percentage: its name, or else its value."""
    if columns.run is None:
        return repr(value)
    name = row[columns.run].strip()
    if not name:
        raise InputError("field 'run' is empty", where, "number the runs, or drop the column")
    return name


def _duplicate(percent: float, run: str, columns: Columns, line: int, where: str) -> InputError:
    if columns.run is None:
        remedy = "leave it out; if two runs gave the same mAP, add a column run"
        return InputError(f"repeats line {line} ({percent:g} %, mAP {run})", where, remedy)
    return InputError(f"run {run!r} at {percent:g} % already stands on line {line}", where, "number it anew")


def _check_whole(x: list[float], y: list[float], name: str, units: Units) -> None:
    if len(x) < 2:
        held = "no points" if not x else "one point"
        raise InputError(f"holds {held}; a curve needs more", name, "give at least 4 percentages, better 6")
    for field, values, option, unit in (
        ("mAP", y, "--metric-unit", units.metric),
        ("train_percent", x, "--x-unit", units.x),
    ):
        if unit == "percent" and 0.0 < max(values) <= 1.0:
            what = f"every {field} is at most 1 (largest {max(values):g}): these look like fractions"
            raise InputError(what, name, f"say {option} fraction, or multiply {field} by 100")
