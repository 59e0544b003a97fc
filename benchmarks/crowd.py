"""Everybody in one results folder: runners, trainings, and gc, export, import, verify, report and status beside them.

    python -m benchmarks.crowd [--runs 1000] [--runners 4] [--trainers 2] [--out FILE.json]

Afterwards every planned run is there once, whole, done in one attempt; what was trained and imported is there, too; no
command beside them left with a traceback. Exits 1 otherwise. Stand-in runs and miniature models: nothing here says
anything about a model.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks import skeleton
from benchmarks.kills import commands
from benchmarks.runner import STAND_IN, start, workplace, write_study
from tal_repro.errors import InputError
from tal_repro.runs.record import open_checked
from tal_repro.runs.store import RunStore

PACE = {"epochs": 1, "epoch_seconds": 0.02}
TAL = [sys.executable, "-m", "tal_repro"]
FINE = (0, 1, 2)  # 1: a verdict could change; 2: said in an error


def crowd(folder: Path, runs: int, runners: int, trainers: int) -> dict[str, Any]:
    """Start them all, wait, and look at what is left."""
    train = next(command for command in commands(folder) if command.name == "train")
    results, other = folder / "runs", folder / "other"
    study = write_study(folder / "planned", [10], runs)
    archive = _an_archive(folder, other)
    began = time.monotonic()
    working = [start(study, results, PACE, jobs=1) for _ in range(runners)]
    seeds = iter(range(100))
    training = [_train(train.words, results, next(seeds)) for _ in range(trainers)]
    statuses, trained, said = Counter[str](), trainers, []
    beside = _beside(folder, results, study, archive)
    while any(process.poll() is None for process in working):
        name, words = next(beside)
        ended = subprocess.run([*TAL, *words], capture_output=True, text=True, check=False, env=_environment())
        statuses[f"{name} {ended.returncode}"] += 1
        if ended.returncode not in FINE or "Traceback" in ended.stderr:
            said.append(f"{name}: status {ended.returncode}, {ended.stderr.strip()[-300:]}")
        for place, process in enumerate(training):
            if process.poll() is not None:
                said += [f"train: status {process.returncode}"] * (process.returncode != 0)
                training[place], trained = _train(train.words, results, next(seeds)), trained + 1
    said += [f"run: status {process.returncode}" for process in working if process.returncode]
    said += [f"train: status {process.returncode}" for process in training if process.wait()]
    return {
        "runs": runs, "runners": runners, "trainers": trainers, "trained": trained,
        **_left(results, runs, trained), "beside": dict(statuses), "wrong": said,
        "wall_seconds": round(time.monotonic() - began, 1),
    }  # fmt: skip


def _environment() -> dict[str, str]:
    return {**os.environ, **STAND_IN}


def _an_archive(folder: Path, other: Path) -> Path:
    """Make an archive of three runs of another study."""
    study, archive = write_study(folder / "of-others", [20], 3), folder / "others.tar.gz"
    assert start(study, other, PACE).wait() == 0
    subprocess.run([*TAL, "results", "export", str(archive), "--results", str(other)], check=True, capture_output=True)
    return archive


def _train(words: list[str], results: Path, seed: int) -> subprocess.Popen[bytes]:
    environment = {key: value for key, value in os.environ.items() if key not in STAND_IN}
    command = [*TAL, *words, "--seed", str(seed), "--out", str(results)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _beside(folder: Path, results: Path, study: Path, archive: Path) -> Iterator[tuple[str, list[str]]]:
    """Yield what others do meanwhile, for ever."""
    where, number = ["--results", str(results)], 0
    while True:
        number += 1
        exported = folder / f"exported-{number}.tar.gz"
        yield "gc", ["gc", "--delete", *where]
        yield "import", ["results", "import", str(archive), *where]
        yield "export", ["results", "export", str(exported), *where]
        exported.unlink(missing_ok=True)
        yield "status", ["status", "--study", str(study), *where]
        yield "verify", ["verify", "--study", str(study), *where]
        yield "report", ["report", "--study", str(study), *where, "--out", str(folder / "report")]


def _left(results: Path, runs: int, trained: int) -> dict[str, Any]:
    """Count what is there afterwards: whole, done once, lost, damaged, unfinished."""
    store, counted, damaged = RunStore(results), Counter[str](), []
    for record in store.records():
        try:
            spec = open_checked(record.folder).spec
        except InputError as error:
            damaged.append(str(error))
            continue
        kind = spec.experiment if spec.experiment != "data_sweep" else f"{spec.subset.percent:g} %"  # type: ignore[union-attr]
        counted[kind] += 1
        counted["twice"] += record.status["attempts"] > 1
    return {
        "done": counted["10 %"], "lost": runs - counted["10 %"], "imported": counted["20 %"],
        "trained_there": sum(count for name, count in counted.items() if "%" not in name and name != "twice"),
        "twice": counted["twice"], "damaged": damaged, "unfinished": [path.name for path in store.leftovers()],
    }  # fmt: skip


def main() -> int:
    parser = skeleton.parser(__doc__)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--runners", type=int, default=4)
    parser.add_argument("--trainers", type=int, default=2)
    options = parser.parse_args()
    with workplace(True) as folder:
        report = crowd(folder, options.runs, options.runners, options.trainers)
    print(report)
    skeleton.write(options.out, {"schema": "tal-repro/bench-crowd/1", **report})
    missing = report["lost"] or report["imported"] != 3 or report["trained_there"] != report["trained"]
    return int(bool(missing or report["twice"] or report["damaged"] or report["wrong"] or report["unfinished"]))


if __name__ == "__main__":
    sys.exit(main())
