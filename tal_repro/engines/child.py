"""Processes that end with their parent, so that a killed runner or worker leaves nobody on the device."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from functools import cache
from typing import Any

_PR_SET_PDEATHSIG = 1


def die_with_parent(parent: int | None = None) -> None:
    """Ask the kernel for SIGKILL when the parent ends (Linux; elsewhere nothing). Call in the child, after the fork.

    `parent` is the pid the caller had before the fork: a child whose parent is already gone ends at once. As a
    `preexec_fn` of subprocess.Popen it takes no argument.
    """
    if sys.platform != "linux":
        return
    _libc().prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if parent is not None and os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)


@cache
def _libc() -> Any:
    return ctypes.CDLL(None)
