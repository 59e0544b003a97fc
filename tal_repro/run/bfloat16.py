"""Does a processor or a GPU compute in bfloat16, or emulate it? Told before a bf16 run starts, kept in system.json.

Emulated, bfloat16 gives the same numbers more slowly than float32: it has no gain, and a time of it means nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from tal_repro.machine.gpus import compute_capability
from tal_repro.spec import RunSpec

# As Linux names them: AVX512-BF16 and AMX-BF16 of x86, BF16 of 64-bit ARM (Neon; SVE has it only where Neon has).
CPU_FLAGS = frozenset({"avx512_bf16", "amx_bf16", "bf16"})
FIRST_GPU = (8, 0)  # compute capability of Ampere


def has_native_bfloat16(device: str, cpuinfo: Path = Path("/proc/cpuinfo")) -> bool | None:
    """Return whether "cpu" or "cuda:N" computes in bfloat16; None where the machine does not tell."""
    if device.startswith("cuda"):
        capability = compute_capability(device)
        return None if capability is None else capability >= FIRST_GPU
    flags = _cpu_flags(cpuinfo)
    return bool(CPU_FLAGS & flags) if flags else None


def warnings_of(specs: Iterable[RunSpec], devices: Iterable[str]) -> list[str]:
    """Return what to say before runs start: a line for each device on which bf16 runs would be emulated."""
    kinds = {spec.device_kind for spec in specs if spec.precision == "bf16"}
    slow = [device for device in devices if device.partition(":")[0] in kinds and has_native_bfloat16(device) is False]
    return [
        f"warning: {device} has no bfloat16 arithmetic ({_wanted(device)}): precision bf16 is emulated there, which is "
        "slower than fp32; its mAP counts, its times do not"
        for device in slow
    ]


def _wanted(device: str) -> str:
    return "it wants Ampere or later" if device.startswith("cuda") else "no AVX512-BF16, AMX-BF16 or ARM BF16"


@cache
def _cpu_flags(cpuinfo: Path) -> frozenset[str]:
    """Return the first processor's features; none where the file is absent or names none."""
    try:
        text = cpuinfo.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return frozenset()
    flags = re.search(r"^(?:flags|Features)\s*:(.*)$", text, re.M)
    return frozenset(flags[1].split()) if flags else frozenset()
