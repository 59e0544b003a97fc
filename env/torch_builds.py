"""The builds of torch that the kit locks, and which of them a machine's driver and GPUs can run.

Standard library only and no import of the kit: `env/setup.py` asks here before anything is installed, and
`tal-repro doctor` after. The figures are NVIDIA's (driver: CUDA's minor version compatibility, Linux) and those of
the kernels found in the wheels (sm_70 is in torch 2.10.0's, the last of the index with CUDA 12).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Build(NamedTuple):
    """One torch wheel of the package index with the locks that install it."""

    torch: str
    cuda: str  # "" for the CPU
    driver: str  # the oldest NVIDIA driver that runs it
    capability: tuple[int, int]  # the oldest GPU it has kernels for
    locks: tuple[str, ...]  # env/<name>.lock, beside the layers'


BUILDS = {
    "cuda": Build("2.13.0", "13.0", "580", (7, 5), ("base", "cuda")),
    "cuda12": Build("2.10.0", "12.8", "525.60.13", (7, 0), ("cuda12",)),
    "cpu": Build("2.13.0", "", "", (0, 0), ("base",)),
}
ARCHITECTURES = {5: "Maxwell", 6: "Pascal", 7: "Volta"}


def choose(driver: str, capabilities: Sequence[tuple[int, int]]) -> tuple[str, str]:
    """Return the build for a driver and the compute capabilities of its GPUs, and why; "" where none fits.

    Without a driver it is the CPU's. The newest build wins that every GPU can run.
    """
    if not driver:
        return "cpu", "no NVIDIA driver answers"
    refused = []
    for name in ("cuda", "cuda12"):
        reason = refusal(BUILDS[name], driver, capabilities)
        if not reason:
            why = "; ".join(refused) or f"driver {driver} is {BUILDS[name].driver} or newer"
            return name, why
        refused.append(reason)
    return "", "; ".join(refused)


def refusal(build: Build, driver: str, capabilities: Sequence[tuple[int, int]]) -> str:
    """Say why a build does not run under a driver and on its GPUs ("" where it does)."""
    if not build.cuda:
        return ""
    major = build.cuda.partition(".")[0]
    if version(driver) < version(build.driver):
        return f"CUDA {major} needs driver {build.driver} or newer, here is {driver}"
    oldest = min(capabilities, default=build.capability)
    if oldest < build.capability:
        name = ARCHITECTURES.get(oldest[0], "this GPU") if oldest < (7, 5) else "this GPU"
        return f"torch {build.torch} for CUDA {major} has no kernels for {name} (capability {oldest[0]}.{oldest[1]})"
    return ""


def version(text: str) -> tuple[int, ...]:
    """Return a dotted version as numbers that compare ("525.60.13"; what is no number counts as 0)."""
    return tuple(int(part) if part.isdecimal() else 0 for part in text.split("."))
