"""The Slurm executor against faked commands: what is asked of sbatch, and how each end of a job is told.

The real thing is in test_slurm_real.py (marker slurm).
"""

from __future__ import annotations

import json
import re
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("submitit", reason="the Slurm executor is optional: make setup-slurm")

from tal_repro.errors import InputError
from tal_repro.run.executors import slurm, slurm_states
from tal_repro.run.executors.slurm_task import Task
from tal_repro.run.job import Job
from tal_repro.run.outcomes import DONE
from tal_repro.run.plan import make_plan
from tal_repro.run.runner import Settings
from tal_repro.runs.store import RunStore
from tal_repro.study import Study, load_study

GOLDEN = Path(__file__).parent / "sbatch.golden"


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Put sbatch, squeue and sacct on PATH; called, it sets what the last two say."""
    folder = tmp_path / "bin"
    folder.mkdir()

    def script(name: str, text: str) -> None:
        (folder / name).write_text(f"#!/bin/sh\n{text}\n")
        (folder / name).chmod(0o755)

    script("srun", "exit 1")
    script("sbatch", "echo Submitted batch job 7")
    script("squeue", f"cat {tmp_path}/queue")
    script("sacct", f"cat {tmp_path}/accounts")
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    monkeypatch.setattr(slurm, "POLL_SECONDS", 0.05)
    monkeypatch.setattr(slurm, "SETTLE_SECONDS", 0.3)

    def say(queue: str = "", accounts: str = "", **commands: str) -> None:
        (tmp_path / "queue").write_text(queue)
        (tmp_path / "accounts").write_text(accounts)
        for name, text in commands.items():
            script(name, text)

    say()
    return say


def submit(study: Study, store: RunStore, jobs: int | None = 4, **machine: str) -> Any:
    plan = make_plan(study, store, "core")
    settings = Settings(study.given, None, study.alone)
    options = {f"slurm.{key}": value for key, value in machine.items()}
    return slurm.run_on_slurm(plan.pending, store, settings, jobs, options, lambda line: None)


def test_the_submission_is_one_array_as_asked(
    fake: Callable[..., None], stand_in: Callable[..., None], store: RunStore, tmp_path: Path
) -> None:
    fake(accounts="".join(f"7_{number}|CANCELLED by 0\n" for number in range(8)))
    study = load_study("smoke")
    submit(study, store, partition="gpu", container="/images/tal repro.sif", mem_gb="12")
    text = (store.root / ".slurm" / "7_submission.sh").read_text()
    text = text.replace(str(store.root.resolve()), "RESULTS")
    assert text == GOLDEN.read_text(), f"sbatch file changed:\n{text}"


def test_each_end_of_a_job_is_told(fake: Callable[..., None], mini: Study, store: RunStore) -> None:
    specs = mini.runs()
    store.writer(specs[0]).finish()
    plan = make_plan(mini, store, "core")
    assert len(plan.pending) == 5
    accounts = "7_0|CANCELLED by 0\n7_1|OUT_OF_MEMORY\n7_2|TIMEOUT\n7_3|COMPLETED\n7_4|RUNNING\n"
    fake(queue="7_4|RUNNING\n9_1|RUNNING\n", accounts=accounts)
    writer = store.writer(specs[4])
    finishing = iter([False] * 3)

    def look(jobs: Any) -> set[str]:
        if next(finishing, True) and store.state(specs[4]) != "done":
            writer.finish()
        if next(finishing, True) and store.state(specs[5]) != "done":
            store.writer(specs[5]).finish()
        return {"7_4"} if store.state(specs[5]) != "done" else set()

    original = slurm_states.alive
    slurm_states.alive = look  # type: ignore[assignment]
    try:
        summary = submit(mini, store)
    finally:
        slurm_states.alive = original
    by_run = [summary.outcomes.get(spec.run_id) for spec in specs]
    assert by_run == [None, "cancelled", "failed", "killed", "done", "done"]
    assert "out of memory (host)" in summary.reasons[specs[2].run_id]
    assert "TIMEOUT" in summary.reasons[specs[3].run_id]
    assert summary.exit_status == 1


def test_runs_on_the_cluster_are_watched_and_not_submitted_again(
    fake: Callable[..., None], mini: Study, store: RunStore, tmp_path: Path
) -> None:
    folder = store.root / ".slurm"
    folder.mkdir(parents=True)
    ids = {f"5_{number}": spec.run_id for number, spec in enumerate(mini.runs())}
    (folder / "5.jobs.json").write_text(json.dumps(ids))
    fake(queue="5_[0-5%2]|PENDING\n", accounts="", sbatch="exit 1")

    def settle(line: str) -> None:
        assert "6 runs are on the cluster already" in line
        fake(accounts="".join(f"{job}|CANCELLED by 0\n" for job in ids))

    plan = make_plan(mini, store, "core")
    settings = Settings("mini", None, ())
    summary = slurm.run_on_slurm(plan.pending, store, settings, 2, {}, settle)
    assert set(summary.outcomes.values()) == {"cancelled"}


@pytest.mark.parametrize(
    ("machine", "message"),
    [
        ({"patrition": "gpu"}, "unknown setting 'slurm.patrition'.*partition"),
        ({"timeout_min": "an hour"}, "use a whole number"),
    ],
)
def test_a_wrong_setting_is_told_before_anything_is_submitted(
    fake: Callable[..., None], mini: Study, store: RunStore, machine: dict[str, str], message: str
) -> None:
    with pytest.raises(InputError, match=f"(?s){message}"):
        submit(mini, store, **machine)
    assert not (store.root / ".slurm").exists()


def test_a_refused_submission_is_told(fake: Callable[..., None], mini: Study, store: RunStore) -> None:
    fake(sbatch="echo 'sbatch: error: invalid partition specified: nowhere' >&2; exit 1")
    with pytest.raises(InputError, match=r"Slurm did not take the job .*invalid partition"):
        submit(mini, store)


def test_without_slurm_the_remedy_is_named(mini: Study, store: RunStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(InputError, match="Slurm did not take the job"):
        submit(mini, store)


@pytest.mark.parametrize(
    ("job_id", "names"),
    [("12_3", ["12_3"]), ("12", ["12"]), ("12_[0-2,5%4]", ["12_0", "12_1", "12_2", "12_5"]), ("12_[4]", ["12_4"])],
)
def test_array_ids_are_spelt_out(job_id: str, names: list[str]) -> None:
    assert slurm_states.expand(job_id) == names


def test_a_task_executes_its_run_in_a_child(mini: Study, store: RunStore) -> None:
    spec = mini.runs()[0]
    task = Task(json.dumps(Job(spec.to_json(), str(store.root), None, "cpu").to_json()))
    assert task() == DONE
    assert store.state(spec) == "done"


def test_a_task_told_to_make_room_stops_at_a_checkpoint_and_asks_for_another_start(
    mini: Study, store: RunStore, stand_in: Callable[..., None]
) -> None:
    stand_in(epochs=50, epoch_seconds=0.2)
    spec = mini.runs()[0]
    text = json.dumps(Job(spec.to_json(), str(store.root), None, "cpu", wait_for_lock=True).to_json())
    task = Task(text)
    again: list[Any] = []

    def make_room(number: int, frame: Any) -> None:
        again.append(task.checkpoint())
        raise InterruptedError

    before = signal.signal(signal.SIGALRM, make_room)
    try:
        signal.setitimer(signal.ITIMER_REAL, 2.5)
        with pytest.raises(InterruptedError):
            task()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert again[0].function.job == text
    assert store.state(spec) == "partial"
    done = json.loads(store.partial(spec).joinpath("checkpoint.pt").read_text())[0]
    assert done >= 1
    stand_in(epochs=done + 1)
    assert again[0].function() == DONE
    log = next(store.records()).paths.log.read_text()
    assert re.findall(r"epoch (\d+) done", log) == [str(epoch) for epoch in range(done + 1)]


def test_a_second_task_waits_for_what_is_left_of_the_first(
    mini: Study, store: RunStore, stand_in: Callable[..., None]
) -> None:
    import subprocess

    stand_in(epochs=1, epoch_seconds=1.5)
    spec = mini.runs()[0]
    text = json.dumps(Job(spec.to_json(), str(store.root), None, "cpu", wait_for_lock=True).to_json())
    command = [sys.executable, "-m", "tal_repro.run.executors.slurm_task", str(__import__("os").getpid())]
    first = subprocess.Popen(command, stdin=subprocess.PIPE, text=True)
    first.stdin.write(text)  # type: ignore[union-attr]
    first.stdin.close()  # type: ignore[union-attr]
    while not store.partial(spec).joinpath("heartbeat").exists():
        time.sleep(0.02)
    assert Task(text)() == DONE
    assert first.wait(10) == DONE
    assert next(store.records()).paths.log.read_text().count("# attempt") == 1
