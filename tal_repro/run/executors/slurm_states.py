"""What Slurm says of jobs: `squeue` of those it still has, `sacct` of how the others ended (where accounting runs)."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence

from tal_repro.errors import InputError

TIMEOUT_SECONDS = 60
_RANGE = re.compile(r"(\d+)_\[([0-9,-]+)(?:%\d+)?\]")
# States in which a job may still come to run.
LIVING = ("PENDING", "RUNNING", "REQUEUED", "REQUEUE_HOLD", "SUSPENDED", "COMPLETING", "CONFIGURING", "RESIZING")


def alive(jobs: Sequence[str]) -> set[str]:
    """Return the job ids (`12_3`) that are pending, running or about to run again; raise InputError without squeue."""
    if not jobs:
        return set()
    # an id that the controller has forgotten makes squeue fail: ask for all of ours and choose here
    lines = _ask(["squeue", "--noheader", "--me", "--array", "--format=%i|%T"])
    if lines is None:
        raise InputError("squeue does not answer", "--executor slurm", "check the cluster: sinfo")
    living = set()
    for line in lines:
        job_id, _, state = line.strip().partition("|")
        if job_id.split("_")[0] in jobs and state.split()[0] in LIVING:
            living |= set(expand(job_id))
    return living


def states(jobs: Sequence[str]) -> dict[str, str]:
    """Return job id -> last state as accounting has it ({} without accounting)."""
    lines = _ask(
        ["sacct", "--noheader", "--allocations", "--parsable2", "--format=JobID,State", "--jobs", ",".join(jobs)]
    )
    states_by_job: dict[str, str] = {}
    for line in lines or []:
        job_id, _, state = line.strip().partition("|")
        for name in expand(job_id):
            states_by_job[name] = state.split()[0] if state else "UNKNOWN"  # "CANCELLED by 1000"
    return states_by_job


def expand(job_id: str) -> list[str]:
    """Spell out `12_[0-2,5%4]` as `12_0`, `12_1`, `12_2`, `12_5`."""
    match = _RANGE.fullmatch(job_id)
    if match is None:
        return [job_id]
    names = []
    for part in match.group(2).split(","):
        low, _, high = part.partition("-")
        names += [f"{match.group(1)}_{number}" for number in range(int(low), int(high or low) + 1)]
    return names


def _ask(command: list[str]) -> list[str] | None:
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.splitlines() if answer.returncode == 0 else None
