"""Runs on this machine: a pool of slots over one warm fork server. A killed server is started again."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from tal_repro.errors import InputError
from tal_repro.run.job import Job

DEATH_SECONDS = 1.0  # after SIGKILL; a process that waits in the kernel (for a dead disk, say) outlives it


class LocalPool:
    """Start jobs in numbered slots, and tell how they ended."""

    def __init__(self, warm_modules: Sequence[str]) -> None:
        self.warm_modules = list(warm_modules)
        self.busy: dict[int, int] = {}  # slot -> pid of its run, 0 until the server says
        self.survivors: set[int] = set()  # processes that SIGKILL did not end
        self.ready = False  # the server has imported what it should
        self._server: subprocess.Popen[bytes] | None = None
        self._buffer = b""
        self._unsent = b""
        self._killed_at = float("inf")

    def start(self, slot: int, job: Job) -> None:
        """Run a job in a free slot."""
        self.busy[slot] = 0
        self._ensure_server()
        self._send({"start": job.to_json(), "slot": slot})

    def signal(self, slot: int, number: int) -> None:
        """Send a signal to the run in a slot."""
        if slot in self.busy and self._server is not None:
            self._send({"signal": number, "slot": slot})

    def poll(self, timeout_s: float) -> list[tuple[int, int | None]]:
        """Wait for runs to end; return (slot, exit status) of those that did (negative: killed by that signal).

        A status of None: the run has computed all it will, and is writing its folder.
        """
        if self._server is None or self._server.stdout is None:
            return []
        self._flush()
        with selectors.DefaultSelector() as selector:
            selector.register(self._server.stdout, selectors.EVENT_READ)
            if not selector.select(timeout_s):  # its runs hold the pipe open: silence is not its end
                over = self._server.poll() is not None or time.monotonic() > self._killed_at + DEATH_SECONDS
                return self._lost() if over else []
        chunk = os.read(self._server.stdout.fileno(), 1 << 16)
        if not chunk:
            return self._lost()
        *lines, self._buffer = (self._buffer + chunk).split(b"\n")
        return [end for line in lines for end in self._read(json.loads(line))]

    def _read(self, message: dict[str, Any]) -> list[tuple[int, int | None]]:
        self.ready = True
        if "pid" in message:
            self.busy[message["slot"]] = message["pid"]
            return []
        if "exit" in message:
            self.busy.pop(message["slot"], None)
        return [(message["slot"], message.get("exit"))] if "slot" in message else []

    def kill(self) -> None:
        """End the server and its runs now, whether it answers or not; `poll` reports every slot."""
        if self._server is None:
            return
        for pid in filter(None, self.busy.values()):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, signal.SIGKILL)  # with whatever it started
        self._server.kill()
        self._killed_at = time.monotonic()

    def close(self) -> None:
        """End the server and whatever still runs."""
        self.kill()
        if self._server is not None:
            self._reap(self._server)

    def _ensure_server(self) -> None:
        if self._server is not None:
            return
        self._buffer, self._unsent, self.ready, self._killed_at = b"", b"", False, float("inf")
        environment = {"OMP_NUM_THREADS": "1", **os.environ}
        self._server = subprocess.Popen(
            [sys.executable, "-m", "tal_repro.run.executors.forkserver", str(os.getpid()), *self.warm_modules],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            bufsize=0,
            start_new_session=True,  # Ctrl-C on the terminal reaches the runner alone, which decides
        )
        assert self._server.stdin is not None
        os.set_blocking(self._server.stdin.fileno(), False)  # a server that is stopped reads nothing

    def _send(self, message: dict[str, Any]) -> None:
        self._unsent += json.dumps(message).encode() + b"\n"
        self._flush()

    def _flush(self) -> None:
        assert self._server is not None
        assert self._server.stdin is not None
        try:
            while self._unsent:
                self._unsent = self._unsent[os.write(self._server.stdin.fileno(), self._unsent) :]
        except BlockingIOError:
            pass  # `poll` tries again
        except BrokenPipeError:  # `poll` finds out and reports every slot
            self._unsent = b""

    def _lost(self) -> list[tuple[int, int | None]]:
        """Report every run of a server that was killed: they ended with it."""
        assert self._server is not None
        ended: list[tuple[int, int | None]] = [(slot, -int(signal.SIGKILL)) for slot in sorted(self.busy)]
        status, ready = self._reap(self._server), self.ready
        if status > 0 and not ready:
            raise InputError("the worker process could not start", remedy="see its message above; make setup")
        return ended

    def _reap(self, server: subprocess.Popen[bytes]) -> int:
        """Wait a moment for the server and its runs to be gone; return its status. Who is not gone is kept in mind."""
        pids = {pid for pid in self.busy.values() if pid}
        try:
            status = server.wait(DEATH_SECONDS)
        except subprocess.TimeoutExpired:
            status = -int(signal.SIGKILL)
            pids.add(server.pid)
        for stream in (server.stdin, server.stdout):
            if stream is not None:
                stream.close()
        self.survivors |= _still_alive(pids)
        self.busy.clear()
        self._server = None
        return status


def _still_alive(pids: Iterable[int]) -> set[int]:
    """Return which processes are there a moment after SIGKILL (one that nobody has waited for is not)."""
    end = time.monotonic() + DEATH_SECONDS
    while (alive := {pid for pid in pids if _is_alive(pid)}) and time.monotonic() < end:
        time.sleep(0.02)
    return alive


def _is_alive(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        return status.rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
