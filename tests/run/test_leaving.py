"""A command that is asked to leave does so in time, with the right status, whoever does not answer."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from tal_repro import cli
from tal_repro.run import runner
from tal_repro.run.job import Job
from tal_repro.run.plan import make_plan
from tal_repro.run.signals import StopFlag
from tal_repro.run.start import run_plan
from tal_repro.run.worker import run_job
from tal_repro.runs.store import RunStore
from tal_repro.study import Study
from tests.run.conftest import ROOT


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 129)])
def test_a_signal_during_the_first_imports_is_obeyed(tmp_path: Path, number: int, status: int) -> None:
    (tmp_path / "click.py").write_text("import time\nprint('importing', flush=True)\ntime.sleep(60)\n")
    process = subprocess.Popen(
        [sys.executable, "-m", "tal_repro", "run"],
        env={**os.environ, "PYTHONPATH": f"{tmp_path}:{ROOT}"},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),  # tests under nohup would pass on its deafness
    )  # fmt: skip
    assert process.stdout is not None and process.stdout.readline() == "importing\n"
    process.send_signal(number)
    assert (process.communicate(timeout=10)[1], process.returncode) == ("", status)


def test_ctrl_c_in_any_command_ends_with_130(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("tal_repro.commands.plan.open_study", interrupted)
    result = CliRunner().invoke(cli.main, ["plan"])
    assert (result.exit_code, result.stderr) == (130, "interrupted\n")


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> list[tuple[float, int]]:
    """Shorten the runner's waits; its last resort, the end of this very process, is only noted."""
    forced: list[tuple[float, int]] = []
    monkeypatch.setattr(runner, "GRACE_SECONDS", 0.4)
    monkeypatch.setattr(runner, "ANSWER_SECONDS", 0.2)
    monkeypatch.setattr(runner, "end_within", lambda *what: forced.append(what))
    return forced


def child_of_this_process() -> int:
    return int(Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()[-1])


def later(condition: Callable[[], object], act: Callable[[], object]) -> None:
    """Act from another thread once a condition holds."""

    def wait() -> None:
        end = time.monotonic() + 20
        while not condition() and time.monotonic() < end:
            time.sleep(0.02)
        act()

    threading.Thread(target=wait, daemon=True).start()


def begun(store: RunStore) -> Callable[[], object]:
    return lambda: list(store.root.glob("*/*/*.partial/heartbeat"))


def start_here(study: Study, store: RunStore, **machine: str) -> Any:
    plan = make_plan(study, store, "core", "percent=10")
    return run_plan(plan, store, data_dir=None, jobs=1, machine=machine, say=lambda line: None)


def test_a_server_that_does_not_answer_is_ended_when_its_run_hangs(
    mini: Study, store: RunStore, stand_in: Callable[..., None], impatient: list[tuple[float, int]]
) -> None:
    stand_in(epochs=1, epoch_seconds=0.0, misbehave={"0": "hang"})
    later(begun(store), lambda: os.kill(child_of_this_process(), signal.SIGSTOP))
    summary = start_here(mini, store, hang_seconds="1")
    assert summary.counts == {"failed": 1, "done": 2}
    assert "no sign of life for 1 s" in next(iter(summary.reasons.values()))


def test_a_stopped_server_does_not_keep_the_runner(
    mini: Study, store: RunStore, stand_in: Callable[..., None], impatient: list[tuple[float, int]]
) -> None:
    stand_in(epochs=1, epoch_seconds=60.0)

    def stop() -> None:
        os.kill(child_of_this_process(), signal.SIGSTOP)
        os.kill(os.getpid(), signal.SIGTERM)

    later(begun(store), stop)
    summary = start_here(mini, store)
    assert (summary.exit_status, summary.counts) == (143, {"stopped": 1})
    assert impatient == [(runner.LEAVE_SECONDS, 143)]


def test_ctrl_c_during_warm_up_ends_at_once(
    mini: Study, store: RunStore, impatient: list[tuple[float, int]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "slow_import.py").write_text(f"open({str(tmp_path / 'importing')!r}, 'w')\nimport time\ntime.sleep(60)")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{os.environ['PYTHONPATH']}")
    monkeypatch.setattr("tal_repro.run.start.warm_modules", lambda engine: ("slow_import",))
    pressed: list[float] = []

    def press() -> None:
        pressed.append(time.monotonic())
        os.kill(os.getpid(), signal.SIGINT)

    later((tmp_path / "importing").exists, press)
    summary = start_here(mini, store)
    assert summary.exit_status == 130
    assert time.monotonic() - pressed[0] < 3


SLOW = """
import sys, time
from standin import *
if "forkserver" in sys.argv[0]:
    open({mark!r}, "w").close()
    time.sleep({seconds})
"""


@pytest.mark.parametrize(
    ("seconds", "wait_s"), [(60.0, 0.0), (60.0, 1.0), (0.0, 0.0)], ids=["importing", "a second later", "as it ends"]
)
def test_ctrl_c_twice_during_warm_up_ends_within_three_seconds_with_130(
    tmp_path: Path, stand_in: Callable[..., None], mini: Study, seconds: float, wait_s: float
) -> None:
    """The whole command, as a terminal starts it. `seconds`: what its warm server takes to import."""
    stand_in(epochs=1000, epoch_seconds=0.05)
    mark = tmp_path / "importing"
    (tmp_path / "slow_standin.py").write_text(SLOW.format(mark=str(mark), seconds=seconds))
    path = f"{tmp_path}:{os.environ['PYTHONPATH']}"
    process = subprocess.Popen(
        [sys.executable, "-m", "tal_repro", "run", "--study", str(mini.path), "--results", str(tmp_path / "runs")],
        env={**os.environ, "PYTHONPATH": path, "TAL_REPRO_STAND_IN": "slow_standin"},
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    end = time.monotonic() + 60
    while not mark.exists():
        assert process.poll() is None and time.monotonic() < end
        time.sleep(0.02)
    time.sleep(wait_s)
    for _ in range(2):
        process.send_signal(signal.SIGINT)
        time.sleep(0.1)
    pressed = time.monotonic()
    said = process.communicate(timeout=30)[1]
    assert process.returncode == 130, said
    assert time.monotonic() - pressed < 3, said
    assert not list((tmp_path / "runs").glob("*/*/*.failed"))


def test_work_that_asks_for_no_flag_is_ended_at_once(mini: Study, store: RunStore) -> None:
    ready, writing = os.pipe()
    child = os.fork()
    if child == 0:
        gc.disable()  # a library's callback of the collector would swallow what the signal raises

        def sleep(*_: Any) -> None:
            os.write(writing, b"x")
            time.sleep(60)

        os._exit(run_job(Job(mini.runs()[0].to_json(), str(store.root), None, "cpu"), log=False, perform=sleep))
    os.read(ready, 1)
    os.kill(child, signal.SIGTERM)
    began = time.monotonic()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 143
    assert time.monotonic() - began < 5


def test_who_has_asked_for_the_flag_stops_by_itself() -> None:
    flag = StopFlag()
    flag.raises = True
    assert flag() == ""
    flag._on_signal(signal.SIGTERM, None)
    assert flag() == "now"


def test_a_command_without_a_runner_ends_although_its_work_does_not() -> None:
    child = os.fork()
    if child == 0:
        flag = StopFlag(patience_s=0.2)
        flag._on_signal(signal.SIGTERM, None)
        time.sleep(60)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 143
