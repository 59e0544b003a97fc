"""A TOML table read key by key with checks at the door: every error names the file, the key and what is allowed."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tal_repro.errors import InputError
from tal_repro.spec import check_percent

_MAX_BYTES = 1 << 20  # a study file is a page; anything larger is not one
_REQUIRED: Any = object()


@dataclass
class Table:
    """One table of a study file and the keys read from it so far."""

    values: dict[str, Any]
    where: str
    read: set[str] = field(default_factory=set)

    def get(self, key: str, default: Any = _REQUIRED) -> Any:
        """Return a key's value; raise InputError where it is required and missing."""
        self.read.add(key)
        if key in self.values:
            return self.values[key]
        if default is _REQUIRED:
            raise InputError(f"key {key!r} is missing", self.where)
        return default

    def text(self, key: str, default: Any = _REQUIRED) -> str:
        value = str(self._typed(key, default, str, "text"))
        if not value.isprintable():  # it is shown on terminals
            raise self.error(key, value, "use one line without control characters")
        return value

    def flag(self, key: str, default: bool) -> bool:
        return bool(self._typed(key, default, bool, "true or false"))

    def number(self, key: str, default: Any = _REQUIRED, low: float = 0.0, high: float = 1e9) -> float:
        value = self._typed(key, default, (int, float), "a number")
        if not low <= value <= high:
            raise self.error(key, value, f"use a number of {low:g} or more, at most {high:g}")
        return float(value)

    def positive(self, key: str, high: float) -> float | None:
        """Return a number above 0 and at most `high`; None where the key is not there."""
        if self.get(key, None) is None:
            return None
        value = self._typed(key, _REQUIRED, (int, float), "a number")
        if not 0 < value <= high:
            raise self.error(key, value, f"use a number above 0, at most {high:g}")
        return float(value)

    def integer(self, key: str, default: Any = _REQUIRED, low: int = 0) -> int:
        value = self._typed(key, default, int, "a whole number")
        if value < low:
            raise self.error(key, value, f"use a whole number of {low} or more")
        return int(value)

    def integers(self, key: str, default: Any = _REQUIRED, low: int = 0) -> list[int]:
        values = self._list(key, default)
        for value in values:
            if isinstance(value, bool) or not isinstance(value, int) or value < low:
                raise self.error(key, value, f"use whole numbers of {low} or more")
        return values

    def texts(self, key: str, default: Any = _REQUIRED) -> list[str]:
        values = self._list(key, default)
        for value in values:
            if not isinstance(value, str):
                raise self.error(key, value, "use texts")
        return values

    def percentages(self, key: str) -> list[float]:
        """Return a list of percentages, or {from, to, step} spelled out."""
        raw = self.get(key)
        if isinstance(raw, dict):
            span = Table(raw, f"{self.where}.{key}")
            low, high, step = span.integer("from", low=1), span.integer("to", low=1), span.integer("step", 1, low=1)
            span.reject_unknown()
            for value in (low, high):  # before the list is made
                check_percent(value, span.where)
            raw = list(range(low, high + 1, step))
            self.values[key] = raw
        values = self._list(key)
        for value in values:
            check_percent(value, f"{self.where}.{key}")
        return [float(value) for value in values]

    def choice(self, key: str, allowed: Sequence[str], default: Any = _REQUIRED) -> str:
        value = self.get(key, default)
        if value not in allowed:
            raise self.error(key, value, f"use one of: {', '.join(item for item in allowed if item)}")
        return str(value)

    def choices(self, key: str, allowed: Sequence[str], default: Iterable[str]) -> list[str]:
        values = self._list(key, list(default), empty_allowed=True)
        for value in values:
            if value not in allowed:
                raise self.error(key, value, f"use any of: {', '.join(allowed)}")
        return values

    def expect(self, key: str, allowed: Sequence[str]) -> None:
        self.choice(key, allowed)

    def table(self, key: str) -> Table:
        """Return a sub-table (empty where it is missing)."""
        value = self._typed(key, {}, dict, "a table")
        return Table(dict(value), f"{self.where}.{key}" if "[" in self.where else f"{self.where}: {key}")

    def tables(self, key: str) -> list[Table]:
        """Return the tables of an array of tables, of which there must be one."""
        values = self._list(key)
        if not all(isinstance(value, dict) for value in values):
            raise InputError(f"{key} is not an array of tables", self.where, f"write [[{key}]]")
        return [Table(dict(value), f"{self.where}: {key}[{index}]") for index, value in enumerate(values)]

    def reject_unknown(self) -> None:
        """Raise InputError for a key that nobody asked for."""
        unknown = sorted(set(self.values) - self.read)
        if unknown:
            raise InputError(f"unknown key {unknown[0]!r}", self.where, f"known keys: {', '.join(sorted(self.read))}")

    def error(self, key: str, value: Any, remedy: str) -> InputError:
        return InputError(f"{key} = {value!r}", self.where, remedy)

    def _typed(self, key: str, default: Any, kind: Any, words: str) -> Any:
        value = self.get(key, default)
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise self.error(key, value, f"use {words}")
        return value

    def _list(self, key: str, default: Any = _REQUIRED, empty_allowed: bool = False) -> list[Any]:
        value = self.get(key, default)
        if not isinstance(value, list) or (not value and not empty_allowed):
            raise self.error(key, value, "use a list with at least one value")
        return value


NO_STUDY = "check the path, or name a shipped study (--study demo)"


def read_table(path: Path, remedy: str = NO_STUDY) -> Table:
    """Parse a study file, or one like it; raise InputError naming file and line. `remedy`: where there is none."""
    try:
        if path.exists() and not path.is_file():
            raise InputError("not a file", path, "give the path of a .toml file")
        with path.open("rb") as stream:
            content = stream.read(_MAX_BYTES + 1)
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror})", path, remedy) from None
    return parse_table(content, str(path))


def parse_table(content: bytes, where: str) -> Table:
    """Parse the text of a study file; raise InputError naming the place."""
    if len(content) > _MAX_BYTES:
        raise InputError(f"larger than {_MAX_BYTES} bytes: not a study file", where)
    try:
        return Table(tomllib.loads(content.decode("utf-8")), where)
    except UnicodeDecodeError:
        raise InputError("not UTF-8 text", where, "save it as UTF-8") from None
    except (ValueError, RecursionError) as error:  # also a number or a nesting that this Python refuses to read
        raise InputError(f"not TOML: {error}", where, "see tal_repro/studies/demo.toml for one that is") from None
