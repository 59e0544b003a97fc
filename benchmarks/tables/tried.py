"""The tables of README.md that say of each part and platform whether it was tested here, simulated, or never run."""

from __future__ import annotations

import importlib
import importlib.util
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from tal_repro.errors import InputError
from tal_repro.kit import require_checkout
from tal_repro.paper.tables import TextTable, render

TRIED_FILE = Path(__file__).with_name("tried.toml")
GPU_LIST = "tal_repro.gpu_check"  # the package's own list of what no GPU has run yet
STATES = {
    "tested": "at every change, by the default tests and `bash .ci/run`",
    "tested on demand": "by tests that need something installed: `bash .ci/run`",
    "by hand": "once, here; a report or a script is kept",
    "simulated": "with a stand-in for what was not at hand",
    "never run": "written, and not tried anywhere",
}


@dataclass(frozen=True)
class Part:
    """A part of the kit or a platform: whether it was tried, on what data, and what shows it."""

    name: str
    state: str
    shown_by: tuple[str, ...] = ()
    data: str = ""
    note: str = ""


@cache
def load_tried(path: Path = TRIED_FILE) -> dict[str, tuple[Part, ...]]:
    """Return `parts` and `platforms`; raise InputError for an unknown state, and for evidence that is not there."""
    content = tomllib.loads(path.read_text(encoding="utf-8"))
    return {kind: tuple(_part(entry, path) for entry in content[kind]) for kind in ("parts", "platforms")}


def _part(entry: dict[str, Any], path: Path) -> Part:
    part = Part(**{**entry, "shown_by": tuple(entry.get("shown_by", ()))})
    where = f"{path.name}: {part.name}"
    if part.state not in STATES:
        raise InputError(f"unknown state {part.state!r}", where, f"use one of: {', '.join(STATES)}")
    if part.state != "never run" and not part.shown_by:
        raise InputError("nothing shows it", where, "name the tests, script or report in `shown_by`")
    for shown in part.shown_by:
        if not (require_checkout("looking for evidence") / shown).exists():
            raise InputError(f"no such file: {shown}", where, "name what shows it now")
    return part


def tried_text() -> str:
    """Return the table of parts, and what no GPU has run yet by the package's own list, where there is one."""
    header = ("Part", "State", "Data", "Shown by")
    rows = tuple((part.name, part.state, part.data or "-", _links(part.shown_by)) for part in load_tried()["parts"])
    notes = tuple(f"*{state}*: {meaning}." for state, meaning in STATES.items())
    if never := never_on_a_gpu():
        notes += (f"Never run on a GPU (`tal-repro gpu-check` prints this list): {'; '.join(never)}.",)
    return render(TextTable("What was tried", header, rows, notes), "markdown").rstrip()


def platforms_text() -> str:
    """Return the table of platforms."""
    rows = tuple((part.name, part.state, part.note or "-") for part in load_tried()["platforms"])
    return render(TextTable("Platforms", ("Platform", "State", "Note"), rows), "markdown").rstrip()


def _links(paths: Iterable[str]) -> str:
    return ", ".join(f"[{path}]({path})" for path in paths)


def never_on_a_gpu() -> list[str]:
    """Return the package's list of what no GPU has run; [] in a version that keeps none."""
    if importlib.util.find_spec(GPU_LIST) is None:
        return []
    untried = importlib.import_module(f"{GPU_LIST}.untried")
    kept = importlib.import_module("tal_repro.run.room").kept_reports()
    return list(untried.never_run(report for _, report in kept))
