"""Which slots a machine offers: CPU cores or GPUs, and who may share one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from tal_repro.errors import InputError
from tal_repro.machine.gpus import visible_gpus
from tal_repro.machine.host import cores
from tal_repro.run.packing import Packing
from tal_repro.spec import RunSpec


@dataclass
class Device:
    """A device and the runs on it, by slot number."""

    name: str  # "cpu", "cuda:0"
    capacity: int
    running: dict[int, RunSpec] = field(default_factory=dict)
    leaving: set[int] = field(default_factory=set)  # runs that compute no more: they wait for the disk
    taken_alone: bool = False
    packing: Packing | None = None  # while one run is watched to decide how many may share the device

    def admits(self, spec: RunSpec, alone: bool) -> bool:
        """Tell whether a run may start here now: one that must be alone waits until the device is empty."""
        if self.name.partition(":")[0] != spec.device_kind or self.taken_alone:
            return False
        return not self.running if alone else len(self.running) - len(self.leaving) < self.capacity

    def take(self, slot: int, spec: RunSpec, alone: bool) -> None:
        self.running[slot] = spec
        self.taken_alone = alone

    def leave(self, slot: int) -> None:
        """Let another run start beside one that only writes; a GPU's memory is free when its process has ended."""
        if self.name == "cpu":
            self.leaving.add(slot)

    def free(self, slot: int) -> None:
        self.running.pop(slot)
        self.leaving.discard(slot)
        if not self.running:
            self.taken_alone = False


def find_devices(specs: Iterable[RunSpec], jobs: int | None, jobs_per_gpu: int | None = 1) -> list[Device]:
    """Return the devices that the runs need; raise InputError where there is none of a kind.

    `jobs`: runs at the same time on the CPU (default: cores over threads of the most threaded run); GPUs: at most
    `jobs` of them are used, with `jobs_per_gpu` runs each (None: as many as the first run shows to fit).
    """
    specs = list(specs)
    devices = []
    on_cpu = [spec for spec in specs if spec.device_kind == "cpu"]
    if on_cpu:
        devices.append(Device("cpu", jobs or max(1, cores() // max(spec.threads for spec in on_cpu))))
    if any(spec.device_kind == "cuda" for spec in specs):
        gpus = visible_gpus()
        if not gpus:
            raise InputError(
                "the study asks for a CUDA device and this machine shows none",
                remedy="check nvidia-smi, or run it on the CPU: --set device=cpu (slow), or --executor slurm",
            )
        for name in gpus[: jobs or len(gpus)]:
            devices.append(Device(name, jobs_per_gpu or 1, packing=None if jobs_per_gpu else Packing()))
    return devices
