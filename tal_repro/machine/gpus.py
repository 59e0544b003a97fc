"""The NVIDIA driver and its GPUs, as CUDA shows them to this process: the one module that opens NVML.

The runner decides by it who may start, the doctor judges it, system.json records it, the trace samples it. The light
environment lacks NVML: there the driver's own program nvidia-smi is asked.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tal_repro.errors import InputError
from tal_repro.machine.host import MIB, Answer

VISIBLE_VARIABLE = "CUDA_VISIBLE_DEVICES"
DEVICES = "index,uuid,name,driver_version,compute_cap,memory.total,memory.used,utilization.gpu"
PROCESSES = "gpu_uuid,pid,process_name,used_memory"
Run = Callable[[Sequence[str]], Answer]


@dataclass(frozen=True)
class GpuProcess:
    """Somebody who computes on a GPU."""

    pid: int  # of this pid namespace or not
    name: str
    memory_mib: float


@dataclass(frozen=True)
class Gpu:
    """One look at one GPU that CUDA programs started here would see."""

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


def visible(uuids: Sequence[str], environment: Mapping[str, str] = os.environ) -> list[int | str]:
    """Return the GPUs that CUDA shows: places in `uuids`, or the name of a MIG slice.

    CUDA_VISIBLE_DEVICES names them by number, UUID (or its beginning) or slice; CUDA stops at the first wrong name.
    """
    listed = environment.get(VISIBLE_VARIABLE)
    if listed is None:
        return list(range(len(uuids)))
    shown: list[int | str] = []
    for name in (name.strip() for name in listed.split(",")):
        if name.startswith("MIG-"):
            shown.append(name)
            continue
        by_uuid = [place for place, uuid in enumerate(uuids) if name.startswith("GPU-") and uuid.startswith(name)]
        place = int(name) if name.isdecimal() else by_uuid[0] if by_uuid else -1
        if not 0 <= place < len(uuids):
            break
        shown.append(place)
    return shown


def handles(nvml: Any, environment: Mapping[str, str] = os.environ) -> list[Any]:
    """Return the NVML handles of the GPUs that CUDA shows, in CUDA's order."""
    every = [nvml.nvmlDeviceGetHandleByIndex(index) for index in range(nvml.nvmlDeviceGetCount())]
    shown = visible([text(nvml.nvmlDeviceGetUUID(handle)) for handle in every], environment)
    return [every[place] if isinstance(place, int) else nvml.nvmlDeviceGetHandleByUUID(place) for place in shown]


def visible_gpus() -> list[str]:
    """Return "cuda:0", "cuda:1", ... as CUDA shows them to a run."""
    try:
        with session() as nvml:
            return [f"cuda:{index}" for index, _ in enumerate(handles(nvml))]
    except InputError:  # no NVML here, on a login node say: believe what is named
        listed = os.environ.get(VISIBLE_VARIABLE, "")
        return [f"cuda:{index}" for index, _ in enumerate(name for name in listed.split(",") if name.strip())]


def gpu_use(device: str) -> Gpu:
    """Look at "cuda:N" now; raise InputError where NVML does not answer, or does not tell who is on it."""
    with session() as nvml:
        return _look(nvml, *_device(nvml, device), strict=True)


def neighbours(device: str) -> tuple[int, ...]:
    """Return the other processes that compute on a CUDA device (none on a CPU)."""
    if not device.startswith("cuda"):
        return ()
    return tuple(sorted(process.pid for process in gpu_use(device).processes if process.pid != os.getpid()))


def device_uuid(device: str) -> str:
    """Return what names the GPU behind "cuda:N" on the whole machine."""
    with session() as nvml:
        return text(nvml.nvmlDeviceGetUUID(_device(nvml, device)[0]))


def describe_gpu(device: str) -> dict[str, Any]:
    """Return product, driver, clocks and memory for system.json."""
    try:
        with session() as nvml:
            handle, _ = _device(nvml, device)
            return {
                "product": text(nvml.nvmlDeviceGetName(handle)),
                "driver": text(nvml.nvmlSystemGetDriverVersion()),
                "memory_mib": round(nvml.nvmlDeviceGetMemoryInfo(handle).total / MIB),
                "sm_mhz": nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_SM),
                "memory_mhz": nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_MEM),
                "power_limit_w": nvml.nvmlDeviceGetEnforcedPowerLimit(handle) / 1000,
            }
    except InputError as error:
        return {"product": "unknown GPU", "nvml": error.what}


def compute_capability(device: str) -> tuple[int, int] | None:
    """Return the compute capability of a CUDA device, (8, 6) say; None where NVML does not tell."""
    try:
        with session() as nvml:
            major, minor = nvml.nvmlDeviceGetCudaComputeCapability(_device(nvml, device)[0])
    except InputError:
        return None
    return int(major), int(minor)


def read_gpus(run: Run, nvml: Any = None, environment: Mapping[str, str] = os.environ) -> Gpus:
    """Return every GPU that CUDA shows; never raise: a driver that does not answer is a problem to report."""
    try:
        with session(nvml) as opened:
            driver = text(opened.nvmlSystemGetDriverVersion())
            gpus = tuple(_look(opened, handle, index) for index, handle in enumerate(handles(opened, environment)))
            return Gpus(driver, gpus, "" if gpus else hidden(opened.nvmlDeviceGetCount()), "NVML")
    except NoLibrary:
        return by_nvidia_smi(run, environment)
    except InputError as error:
        return Gpus(problem=error.what, source="NVML")


def hidden(count: int) -> str:
    """Say why CUDA shows none of `count` GPUs."""
    return f"{VISIBLE_VARIABLE} hides all {count}" if count else "the driver knows no GPU"


class NoLibrary(InputError):
    """NVML is not installed in this environment."""


def library() -> Any:
    """Return NVML's bindings, None where this environment has none."""
    try:
        import pynvml
    except ImportError:
        return None
    return pynvml


@contextmanager
def session(nvml: Any = None) -> Iterator[Any]:
    """Open NVML, and close it; raise InputError where it is not installed, does not answer or refuses."""
    nvml = nvml or library()
    if nvml is None:
        raise NoLibrary("NVML is not installed", remedy="install nvidia-ml-py")
    check = "check the driver: nvidia-smi"
    try:
        nvml.nvmlInit()
    except nvml.NVMLError as error:
        raise InputError(f"NVML does not answer ({error})", remedy=check) from None
    try:
        yield nvml
    except nvml.NVMLError as error:
        raise InputError(f"NVML refused ({error})", remedy=check) from None
    finally:
        nvml.nvmlShutdown()


def text(value: Any) -> str:
    """Return a name as NVML's older bindings (bytes) and newer ones (str) give it."""
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _device(nvml: Any, device: str) -> tuple[Any, int]:
    """Return handle and number of "cuda:N"."""
    index, shown = int(device.partition(":")[2] or 0), handles(nvml)
    if index >= len(shown):
        raise InputError(f"CUDA shows {len(shown)} GPUs here, no {device}", remedy=f"look at {VISIBLE_VARIABLE}")
    return shown[index], index


def _look(nvml: Any, handle: Any, index: int, strict: bool = False) -> Gpu:
    """Read one GPU. `strict`: use and processes must be told, since somebody acts on them."""

    def read(question: Callable[[], Any], otherwise: Any, needed: bool = False) -> Any:
        try:
            return question()
        except nvml.NVMLError:  # a MIG slice or an old driver has not every counter
            if needed and strict:
                raise
            return otherwise

    memory = nvml.nvmlDeviceGetMemoryInfo(handle)
    running = read(lambda: nvml.nvmlDeviceGetComputeRunningProcesses(handle), [], needed=True)
    processes = [
        GpuProcess(
            int(process.pid),
            text(read(lambda pid=process.pid: nvml.nvmlSystemGetProcessName(pid), "?")),  # type: ignore[misc]
            (process.usedGpuMemory or 0) / MIB,
        )
        for process in running
    ]
    return Gpu(
        index=index,
        name=text(nvml.nvmlDeviceGetName(handle)),
        capability=read(lambda: tuple(nvml.nvmlDeviceGetCudaComputeCapability(handle)), (0, 0)),
        total_mib=memory.total / MIB,
        used_mib=memory.used / MIB,
        utilisation_percent=float(read(lambda: nvml.nvmlDeviceGetUtilizationRates(handle).gpu, 0, needed=True)),
        processes=tuple(processes),
    )


def by_nvidia_smi(run: Run, environment: Mapping[str, str]) -> Gpus:
    """Ask the driver's own program."""
    answer = run(("nvidia-smi", f"--query-gpu={DEVICES}", "--format=csv,noheader,nounits"))
    if answer.code == -1:
        return Gpus(source="nvidia-smi")
    if answer.code != 0:
        said = (answer.out + answer.err).strip().splitlines()
        return Gpus(problem=f"nvidia-smi: {said[0] if said else f'exit status {answer.code}'}", source="nvidia-smi")
    rows = _rows(answer, 8)
    busy = _rows(run(("nvidia-smi", f"--query-compute-apps={PROCESSES}", "--format=csv,noheader,nounits")), 4)
    places = [place for place in visible([row[1] for row in rows], environment) if isinstance(place, int)]
    gpus = tuple(_by_row(index, rows[place], busy) for index, place in enumerate(places))
    return Gpus(rows[0][3] if rows else "", gpus, "" if gpus else hidden(len(rows)), "nvidia-smi")


def _rows(answer: Answer, cells: int) -> list[list[str]]:
    lines = answer.out.splitlines() if answer.code == 0 else []
    return [[cell.strip() for cell in line.split(",")] for line in lines if line.count(",") >= cells - 1]


def _by_row(index: int, row: list[str], busy: list[list[str]]) -> Gpu:
    major, _, minor = row[4].partition(".")
    capability = (int(major), int(minor)) if major.isdecimal() and minor.isdecimal() else (0, 0)
    processes = tuple(
        GpuProcess(int(cells[1]), ",".join(cells[2:-1]), _number(cells[-1]))
        for cells in busy
        if cells[0] == row[1] and cells[1].isdecimal()
    )
    return Gpu(index, row[2], capability, _number(row[5]), _number(row[6]), _number(row[7]), processes)


def _number(cell: str) -> float:
    """Read a figure; nvidia-smi writes [N/A] for what a card does not tell."""
    try:
        return float(cell)
    except ValueError:
        return 0.0
