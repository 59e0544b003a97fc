"""The advice as a page shows it: data for a chart and tables, sentences first. For `tal_repro.paper.report`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tal_repro.advice.build import DELTA, advise
from tal_repro.advice.words import duration, sentences
from tal_repro.errors import InputError
from tal_repro.runs.load import Runs

Table = dict[str, list[str]]  # header -> cells


@dataclass(frozen=True)
class Section:
    """What to show: `sentences` in their order, then the tables; `data` holds every number (schemas/advise.json)."""

    sentences: list[str]
    data: dict[str, Any]
    tables: dict[str, Table]  # caption -> table


def section(
    runs: Runs,
    delta: float = DELTA,
    budget_hours: float | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Section | None:
    """Return the section of a study's runs; None where they hold no data sweep."""
    try:
        advice = advise(runs, delta, budget_hours, say)
    except InputError:
        return None
    return Section(sentences(advice), advice, tables(advice))


def tables(advice: dict[str, Any]) -> dict[str, Table]:
    """Return the numbers behind the sentences, as text."""
    shown = {
        "mAP at more labelled videos": _ahead(advice),
        "mAP against cost": _costs(advice),
    }
    if advice["classes"]["rows"]:
        shown["Classes"] = _classes(advice)
    return shown


def _ahead(advice: dict[str, Any]) -> Table:
    table: Table = {"model": [], "mAP now (%)": [], "at (%)": []}
    for curve in advice["curves"]:
        table["model"].append(curve["title"])
        table["mAP now (%)"].append(f"{curve['last_map']:.1f}")
        table["at (%)"].append(f"{curve['last_percent']:g}")
        for row in curve["ahead"]:
            table.setdefault(f"x {row['times']:g} ({curve['level']:.0%} interval)", []).append(_interval(row))
    table["pays"] = [curve["pays"] for curve in advice["curves"]]
    return table


def _interval(row: dict[str, Any]) -> str:
    if not row["answerable"]:
        return "cannot tell"
    low, high = row["interval"]
    return f"{row['prediction']:.1f} ({low:.1f} to {high:.1f})"


def _costs(advice: dict[str, Any]) -> Table:
    rows = advice["models"]
    return {
        "model": [row["title"] for row in rows],
        "mAP (%)": [f"{row['map']:.1f}" for row in rows],
        "Runs": [str(row["runs"]) for row in rows],
        "training": ["-" if row["seconds"] is None else duration(row["seconds"]) for row in rows],
        "best for its time": ["yes" if row["efficient"] else "no" for row in rows],
        "machine": [", ".join(row["devices"]) for row in rows],
    }


def _classes(advice: dict[str, Any]) -> Table:
    rows = advice["classes"]["rows"]
    return {
        "class": [row["class"] for row in rows],
        "AP now": [f"{row['last_ap']:.1f}" for row in rows],
        "last step": [f"{row['last_rise']:+.1f}" for row in rows],
        "with twice the videos": [_interval(row["at_twice"]) for row in rows],
        "pays": [row["pays"] for row in rows],
    }
