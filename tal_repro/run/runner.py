"""The runner: takes a plan's pending runs through a pool of workers. One failed run never stops the others."""

from __future__ import annotations

import signal
import time
from collections import Counter, deque
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Protocol

from tal_repro.errors import InputError
from tal_repro.interrupt import end_within, heeded
from tal_repro.machine.gpus import gpu_use
from tal_repro.run import failures, locks, outcomes, space
from tal_repro.run.devices import Device
from tal_repro.run.job import Job
from tal_repro.run.packing import Packing
from tal_repro.run.plan import PlannedRun
from tal_repro.run.progress import Progress, format_duration, name_run
from tal_repro.run.signals import EXIT_SIGINT
from tal_repro.run.watch import LifeSigns
from tal_repro.runs.store import RunStore

POLL_SECONDS = 0.25
ELSEWHERE_SECONDS = 1.0  # between looks at runs that another runner has
GRACE_SECONDS = 7.0  # from SIGTERM to SIGKILL: a spot instance gives little more
ANSWER_SECONDS = 1.0  # after SIGKILL, before a server that does not tell of its run is ended with all its runs
LEAVE_SECONDS = 9.5  # after which the runner ends even where it waits for a disk itself
MOST_KILLS = 3  # of one run, before this runner leaves it for a later start


class Pool(Protocol):
    """What an executor of this machine offers."""

    def start(self, slot: int, job: Job) -> None: ...
    def signal(self, slot: int, number: int) -> None: ...
    def poll(self, timeout_s: float) -> list[tuple[int, int | None]]: ...
    def kill(self) -> None: ...
    def close(self) -> None: ...
    @property
    def ready(self) -> bool: ...
    @property
    def survivors(self) -> Collection[int]: ...


@dataclass(frozen=True)
class Settings:
    """How runs are executed; nothing here changes a result."""

    study: str
    data_dir: Path | None
    alone: tuple[str, ...]
    hang_seconds: float = 1800.0
    study_settings: tuple[str, ...] = ()  # --set of the study, for whoever repeats a run


@dataclass
class Running:
    """A run in a slot."""

    run: PlannedRun
    device: Device
    life: LifeSigns
    began: float = field(default_factory=time.monotonic)
    hung: bool = False

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.began


@dataclass
class Summary:
    """How every selected run ended: done, failed, stopped, killed, disk full, device not free."""

    outcomes: dict[str, str] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    interrupted: int = 0  # 130, 143, 129 or 0

    @property
    def counts(self) -> Counter[str]:
        return Counter(self.outcomes.values())

    @property
    def exit_status(self) -> int:
        return self.interrupted or int(any(outcome != "done" for outcome in self.outcomes.values()))


class Runner:
    """Drive `runs` to their end on `devices`."""

    def __init__(
        self,
        runs: list[PlannedRun],
        store: RunStore,
        pool: Pool,
        devices: list[Device],
        settings: Settings,
        progress: Progress,
    ) -> None:
        self.store, self.pool, self.devices, self.settings, self.progress = store, pool, devices, settings, progress
        # What must be alone goes first: the rest then fills every slot to the end.
        self.queue = deque(sorted(runs, key=lambda run: run.spec.experiment not in settings.alone))
        self.running: dict[int, Running] = {}
        self.elsewhere: dict[str, PlannedRun] = {}
        self.summary = Summary()
        self.kills: Counter[str] = Counter()
        self.memory_kills = failures.count_memory_kills()
        self.signals: deque[int] = deque()  # received, not yet obeyed
        self.asked: Counter[int] = Counter()  # how often each was received
        self.wish = ""  # "", "epoch", "now" or "kill"
        self.deadline = float("inf")
        self.looked = 0.0

    def run(self) -> Summary:
        """Run until nothing is left, or until asked to stop."""
        with self._signals():
            try:
                while self._step():
                    pass
            finally:
                self.pool.close()
                self.progress.close()
                for pid in sorted(self.pool.survivors):
                    self.progress.say(f"process {pid} could not be ended: it waits in the kernel, for a disk perhaps")
        return self.summary

    def _step(self) -> bool:
        """Start what can start, wait for what ends; return whether anything is left."""
        while self.signals:
            self._obey(self.signals.popleft())
        if not self.wish:
            self._fill()
            self._look_elsewhere()
        if self.running:
            for slot, status in self.pool.poll(POLL_SECONDS):
                if status is None:
                    self.running[slot].device.leave(slot)
                else:
                    self._ended(slot, status)
            self._watch()
        elif self.elsewhere and not self.wish:
            time.sleep(POLL_SECONDS)
        under_way = self.running.values()
        seconds = sum(min(running.seconds, running.run.estimate.seconds) for running in under_way)
        self.progress.draw([self._describe(running) for running in under_way], seconds)
        if self.wish:
            return bool(self.running)
        return bool(self.running or self.queue or self.elsewhere)

    def _fill(self) -> None:
        """Give every free slot a run; a run that must be alone holds back those behind it."""
        blocked: list[PlannedRun] = []
        while self.queue and len(blocked) < len(self.devices):
            run = self.queue.popleft()
            alone = run.spec.experiment in self.settings.alone
            device = next((device for device in self.devices if device.admits(run.spec, alone)), None)
            if device is None:
                blocked.append(run)
            elif not self._is_taken(run):
                self._start(run, device, alone)
        self.queue.extendleft(reversed(blocked))

    def _is_taken(self, run: PlannedRun) -> bool:
        """Tell whether another runner has finished the run or is at it."""
        if self.store.state(run.spec) == "done":
            self._settle(run, "done", "done by another runner")
        elif locks.owner(locks.lock_path(self.store.root, run.spec.name)) is not None:
            self.elsewhere[run.spec.run_id] = run
        else:
            return False
        return True

    def _start(self, run: PlannedRun, device: Device, alone: bool) -> None:
        slot = next(number for number in range(len(self.running) + 1) if number not in self.running)
        job = Job(
            spec=run.spec.to_json(),
            results=str(self.store.root),
            data_dir=None if self.settings.data_dir is None else str(self.settings.data_dir),
            device=device.name,
            study=self.settings.study,
            settings=self.settings.study_settings,
            alone=alone or device.capacity == 1,
            exclusive=alone,
        )
        if device.packing is not None and not alone:
            self._look_at(device)
        device.take(slot, run.spec, alone)
        self.running[slot] = Running(run, device, LifeSigns(self.store.partial(run.spec)))
        self.pool.start(slot, job)

    def _ended(self, slot: int, status: int) -> None:
        running = self.running.pop(slot)
        running.device.free(slot)
        if status == outcomes.DONE:
            self._pack(running)
        run, run_id = running.run, running.run.spec.run_id
        took = format_duration(running.seconds)
        if running.hung and self.store.state(run.spec) == "done":  # its server hung, after it
            self._settle(run, "done", took)
        elif running.hung:
            reason = f"hung: no sign of life for {self.settings.hang_seconds:g} s"
            self._settle(run, "failed", failures.record(self.store, run.spec, reason))
        elif status == outcomes.DONE:
            self._settle(run, "done", took)
        elif status == outcomes.BUSY:
            self.elsewhere[run_id] = run
        elif status == outcomes.FAILED:
            self._settle(run, "failed", outcomes.read_outcome(self.store, run.spec) or self._no_trace(run))
        elif status in outcomes.OUTCOMES:
            self._settle(run, outcomes.OUTCOMES[status], self._explain(status, running, took))
        elif status > 0:
            reason = f"its process ended with status {status}"
            self._settle(run, "failed", failures.record(self.store, run.spec, reason))
        else:
            self._killed(run, -status)

    def _explain(self, status: int, running: Running, took: str) -> str:
        """Say why a run was neither done nor failed; the same command takes it up again."""
        if status == outcomes.DISK_FULL:
            return space.describe_lack(self.store.root)
        if status == outcomes.BLOCKED:
            return f"another process computes on {running.device.name}"
        return f"after {took}"

    def _no_trace(self, run: PlannedRun) -> str:
        """Record and return why a run failed that could not say so itself."""
        return failures.record(self.store, run.spec, failures.NO_TRACE)

    def _look_at(self, device: Device) -> None:
        """Note what is on a device that one run is watched on; without NVML nothing is packed."""
        assert device.packing is not None
        try:
            device.packing.look(gpu_use(device.name))
        except InputError as error:
            self.progress.say(f"{device.name} is not shared: {error.what}")
            device.packing = None

    def _pack(self, running: Running) -> None:
        """Let more runs share a device, once one has shown what it takes."""
        device = running.device
        if device.packing is None or running.run.spec.experiment in self.settings.alone:
            return
        capacity = device.packing.decide()
        device.packing = Packing() if capacity is None else None
        if capacity is not None:
            device.capacity = capacity
            self.progress.say(f"{device.name}: {capacity} such runs at a time, as the first one shows")

    def _killed(self, run: PlannedRun, number: int) -> None:
        """Start a killed run again from its checkpoint, unless memory ran out or it keeps being killed."""
        self.kills[run.spec.run_id] += 1
        kills, before = failures.count_memory_kills(), self.memory_kills
        self.memory_kills = kills
        if self.wish:
            self._settle(run, "stopped", "stopped before its checkpoint")
        elif number == signal.SIGKILL and kills > before:
            reason = "out of memory (host): ended by the kernel"
            self._settle(run, "failed", failures.record(self.store, run.spec, reason))
        elif self.kills[run.spec.run_id] < MOST_KILLS:
            self.progress.say(f"killed by signal {number}, again: {name_run(run.spec)}")
            self.queue.appendleft(run)
        else:
            self._settle(run, "killed", f"killed by signal {number} {MOST_KILLS} times; it resumes at the next start")

    def _settle(self, run: PlannedRun, outcome: str, reason: str) -> None:
        spec = run.spec
        self.summary.outcomes[spec.run_id] = outcome
        if outcome != "done":
            self.summary.reasons[spec.run_id] = reason
        first_line = reason.splitlines()[0] if reason else ""
        self.progress.ended(f"{outcome} {spec.run_id} {name_run(spec)} ({first_line})", run.estimate.seconds)

    def _look_elsewhere(self) -> None:
        """See what became of the runs that other runners had; take over those that they left."""
        now = time.monotonic()
        if not self.elsewhere or now - self.looked < ELSEWHERE_SECONDS:
            return
        self.looked = now
        for run_id, run in list(self.elsewhere.items()):
            state = self.store.state(run.spec)
            if state in ("done", "failed"):
                del self.elsewhere[run_id]
                self._settle(run, state, "by another runner")
            elif locks.owner(locks.lock_path(self.store.root, run.spec.name)) is None:
                del self.elsewhere[run_id]
                self.queue.append(run)

    def _watch(self) -> None:
        """Stop what hangs, and what does not stop in time; look at devices that are being judged."""
        for device in self.devices:
            if device.packing is not None and device.running and not device.taken_alone:
                self._look_at(device)
        for slot, running in self.running.items():
            silent = running.life.silent_seconds()
            late = silent - self.settings.hang_seconds - GRACE_SECONDS
            if running.hung and late > ANSWER_SECONDS:
                self.progress.say("the process that starts runs does not answer: it is ended")
                self.pool.kill()
                break
            if running.hung and late > 0:
                self.pool.signal(slot, signal.SIGKILL)
            elif silent > self.settings.hang_seconds and not running.hung:
                running.hung = True
                self.pool.signal(slot, signal.SIGTERM)
        if time.monotonic() > self.deadline:
            self.deadline = float("inf")
            self.pool.kill()

    @contextmanager
    def _signals(self) -> Iterator[None]:
        before = {number: signal.signal(number, self._on_signal) for number in heeded()}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self.signals.append(number)  # no more: a handler may interrupt a write
        self.asked[number] += 1
        if number != signal.SIGINT or self.asked[number] > 1:
            end_within(LEAVE_SECONDS, 128 + number)

    def _obey(self, number: int) -> None:
        """SIGTERM, SIGHUP: now. SIGINT: after the epoch; again: now; a third time: at once, without a checkpoint."""
        if number != signal.SIGINT:
            self.summary.interrupted = 128 + number
            self._stop("now")
        else:
            self.summary.interrupted = self.summary.interrupted or EXIT_SIGINT
            self._stop({"": "epoch", "epoch": "now"}.get(self.wish, "kill"))

    def _stop(self, wish: str) -> None:
        self.wish = wish
        if not self.pool.ready:
            self.progress.say("stopping: no run has begun")
            self.pool.kill()
        elif wish == "epoch":
            self.progress.say(f"finishing the epoch of {len(self.running)} runs; Ctrl-C again: stop now")
            self._signal_all(signal.SIGINT)
        elif wish == "now":
            self.progress.say(f"stopping {len(self.running)} runs at a checkpoint")
            self.deadline = time.monotonic() + GRACE_SECONDS
            self._signal_all(signal.SIGTERM)
        else:
            self.pool.kill()

    def _signal_all(self, number: int) -> None:
        for slot in list(self.running):
            self.pool.signal(slot, number)

    def _describe(self, running: Running) -> str:
        if running.life.waits:
            return f"{running.device.name}: {name_run(running.run.spec)} (waits: a run that measures time goes alone)"
        spans = f"{format_duration(running.seconds)} of about {format_duration(running.run.estimate.seconds)}"
        return f"{running.device.name}: {name_run(running.run.spec)} ({spans})"
