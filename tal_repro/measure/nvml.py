"""The counters of one GPU, sampled for a trace.

Every counter is optional: a card or driver that lacks one leaves the column out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tal_repro.machine.gpus import handles, library, text
from tal_repro.machine.host import MIB


class Gpu:
    """One open NVML device, whole or a MIG slice (which reports memory, but no utilisation of its own).

    A counter that fails at the first sample is never asked again: its columns are absent. One that fails later gives
    empty cells until it answers again; a lost device is not asked any more. `errors` counts failures by NVML's words.
    """

    def __init__(self, nvml: Any, handle: Any, *, pcie: bool = True) -> None:
        self.nvml, self.handle = nvml, handle
        self.errors: dict[str, int] = {}
        self.readers = self._readers()
        if not pcie:
            del self.readers["pcie"]
        self._first = True

    @property
    def name(self) -> str:
        return text(self.nvml.nvmlDeviceGetName(self.handle))

    def sample(self) -> dict[str, float]:
        """Return utilisation, memory, its bandwidth share, power, clock, temperature and PCIe traffic."""
        values: dict[str, float] = {}
        for group, read in list(self.readers.items()):
            if group not in self.readers:  # the device was lost a moment ago
                break
            try:
                values |= read()
            except self.nvml.NVMLError as error:
                self._failed(group, error)
        self._first = False
        return values

    def _failed(self, group: str, error: Exception) -> None:
        self.errors[str(error)] = self.errors.get(str(error), 0) + 1
        if getattr(error, "value", None) == getattr(self.nvml, "NVML_ERROR_GPU_IS_LOST", 15):
            self.readers.clear()
        elif self._first:
            del self.readers[group]

    def energy_joules(self) -> float | None:
        """Return the energy counter since the driver was loaded, or None where the card has none."""
        try:
            return float(self.nvml.nvmlDeviceGetTotalEnergyConsumption(self.handle)) / 1000
        except self.nvml.NVMLError:
            return None

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


def open_gpu(index: int | None, nvml: Any = None, *, pcie: bool = True) -> Gpu | None:
    """Open what CUDA calls device `index`; return None where there is no index, library, driver or such device.

    `pcie=False` leaves the PCIe counters out, which take NVML 20 ms each to read.
    """
    if index is None:
        return None
    nvml = nvml or library()
    if nvml is None:
        return None
    try:
        nvml.nvmlInit()  # and never shut down: the counters are read until the process ends
        return Gpu(nvml, handles(nvml)[index], pcie=pcie)
    except (nvml.NVMLError, IndexError):
        return None
