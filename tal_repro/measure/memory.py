"""Memory of a block of work: its peak, reset before it, and a guard that turns too much of it into an error.

On a GPU the peak is the allocator's (model and inputs included); on a CPU the rise of the process's resident set
above where the block began. Freed pages are given back first, or a block would seem to need nothing that reuses those
of the block before it.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

from tal_repro.machine.host import MIB

POLL_S = 0.002
GUARD_SHARE = 0.9  # of the memory that is available when the guard is set
_STATM = Path("/proc/self/statm")


class PeakMemory:
    """`mib` is the peak (see above); `reserved_mib` what CUDA's allocator held for it; `resident_mib` the process's.

    `own_mib` of what lies on a GPU when the block begins is the block's own; the rest belongs to others and is left
    out (None: all of it is its own).
    """

    def __init__(self, device: str, own_mib: float | None = None) -> None:
        self.device, self.own_mib = device, own_mib
        self.mib = self.resident_mib = self.others_mib = 0.0
        self.reserved_mib: float | None = None
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> PeakMemory:
        if self.device.startswith("cuda"):
            import torch

            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(self.device)
            if self.own_mib is not None:
                self.others_mib = max(allocated_mib(self.device) - self.own_mib, 0.0)
        else:
            give_back_freed_pages()
        self._start_mib = self.resident_mib = resident_mib()
        self._thread = threading.Thread(target=self._poll, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._stop.set()
        assert self._thread is not None
        self._thread.join()
        if self.device.startswith("cuda"):
            import torch

            self.mib = torch.cuda.max_memory_allocated(self.device) / MIB - self.others_mib
            self.reserved_mib = torch.cuda.max_memory_reserved(self.device) / MIB - self.others_mib
        else:
            self.mib = self.resident_mib - self._start_mib

    def _poll(self) -> None:
        """Watch the resident set: the kernel's own high-water mark cannot be reset without privileges everywhere."""
        over = False
        while not over:
            over = self._stop.wait(POLL_S)
            self.resident_mib = max(self.resident_mib, resident_mib())


def allocated_mib(device: str) -> float:
    """Return what CUDA's allocator has given out on a GPU; 0 on a CPU, where nobody counts it."""
    if not device.startswith("cuda"):
        return 0.0
    import torch

    return float(torch.cuda.memory_allocated(device)) / MIB


def resident_mib() -> float:
    """Return the resident set of this process."""
    if _STATM.exists():
        return int(_STATM.read_bytes().split()[1]) * os.sysconf("SC_PAGE_SIZE") / MIB
    import psutil

    return int(psutil.Process().memory_info().rss) / MIB


def give_back_freed_pages() -> None:
    """Let the C library return what was freed to the system, where it can."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL("libc.so.6").malloc_trim(0)


def available_mib() -> float | None:
    """Return what this process can still have: of the machine, or of its control group if that is less."""
    try:
        text = Path("/proc/meminfo").read_text(encoding="ascii")
    except OSError:
        return None
    machine = int(text.partition("MemAvailable:")[2].split()[0]) / 1024
    return min([machine, *_left_in_groups()])


def _left_in_groups() -> list[float]:
    """Return the room left under the memory limits of control groups, version 2 then 1 (none: no limit)."""
    root = Path("/sys/fs/cgroup")
    pairs = [
        (root / "memory.max", root / "memory.current"),
        (root / "memory" / "memory.limit_in_bytes", root / "memory" / "memory.usage_in_bytes"),
    ]
    left = []
    for limit, usage in pairs:
        with contextlib.suppress(OSError, ValueError):  # "max" is no limit
            left.append((int(limit.read_text()) - int(usage.read_text())) / MIB)
    return left


@contextlib.contextmanager
def memory_guard(share: float = GUARD_SHARE) -> Iterator[float | None]:
    """Make allocations beyond `share` of what is available fail, so that nobody is killed for memory; yield it in MiB.

    Works by the limit on private writable memory (Linux); elsewhere it does nothing and yields None.
    """
    available = available_mib()
    if available is None or not Path("/proc/self/status").exists():
        yield None
        return
    before = resource.getrlimit(resource.RLIMIT_DATA)
    limit = int(_private_mib() * MIB + share * available * MIB)
    if before[1] != resource.RLIM_INFINITY:
        limit = min(limit, before[1])
    resource.setrlimit(resource.RLIMIT_DATA, (limit, before[1]))
    try:
        yield share * available
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, before)


def _private_mib() -> float:
    text = Path("/proc/self/status").read_text(encoding="utf-8", errors="replace")
    return int(text.partition("VmData:")[2].split()[0]) / 1024


def is_out_of_memory(error: BaseException) -> bool:
    """Tell a lack of memory from other errors: torch raises a plain RuntimeError when the CPU's allocator fails."""
    text = str(error).lower()
    words = ("out of memory", "can't allocate memory", "bad_alloc", "could not create a memory object", "alloc_failed")
    return isinstance(error, MemoryError) or any(word in text for word in words)
