"""Made-up machines: every probe is a plain value here, and a test changes the one it is about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from tal_repro.doctor.needs import Needs
from tal_repro.doctor.probes import Clock, Probes, Torch
from tal_repro.engines.upstream.checkout import Status
from tal_repro.engines.upstream.requirements import read_pins
from tal_repro.kit import IMPORT_ROOT
from tal_repro.machine.gpus import Gpu, GpuProcess, Gpus
from tal_repro.machine.host import GIB, Answer, Disk

ENV = IMPORT_ROOT / "env"
COMMIT = "9" * 40
ARCHITECTURES = ("sm_75", "sm_80", "sm_86", "sm_90", "sm_100", "sm_120", "compute_120")


def gpu(**changes: Any) -> Gpu:
    values: dict[str, Any] = {
        "index": 0, "name": "NVIDIA A10", "capability": (8, 6), "total_mib": 23028.0, "used_mib": 5.0,
        "utilisation_percent": 0.0, "processes": (),
    }  # fmt: skip
    return Gpu(**{**values, **changes})


def neighbour(pid: int = 77, memory_mib: float = 3000.0) -> GpuProcess:
    return GpuProcess(pid, "python train.py", memory_mib)


def gpus(driver: str = "580.95.05", *devices: Gpu) -> Gpus:
    return Gpus(driver, devices or (gpu(),), "", "NVML")


def checkout(model: str = "tadtr", **changes: Any) -> Status:
    values: dict[str, Any] = {
        "model": model, "folder": f"third_party/{model}", "present": True, "pinned_commit": COMMIT, "commit": COMMIT,
        "clean": True, "files": {"main.py": "pristine"}, "prepared": "", "problem": "", "remedy": "",
    }  # fmt: skip
    return Status(**{**values, **changes})


def machine(answers: Mapping[str, Answer] | None = None, programs: Sequence[str] = ("git",), **changes: Any) -> Probes:
    """A machine on which the paper's study could run. `answers`: by the beginning of the command line."""

    def run(command: Sequence[str]) -> Answer:
        text = " ".join(command)
        known = [start for start in answers or {} if text.startswith(start)]
        return (answers or {})[max(known, key=len)] if known else Answer(-1, "", "no such program")

    values: dict[str, Any] = {
        "environment": {},
        "which": lambda name: f"/usr/bin/{name}" if name in programs else None,
        "run": run,
        "gpus": gpus,
        "torch": lambda: Torch("2.13.0+cu130", True, ARCHITECTURES),
        "disk": lambda path: Disk(1, 100 * GIB, 200 * GIB, 10**6),
        "disk_file": lambda path: False,
        "shared_memory": lambda: 8 * GIB,
        "obstacle": lambda folder: "",
        "memory": lambda: (64 * GIB, 60 * GIB),
        "cores": lambda: 16,
        "installed": as_locked,
        "layers": lambda: frozenset({"light", "full", "torch-cuda"}),
        "clock": lambda: Clock(1_790_000_000.0, 1_789_000_000.0, True),
        "checkout": checkout,
        "copy_files": lambda model: {},
    }
    return Probes(**{**values, **changes})


@cache
def as_locked() -> Mapping[str, str]:
    """What setup installs where a GPU is."""
    return {name: pin for lock in ("light", "base", "cuda") for name, pin in read_pins(ENV / f"{lock}.lock").items()}


def needs(**changes: Any) -> Needs:
    """What the paper's study needs of a machine, with its data in place."""
    values: dict[str, Any] = {
        "study": "paper", "scope": "core", "runtime": "none", "results": Path("results/runs"), "data": Path("data"),
        "cuda": True, "alone": True, "upstream": ("tadtr", "tridet"), "layouts": ("actionformer", "tadtr"),
        "needs_data": True, "makes_data": False, "synthetic": False, "annotation_hash": "",
        "results_bytes": GIB, "jobs": 1, "loader_workers": 4, "pending": 158,
    }  # fmt: skip
    return Needs(**{**values, **changes})
