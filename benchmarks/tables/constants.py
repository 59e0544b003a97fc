"""Numbers of the documents that are constants of the code: `constants.toml` says where each stands, and its format.

`at` names one attribute or several, as "module:NAME"; `as` is a format with a place for each number: `{}` as it is,
`{:percent}` of a share, `{:points}` of mAP, `{:minutes}` of seconds, `{:KiB}` and `{:GiB}` of bytes, `{:GiB of MiB}`.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from functools import partial
from importlib import import_module
from operator import attrgetter
from pathlib import Path
from typing import Any

CONSTANTS_FILE = Path(__file__).with_name("constants.toml")
# Format -> by what the constant is multiplied, and the unit that follows it.
SCALES = {
    "": (1.0, ""),
    "percent": (100.0, " %"),
    "points": (100.0, " points"),
    "minutes": (1 / 60, " minutes"),
    "KiB": (2.0**-10, " KiB"),
    "GiB": (2.0**-30, " GiB"),
    "GiB of MiB": (2.0**-10, " GiB"),
    "milliseconds": (1000.0, " ms"),
}


class Number(float):
    """A constant that is written in the unit that its format names."""

    def __format__(self, form: str) -> str:
        factor, unit = SCALES[form]
        value = round(self * factor, 9)
        return f"{int(value):,}{unit}" if value == int(value) else f"{value:g}{unit}"


def constants() -> dict[str, Callable[[], str]]:
    """Return for each name of `constants.toml` what writes its number."""
    entries = tomllib.loads(CONSTANTS_FILE.read_text(encoding="utf-8"))
    return {name: partial(written, *_places(entry["at"]), form=entry["as"]) for name, entry in entries.items()}


def written(*places: str, form: str) -> str:
    """Return the constants at those places in a format; a place that holds several gives all of them."""
    return form.format(*(Number(number) for place in places for number in _numbers(place)))


def _numbers(place: str) -> tuple[float, ...]:
    module, _, name = place.partition(":")
    found: Any = attrgetter(name)(import_module(module))
    return tuple(found) if isinstance(found, tuple) else (found,)


def _places(at: str | list[str]) -> list[str]:
    return [at] if isinstance(at, str) else at
