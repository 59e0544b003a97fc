"""From a plan to its executor: checks first whatever would fail every run. Nothing starts on bad input."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tal_repro.engines.registry import STAND_IN_VARIABLE, warm_modules
from tal_repro.errors import InputError
from tal_repro.planned import keep
from tal_repro.run import failures, locks
from tal_repro.run.bfloat16 import warnings_of
from tal_repro.run.devices import find_devices
from tal_repro.run.executors.local import LocalPool
from tal_repro.run.machine import JobsPerGpu, check_machine, hang_seconds, jobs_per_gpu
from tal_repro.run.outcomes import read_outcome
from tal_repro.run.progress import Progress
from tal_repro.run.room import runs_that_fit
from tal_repro.run.runner import Runner, Settings, Summary
from tal_repro.run.space import check_space
from tal_repro.runs.other_data import other_data_line
from tal_repro.runs.record import RunRecord
from tal_repro.spec import DATA_DIGITS

if TYPE_CHECKING:
    from tal_repro.run.inputs import Inputs
    from tal_repro.run.plan import Plan, PlannedRun
    from tal_repro.runs.store import RunStore
    from tal_repro.spec import RunSpec
    from tal_repro.study import Study

Say = Callable[[str], None]


def run_plan(
    plan: Plan,
    store: RunStore,
    *,
    data_dir: Path | None,
    executor: str = "local",
    jobs: int | None = None,
    retry_failed: bool = False,
    machine: Mapping[str, str] | None = None,
    say: Say = print,
) -> Summary:
    """Execute what a plan has left; return how every selected run ended."""
    machine = machine or {}
    check_machine(machine)
    if plan.pending:
        check_space(store.root)
    check_results(store.root)
    plan = with_data(plan, store, data_dir, say)
    if plan.of_other_data:
        say(other_data_line(plan.of_other_data))
    by_id = {run.spec.run_id: run for run in plan.runs}
    done = [run.spec for run in plan.runs if run.status == "done"]
    damaged = failures.set_damaged_aside(store, done)
    strays = failures.set_strays_aside(store, [run.spec for run in plan.runs if run.status != "done"])
    for spec, what in damaged:
        say(f"damaged, set aside and run again: {spec.name} ({what})")
    for spec, what in strays:
        say(f"set aside: {spec.name} ({what})")
    again = [by_id[spec.run_id] for spec, _ in damaged]
    pending = [*plan.pending, *again, *([run for run in plan.runs if run.status == "failed"] if retry_failed else [])]
    reused = len(done) - len(damaged)
    if reused:
        say(f"{reused} finished run{'s' * (reused != 1)} reused from {store.root}")
    if pending:
        settings = Settings(plan.study.given, data_dir, plan.study.alone, hang_seconds(machine), plan.study.settings)
        summary = _run_on(executor, pending, store, settings, jobs, machine, say)
    else:
        summary = Summary()
    for run in plan.runs:  # what this start did not touch counts too
        if run.spec.run_id not in summary.outcomes and run not in pending:
            summary.outcomes[run.spec.run_id] = run.status
            if run.status == "failed":
                summary.reasons[run.spec.run_id] = read_outcome(store, run.spec)
    return summary


def _run_on(
    executor: str,
    pending: list[PlannedRun],
    store: RunStore,
    settings: Settings,
    jobs: int | None,
    machine: Mapping[str, str],
    say: Say,
) -> Summary:
    seconds = sum(run.estimate.seconds for run in pending)
    if executor == "slurm":
        from tal_repro.run.executors.slurm import run_on_slurm

        return run_on_slurm(pending, store, settings, jobs, machine, say)
    specs = [run.spec for run in pending]
    devices = find_devices(specs, jobs, _runs_per_gpu(jobs_per_gpu(machine), specs, settings.alone, say))
    for warning in warnings_of(specs, [device.name for device in devices]):
        say(warning)
    slots = sum(device.capacity for device in devices)
    progress = Progress(len(pending), seconds, slots)
    pool = LocalPool(sorted({name for engine in {spec.engine for spec in specs} for name in warm_modules(engine)}))
    return Runner(pending, store, pool, devices, settings, progress).run()


def _runs_per_gpu(requested: int | JobsPerGpu, specs: Sequence[RunSpec], alone: Sequence[str], say: Say) -> int | None:
    """Return how many runs share a GPU; None: decided later, from what the first run uses. Say why if measured."""
    if requested == "auto":
        return None
    if requested != "measured":
        return requested
    jobs, why = runs_that_fit(spec for spec in specs if spec.device_kind == "cuda" and spec.experiment not in alone)
    say(f"runs that are not timed go {jobs} at a time on a GPU: {why}")
    return jobs


def check_results(root: Path) -> None:
    """Raise InputError unless the results folder can be written and locked."""
    lock = locks.acquire(root / ".locks" / f"probe-{os.getpid()}")
    if lock is not None:
        lock.release()


def with_data(plan: Plan, store: RunStore, data_dir: Path | None, say: Say) -> Plan:
    """Return a plan whose runs bear the digest of the data at hand, and keep it for readers of the results folder.

    Makes the study's synthetic data set where it is missing; raises InputError where a needed one is not there. Where
    all is done and no data is at hand, the runs that are here stay as they are.
    """
    specs = [run.spec for run in plan.runs]
    needed = any(run.spec.data is not None for run in plan.runs if run.status != "done")
    if os.environ.get(STAND_IN_VARIABLE) or not any(spec.data is not None for spec in specs):
        keep(store.root, plan.study, plan.scope, specs, {})
        return plan
    if not needed and (data_dir is None or not data_dir.exists()):
        say("no data at hand: the finished runs are not compared with it")
        keep(store.root, plan.study, plan.scope, specs, {})
        return plan
    inputs = _inputs(plan.study, data_dir, store.root, say)
    digested = {spec.run_id: spec for spec in inputs.with_digests(specs)}
    for line in _changes(plan, digested, store, inputs):
        say(line)
    plan = plan.at(store, digested)
    sets = {}
    for model in dict.fromkeys(spec.model for spec in specs if spec.data is not None):
        state = inputs.note(model)
        sets[state.layout] = state.digest
    keep(store.root, plan.study, plan.scope, digested.values(), sets)
    return plan


def _inputs(study: Study, data_dir: Path | None, root: Path, say: Say) -> Inputs:
    from tal_repro.run.datasets import make_synthetic
    from tal_repro.run.inputs import Inputs

    if data_dir is None:
        raise InputError(f"study {study.name} needs a data set", remedy="give its folder: --data DIR")
    if study.synthesis:
        make_synthetic(data_dir, study, root, say)
    return Inputs(data_dir, root, say)


def _changes(plan: Plan, digested: Mapping[str, RunSpec], store: RunStore, inputs: Inputs) -> list[str]:
    """Say once for each former state of the data what has changed since, and how many runs that concerns."""
    groups: dict[str, list[tuple[RunSpec, RunSpec]]] = {}
    for run in plan.runs:
        now = digested[run.spec.run_id]
        if run.status == "done" and run.spec.name != now.name:
            before = RunRecord(store.folder(run.spec)).status.get("data_set")
            groups.setdefault(str(before), []).append((run.spec, now))
    lines = []
    for pairs in groups.values():
        former, now = max(pairs, key=lambda pair: len(inputs.videos(pair[1])))
        count = f"{len(pairs)} finished run{'s' * (len(pairs) != 1)}"
        changes, digest = inputs.changes(now, store.folder(former)), now.data_digest[:DATA_DIGITS]
        left = any(store.states([spec])[spec.run_id] != "done" for _, spec in pairs)
        done = "made anew, beside" if left else "those of the data as it is now are here already"
        lines.append(f"the data has changed since {count}: {changes}; {done} (digest {digest})")
    return lines
