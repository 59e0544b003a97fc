"""A run that measures time goes alone, whoever started the others; what it cannot keep away is measured and told."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tal_repro.engines.adapter import StopRequested
from tal_repro.measure import surroundings
from tal_repro.run import outcomes, turns, worker
from tal_repro.run.job import Job
from tal_repro.run.signals import StopFlag
from tal_repro.run.turns import turn
from tal_repro.run.watch import LifeSigns
from tal_repro.runs.run import open_run
from tal_repro.runs.store import RunStore
from tal_repro.study import Study, load_study
from tests.run.conftest import ROOT, study_text

HOLD = """
import sys, time
from pathlib import Path
from tal_repro.run.turns import turn
with turn(Path(sys.argv[1]), "cpu", sys.argv[2] == "exclusive", lambda: time.sleep(0.02)):
    print("has it", flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep other tests and runs of this machine out."""
    monkeypatch.setenv(turns.TURNS_VARIABLE, str(tmp_path / "turns"))
    monkeypatch.setattr(turns, "LOOK_SECONDS", 0.01)


@pytest.fixture
def hold(tmp_path: Path) -> Any:
    """Hold the machine's CPU in another process."""
    started: list[subprocess.Popen[str]] = []

    def start(root: str, how: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", HOLD, str(tmp_path / root), how],
            env={**os.environ, "PYTHONPATH": str(ROOT)}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        started.append(process)
        assert process.stdout is not None and process.stdout.readline() == "has it\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


class Busy(Exception):
    """Raised in place of waiting."""


def refuse() -> None:
    raise Busy


def is_free(root: Path, *, exclusive: bool) -> bool:
    try:
        with turn(root, "cpu", exclusive, refuse):
            return True
    except Busy:
        return False


@pytest.mark.parametrize("root", ["a", "b"])  # of the other runner: the same results folder, or another one
def test_nothing_joins_a_run_that_measures_time_and_it_joins_nothing(tmp_path: Path, hold: Any, root: str) -> None:
    other = hold(root, "shared")
    assert is_free(tmp_path / "a", exclusive=False) and not is_free(tmp_path / "a", exclusive=True)
    other.communicate("")
    hold(root, "exclusive")
    assert not is_free(tmp_path / "a", exclusive=False)


def test_nobody_passes_a_run_that_waits_to_be_alone(tmp_path: Path, hold: Any) -> None:
    other = hold("a", "shared")
    waits, let_in = threading.Event(), []

    def wait() -> None:
        with turn(tmp_path / "a", "cpu", True, waits.set):
            let_in.append(time.monotonic())

    thread = threading.Thread(target=wait)
    thread.start()
    assert waits.wait(5)
    command = [sys.executable, "-c", HOLD.replace("time.sleep(0.02)", "sys.exit(75)"), str(tmp_path / "a"), "shared"]
    assert subprocess.run(command, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False).returncode == 75
    other.communicate("")
    thread.join(5)
    assert let_in


def test_a_folder_of_somebody_else_is_not_used(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "turns").symlink_to(tmp_path / "elsewhere")
    assert is_free(tmp_path / "a", exclusive=True)
    assert not list((tmp_path / "elsewhere").iterdir())


def test_a_folder_of_another_user_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "turns").mkdir()
    somebody_else = os.getuid() + 1
    monkeypatch.setattr(turns.os, "getuid", lambda: somebody_else)  # then the folder is not this user's
    assert is_free(tmp_path / "a", exclusive=True)
    assert not list((tmp_path / "turns").iterdir())


def test_a_lock_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    assert is_free(tmp_path / "a", exclusive=True)
    locks = list((tmp_path / "turns").iterdir())
    assert locks
    for path in locks:
        path.unlink()
        path.symlink_to(tmp_path / f"elsewhere-{path.name}")
    assert is_free(tmp_path / "a", exclusive=True)
    assert not list(tmp_path.glob("elsewhere-*"))


@pytest.fixture
def timed(tmp_path: Path, stand_in: Callable[..., None]) -> Study:
    path = tmp_path / "timed.toml"
    path.write_text(study_text(extra='[[experiments]]\nexperiment = "baseline"\nmodels = ["tadtr"]\nseeds = [0]'))
    return load_study(str(path))


def execute(study: Study, store: RunStore, stop: StopFlag | None = None) -> int:
    spec = next(spec for spec in study.runs() if spec.experiment == "baseline")
    job = Job(spec.to_json(), str(store.root), None, "cpu", alone=True, exclusive=True)
    return worker.execute(job, spec, store, stop or StopFlag(), log=False)


@pytest.mark.parametrize(("others", "alone"), [(3.0, True), (70.0, False)])
def test_alone_is_what_was_measured(
    timed: Study, store: RunStore, monkeypatch: pytest.MonkeyPatch, others: float, alone: bool
) -> None:
    monkeypatch.setattr(surroundings.Meanwhile, "over", lambda self: {"seconds": 9.0, "others_cpu_percent": others})
    assert execute(timed, store) == outcomes.DONE
    run = open_run(next(store.records()).folder)
    assert (run.alone, bool(run.scores)) == (alone, True)
    assert run.doubtful == ([] if alone else ["others used 70 % of the CPU meanwhile"])
    assert run.system["surroundings"]["meanwhile"]["others_cpu_percent"] == others


def test_a_disturbed_attempt_is_not_forgotten(
    timed: Study, store: RunStore, monkeypatch: pytest.MonkeyPatch, stand_in: Callable[..., None]
) -> None:
    stop = StopFlag()
    stop.wish = "epoch"
    with monkeypatch.context() as disturbed:
        disturbed.setattr(surroundings.Meanwhile, "over", lambda self: {"others_cpu_percent": 70.0})
        assert execute(timed, store, stop) == outcomes.STOPPED
    monkeypatch.setattr(surroundings.Meanwhile, "over", lambda self: {"others_cpu_percent": 0.0})
    assert execute(timed, store) == outcomes.DONE
    assert json.loads(next(store.records()).paths.system.read_text())["alone"] is False


def test_who_waits_shows_signs_of_life_and_can_be_stopped(timed: Study, store: RunStore, hold: Any) -> None:
    hold("runs", "exclusive")
    stop = StopFlag()
    threading.Timer(0.2, lambda: setattr(stop, "wish", "epoch")).start()
    assert execute(timed, store, stop) == outcomes.STOPPED
    (heartbeat,) = store.root.glob("baseline/*/*.partial/heartbeat")
    life = LifeSigns(heartbeat.parent)
    life.looked -= 2
    assert life.silent_seconds() < 1 and life.waits
    store.writer(next(spec for spec in timed.runs() if spec.experiment == "baseline")).beat()  # its turn has come
    life.looked -= 2
    assert life.silent_seconds() < 1 and not life.waits
    with pytest.raises(StopRequested):
        worker._Waiting(store.writer(timed.runs()[0]), "cpu", stop)()
