"""Samples of what commands print, for docs/outputs.md: the screens that a test compares with the program."""

from __future__ import annotations

from pathlib import Path

from tal_repro.errors import InputError
from tal_repro.kit import require_checkout
from tal_repro.paper.tables import TextTable, render
from tal_repro.runs.folder import (
    DETECTION_COLUMNS,
    EPOCH_COLUMNS,
    FILE_NAMES,
    MEASUREMENT_COLUMNS,
    METRIC_COLUMNS,
    TRANSIENT,
)

PREFIX = "sample_"
WIDTH = 80
FILES = {
    "spec": "everything that defines the run; its hash names the folder",
    "system": "the machine, versions, and whether the run was alone on it",
    "data": "what the run was made from: digests, layout, timing and features in short",
    "subset": "the training units that were drawn",
    "metrics": f"AP by epoch: {', '.join(METRIC_COLUMNS)}; steps, seconds, flags",
    "epochs": f"a line an epoch: {', '.join(EPOCH_COLUMNS)}",
    "measurements": f"a line a sample: {', '.join(MEASUREMENT_COLUMNS)}",
    "details": "of measurements: MACs by operator, clocks, linearity",
    "trace": "a line a sample of the hardware (docs/measuring.md)",
    "events": "when phases and epochs began and ended",
    "detections": f"what was scored last: {', '.join(DETECTION_COLUMNS)}",
    "log": "what the run printed",
    "status": "when it began and ended, attempts, study, digests of all files",
    "checkpoint": "weights and state",
    "heartbeat": "a sign of life",
}
MOST_LINES = 34  # of a sample; the rest is left out, and said to be


def sample_text(name: str, where: Path) -> str:
    """Return a kept screen as a block of text; raise InputError where none of this name is kept."""
    screen = name.removeprefix(PREFIX).replace("_", "-")
    path = require_checkout("reading a sample") / "tests" / "golden" / "screens" / f"{screen}-{WIDTH}.txt"
    if not path.is_file():
        raise InputError(f"no screen {screen!r} is kept", where, "name one of tests/screens/screens.py")
    lines = path.read_text(encoding="utf-8").rstrip().splitlines()
    left_out = len(lines) - MOST_LINES
    if left_out > 0:
        lines = [*lines[:MOST_LINES], f"... {left_out} lines more"]
    return "\n".join(["```text", *lines, "```"])


def run_files_text() -> str:
    """Return the table of a run's files; raise InputError for a file that it does not explain."""
    if unlike := set(FILES) ^ set(FILE_NAMES):
        raise InputError(f"files and explanations differ: {', '.join(sorted(unlike))}", __name__, "explain each file")
    rows = tuple(
        (f"`{file}`", FILES[name] + (" (only while it runs)" if name in TRANSIENT else ""))
        for name, file in FILE_NAMES.items()
    )
    return render(
        TextTable("Files of a run; each run has those that it needs", ("File", "Holds"), rows), "markdown"
    ).rstrip()
