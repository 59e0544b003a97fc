"""What NVML says of a device: who is on it, how full and how busy. The runner decides on it who may start."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tal_repro.errors import InputError


@dataclass(frozen=True)
class GpuUse:
    """One look at a GPU."""

    total_mib: float
    used_mib: float
    utilisation_percent: float
    pids: tuple[int, ...]  # processes that compute on it (of this pid namespace or not)


def visible_gpus() -> list[str]:
    """Return "cuda:0", "cuda:1", ... as CUDA_VISIBLE_DEVICES lets a run see them."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [f"cuda:{index}" for index, _ in enumerate(name for name in visible.split(",") if name)]
    try:
        with _nvml() as nvml:
            return [f"cuda:{index}" for index in range(nvml.nvmlDeviceGetCount())]
    except InputError:
        return []


def gpu_use(device: str) -> GpuUse:
    """Look at a device now; raise InputError where NVML does not answer."""
    with _nvml() as nvml:
        handle = _handle(nvml, device)
        memory = nvml.nvmlDeviceGetMemoryInfo(handle)
        processes = nvml.nvmlDeviceGetComputeRunningProcesses(handle)
        return GpuUse(
            total_mib=memory.total / 2**20,
            used_mib=memory.used / 2**20,
            utilisation_percent=float(nvml.nvmlDeviceGetUtilizationRates(handle).gpu),
            pids=tuple(sorted(process.pid for process in processes)),
        )


def neighbours(device: str) -> tuple[int, ...]:
    """Return the other processes that compute on a CUDA device (none on a CPU)."""
    if not device.startswith("cuda"):
        return ()
    return tuple(pid for pid in gpu_use(device).pids if pid != os.getpid())


def describe_gpu(device: str) -> dict[str, Any]:
    """Return product, driver, clocks and memory for system.json."""
    try:
        with _nvml() as nvml:
            handle = _handle(nvml, device)
            return {
                "product": _text(nvml.nvmlDeviceGetName(handle)),
                "driver": _text(nvml.nvmlSystemGetDriverVersion()),
                "memory_mib": round(nvml.nvmlDeviceGetMemoryInfo(handle).total / 2**20),
                "sm_mhz": nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_SM),
                "memory_mhz": nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_MEM),
                "power_limit_w": nvml.nvmlDeviceGetEnforcedPowerLimit(handle) / 1000,
            }
    except InputError as error:
        return {"product": "unknown GPU", "nvml": error.what}


def compute_capability(device: str) -> tuple[int, int] | None:
    """Return the compute capability of a CUDA device, (8, 6) say; None where NVML does not tell."""
    try:
        with _nvml() as nvml:
            major, minor = nvml.nvmlDeviceGetCudaComputeCapability(_handle(nvml, device))
    except InputError:
        return None
    return int(major), int(minor)


@contextmanager
def _nvml() -> Iterator[Any]:
    try:
        import pynvml
    except ImportError:
        raise InputError("NVML is not installed", remedy="install nvidia-ml-py") from None
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        raise InputError(f"NVML does not answer ({error})", remedy="check the driver: nvidia-smi") from None
    try:
        yield pynvml
    except pynvml.NVMLError as error:
        raise InputError(f"NVML refused ({error})", remedy="check the driver: nvidia-smi") from None
    finally:
        pynvml.nvmlShutdown()


def _handle(nvml: Any, device: str) -> Any:
    """Return the NVML handle of a CUDA device, through CUDA_VISIBLE_DEVICES (indices or UUIDs)."""
    index = int(device.partition(":")[2] or 0)
    visible = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    name = visible[index] if index < len(visible) else str(index)
    if name.startswith(("GPU-", "MIG-")):
        return nvml.nvmlDeviceGetHandleByUUID(name)
    return nvml.nvmlDeviceGetHandleByIndex(int(name))


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
