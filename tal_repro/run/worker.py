"""One run, from its spec to its folder: `execute` is the single entry, `run_job` what executors call in a process."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import socket
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from tal_repro import hooks
from tal_repro.engines.adapter import Adapter, RunContext, StopRequested
from tal_repro.engines.registry import STAND_IN_VARIABLE, get_adapter
from tal_repro.errors import NO_SPACE, InputError, of_system
from tal_repro.files import is_there
from tal_repro.machine.gpus import neighbours
from tal_repro.measure.surroundings import Meanwhile, surroundings
from tal_repro.run import locks
from tal_repro.run.bfloat16 import warnings_of
from tal_repro.run.experiments import WITHOUT_CHECKPOINT, experiment_of
from tal_repro.run.signals import EXIT_SIGTERM, StopFlag
from tal_repro.run.space import has_room
from tal_repro.run.system import describe_system, machine_name
from tal_repro.run.turns import turn
from tal_repro.runs.folder import FORMAT
from tal_repro.runs.record import RunRecord, read_json
from tal_repro.runs.store import RunStore
from tal_repro.runs.writer import RunWriter
from tal_repro.spec import RunSpec

if TYPE_CHECKING:
    from tal_repro.run.inputs import Inputs

ROW_DIGITS = 16  # of the digest of a whole data set
# How a run's process ends; anything else means that it was killed.
DONE, FAILED, DISK_FULL, BUSY, BLOCKED, STOPPED = 0, 70, 74, 75, 69, EXIT_SIGTERM
OUTCOMES = {
    DONE: "done",
    FAILED: "failed",
    DISK_FULL: "disk full",
    BUSY: "elsewhere",
    BLOCKED: "device not free",
    STOPPED: "stopped",
}
LEAVE_SECONDS = 10.0


@dataclass(frozen=True)
class Job:
    """What a runner tells a worker process: plain values, so that any executor can carry it."""

    spec: Mapping[str, Any]
    results: str
    data_dir: str | None
    device: str
    study: str = ""
    settings: tuple[str, ...] = ()  # that replaced the study's own
    alone: bool = False  # none of ours is beside it
    exclusive: bool = False  # it measures time: nobody at all may be beside it
    wait_for_lock: bool = False  # a requeued Slurm task waits for what is left of its predecessor

    @property
    def data(self) -> Path | None:
        return None if self.data_dir is None else Path(self.data_dir)

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


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
            _redirect_output(writer.paths.log)
        with turn(store.root, job.device, job.exclusive, _Waiting(writer, job.device, stop)):
            started = time.monotonic()
            status = _begin(writer, job)
            inputs = _inputs(spec, store, job.data)
            status |= _note_data(writer, inputs)
            if job.exclusive:
                _wait_for_device(job.device)
            with _watched(writer, job):
                _execute(writer, job, stop, perform)
            if inputs is not None:  # what was read is what the run is named after
                inputs.again().check(spec)
            _end_output(log)
        if computed is not None:
            computed()
        writer.finish(**status, **_cost(started))
        return DONE
    except StopRequested:
        return STOPPED
    except DeviceNotFree as error:
        print(f"not started: {error}", file=sys.stderr)
        return BLOCKED
    except OSError as error:
        if error.errno in NO_SPACE:
            return DISK_FULL
        return _refuse(writer, of_system(error), error, started, log)
    except InputError as error:
        return _refuse(writer, error, error, started, log)
    except BaseException as error:  # whatever an engine raises is this run's failure and nobody else's
        return _fail(writer, error, started)


def _inputs(spec: RunSpec, store: RunStore, data_dir: Path | None) -> Inputs | None:
    """Return the run's data, as long as it is what the run was started for; None where it reads none."""
    if spec.data is None or os.environ.get(STAND_IN_VARIABLE):
        return None
    if data_dir is None:
        raise InputError("this run needs a data set", remedy="give its folder: --data DIR")
    from tal_repro.run.inputs import Inputs

    inputs = Inputs(data_dir, store.root)
    inputs.check(spec)
    return inputs


def _note_data(writer: RunWriter, inputs: Inputs | None) -> dict[str, str]:
    """Write data.json: what the run is made from; return what of it a reader needs first."""
    spec = writer.spec
    named: dict[str, Any] = {"schema": "tal-repro/data/1", "digest": spec.data_digest}
    if inputs is None:
        if spec.data_digest:  # a stand-in reads none, and is named after them all the same
            writer.write_json("data", named)
        return {}
    state = inputs.note(spec.model)
    about = {"layout": state.layout, "data_set": state.digest[:ROW_DIGITS]}
    facts = {"annotation_hash": state.annotation_hash, "feature_dim": state.dim, **inputs.lengths(spec.model)}
    writer.write_json("data", named | about | facts)
    return about


def _execute(writer: RunWriter, job: Job, stop: StopFlag, perform: Perform | None) -> None:
    spec = writer.spec
    _set_threads(spec.threads)
    context = RunContext(
        spec=spec,
        record=writer,
        data_dir=job.data,
        device=job.device,
        subset_ids=_draw_subset(writer, job.data),
        should_stop=stop,
        heartbeat=writer.beat,
    )
    with _hooked(writer):
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
        self.writer.beat()


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


def _earlier_doubts(writer: RunWriter) -> list[str]:
    """Return what disturbed an earlier attempt of this run: its time is part of the run's."""
    try:
        return [str(reason) for reason in read_json(writer.paths.system)["surroundings"]["doubtful"]]
    except (InputError, KeyError, TypeError):
        return []


def _wait_for_device(device: str) -> None:
    """Raise DeviceNotFree while others compute on the device; the run before may need a moment to leave it."""
    deadline = time.monotonic() + LEAVE_SECONDS
    while others := neighbours(device):
        if time.monotonic() > deadline:
            raise DeviceNotFree(f"{device} is used by process {', '.join(map(str, others))}")
        time.sleep(0.5)


def _begin(writer: RunWriter, job: Job) -> dict[str, Any]:
    """Write system.json and the status of a run under way; return what stays true to its end."""
    device = job.device
    attempts = 1
    with contextlib.suppress(InputError, TypeError, ValueError):  # there is no status yet, or a spoilt one
        attempts += int(read_json(writer.paths.status).get("attempts", 0))
    status = {
        "study": job.study,
        "settings": list(job.settings),
        "host": socket.gethostname(),
        "machine": machine_name(device),
        "device": device,
        "started": _now(),
        "attempts": attempts,
    }
    doubtful = _earlier_doubts(writer)
    about = {**describe_system(device, job.alone and not doubtful), "surroundings": {"doubtful": doubtful}}
    writer.write_json("system", about)
    writer.write_json("status", {"format": FORMAT, "state": "running", "pid": os.getpid(), **status})
    print(f"# attempt {attempts}, {status['started']}, {status['host']}, {device}", file=sys.stderr, flush=True)
    for warning in warnings_of([writer.spec], [device]):
        print(warning, file=sys.stderr, flush=True)
    writer.beat()
    return status


def _draw_subset(writer: RunWriter, data_dir: Path | None) -> tuple[str, ...]:
    """Draw the run's training units from the data at hand and record them."""
    spec = writer.spec
    if spec.data is None or os.environ.get(STAND_IN_VARIABLE):
        return ()
    if data_dir is None:
        raise InputError("this run needs a data set", remedy="give its folder: --data DIR")
    from tal_repro.data import draw_subset
    from tal_repro.data.windows import Slicing
    from tal_repro.run.datasets import open_dataset

    dataset = open_dataset(data_dir, spec)  # whole trainings, too, are checked against what they declare
    if (drawn_by := spec.subset) is None:
        return ()
    slicing = Slicing.of(spec.recipe)
    subset = draw_subset(
        dataset, drawn_by.unit, drawn_by.policy, drawn_by.percent, drawn_by.seed, model=spec.model, slicing=slicing
    )
    writer.write_json("subset", subset.to_json())
    return subset.ids


class _hooked:
    """Tell `tal_repro.hooks` where this run's events go and which subset it trains on."""

    def __init__(self, writer: RunWriter) -> None:
        self.variables = {hooks.EVENTS_VARIABLE: str(writer.paths.events)}
        if is_there(writer.paths.subset):
            self.variables[hooks.SUBSET_VARIABLE] = str(writer.paths.subset)

    def __enter__(self) -> None:
        hooks.reset()
        os.environ.update(self.variables)

    def __exit__(self, *exception: object) -> None:
        hooks.reset()
        for name in self.variables:
            os.environ.pop(name, None)


def _refuse(writer: RunWriter | None, readable: InputError | None, error: Exception, started: float, log: bool) -> int:
    """Record a failure that its user can mend; raise it where nobody reads the log, for the command to say."""
    if log or readable is None:
        return _fail(writer, readable or error, started)
    if readable is not error:
        readable.__cause__ = error
    if writer is not None:
        with contextlib.suppress(OSError), writer.paths.log.open("a", encoding="utf-8") as stream:
            _fail(writer, readable, started, stream)
    raise readable


def _fail(writer: RunWriter | None, error: BaseException, started: float, stream: TextIO | None = None) -> int:
    traceback.print_exception(error, file=stream)  # None: standard error, which a runner has sent to the log
    if writer is None:
        return FAILED
    try:
        status = read_json(writer.paths.status) if is_there(writer.paths.status) else {}
        for key in ("format", "state", "pid"):
            status.pop(key, None)
        writer.fail(_reason(error), **{**status, **_cost(started)})
    except OSError as second:
        traceback.print_exception(second)
        return DISK_FULL if second.errno in NO_SPACE else FAILED
    return FAILED


def _cost(started: float) -> dict[str, Any]:
    """Return what this attempt took: wall seconds, and CPU seconds of its process and the children it has ended."""
    spent = os.times()
    cpu = spent.user + spent.system + spent.children_user + spent.children_system
    return {"seconds": round(time.monotonic() - started, 3), "cpu_seconds": round(cpu, 3), "finished": _now()}


def _reason(error: BaseException) -> str:
    """Say in one line why a run failed."""
    if isinstance(error, InputError):
        return str(error)
    name = type(error).__name__
    if isinstance(error, MemoryError) or name == "OutOfMemoryError" or "out of memory" in str(error).lower():
        where = "device" if "CUDA" in str(error) or name == "OutOfMemoryError" else "host"
        return f"out of memory ({where}): {error or name}"
    first = (str(error).splitlines() or [""])[0]
    return f"{name}: {first}" if first else name


def _set_threads(threads: int) -> None:
    os.environ["OMP_NUM_THREADS"] = str(threads)
    if (torch := sys.modules.get("torch")) is not None:
        torch.set_num_threads(threads)


def _redirect_output(path: Path) -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)


def _end_output(log: bool) -> None:
    """Let nothing more reach the log: its digest is about to be taken."""
    sys.stdout.flush()
    sys.stderr.flush()
    if log:
        descriptor = os.open(os.devnull, os.O_WRONLY)
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)
        os.close(descriptor)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def read_outcome(store: RunStore, spec: RunSpec) -> str:
    """Return why a run failed, from its folder ("" where it has not failed)."""
    if store.state(spec) != "failed":
        return ""
    try:
        return str(RunRecord(store.failed(spec)).status.get("reason", "no reason recorded"))
    except InputError as error:
        return error.what
