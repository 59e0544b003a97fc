"""The table of docs/measuring.md from `results/reference`: what a training step of each model and engine waits for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.tables.reports import read_report
from tal_repro.kit import reference_folder
from tal_repro.models.registry import MODELS
from tal_repro.paper.tables import TextTable, render

Json = Mapping[str, Any]
ENGINES = {"native": "native", "upstream": "authors'"}
PARTS = ("data_wait", "synchronisation", "operators", "python")
NOTE = (
    "Shares of a mean step. A faster core is an estimate (Amdahl's law), not a measurement. Features are SYNTHETIC, of "
    "THUMOS14's usual lengths; recipes are the paper's, at full size."
)


def steps_waited_text() -> str:
    """Return a table for each system that training steps were accounted for on."""
    systems = sorted({path.parent.parent for path in reference_folder().glob("*/attribution/*.json")})
    return "\n\n".join(_table(system) for system in systems)


def _table(system: Path) -> str:
    found = {
        (model, engine): read_report(path)
        for model in MODELS
        for engine in ENGINES
        if (path := system / "attribution" / f"{model}-{engine}.json").is_file()
    }
    header = (
        "Model",
        "Engine",
        "Step",
        "Loader",
        "Waiting for a device",
        "Operators",
        "Python",
        "Verdict",
        "Core 1.5x",
    )
    rows = tuple(
        (MODELS[model].title, ENGINES[engine], _step(one), *_shares(one), _verdict(one), _estimate(one))
        for (model, engine), one in found.items()
    )
    about = next(iter(found.values()))["measured"]
    caption = f"What a training step waits for on {about['machine']} (threads: {about['threads']}), `{system.name}`"
    return render(TextTable(caption, header, rows, (NOTE,)), "markdown").rstrip()


def _step(one: Json) -> str:
    totals = [wait + work for wait, work in one["samples_ms"]]
    return f"{one['step_ms']:,.0f} ms ({min(totals):,.0f} to {max(totals):,.0f}, n = {one['steps']})"


def _shares(one: Json) -> tuple[str, ...]:
    return tuple(f"{one['host'][part]:.0%}" for part in PARTS)


def _estimate(one: Json) -> str:
    return f"{one['what_if']['core_1.5x']:.0%} of the step"


def _verdict(one: Json) -> str:
    """Return the verdict without the model, engine and device before it: the row has them."""
    return str(one["verdict"]).partition(": ")[2]
