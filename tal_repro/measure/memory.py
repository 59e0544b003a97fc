"""Peak memory of a block of work, reset before it: CUDA's allocator on a GPU, the process's resident set on a CPU."""

from __future__ import annotations

import threading
from types import TracebackType

MIB = 2**20
POLL_S = 0.002


class PeakMemory:
    """`mib` is the peak above the start of the block on a CPU, and the allocator's peak on a GPU."""

    def __init__(self, device: str) -> None:
        self.device = device
        self.mib = 0.0
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> PeakMemory:
        if self.device.startswith("cuda"):
            import torch

            torch.cuda.reset_peak_memory_stats(self.device)
            return self
        self._start_bytes = _resident_bytes()
        self._thread = threading.Thread(target=self._poll, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if self._thread is None:
            import torch

            self.mib = torch.cuda.max_memory_allocated(self.device) / MIB
            return
        self._stop.set()
        self._thread.join()

    def _poll(self) -> None:
        """Watch the resident set: the kernel's own high-water mark cannot be reset without privileges everywhere."""
        while True:
            self.mib = max(self.mib, (_resident_bytes() - self._start_bytes) / MIB)
            if self._stop.wait(POLL_S):
                break
        self.mib = max(self.mib, (_resident_bytes() - self._start_bytes) / MIB)


def _resident_bytes() -> int:
    import psutil

    return int(psutil.Process().memory_info().rss)
