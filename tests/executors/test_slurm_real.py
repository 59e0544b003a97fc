"""The Slurm executor on a real Slurm of two nodes: nothing lost, nothing executed twice, whatever happens to the jobs.

SLURM_NODES=2 SLURM_GPUS=2 .ci/slurm_up.sh up && eval "$(.ci/slurm_up.sh env)" && pytest -m slurm tests/executors
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tal_repro.engines.upstream.checkout import status
from tal_repro.runs.store import RunStore
from tal_repro.study import Study, load_study
from tests.run.conftest import BENCHMARKS, ROOT, results_of, study_text
from tests.upstream.test_study import STUDY

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(600)]
RUNS, SLOW_SEED, EPOCHS = 14, 13, 6


def ask(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout


def wait_for(what: str, condition: Callable[[], bool], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"waited in vain: {what}\n{ask('squeue', '--array')}\n{ask('sinfo', '-N')}"
        time.sleep(0.3)


@pytest.fixture
def nodes() -> Iterator[list[str]]:
    try:
        names = sorted(set(ask("sinfo", "-h", "-N", "-p", "low", "-o", "%N").split()))
    except (OSError, subprocess.SubprocessError):
        pytest.skip('no Slurm answers: SLURM_NODES=2 .ci/slurm_up.sh up; eval "$(.ci/slurm_up.sh env)"')
    assert len(names) >= 2
    yield names
    subprocess.run(["scancel", "--me"], check=False)
    for name in names:
        subprocess.run(["scontrol", "update", f"nodename={name}", "state=resume"], check=False, capture_output=True)


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Study:
    """Fourteen runs of six one-second epochs; the last one takes 8 s an epoch: more than its time limit."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    monkeypatch.setenv("PYTHONPATH", f"{BENCHMARKS}:{ROOT}")
    monkeypatch.setenv("TAL_REPRO_STAND_IN", "standin")
    plan = {"epochs": EPOCHS, "epoch_seconds": 1.0, "slow": {str(SLOW_SEED): 8.0}}
    monkeypatch.setenv("TAL_REPRO_STAND_IN_PLAN", json.dumps(plan))
    path = tmp_path / "mini.toml"
    path.write_text(study_text("[10]", RUNS))
    return load_study(str(path))


IMPATIENT = ("partition=low", "timeout_min=1", "signal_delay_s=20", "gpus_per_node=1")


def start(
    study: Study, store: RunStore, executor: str = "slurm", settings: tuple[str, ...] = IMPATIENT
) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tal_repro", "run", "--study", str(study.path), "--results", str(store.root)]
    slurm = [word for setting in settings for word in ("--set", f"slurm.{setting}")] if executor == "slurm" else []
    return subprocess.Popen(
        [*command, "--executor", executor, "--jobs", "4", *slurm],
        stderr=subprocess.PIPE,
        text=True,
        env=dict(os.environ),
    )


def running() -> dict[str, str]:
    """Return job id -> node of our running tasks."""
    rows = (line.split("|") for line in ask("squeue", "-h", "--me", "--array", "-t", "R", "-o", "%i|%N").splitlines())
    return {job: node for job, node in rows if "_" in job}


def epochs_done(store: RunStore, run_id: str) -> int:
    logs = store.root.glob(f"*/*/{run_id}*/log.txt")
    return sum(log.read_text().count(" done\n") for log in logs)


def test_no_run_is_lost_and_none_is_executed_twice(study: Study, store: RunStore, nodes: list[str]) -> None:
    runner = start(study, store)
    jobs_file = store.root / ".slurm"
    wait_for("tasks on both nodes", lambda: len(set(running().values())) == 2 and len(running()) >= 3)
    jobs = json.loads(next(iter(jobs_file.glob("*.jobs.json"))).read_text())
    assert len(jobs) == RUNS

    cancelled = sorted(running())[0]
    ask("scancel", cancelled)

    def preemptible() -> list[str]:
        return [
            j for j, n in running().items() if n == nodes[0] and j != cancelled and epochs_done(store, jobs[j]) >= 2
        ]

    wait_for("a run with a checkpoint on the first node", lambda: bool(preemptible()))
    preempted = preemptible()[0]
    ask("sbatch", "-p", "high", "-w", nodes[0], "--exclusive", "-o", "/dev/null", "--wrap", "sleep 3")
    wait_for("the preemption", lambda: preempted not in running())

    wait_for("a run on the second node", lambda: nodes[1] in running().values())
    lost = next(job for job, node in running().items() if node == nodes[1])
    ask("scontrol", "update", f"nodename={nodes[1]}", "state=down", "reason=test")
    wait_for("the node's jobs are requeued", lambda: lost not in running() or running()[lost] != nodes[1])
    time.sleep(2)  # it may be back by itself by now: then there is nothing to resume
    subprocess.run(["scontrol", "update", f"nodename={nodes[1]}", "state=resume"], check=False, capture_output=True)

    output = runner.communicate(timeout=400)[1]
    assert runner.returncode == 1, output
    assert f"{RUNS - 1} done" in output and "1 cancelled" in output, output
    assert f"job {cancelled} was cancelled" in output

    logs = {record.folder.name: record.paths.log.read_text() for record in store.records()}
    for run_id, log in logs.items():
        finished = Counter(line for line in log.splitlines() if line.startswith("epoch"))
        assert max(finished.values()) == 1, f"{run_id} did an epoch twice:\n{log}"
    resumed = {job: logs[jobs[job]].count("# attempt") for job in jobs if jobs[job] in logs}
    assert resumed[preempted] >= 2, "preempted, requeued and resumed"
    assert resumed[lost] >= 2, "lost its node, requeued and resumed"
    slow = next(run.run_id for run in study.runs() if run.seed == SLOW_SEED)
    assert logs[slow].count("# attempt") >= 2, "met its time limit and was requeued"
    print(f"attempts: {sorted(resumed.values())}; cancelled {cancelled}, preempted {preempted}, node down {lost}")

    again = start(study, store)
    output = again.communicate(timeout=200)[1]
    assert again.returncode == 0, output
    reference = RunStore(store.root.parent / "reference")
    fast = {"epochs": EPOCHS, "epoch_seconds": 0.0}
    os.environ["TAL_REPRO_STAND_IN_PLAN"] = json.dumps(fast)
    assert start(study, reference, "local").wait(120) == 0
    assert results_of(store) == results_of(reference)


def test_a_runner_that_comes_back_finds_its_jobs(study: Study, store: RunStore, nodes: list[str]) -> None:
    first = start(study, store)
    wait_for("tasks that run", lambda: len(running()) >= 2)
    first.kill()
    first.communicate()
    output = start(study, store).communicate(timeout=300)[1]
    assert "are on the cluster already" in output
    reused = re.findall(r"^(\d+) finished runs? reused", output, re.MULTILINE)
    done = re.findall(r"^study mini.*: (\d+) done$", output, re.MULTILINE)
    assert len(done) == 1 and sum(map(int, reused + done)) == RUNS, output
    assert len(list((store.root / ".slurm").glob("*.jobs.json"))) == 1, "nothing was submitted a second time"
    assert len(list(store.records())) == RUNS


def test_a_job_that_slurm_refuses_is_told(study: Study, store: RunStore, nodes: list[str]) -> None:
    command = [sys.executable, "-m", "tal_repro", "run", "--study", str(study.path), "--results", str(store.root)]
    answer = subprocess.run(
        [*command, "--executor", "slurm", "--set", "slurm.partition=nowhere"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 2
    assert "Slurm did not take the job" in answer.stderr
    assert "Traceback" not in answer.stderr


@pytest.mark.timeout(1200)
def test_the_authors_tadtr_trains_in_a_task_of_srun(store: RunStore, nodes: list[str], tmp_path: Path) -> None:
    """Its `init_distributed_mode` takes SLURM_PROCID for its own cluster: it must see no variable of Slurm."""
    if not status("tadtr").present:
        pytest.skip(
            "the checkout is missing: run `make submodules`, or set TAL_REPRO_THIRD_PARTY; then make setup-upstream"
        )
    path = tmp_path / "tiny.toml"
    path.write_text(STUDY.replace('models = ["tadtr", "actionformer"]', 'models = ["tadtr"]'))
    study = load_study(str(path))
    output = start(study, store, settings=("partition=low", "timeout_min=15")).communicate(timeout=1100)[1]
    (record,) = store.records()
    assert "1 done" in output and record.spec.engine == "upstream", output
    assert all(printed["agrees"] for printed in record.metrics["upstream"]["own_print"])
    assert next(iter((store.root / ".slurm").glob("*.jobs.json"))).is_file()
