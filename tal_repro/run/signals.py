"""How a run is asked to stop: SIGINT = finish the epoch, SIGTERM = now. The adapter asks `StopFlag` between steps.

Before it asks for the first time (imports, reading data) there is no checkpoint to write: SIGTERM ends it at once.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from tal_repro.engines.adapter import StopRequested
from tal_repro.interrupt import end_within, heeded

EXIT_SIGTERM = 128 + signal.SIGTERM  # 143
EXIT_SIGINT = 128 + signal.SIGINT  # 130


class StopFlag:
    """What was asked for so far: "", "epoch" or "now"; the second wish of a kind cannot weaken the first.

    `patience_s`: after a wish of "now" the process is ended by then, where no runner watches over it.
    """

    def __init__(self, patience_s: float | None = None) -> None:
        self.wish = ""
        self.raises = False
        self.keeps_raising = False
        self.patience_s = patience_s
        self.exit_status = EXIT_SIGTERM  # of a process that stops because of it

    def __call__(self) -> str:
        """Return the wish; whoever asks will stop by itself."""
        self.raises = self.keeps_raising
        return self.wish

    def install(self) -> None:
        """Let the signals of this process set the flag."""
        self.raises = True
        for number in heeded():
            signal.signal(number, self._on_signal)

    @contextmanager
    def raising(self) -> Iterator[None]:
        """Raise StopRequested at once in this block: for work that has no checkpoint and asks for no flag."""
        self.raises = self.keeps_raising = True
        try:
            if self.wish == "now":
                raise StopRequested
            yield
        finally:
            self.raises = self.keeps_raising = False

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self.exit_status = 128 + number
        if number != signal.SIGINT or self.wish:
            self.wish = "now"
        else:
            self.wish = "epoch"
        if self.wish == "now" and self.patience_s is not None:
            end_within(self.patience_s, self.exit_status)
        if self.raises and self.wish == "now":
            raise StopRequested
