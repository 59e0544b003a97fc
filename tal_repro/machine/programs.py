"""Ask another program of this machine, without a shell and without input."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

SECONDS = 20.0  # for a command to answer


@dataclass(frozen=True)
class Answer:
    """What a command said. `code` is -1 where it could not be started or did not end in time."""

    code: int
    out: str = ""
    err: str = ""


def run(command: Sequence[str], seconds: float = SECONDS) -> Answer:
    """Run a command to its end; an Answer with code -1 where it cannot be run or hangs."""
    try:
        done = subprocess.run(
            list(command), capture_output=True, stdin=subprocess.DEVNULL, timeout=seconds, check=False
        )
    except (OSError, subprocess.SubprocessError) as error:
        return Answer(-1, "", str(error))
    return Answer(done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"))
