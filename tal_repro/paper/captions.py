"""The caption file beside each figure: what is drawn, from which rows and runs, exact fits, code version."""

from __future__ import annotations

import json
import subprocess
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tal_repro import __version__
from tal_repro.published.table import spans

if TYPE_CHECKING:
    from tal_repro.paper.figures.drawing import Drawing


def caption_text(drawing: Drawing, number: int) -> str:
    """Return the caption as Markdown."""
    parts = [f"**Figure {number}.** {drawing.caption}", *drawing.notes]
    if any(run.synthetic for run in drawing.runs):
        parts.append("Panels marked SYNTHETIC show runs on made-up data: they say nothing about THUMOS14.")
    parts.append(_section("Source rows", [spans(table) for table in drawing.rows]))
    if drawing.fits:
        text = json.dumps({name: fit.to_dict() for name, fit in drawing.fits.items()}, indent=1, default=_plain)
        parts.append(f"Fits, in full precision:\n\n```json\n{text}\n```")
    parts.append(_section("Runs", [_run(run) for run in drawing.runs]))
    parts.append(f"Drawn by tal-repro {code_version()}.")
    return "\n\n".join(part for part in parts if part) + "\n"


def _section(title: str, lines: list[str]) -> str:
    return f"{title}:\n\n" + "\n".join(f"- {line}" for line in lines) if lines else ""


def _run(run: Any) -> str:
    synthetic = ", SYNTHETIC" if run.synthetic else ""
    data = f", {run.data_name}{synthetic}" if run.data_name else ""
    return f"`{run.run_id}` {run.experiment} {run.model} {run.engine}{data}"


def _plain(value: Any) -> Any:
    return value.tolist() if hasattr(value, "tolist") else str(value)


@cache
def code_version() -> str:
    """Return the kit's version and, in a clone, its commit (with "+" where files differ from it)."""
    folder = Path(__file__).resolve().parent
    try:
        found = subprocess.run(
            ["git", "describe", "--always", "--dirty=+", "--abbrev=10", "--exclude=*"],
            cwd=folder, capture_output=True, text=True, timeout=10, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return __version__
    commit = found.stdout.strip()
    return f"{__version__} ({commit})" if found.returncode == 0 and commit else __version__
