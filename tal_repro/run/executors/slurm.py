"""Runs on a Slurm cluster: one array job through submitit, checkpoint and requeue on time limit and preemption.

The runner submits and watches; interrupted it leaves the jobs alone, and started again it finds them. What a run's
end was is read from its folder; Slurm's states only tell of those that left none.
"""

from __future__ import annotations

import json
import math
import shlex
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tal_repro.errors import InputError
from tal_repro.files import write_whole
from tal_repro.run import failures, outcomes
from tal_repro.run.executors import slurm_states
from tal_repro.run.executors.slurm_task import Task
from tal_repro.run.job import Job
from tal_repro.run.machine import slurm_options
from tal_repro.run.progress import Progress, name_run
from tal_repro.run.runner import Settings, Summary
from tal_repro.runs.record import read_json
from tal_repro.runs.store import RunStore

if TYPE_CHECKING:
    from tal_repro.run.plan import PlannedRun

Say = Callable[[str], None]
POLL_SECONDS = 3.0
SETTLE_SECONDS = 20.0  # a shared disk may show a finished folder this much later than Slurm says so
DEFAULT_PARALLEL = 8
REQUEUES = 1000  # submitit takes every signal in a short job for a time-out: let it never give up
TIME_FACTOR, TIME_EXTRA_MIN = 1.5, 10.0


@dataclass(frozen=True)
class Submitted:
    """A run and its job: `<array id>_<task>` (or a job id where one run was submitted alone)."""

    run: PlannedRun
    job_id: str


def run_on_slurm(
    pending: list[PlannedRun],
    store: RunStore,
    settings: Settings,
    jobs: int | None,
    machine: Mapping[str, str],
    say: Say,
) -> Summary:
    """Submit what is not on its way already, and watch until all is over."""
    options = slurm_options(machine)
    folder = store.root.resolve() / ".slurm"
    adopted = _adopt(folder, {run.spec.name: run for run in pending})
    if adopted:
        say(f"{len(adopted)} runs are on the cluster already: watching them")
    there = {item.run.spec.name for item in adopted}
    fresh = [run for run in pending if run.spec.name not in there]
    submitted = [*adopted, *(_submit(fresh, store, settings, jobs, options, folder) if fresh else [])]
    if fresh:
        job_id = submitted[-1].job_id.split("_")[0]
        say(f"submitted {len(fresh)} runs as job {job_id}; cancel: scancel {job_id}; Ctrl-C leaves them running")
    seconds = sum(item.run.estimate.seconds for item in submitted)
    return Watch(submitted, store, Progress(len(submitted), seconds, jobs or DEFAULT_PARALLEL)).run()


def requests(pending: list[PlannedRun], jobs: int | None, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the array asks of Slurm: time from the plan's longest run, a GPU where a run needs one."""
    longest = max(run.estimate.seconds for run in pending)
    parameters: dict[str, Any] = {
        "job_name": "tal-repro",
        "timeout_min": math.ceil(TIME_FACTOR * longest / 60 + TIME_EXTRA_MIN),
        "cpus_per_task": max(run.spec.threads + int(run.spec.recipe.get("loader_workers", 0)) for run in pending),
        "slurm_array_parallelism": jobs or DEFAULT_PARALLEL,
        "slurm_additional_parameters": {"requeue": True},
    }
    if any(run.spec.device_kind == "cuda" for run in pending):
        parameters["gpus_per_node"] = 1
    plain = ("timeout_min", "mem_gb", "gpus_per_node", "cpus_per_task")
    for name, value in options.items():
        if name not in ("container", "python"):
            parameters[name if name in plain else f"slurm_{name}"] = value
    return parameters


def _submit(
    pending: list[PlannedRun],
    store: RunStore,
    settings: Settings,
    jobs: int | None,
    options: Mapping[str, Any],
    folder: Path,
) -> list[Submitted]:
    try:
        import submitit
    except ImportError:
        raise InputError("submitit is not installed", "--executor slurm", "install it: make setup-slurm") from None
    folder.mkdir(parents=True, exist_ok=True)
    try:
        executor = submitit.SlurmExecutor(str(folder), max_num_timeout=REQUEUES, python=_python(options))
        executor.update_parameters(**_slurm_names(requests(pending, jobs, options)))
        tasks = [Task(json.dumps(_job(run, store, settings).to_json())) for run in pending]
        with executor.batch():
            submissions = [executor.submit(task) for task in tasks]
    except (RuntimeError, submitit.core.utils.FailedJobError, submitit.core.utils.FailedSubmissionError) as error:
        reason = (str(error).strip().splitlines() or ["no reason given"])[-1]
        raise InputError(
            f"Slurm did not take the job ({reason})",
            "--executor slurm",
            "check: sinfo; partition and limits: --set slurm.*",
        ) from None
    submitted = [Submitted(run, str(job.job_id)) for run, job in zip(pending, submissions, strict=True)]
    note = {item.job_id: item.run.spec.name for item in submitted}
    write_whole(folder / f"{submitted[0].job_id.split('_')[0]}.jobs.json", json.dumps(note, indent=1).encode())
    return submitted


def _slurm_names(parameters: dict[str, Any]) -> dict[str, Any]:
    """Return the names that submitit's Slurm executor uses itself (its automatic executor is not used)."""
    names = {"timeout_min": "time", "mem_gb": "mem"}
    plain = {names.get(key, key).removeprefix("slurm_"): value for key, value in parameters.items()}
    if "mem" in plain:
        plain["mem"] = f"{plain['mem']}GB"
    return plain


def _python(options: Mapping[str, Any]) -> str | None:
    """Return the interpreter of the jobs: the one given, or the image's through Apptainer, or this one (None)."""
    if "container" in options:
        python = options.get("python", "python3")
        return f"apptainer exec --nv {shlex.quote(options['container'])} {shlex.quote(python)}"
    return shlex.quote(options["python"]) if "python" in options else None


def _job(run: PlannedRun, store: RunStore, settings: Settings) -> Job:
    return Job(
        spec=run.spec.to_json(),
        results=str(store.root.resolve()),
        data_dir=None if settings.data_dir is None else str(settings.data_dir.resolve()),
        device="cuda:0" if run.spec.device_kind == "cuda" else "cpu",
        study=settings.study,
        settings=settings.study_settings,
        alone=run.spec.experiment in settings.alone,
        exclusive=run.spec.experiment in settings.alone,
        wait_for_lock=True,
    )


def _adopt(folder: Path, pending: Mapping[str, PlannedRun]) -> list[Submitted]:
    """Find pending runs that an earlier start submitted and that are still on the cluster."""
    adopted: dict[str, Submitted] = {}
    for path in sorted(folder.glob("*.jobs.json")):
        note = {job_id: name for job_id, name in read_json(path).items() if name in pending}
        alive = slurm_states.alive(sorted({job_id.split("_")[0] for job_id in note})) if note else set()
        for job_id, name in note.items():
            if job_id in alive:
                adopted[name] = Submitted(pending[name], job_id)
    return list(adopted.values())


class Watch:
    """Follow submitted runs to their end."""

    def __init__(self, submitted: list[Submitted], store: RunStore, progress: Progress) -> None:
        self.left = {item.job_id: item for item in submitted}
        self.store, self.progress = store, progress
        self.summary = Summary()
        self.gone: dict[str, float] = {}  # job id -> since when Slurm has been done with it, by our clock
        self.seen: dict[str, str] = {}

    def run(self) -> Summary:
        """Watch until every run is settled; Ctrl-C leaves them on the cluster."""
        try:
            while self.left:
                self._look()
                self.progress.draw([f"{count} {state.lower()}" for state, count in self._counts().items()])
                if self.left:
                    time.sleep(POLL_SECONDS)
        except KeyboardInterrupt:
            self.progress.say(f"{len(self.left)} runs stay on the cluster; the same command watches them again")
            self.summary.interrupted = 130
        finally:
            self.progress.close()
        return self.summary

    def _look(self) -> None:
        arrays = sorted({job_id.split("_")[0] for job_id in self.left})
        alive = slurm_states.alive(arrays)
        self.seen = slurm_states.states(arrays)
        for job_id, item in list(self.left.items()):
            state = self.store.state(item.run.spec)
            if state == "done":
                self._settle(item, "done", "")
            elif state == "failed":
                self._settle(item, "failed", outcomes.read_outcome(self.store, item.run.spec))
            elif job_id in alive:
                self.gone.pop(job_id, None)
            elif time.monotonic() - self.gone.setdefault(job_id, time.monotonic()) > SETTLE_SECONDS:
                self._judge(item, self.seen.get(job_id, "UNKNOWN"))
            elif self.seen.get(job_id) == "CANCELLED":
                self._settle(item, "cancelled", f"job {job_id} was cancelled; it resumes at the next start")

    def _judge(self, item: Submitted, state: str) -> None:
        """Settle a run that left the cluster without a finished or failed folder."""
        if state == "OUT_OF_MEMORY":
            reason = failures.record(self.store, item.run.spec, f"out of memory (host): ended by Slurm, {item.job_id}")
            self._settle(item, "failed", reason)
        else:
            self._settle(item, "killed", f"job {item.job_id} ended as {state}; it resumes at the next start")

    def _settle(self, item: Submitted, outcome: str, reason: str) -> None:
        spec = item.run.spec
        del self.left[item.job_id]
        self.summary.outcomes[spec.run_id] = outcome
        if outcome != "done":
            self.summary.reasons[spec.run_id] = reason
        first = f" ({reason.splitlines()[0]})" if reason else ""
        self.progress.ended(f"{outcome} {spec.run_id} {name_run(spec)}{first}", item.run.estimate.seconds)

    def _counts(self) -> dict[str, int]:
        counts: dict[str, int] = {}
        for job_id in self.left:
            state = self.seen.get(job_id, "PENDING")
            counts[state] = counts.get(state, 0) + 1
        return counts
