"""What a run ran on: machine, driver, software, clocks, container digest and load at start -> system.json."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import socket
import sys
from functools import cache
from typing import Any

from tal_repro.machine.host import read_text
from tal_repro.run.bfloat16 import has_native_bfloat16

IMAGE_VARIABLE = "TAL_REPRO_IMAGE_DIGEST"  # set by docker/kit.sh
ARITHMETIC_VARIABLES = ("ATEN_CPU_CAPABILITY", "OPENBLAS_CORETYPE", "MKL_ENABLE_INSTRUCTIONS", "ONEDNN_MAX_CPU_ISA")
LIBRARIES = ("libopenblas", "libscipy_openblas", "libmkl", "libgomp", "libiomp", "libblas", "libcublas", "libcudnn")
_PACKAGES = ("torch", "numpy", "scipy", "pandas", "fvcore", "tal-repro")


def describe_system(device: str, alone: bool) -> dict[str, Any]:
    """Return system.json: what is fixed, and clocks and load as they are now. `alone`: nobody shares the device."""
    return {
        "schema": "tal-repro/system/1",
        **_fixed(),
        "machine": machine_name(device),
        "device": {"name": device, **_gpu(device), "native_bfloat16": has_native_bfloat16(device)},
        "alone": alone,
        "load_at_start": {"average_1min": _load(), "cpu_mhz": _cpu_mhz()},
    }


def machine_name(device: str) -> str:
    """Name what times are comparable on: the GPU, or the CPU and its cores."""
    gpu = _gpu(device)
    return str(gpu["product"]) if gpu else f"{_cpu_model()}, {os.cpu_count()} cores"


@cache
def _fixed() -> dict[str, Any]:
    return {
        "host": socket.gethostname(),
        "os": platform.platform(),
        "cpu": {"model": _cpu_model(), "cores": os.cpu_count(), "governor": _governor(), **_arithmetic()},
        "memory_mib": _memory_mib(),
        "python": sys.version.split()[0],
        "packages": {name: version for name in _PACKAGES if (version := _version(name))},
        "container": os.environ.get(IMAGE_VARIABLE) or "local",
        "deterministic_threads": os.environ.get("OMP_NUM_THREADS", ""),
    }


@cache
def _cpu_model() -> str:
    for line in read_text("/proc/cpuinfo").splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def _arithmetic() -> dict[str, Any]:
    """Return what decides how a processor rounds: its vector instructions, and the libraries that multiply.

    Without torch, which asks the processor itself, the kernel's list of flags tells.
    """
    flags = set(read_text("/proc/cpuinfo").partition("flags")[2].partition("\n")[0].split())
    widest = next((name for name in ("avx512f", "avx2", "avx", "asimd") if name in flags), "")
    torch = sys.modules.get("torch")
    used = torch.backends.cpu.get_cpu_capability() if torch is not None else ""
    limits = {name: os.environ[name] for name in ARITHMETIC_VARIABLES if name in os.environ}
    return {"instructions": widest, "torch_instructions": used, "libraries": _libraries(), "limits": limits}


@cache
def _libraries() -> list[str]:
    """Name the linear algebra libraries that this process has loaded (file names; their folders are nobody's)."""
    names = {line.rpartition("/")[2] for line in read_text("/proc/self/maps").splitlines() if "/" in line}
    return sorted(name for name in names if name.startswith(LIBRARIES))


def _cpu_mhz() -> list[float]:
    lines = read_text("/proc/cpuinfo").splitlines()
    return [float(line.split(":")[1]) for line in lines if line.startswith("cpu MHz")]


def _governor() -> str:
    return read_text("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor").strip()


@cache
def _memory_mib() -> int:
    for line in read_text("/proc/meminfo").splitlines():
        if line.startswith("MemTotal:"):
            return int(line.split()[1]) // 1024
    return 0


def _load() -> float:
    try:
        return round(os.getloadavg()[0], 2)
    except OSError:
        return -1.0


@cache
def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


@cache
def _gpu(device: str) -> dict[str, Any]:
    """Return product, driver, clocks and memory of "cuda:0" ({} for the CPU)."""
    if not device.startswith("cuda"):
        return {}
    from tal_repro.machine.gpus import describe_gpu

    return describe_gpu(device)
