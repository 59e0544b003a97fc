"""What NVML knows of one GPU. Every counter is optional: a card or driver that lacks one leaves the column out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

MIB = 2**20


class Gpu:
    """One open NVML device. `sample` returns the counters that answered; a lost device returns {} from then on."""

    def __init__(self, nvml: Any, handle: Any) -> None:
        self.nvml, self.handle = nvml, handle
        self.broken: set[str] = set()

    @property
    def name(self) -> str:
        name = self.nvml.nvmlDeviceGetName(self.handle)
        return name.decode() if isinstance(name, bytes) else str(name)

    def sample(self) -> dict[str, float]:
        """Return utilisation, memory, its bandwidth share, power, clock, temperature and PCIe traffic."""
        values: dict[str, float] = {}
        for group, read in self._readers().items():
            if group in self.broken:
                continue
            try:
                values |= read()
            except self.nvml.NVMLError:
                self.broken.add(group)
        return values

    def energy_joules(self) -> float | None:
        """Return the energy counter since the driver was loaded, or None where the card has none."""
        try:
            return float(self.nvml.nvmlDeviceGetTotalEnergyConsumption(self.handle)) / 1000
        except self.nvml.NVMLError:
            return None

    def other_processes(self, own_pid: int) -> list[int]:
        """Return the pids of compute processes on the device other than `own_pid`."""
        try:
            found = self.nvml.nvmlDeviceGetComputeRunningProcesses(self.handle)
        except self.nvml.NVMLError:
            return []
        return [process.pid for process in found if process.pid != own_pid]

    def _readers(self) -> dict[str, Callable[[], dict[str, float]]]:
        return {
            "utilisation": self._utilisation,
            "memory": lambda: {"gpu_memory_mib": self.nvml.nvmlDeviceGetMemoryInfo(self.handle).used / MIB},
            "power": lambda: {"power_w": self.nvml.nvmlDeviceGetPowerUsage(self.handle) / 1000},
            "clock": self._clock,
            "temperature": self._temperature,
            "pcie": self._pcie,
        }

    def _utilisation(self) -> dict[str, float]:
        rates = self.nvml.nvmlDeviceGetUtilizationRates(self.handle)
        return {"gpu_percent": float(rates.gpu), "gpu_memory_bandwidth_percent": float(rates.memory)}

    def _clock(self) -> dict[str, float]:
        return {"sm_clock_mhz": float(self.nvml.nvmlDeviceGetClockInfo(self.handle, self.nvml.NVML_CLOCK_SM))}

    def _temperature(self) -> dict[str, float]:
        sensor = self.nvml.NVML_TEMPERATURE_GPU
        return {"temperature_c": float(self.nvml.nvmlDeviceGetTemperature(self.handle, sensor))}

    def _pcie(self) -> dict[str, float]:
        received = self.nvml.nvmlDeviceGetPcieThroughput(self.handle, self.nvml.NVML_PCIE_UTIL_RX_BYTES)
        sent = self.nvml.nvmlDeviceGetPcieThroughput(self.handle, self.nvml.NVML_PCIE_UTIL_TX_BYTES)
        return {"pcie_received_mib_s": received / 1024, "pcie_sent_mib_s": sent / 1024}


def open_gpu(index: int | None, nvml: Any = None) -> Gpu | None:
    """Open GPU `index`; return None where there is no index, no library, no driver or no such device."""
    if index is None:
        return None
    if nvml is None:
        try:
            import pynvml
        except ImportError:
            return None
        nvml = pynvml
    try:
        nvml.nvmlInit()
        return Gpu(nvml, nvml.nvmlDeviceGetHandleByIndex(index))
    except nvml.NVMLError:
        return None
