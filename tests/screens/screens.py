"""What commands print on terminals of 60, 80 and 120 columns, kept as text in tests/golden/screens.

Written by `python -m tests.screens.screens`; docs/outputs.md shows some at 80 columns. Each command runs in this
process, in a folder that holds a small made-up data set (SYNTHETIC), points of a curve and made-up finished runs.
"""

from __future__ import annotations

import json
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
    "data-synth": "data synth --layout annotations --videos 40 --test 20 --out annotations",
    "subset": "subset --data my-data.toml --percent 50",
    "evaluate": "evaluate made.csv annotations.json --subset validation --protocol activitynet --errors",
    "table-1": "table 1 --format text",
    "run-dry": "run --study my-study.toml --results new --dry-run",
    "compare": "compare cpu-2core-epyc-zen3 cpu-2core-epyc-zen3",
    "results-export": "results export runs.tar.gz --results golden",
    "results-import": "results import runs.tar.gz --results imported",
    "forecast-refused": "forecast few.csv",
    "error-forecast": "forecast",
    "error-data": "data verify nowhere",
    "error-show": "show zzz --results runs",
    "error-released": "released --model tadtr --checkpoint nowhere.pth --data nowhere",
}
# What differs from machine to machine, or takes long: its lines are measured and not kept.
MEASURED = (
    "doctor", "doctor --study demo", "data verify packed", "gpu-check", "upstream status", "data pack packed",
    "plan --study demo", "gc --results broken", "data fetch thumos14 --layout tadtr --from nowhere",
)  # fmt: skip
# first and last lines that are kept of a long screen
CUT = {"verify": (18, 14), "compare": (8, 6), "run-dry": (20, 8), "evaluate": (20, 8)}


@contextmanager
def workplace() -> Iterator[str]:
    """Stand in a folder with data, points and runs; yield a run's id. Wording must not depend on where it lies."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write_set(root, "hdf5")
        (root / "points.csv").write_text(POINTS)
        (root / "few.csv").write_text("".join(POINTS.splitlines(keepends=True)[:3]))
        (root / "made.csv").write_text(_detections(root / "annotations.json"))
        for model, top, bend in (("tadtr", 70, 14), ("actionformer", 80, 38)):
            for percent in (10, 20, 40, 60, 80, 100):
                value = top * (1 - 2 ** (-percent / bend))
                made_up_runs.training(root / "runs", model, value, percent=percent, seconds=percent / 10)
        shutil.copytree(GOLDEN.parent / "runs", root / "golden")
        shutil.copytree(GOLDEN.parent / "runs", root / "broken")
        next((root / "broken").rglob("spec.json")).parent.rename(root / "broken" / "a-run.failed")
        os.chdir(root)
        try:
            # made-up runs belong to no study: let all of them count
            with patch("tal_repro.planned.planned", lambda *_, **__: None):
                yield next(iter(RunStore(root / "golden").records())).spec.run_id
        finally:
            os.chdir(before)


def _detections(annotations: Path) -> str:
    """Return made-up detections of the first action of each video, as a CSV."""
    videos = json.loads(annotations.read_text())["database"]
    first = {name: video["annotations"][0] for name, video in videos.items() if video["annotations"]}
    rows = [f"{name},{one['segment'][0]},{one['segment'][1]},{one['label']},0.9" for name, one in first.items()]
    return "\n".join(["video_id,start_s,end_s,label,score", *rows]) + "\n"


def measured(width: int) -> Iterator[tuple[str, str]]:
    """Yield (command, what it prints on both streams) at a width, for those that are not kept."""
    with workplace():
        made = "data synth --layout actionformer --videos 6 --test 4 --feature-dim 8 --set seconds=20-30 --out packed"
        for words in (made, *MEASURED):
            answer = CliRunner(env=_environment(width)).invoke(main, shlex.split(words), prog_name="tal-repro")
            if answer.exception and not isinstance(answer.exception, SystemExit):
                raise AssertionError(words) from answer.exception
            yield words, answer.output


def _environment(width: int) -> dict[str, str | None]:
    return {"COLUMNS": str(width), "NO_COLOR": "1", "TAL_REPRO_DATA": None, "TAL_REPRO_GRID": None}


def screens(width: int) -> Iterator[tuple[str, str]]:
    """Yield (name, what the command prints on both streams) at a width, in the order of SCREENS."""
    with workplace() as run_id:
        for name, words in SCREENS.items():
            call = shlex.split(words.format(RUN=run_id))
            answer = CliRunner(env=_environment(width)).invoke(main, call, prog_name="tal-repro", terminal_width=width)
            if answer.exit_code != (2 if name.startswith("error-") else 0):
                raise AssertionError(f"{name}: {answer.output}{answer.exception!r}")
            yield name, f"$ tal-repro {words}\n{_cut(name, without_time(answer.output))}"


def _cut(name: str, text: str) -> str:
    """Return the first and last lines of a long screen, all of others."""
    lines = text.splitlines()
    if name not in CUT or len(lines) <= sum(CUT[name]):
        return text
    first, last = CUT[name]
    return "\n".join([*lines[:first], f"... {len(lines) - first - last} lines", *lines[-last:]]) + "\n"


def without_time(text: str) -> str:
    """Return text without what differs from one time or machine to another."""
    text = re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+(Z|\+00:00)?", "2026-01-01T00:00:00Z", text)
    text = text.replace("started: 1000000000.0", "started: 2026-01-01T00:00:00Z")  # a made-up run has made-up seconds
    return re.sub(r"(?<=, )\d+\.\d s(?=\))", "0.1 s", text)  # what making a data set took


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
