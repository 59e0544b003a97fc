"""How a command leaves when a signal asks it to: from its first millisecond, with 130 (SIGINT), 143 or 129 (SIGHUP).

Standard library alone: it is imported before everything else.
"""

from __future__ import annotations

import _thread
import contextlib
import os
import signal
import sys
import time
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
PATIENCE_S = 8.0  # from SIGTERM to the end of a command that has not left by itself
TWICE_S = 2.0  # the same from a second Ctrl-C


def heeded() -> list[signal.Signals]:
    """Return the signals that a command obeys: SIGHUP only where nohup does not ignore it."""
    return [number for number in SIGNALS if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN]


def leave_on_signals() -> None:
    """Let every signal raise: SIGINT KeyboardInterrupt, the others SystemExit; what does not end by that is ended."""
    handler = _Leaving()
    for number in heeded():
        signal.signal(number, handler)


class _Leaving:
    def __init__(self) -> None:
        self.again = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if self.again or number != signal.SIGINT:
            end_within(TWICE_S if number == signal.SIGINT else PATIENCE_S, 128 + number)
        self.again = True
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        raise SystemExit(128 + number)


def leave_with(status: object) -> None:
    """Let nothing change the status of a command that a signal has ended: a last Ctrl-C finds it closing down."""
    if status in [128 + number for number in SIGNALS]:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # else the interpreter, taking itself down, would die of it
        end_within(TWICE_S, int(str(status)))


def end_within(seconds: float, status: int) -> None:
    """End this process with `status` after some seconds, whatever it is at then; its children end with it.

    Safe in a signal handler: `threading` takes locks that the interrupted code may hold.
    """
    _thread.start_new_thread(_end, (seconds, status))


def _end(seconds: float, status: int) -> None:
    time.sleep(seconds)
    os._exit(status)


def hold_standard_streams() -> None:
    """Open /dev/null in place of a closed standard stream: the next file opened would get its number, and its text."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # the lowest number that is free
    for name, descriptor in (("stdout", 1), ("stderr", 2)):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(descriptor, "w", closefd=False))


def drop(descriptor: int) -> None:
    """Let what is still written to a stream go nowhere: nobody reads it any more, or its disk is full."""
    with contextlib.suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), descriptor)
