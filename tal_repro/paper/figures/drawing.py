"""What every figure is given and gives back, and how it is saved: PNG, PDF, SVG and a caption that names its rows."""

from __future__ import annotations

import io
import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tal_repro import __version__
from tal_repro.errors import InputError
from tal_repro.files import write_whole
from tal_repro.published.load import Published
from tal_repro.published.table import Table, spans
from tal_repro.runs.load import Runs
from tal_repro.runs.run import Run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from tal_repro.curves import Fit


def caption_text(drawing: Drawing, number: int) -> str:
    """Return the caption as Markdown."""
    parts = [f"**Figure {number}.** {drawing.caption}", *drawing.notes]
    if any(run.synthetic for run in drawing.runs):
        parts.append("Panels marked SYNTHETIC show runs on made-up data: they say nothing about THUMOS14.")
    if own := sorted({run.data_name for run in drawing.runs if run.other_data}):
        parts.append(f"Runs are of {', '.join(own)}, not of THUMOS14: they judge no claim of the paper.")
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
        answer = subprocess.run(
            ["git", "describe", "--always", "--dirty=+", "--abbrev=10", "--exclude=*"],
            cwd=folder, capture_output=True, text=True, timeout=10, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return __version__
    commit = answer.stdout.strip()
    return f"{__version__} ({commit})" if answer.returncode == 0 and commit else __version__


Source = Literal["published", "measured", "both", "auto"]
FORMATS = ("png", "pdf", "svg")
DPI = 300
# Nothing that changes from one drawing to the next: the same numbers give the same bytes.
METADATA: dict[str, dict[str, Any]] = {"png": {"Software": None}, "pdf": {"CreationDate": None}, "svg": {"Date": None}}


@dataclass(frozen=True)
class Material:
    """The numbers a figure may draw from. `source` says which of them it should; auto: what is published beside runs of
    THUMOS14 and made-up runs, not beside those of a data set of one's own."""

    published: Published
    runs: Runs
    source: Source = "auto"

    @property
    def draws_published(self) -> bool:
        return self.source in ("published", "both") or (self.source == "auto" and not self.runs.own_set)

    @property
    def draws_measured(self) -> bool:
        return self.source != "published"


class NotRun(InputError):
    """A figure that needs runs which do not exist."""


@dataclass
class Drawing:
    """A finished figure and everything its caption must name."""

    figure: Figure
    caption: str
    rows: list[Table] = field(default_factory=list)
    fits: dict[str, Fit] = field(default_factory=dict)
    runs: list[Run] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def save(drawing: Drawing, number: int, folder: Path) -> list[Path]:
    """Write figure-N.png, .pdf, .svg and .caption.md whole into `folder`, and return their paths."""
    from tal_repro.paper.figures.style import applied

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot make this folder ({error.strerror})", folder, "choose another with --out") from None
    contents: dict[str, bytes] = {}
    with applied():
        for extension in FORMATS:
            buffer = io.BytesIO()
            drawing.figure.savefig(buffer, format=extension, dpi=DPI, metadata=METADATA[extension])
            contents[extension] = buffer.getvalue()
    contents["caption.md"] = caption_text(drawing, number).encode()
    return _write(contents, number, folder)


def _write(contents: dict[str, bytes], number: int, folder: Path) -> list[Path]:
    paths = []
    for extension, content in contents.items():
        path = folder / f"figure-{number}.{extension}"
        try:
            write_whole(path, content)
        except OSError as error:
            raise InputError(f"cannot be written ({error.strerror})", path, "choose another place with --out") from None
        paths.append(path)
    return paths


def used(runs: Sequence[Run]) -> list[Run]:
    """Return runs without repetition, in their order."""
    return list({run.run_id: run for run in runs}.values())
