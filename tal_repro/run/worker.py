"""One run, from its spec to its folder: `execute` is the single entry, `run_job` what executors call in a process."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from tal_repro.engines.adapter import Adapter, RunContext, StopRequested
from tal_repro.engines.registry import get_adapter
from tal_repro.errors import NO_SPACE, InputError, of_system
from tal_repro.machine.gpus import neighbours
from tal_repro.measure.surroundings import Meanwhile, surroundings
from tal_repro.run import locks
from tal_repro.run.beginning import (
    begin,
    draw_units,
    end_output,
    hooked,
    note_data,
    open_inputs,
    redirect_output,
    set_threads,
)
from tal_repro.run.experiments import WITHOUT_CHECKPOINT, experiment_of
from tal_repro.run.job import Job
from tal_repro.run.outcomes import BLOCKED, BUSY, DISK_FULL, DONE, STOPPED, cost, fail, refuse
from tal_repro.run.signals import StopFlag
from tal_repro.run.space import has_room
from tal_repro.run.turns import turn
from tal_repro.runs.record import read_json
from tal_repro.runs.store import RunStore
from tal_repro.runs.writer import RunWriter
from tal_repro.spec import RunSpec

if TYPE_CHECKING:
    from tal_repro.run.inputs import Inputs

LEAVE_SECONDS = 10.0
Perform = Callable[[RunContext, Adapter], None]


class DeviceNotFree(Exception):
    """Somebody computes on the device of a timing experiment."""


def run_job(
    job: Job,
    computed: Callable[[], None] | None = None,
    *,
    log: bool = True,
    stop: StopFlag | None = None,
    perform: Perform | None = None,
) -> int:
    """Execute a job in this process, which is the run's own; return its exit status: DONE, BUSY, STOPPED, ...

    `computed` is called when all that is left is to write the folder, so that the next run need not wait for the disk.
    `log`: send this process's output to the run's log. Without it a person waits: the InputError of a run that is
    refused is recorded and raised. `perform`: what is done in place of the experiment's own work.
    """
    stop = stop or StopFlag()
    stop.install()
    try:
        return _run_locked(job, computed, log, stop, perform)
    except StopRequested:
        return STOPPED


def _run_locked(
    job: Job, computed: Callable[[], None] | None, log: bool, stop: StopFlag, perform: Perform | None
) -> int:
    spec, store = RunSpec.from_json(job.spec), RunStore(job.results)
    if not has_room(store.root):  # before the lock: it is a file, too
        return DISK_FULL
    path = locks.lock_path(store.root, spec.name)
    lock = locks.acquire(path)
    while lock is None and job.wait_for_lock and not stop.wish:
        time.sleep(0.5)
        lock = locks.acquire(path)
    if lock is None:
        return STOPPED if stop.wish else BUSY
    try:
        if store.state(spec) == "done":  # by another runner, between our look and our lock
            return DONE
        return execute(job, spec, store, stop, log, computed, perform)
    finally:
        lock.release()


def execute(
    job: Job,
    spec: RunSpec,
    store: RunStore,
    stop: StopFlag,
    log: bool = True,
    computed: Callable[[], None] | None = None,
    perform: Perform | None = None,
) -> int:
    """Execute the run that this process has locked into its folder; return its exit status."""
    started = time.monotonic()
    writer: RunWriter | None = None
    try:
        if not has_room(store.root):
            return DISK_FULL
        writer = store.writer(spec)
        if log:
            redirect_output(writer.paths.log)
        with turn(store.root, job.device, job.exclusive, _Waiting(writer, job.device, stop)):
            started = time.monotonic()
            status = begin(writer, job)
            inputs = open_inputs(spec, store, job.data)
            status |= note_data(writer, inputs)
            if job.exclusive:
                _wait_for_device(job.device)
            with _watched(writer, job):
                _execute(writer, job, inputs, stop, perform)
            if inputs is not None:  # what was read is what the run is named after
                inputs.again().check(spec)
            end_output(log)
        if computed is not None:
            computed()
        writer.finish(**status, **cost(started))
        return DONE
    except StopRequested:
        return STOPPED
    except DeviceNotFree as error:
        print(f"not started: {error}", file=sys.stderr)
        return BLOCKED
    except OSError as error:
        if error.errno in NO_SPACE:
            return DISK_FULL
        return refuse(writer, of_system(error), error, started, log)
    except InputError as error:
        return refuse(writer, error, error, started, log)
    except BaseException as error:  # whatever an engine raises is this run's failure and nobody else's
        return fail(writer, error, started)


def _execute(writer: RunWriter, job: Job, inputs: Inputs | None, stop: StopFlag, perform: Perform | None) -> None:
    spec = writer.spec
    set_threads(spec.threads)
    context = RunContext(
        spec=spec,
        record=writer,
        data_dir=job.data,
        device=job.device,
        subset_ids=draw_units(writer, inputs),
        should_stop=stop,
        heartbeat=writer.beat,
    )
    with hooked(writer):
        adapter, perform = get_adapter(spec.model, spec.engine), perform or experiment_of(spec.experiment)
        if spec.experiment in WITHOUT_CHECKPOINT:
            with stop.raising():
                perform(context, adapter)
        else:
            perform(context, adapter)
    stop.raises = False  # all is computed: what is left is to write it


class _Waiting:
    """What a run does while another one measures time on its device, or while it waits to do so itself."""

    def __init__(self, writer: RunWriter, device: str, stop: StopFlag) -> None:
        self.writer, self.device, self.stop, self.said = writer, device, stop, False

    def __call__(self) -> None:
        if self.stop.wish:
            raise StopRequested
        if not self.said:
            print(f"waiting for {self.device}: a run that measures time goes alone", file=sys.stderr, flush=True)
        self.said = True
        self.writer.beat(waits=True)


@contextlib.contextmanager
def _watched(writer: RunWriter, job: Job) -> Iterator[None]:
    """Measure what others use of the machine while a run works, and write it to system.json: was it alone?"""
    meanwhile = Meanwhile()
    try:
        yield
    finally:
        with contextlib.suppress(OSError, InputError):
            after = neighbours(job.device) if job.exclusive else ()  # before, there were none
            about, system = surroundings({}, meanwhile.over(), {"neighbours": after}), read_json(writer.paths.system)
            about["doubtful"] = [*system["surroundings"]["doubtful"], *about["doubtful"]]
            alone = system["alone"] and not about["doubtful"]
            writer.write_json("system", {**system, "alone": alone, "surroundings": about})


def _wait_for_device(device: str) -> None:
    """Raise DeviceNotFree while others compute on the device; the run before may need a moment to leave it."""
    deadline = time.monotonic() + LEAVE_SECONDS
    while others := neighbours(device):
        if time.monotonic() > deadline:
            raise DeviceNotFree(f"{device} is used by process {', '.join(map(str, others))}")
        time.sleep(0.5)
