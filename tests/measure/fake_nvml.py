"""A stand-in for pynvml with states that can be set: counters, errors by call, MIG slices, a device that falls off."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any


class NVMLError(Exception):
    def __init__(self, value: int) -> None:
        self.value = value
        super().__init__({3: "Not Supported", 4: "Insufficient Permissions", 15: "GPU is lost"}.get(value, "Unknown"))


class FakeNvml:
    """Devices by index; a device is a dict of what its calls return, a number meaning the NVML error to raise."""

    NVMLError = NVMLError
    NVML_ERROR_GPU_IS_LOST = 15
    NVML_CLOCK_SM, NVML_TEMPERATURE_GPU, NVML_PCIE_UTIL_TX_BYTES, NVML_PCIE_UTIL_RX_BYTES = 1, 0, 0, 1

    def __init__(self, *devices: dict[str, Any], initialises: bool = True) -> None:
        self.devices, self.initialises = list(devices), initialises
        self.calls: list[str] = []

    def nvmlInit(self) -> None:
        if not self.initialises:
            raise NVMLError(9)

    def nvmlShutdown(self) -> None:
        self.calls.append("nvmlShutdown")

    def nvmlSystemGetDriverVersion(self) -> str:
        return "580.95.05"

    def nvmlSystemGetProcessName(self, pid: int) -> str:
        raise NVMLError(3)

    def nvmlDeviceGetCount(self) -> int:
        return sum(not device["uuid"].startswith("MIG-") for device in self.devices)

    def nvmlDeviceGetUUID(self, handle: dict[str, Any]) -> str:
        return str(handle["uuid"])

    def nvmlDeviceGetHandleByIndex(self, index: int) -> dict[str, Any]:
        if index >= len(self.devices):
            raise NVMLError(6)
        return self.devices[index]

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> dict[str, Any]:
        for device in self.devices:
            if device["uuid"] == uuid:
                return device
        raise NVMLError(6)

    def __getattr__(self, name: str) -> Any:
        def call(handle: dict[str, Any], which: int | None = None) -> Any:
            self.calls.append(name)
            key = name.removeprefix("nvmlDeviceGet")
            value = handle["lost"] if handle.get("lost") else handle[key]
            if isinstance(value, NVMLError):
                raise value
            return value

        return call


def device(**changes: Any) -> dict[str, Any]:
    """One card at half load; `changes` replace what a call returns."""
    return {
        "uuid": "GPU-0",
        "Name": "Fake A10",
        "UtilizationRates": SimpleNamespace(gpu=50, memory=20),
        "MemoryInfo": SimpleNamespace(used=1024 * 2**20, total=2048 * 2**20),
        "PowerUsage": 150_000,
        "ClockInfo": 1500,
        "Temperature": 61,
        "PcieThroughput": 2048,
        "CudaComputeCapability": (8, 6),
        "ComputeRunningProcesses": [],
        "TotalEnergyConsumption": 5_000_000,
        **changes,
    }


def write_module(folder: Path, used_file: Path | None = None, total_mib: int = 2048, name: str = "Fake A10") -> Path:
    """Write a `pynvml` of one idle card for child processes whose PYTHONPATH holds `folder`.

    What is used of its memory (MiB) is read from `used_file` at each look.
    """
    (folder / "pynvml.py").write_text(f"""
import runpy
from types import SimpleNamespace

fake = runpy.run_path({str(Path(__file__))!r})
used_file = {str(used_file) if used_file else ""!r}


class Card(dict):
    def __getitem__(self, key):
        if key == "MemoryInfo":
            used = int(open(used_file).read() or 0) if used_file else 5
            return SimpleNamespace(used=used * 2**20, total={total_mib} * 2**20)
        return dict.__getitem__(self, key)


nvml = fake["FakeNvml"](Card(fake["device"](Name={name!r}, EnforcedPowerLimit=150000)))
NVMLError = fake["NVMLError"]


def __getattr__(name):
    return getattr(nvml, name)
""")
    return folder
