"""What a Slurm job executes: the run in a child process, so that the job itself is free to checkpoint and requeue.

Told to make room (USR2 before the time limit or at preemption) the job stops the child at a checkpoint and asks
submitit to queue it again; the next start goes on from there.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from typing import Any

from tal_repro.engines.child import die_with_parent
from tal_repro.run import outcomes, worker
from tal_repro.run.job import Job

CHECKPOINT_SECONDS = 60.0  # a native run needs one batch; Slurm's own limit may be shorter
KILLED_SECONDS = 180.0  # longer than any cluster waits between SIGTERM and SIGKILL


class Task:
    """A picklable job for submitit (`job` is JSON: nothing else travels)."""

    def __init__(self, job: str) -> None:
        self.job = job
        self._child: subprocess.Popen[str] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {"job": self.job, "_child": None}

    def __call__(self) -> int:
        """Execute the run; return its exit status, which only tells: the folder is the result."""
        command = [sys.executable, "-m", "tal_repro.run.executors.slurm_task", str(os.getpid())]
        self._child = subprocess.Popen(command, stdin=subprocess.PIPE, text=True)
        assert self._child.stdin is not None
        self._child.stdin.write(self.job)
        self._child.stdin.close()
        while self._child.poll() is None:
            time.sleep(0.2)  # signals (submitit's checkpoint) are handled here
        if self._child.returncode == outcomes.STOPPED:
            # Slurm has sent SIGTERM to all of the job's processes: the job is about to be killed, and requeued where
            # it was preempted. Returning now would count as finished.
            time.sleep(KILLED_SECONDS)
        return self._child.returncode

    def checkpoint(self) -> Any:
        """Stop the run at its checkpoint; return what is queued again in this job's place."""
        import submitit

        if self._child is not None and self._child.poll() is None:
            self._child.send_signal(signal.SIGTERM)
            deadline = time.monotonic() + CHECKPOINT_SECONDS
            while self._child.poll() is None and time.monotonic() < deadline:
                time.sleep(0.1)
            self._child.kill()
        return submitit.helpers.DelayedSubmission(Task(self.job))


def main() -> int:
    """Execute the job of stdin in this process; end with the parent."""
    die_with_parent(int(sys.argv[1]))
    for number in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGCONT):  # meant for the parent
        signal.signal(number, signal.SIG_IGN)
    return worker.run_job(Job(**json.loads(sys.stdin.read())))


if __name__ == "__main__":
    sys.exit(main())
