"""How a run is asked to stop: SIGINT = finish the epoch, SIGTERM = now. The adapter asks `StopFlag` between steps."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from tal_repro.engines.adapter import StopRequested

EXIT_SIGTERM = 128 + signal.SIGTERM  # 143
EXIT_SIGINT = 128 + signal.SIGINT  # 130


class StopFlag:
    """What was asked for so far: "", "epoch" or "now"; the second wish of a kind cannot weaken the first."""

    def __init__(self) -> None:
        self.wish = ""
        self.raises = False
        self.exit_status = EXIT_SIGTERM  # of a process that stops because of it

    def __call__(self) -> str:
        return self.wish

    def install(self) -> None:
        """Let SIGINT and SIGTERM of this process set the flag."""
        signal.signal(signal.SIGINT, self._on_signal)
        signal.signal(signal.SIGTERM, self._on_signal)

    @contextmanager
    def raising(self) -> Iterator[None]:
        """Raise StopRequested at once in this block: for work that has no checkpoint and asks for no flag."""
        self.raises = True
        try:
            if self.wish == "now":
                raise StopRequested
            yield
        finally:
            self.raises = False

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self.exit_status = 128 + number
        if number == signal.SIGTERM or self.wish:
            self.wish = "now"
        else:
            self.wish = "epoch"
        if self.raises and self.wish == "now":
            raise StopRequested
