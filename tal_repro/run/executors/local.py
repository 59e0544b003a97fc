"""Runs on this machine: a pool of slots over one warm fork server. A killed server is started again."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from tal_repro.errors import InputError
from tal_repro.run.worker import Job


class LocalPool:
    """Start jobs in numbered slots, and tell how they ended."""

    def __init__(self, warm_modules: Sequence[str]) -> None:
        self.warm_modules = list(warm_modules)
        self.busy: set[int] = set()
        self._server: subprocess.Popen[bytes] | None = None
        self._buffer = b""
        self._ready = False

    def start(self, slot: int, job: Job) -> None:
        """Run a job in a free slot."""
        self.busy.add(slot)
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
        with selectors.DefaultSelector() as selector:
            selector.register(self._server.stdout, selectors.EVENT_READ)
            if not selector.select(timeout_s):  # its runs hold the pipe open: silence is not its end
                return [] if self._server.poll() is None else self._lost()
        chunk = os.read(self._server.stdout.fileno(), 1 << 16)
        if not chunk:
            return self._lost()
        *lines, self._buffer = (self._buffer + chunk).split(b"\n")
        ended: list[tuple[int, int | None]] = []
        for line in lines:
            message = json.loads(line)
            self._ready = True
            if "exit" in message:
                self.busy.discard(message["slot"])
            if "slot" in message:
                ended.append((message["slot"], message.get("exit")))
        return ended

    def close(self) -> None:
        """End the server and whatever still runs."""
        if self._server is None:
            return
        for slot in list(self.busy):
            self.signal(slot, signal.SIGKILL)
        with contextlib.suppress(BrokenPipeError):
            self._server.stdin.close()  # type: ignore[union-attr]
        try:
            self._server.wait(5)
        except subprocess.TimeoutExpired:
            self._server.kill()
            self._server.wait()
        self._server.stdout.close()  # type: ignore[union-attr]
        self._server = None

    def _ensure_server(self) -> None:
        if self._server is not None:
            return
        self._buffer, self._ready = b"", False
        environment = {"OMP_NUM_THREADS": "1", **os.environ}
        self._server = subprocess.Popen(
            [sys.executable, "-m", "tal_repro.run.executors.forkserver", str(os.getpid()), *self.warm_modules],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            start_new_session=True,  # Ctrl-C on the terminal reaches the runner alone, which decides
        )

    def _send(self, message: dict[str, Any]) -> None:
        assert self._server is not None
        assert self._server.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # `poll` finds out and reports every slot
            self._server.stdin.write(json.dumps(message).encode() + b"\n")
            self._server.stdin.flush()

    def _lost(self) -> list[tuple[int, int | None]]:
        """Report every run of a server that was killed: they ended with it."""
        assert self._server is not None
        status = self._server.wait()
        for stream in (self._server.stdin, self._server.stdout):
            if stream is not None:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()
        self._server = None
        if status > 0 and not self._ready:
            raise InputError("the worker process could not start", remedy="see its message above; make setup")
        ended: list[tuple[int, int | None]] = [(slot, -int(signal.SIGKILL)) for slot in sorted(self.busy)]
        self.busy.clear()
        return ended
