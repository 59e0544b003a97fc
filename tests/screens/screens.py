"""What commands print on terminals of 60, 80 and 120 columns, kept as text in tests/golden/screens.

Written by `python -m tests.screens.screens`; docs/outputs.md shows some at 80 columns. Each command runs in this
process, in a folder that holds a small made-up data set (SYNTHETIC), points of a curve and made-up finished runs.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

from click.testing import CliRunner

from tal_repro.cli import main
from tal_repro.runs.store import RunStore
from tests.data.made_up_set import write_set
from tests.paper import made_up_runs

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "screens"
WIDTHS = (60, 80, 120)
POINTS = "train_percent,mAP,run\n10,18.1,1\n10,18.5,2\n20,38.3,1\n40,50.2,1\n60,54.0,1\n80,56.1,1\n"
# Name of the screen -> the words after `tal-repro`; {RUN} is the id of a made-up run.
SCREENS = {
    "help": "--help",
    "verify": "verify",
    "verify-claim": "verify --claim T2.3",
    "table-2": "table 2 --format text",
    "forecast": "forecast points.csv",
    "forecast-help": "forecast --help",
    "data-describe": "data describe annotations.json features.h5 --out my-data.toml",
    "study-new": "study new --data my-data.toml --models tadtr,actionformer --trial --out my-study.toml",
    "plan": "plan --study my-study.toml",
    "status": "status --study demo --results runs",
    "show": "show {RUN} --results golden",
    "advise": "advise --results runs",
    "gc": "gc --results runs",
    "doctor-help": "doctor --help",
}


@contextmanager
def workplace() -> Iterator[str]:
    """Stand in a folder with data, points and runs; yield a run's id. Wording must not depend on where it lies."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write_set(root, "hdf5")
        (root / "points.csv").write_text(POINTS)
        for model, top, bend in (("tadtr", 70, 14), ("actionformer", 80, 38)):
            for percent in (10, 20, 40, 60, 80, 100):
                value = top * (1 - 2 ** (-percent / bend))
                made_up_runs.training(root / "runs", model, value, percent=percent, seconds=percent / 10)
        shutil.copytree(GOLDEN.parent / "runs", root / "golden")
        os.chdir(root)
        try:
            # made-up runs belong to no study: let all of them count
            with patch("tal_repro.planned.planned", lambda *_, **__: None):
                yield next(iter(RunStore(root / "golden").records())).spec.run_id
        finally:
            os.chdir(before)


def screens(width: int) -> Iterator[tuple[str, str]]:
    """Yield (name, what the command prints on both streams) at a width, in the order of SCREENS."""
    environment = {"COLUMNS": str(width), "NO_COLOR": "1", "TAL_REPRO_DATA": None, "TAL_REPRO_GRID": None}
    with workplace() as run_id:
        for name, words in SCREENS.items():
            call = shlex.split(words.format(RUN=run_id))
            answer = CliRunner(env=environment).invoke(main, call, prog_name="tal-repro", terminal_width=width)
            if answer.exit_code != 0:
                raise AssertionError(f"{name}: {answer.output}{answer.exception!r}")
            yield name, f"$ tal-repro {words}\n{without_time(answer.output)}"


def without_time(text: str) -> str:
    """Return text without what differs from one time or machine to another."""
    return re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+(Z|\+00:00)?", "2026-01-01T00:00:00Z", text)


def golden(name: str, width: int) -> Path:
    """Return the file that holds a screen."""
    return GOLDEN / f"{name}-{width}.txt"


def write() -> None:
    """Write every golden file anew."""
    for path in GOLDEN.glob("*.txt"):
        path.unlink()
    for width in WIDTHS:
        for name, text in screens(width):
            golden(name, width).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write()
    sys.stderr.write("look at what has changed: git diff tests/golden/screens\n")
