"""Let a training keep the memory that its tensors free.

By default glibc gives large blocks back to the kernel and gets zeroed pages for the next step: 14,000 page faults a
step of TadTR, 3 to 7 % of its CPU time. Kept, the same blocks serve step after step; the peak stays what it was.
Executors ask for it in the processes that they give to one run each: what is measured later in a process would miss
memory that is already there.
"""

from __future__ import annotations

import ctypes
import sys

# <malloc.h>
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_MMAP_MAX = -1, -3, -4
KEEP = ((M_MMAP_MAX, 0), (M_TRIM_THRESHOLD, -1))  # no block of its own mapping; never trim
# Where glibc's moving thresholds end in a process that frees large tensors; setting any of them stops the moving.
RETURN = ((M_MMAP_MAX, 65536), (M_MMAP_THRESHOLD, 32 << 20), (M_TRIM_THRESHOLD, 64 << 20))


def keep_freed_memory(keep: bool = True) -> bool:
    """Keep freed blocks in this process, or give them back as glibc does; return whether the allocator obeyed."""
    if not sys.platform.startswith("linux"):
        return False
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "mallopt"):  # musl has none
        return False
    return all(libc.mallopt(name, value) == 1 for name, value in (KEEP if keep else RETURN))
