"""How the doctor looks at a machine. Checks get this and nothing else, so that tests hand them another machine."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tal_repro.engines.upstream.checkout import Status


@dataclass(frozen=True)
class Answer:
    """What a command said. `code` is -1 where it could not be started or did not end in time."""

    code: int
    out: str = ""
    err: str = ""


@dataclass(frozen=True)
class GpuProcess:
    """Somebody who computes on a GPU."""

    pid: int
    name: str
    memory_mib: float


@dataclass(frozen=True)
class Gpu:
    """One GPU that CUDA programs started here would see."""

    index: int  # as CUDA counts
    name: str
    capability: tuple[int, int]
    total_mib: float
    used_mib: float
    utilisation_percent: float
    processes: tuple[GpuProcess, ...] = ()


@dataclass(frozen=True)
class Gpus:
    """The NVIDIA driver and its GPUs. `driver` is "" where none answers; `problem` says why, where that is known."""

    driver: str = ""
    gpus: tuple[Gpu, ...] = ()
    problem: str = ""
    source: str = ""  # NVML or nvidia-smi

    @property
    def capabilities(self) -> list[tuple[int, int]]:
        return [gpu.capability for gpu in self.gpus if gpu.capability != (0, 0)]


@dataclass(frozen=True)
class Torch:
    """What torch itself says in a process of its own."""

    version: str
    available: bool
    architectures: tuple[str, ...]  # sm_80, ..., compute_90
    problem: str = ""


@dataclass(frozen=True)
class Disk:
    """The file system that holds a path (or will, where it is not there yet)."""

    device: int
    free_bytes: int
    total_bytes: int
    free_inodes: int  # -1 where the file system does not count them


@dataclass(frozen=True)
class Clock:
    """Seconds since 1970: now, and when the newest file that is at hand was written."""

    now: float
    newest_file: float
    synchronised: bool | None  # None where nobody can tell


@dataclass(frozen=True)
class Probes:
    """Every way of looking. All of them look only; none raises."""

    environment: Mapping[str, str]
    which: Callable[[str], str | None]
    run: Callable[[Sequence[str]], Answer]
    gpus: Callable[[], Gpus]
    torch: Callable[[], Torch | None]  # None where it is not installed
    disk: Callable[[Path], Disk]
    disk_file: Callable[[Path], bool]  # whether a file is there
    shared_memory: Callable[[], int]  # bytes free in /dev/shm, -1 where there is none
    obstacle: Callable[[Path], str]  # why a folder cannot be written and locked, "" where it can
    memory: Callable[[], tuple[int, int]]  # bytes: total, available
    cores: Callable[[], int]
    installed: Callable[[], Mapping[str, str]]  # normalised name -> version
    layers: Callable[[], frozenset[str]]  # what `make setup` put into this environment: light, full, torch-cuda, ...
    clock: Callable[[], Clock]
    checkout: Callable[[str], Status]
    copy_files: Callable[[str], Mapping[str, str]]  # state of each file the patches touch in the patched copy
