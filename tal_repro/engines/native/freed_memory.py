"""Let a training keep the memory that its tensors free.

By default glibc gives large blocks back to the kernel and gets zeroed pages for the next step: 14,000 page faults a
step of TadTR, 3 to 7 % of its CPU time. Kept, the same blocks serve step after step; the peak stays what it was.
"""

from __future__ import annotations

import ctypes
import sys

# <malloc.h>
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4
NEVER_TRIM, NO_MMAP = -1, 0
GLIBC_TRIM, GLIBC_MMAP_MAX = 128 * 1024, 65536


def keep_freed_memory(keep: bool = True) -> bool:
    """Keep freed blocks in this process, or give them back as glibc does; return whether the allocator obeyed."""
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    if mallopt is None:
        return False
    settings = ((M_MMAP_MAX, NO_MMAP), (M_TRIM_THRESHOLD, NEVER_TRIM))
    if not keep:
        settings = ((M_MMAP_MAX, GLIBC_MMAP_MAX), (M_TRIM_THRESHOLD, GLIBC_TRIM))
    return all(mallopt(name, value) == 1 for name, value in settings)
