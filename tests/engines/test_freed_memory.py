"""Freed blocks stay with the process only while asked to: counted in page faults, of a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

PROGRAM = """
import json, resource
import numpy as np
from tal_repro.engines.native.freed_memory import keep_freed_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        np.ones(8 << 20)  # 64 MiB: beyond every threshold that glibc moves by itself
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

returned = faults()
obeyed = keep_freed_memory()
faults()
kept = faults()
keep_freed_memory(False)
print(json.dumps([obeyed, returned, kept, faults()]))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="mallopt is glibc's: run this on Linux")
def test_kept_memory_is_not_fetched_again() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    obeyed, returned, kept, returned_again = json.loads(done.stdout)
    assert obeyed
    assert kept < returned / 4
    assert returned_again > 4 * kept
