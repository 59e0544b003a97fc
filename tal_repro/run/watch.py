"""Signs of life of a run, from its folder. Measured by this process's own monotonic clock: clock jumps do no harm."""

from __future__ import annotations

import time
from pathlib import Path

from tal_repro.runs.folder import FILE_NAMES, WAITS

_SIGNS = tuple(FILE_NAMES[name] for name in ("heartbeat", "log", "events", "epochs", "trace", "checkpoint"))


class LifeSigns:
    """Tell how long nothing has changed in a run's folder, and whether the run waits for its turn."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.waits = False
        self.seen = self._look()
        self.changed = time.monotonic()
        self.looked = self.changed

    def silent_seconds(self) -> float:
        """Return the seconds since the last change (looked at once a second)."""
        now = time.monotonic()
        if now - self.looked >= 1.0:
            self.looked = now
            self.waits = self._waits()
            if (signs := self._look()) != self.seen:
                self.seen, self.changed = signs, now
        return now - self.changed

    def _look(self) -> tuple[tuple[int, int], ...]:
        signs = []
        for name in _SIGNS:
            try:
                status = (self.folder / name).stat()
                signs.append((status.st_mtime_ns, status.st_size))
            except OSError:
                signs.append((0, 0))
        return tuple(signs)

    def _waits(self) -> bool:
        try:
            return (self.folder / FILE_NAMES["heartbeat"]).read_text(encoding="utf-8").rstrip().endswith(WAITS)
        except (OSError, UnicodeDecodeError):
            return False
