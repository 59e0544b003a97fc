"""A warm process that imports torch once and then forks one process a run, told so by its runner through a pipe.

Lines of JSON in: {"start": job, "slot": n} or {"signal": number, "slot": n}. Lines of JSON out: {"ready": true},
{"slot": n, "pid": p} of a run that was started, {"slot": n} from one that computes no more and writes its folder, and
{"slot": n, "exit": status} (negative: the signal that ended the run). The server ends when the pipe closes; its runs
end with it.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import selectors
import signal
import sys
import warnings
from typing import Any, TextIO

from tal_repro.engines.child import die_with_parent
from tal_repro.engines.native.freed_memory import keep_freed_memory

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class ForkServer:
    """The runs of one warm process, by slot."""

    def __init__(self, answers: TextIO) -> None:
        self.answers = answers
        self.runs: dict[int, int] = {}  # pid -> slot
        self.inherited: list[int] = []  # descriptors that a run must not keep

    def start(self, slot: int, job: dict[str, Any]) -> None:
        parent = os.getpid()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a library's idle helper thread is no reason not to fork
            signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)  # one sent before the run hears them waits for it
            pid = os.fork()
        if pid == 0:
            self._become_run(parent, slot, job)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
        self.runs[pid] = slot
        self.answer({"slot": slot, "pid": pid})

    def _become_run(self, parent: int, slot: int, job: dict[str, Any]) -> None:
        """Execute the job in this forked process, in a process group of its own, and exit."""
        status = 70
        try:
            os.setpgid(0, 0)
            die_with_parent(parent)
            signal.set_wakeup_fd(-1)
            for number in (signal.SIGCHLD, *_SIGNALS):
                signal.signal(number, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
            for descriptor in self.inherited:
                os.close(descriptor)
            os.open(os.devnull, os.O_RDONLY)  # becomes 0: nothing a run opens may land there
            from tal_repro.run.experiments import WITHOUT_CHECKPOINT
            from tal_repro.run.job import Job
            from tal_repro.run.worker import run_job

            if job["spec"]["engine"] == "native" and job["spec"]["experiment"] not in WITHOUT_CHECKPOINT:
                keep_freed_memory()  # a training; what measures memory wants it given back
            status = run_job(Job(**job), computed=lambda: self._tell_computed(slot))
        except BaseException:
            import traceback

            traceback.print_exc()
        finally:
            with contextlib.suppress(OSError, ValueError):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(status)

    def _tell_computed(self, slot: int) -> None:
        with contextlib.suppress(OSError):  # a runner that is gone need not know
            os.write(self.answers.fileno(), json.dumps({"slot": slot}).encode() + b"\n")  # one write: never mixed

    def signal(self, slot: int, number: int) -> None:
        """Send a signal to a slot's run (to its whole group where it is a kill)."""
        for pid, at in self.runs.items():
            if at == slot:
                with contextlib.suppress(ProcessLookupError):
                    (os.killpg if number == signal.SIGKILL else os.kill)(pid, number)

    def reap(self) -> None:
        """Report the runs that ended, and end what they left behind."""
        for pid in list(self.runs):
            done, status = os.waitpid(pid, os.WNOHANG)
            if done:
                slot = self.runs.pop(pid)
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(pid, signal.SIGKILL)
                self.answer({"slot": slot, "exit": os.waitstatus_to_exitcode(status)})

    def answer(self, message: dict[str, Any]) -> None:
        self.answers.write(json.dumps(message) + "\n")
        self.answers.flush()


def serve(modules: list[str]) -> None:
    """Import `modules`, then obey the lines of stdin until it closes."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever prints must not reach the protocol
    for number in _SIGNALS:  # the runner tells when to stop, not the terminal
        signal.signal(number, signal.SIG_IGN)
    reading, writing = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    for name in modules:
        importlib.import_module(name)
    for name in ("concurrent.futures.thread", "tal_repro.measure.energy", "tal_repro.run.worker"):
        importlib.import_module(name)  # what every run needs: 10 ms of each, once
    importlib.import_module("tal_repro.run.system").describe_system("cpu", False)  # its fixed part is kept: 13 ms a run
    server = ForkServer(answers)
    server.inherited = [0, reading, writing]
    gc.freeze()  # a run's collections leave these pages shared
    server.answer({"ready": True})
    _obey(server, reading)


def _obey(server: ForkServer, wakeup: int) -> None:
    selector = selectors.DefaultSelector()
    selector.register(0, selectors.EVENT_READ)
    selector.register(wakeup, selectors.EVENT_READ)
    server.inherited.append(selector.fileno())
    buffer = b""
    while True:
        ready = {key.fd for key, _ in selector.select()}
        if wakeup in ready:
            with contextlib.suppress(BlockingIOError):
                os.read(wakeup, 4096)
            server.reap()
        if 0 in ready:
            chunk = os.read(0, 1 << 16)
            if not chunk:
                return
            *lines, buffer = (buffer + chunk).split(b"\n")
            for line in lines:
                message = json.loads(line)
                if "start" in message:
                    server.start(message["slot"], message["start"])
                else:
                    server.signal(message["slot"], message["signal"])


if __name__ == "__main__":
    die_with_parent(int(sys.argv[1]))
    serve(sys.argv[2:])
