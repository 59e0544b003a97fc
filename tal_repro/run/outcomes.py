"""How a run's process ends: its exit statuses, the record of a failure, and what an attempt took."""

from __future__ import annotations

import contextlib
import os
import time
import traceback
from datetime import UTC, datetime
from typing import Any, TextIO

from tal_repro.errors import NO_SPACE, InputError
from tal_repro.files import is_there
from tal_repro.run.signals import EXIT_SIGTERM
from tal_repro.runs.record import RunRecord, read_json
from tal_repro.runs.store import RunStore
from tal_repro.runs.writer import RunWriter
from tal_repro.spec import RunSpec

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


def read_outcome(store: RunStore, spec: RunSpec) -> str:
    """Return why a run failed, from its folder ("" where it has not failed)."""
    if store.state(spec) != "failed":
        return ""
    try:
        return str(RunRecord(store.failed(spec)).status.get("reason", "no reason recorded"))
    except InputError as error:
        return error.what


def refuse(writer: RunWriter | None, readable: InputError | None, error: Exception, started: float, log: bool) -> int:
    """Record a failure that its user can mend; raise it where nobody reads the log, for the command to say."""
    if log or readable is None:
        return fail(writer, readable or error, started)
    if readable is not error:
        readable.__cause__ = error
    if writer is not None:
        with contextlib.suppress(OSError), writer.paths.log.open("a", encoding="utf-8") as stream:
            fail(writer, readable, started, stream)
    raise readable


def fail(writer: RunWriter | None, error: BaseException, started: float, stream: TextIO | None = None) -> int:
    """Record a failure in the run's folder, as far as the disk takes it; return the exit status."""
    traceback.print_exception(error, file=stream)  # None: standard error, which a runner has sent to the log
    if writer is None:
        return FAILED
    try:
        status = read_json(writer.paths.status) if is_there(writer.paths.status) else {}
        for key in ("format", "state", "pid"):
            status.pop(key, None)
        writer.fail(_reason(error), **{**status, **cost(started)})
    except OSError as second:
        traceback.print_exception(second)
        return DISK_FULL if second.errno in NO_SPACE else FAILED
    return FAILED


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


def cost(started: float) -> dict[str, Any]:
    """Return what this attempt took: wall seconds, and CPU seconds of its process and the children it has ended."""
    spent = os.times()
    cpu = spent.user + spent.system + spent.children_user + spent.children_system
    return {"seconds": round(time.monotonic() - started, 3), "cpu_seconds": round(cpu, 3), "finished": now()}


def now() -> str:
    """Return the time as a run's status holds it: UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")
