"""Look at the NVIDIA driver and its GPUs: by NVML, or by nvidia-smi in the light environment, which lacks NVML."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tal_repro.doctor.probes import Answer, Gpu, GpuProcess, Gpus

MIB = 2**20
DEVICES = "index,uuid,name,driver_version,compute_cap,memory.total,memory.used,utilization.gpu"
PROCESSES = "gpu_uuid,pid,process_name,used_memory"
Run = Callable[[Sequence[str]], Answer]


def read_gpus(run: Run, nvml: Any = None, environment: Mapping[str, str] = os.environ) -> Gpus:
    """Return what is here. Only the GPUs that CUDA_VISIBLE_DEVICES shows, in its order."""
    if nvml is None:
        try:
            import pynvml
        except ImportError:
            return by_nvidia_smi(run, environment)
        nvml = pynvml
    try:
        nvml.nvmlInit()
    except nvml.NVMLError as error:
        return Gpus(problem=f"NVML: {error}", source="NVML")
    try:
        driver = _text(nvml.nvmlSystemGetDriverVersion())
        handles = [nvml.nvmlDeviceGetHandleByIndex(index) for index in range(nvml.nvmlDeviceGetCount())]
        uuids = [_text(nvml.nvmlDeviceGetUUID(handle)) for handle in handles]
        chosen = visible(uuids, environment)
        gpus = tuple(_by_nvml(nvml, handles[place], index) for index, place in enumerate(chosen))
    except nvml.NVMLError as error:
        return Gpus(problem=f"NVML: {error}", source="NVML")
    finally:
        nvml.nvmlShutdown()
    return Gpus(driver, gpus, "" if gpus else hidden(len(uuids)), "NVML")


def visible(uuids: Sequence[str], environment: Mapping[str, str]) -> list[int]:
    """Return the places of the GPUs that CUDA sees; as CUDA does, stop at the first name that is none."""
    listed = environment.get("CUDA_VISIBLE_DEVICES")
    if listed is None:
        return list(range(len(uuids)))
    places: list[int] = []
    for name in (name.strip() for name in listed.split(",")):
        by_uuid = [place for place, uuid in enumerate(uuids) if name.startswith("GPU-") and uuid.startswith(name)]
        place = int(name) if name.isdecimal() else by_uuid[0] if by_uuid else -1
        if not 0 <= place < len(uuids):
            break
        places.append(place)
    return places


def hidden(count: int) -> str:
    return f"CUDA_VISIBLE_DEVICES hides all {count}" if count else "the driver knows no GPU"


def _by_nvml(nvml: Any, handle: Any, index: int) -> Gpu:
    memory = nvml.nvmlDeviceGetMemoryInfo(handle)
    return Gpu(
        index=index,
        name=_text(nvml.nvmlDeviceGetName(handle)),
        capability=_or(nvml, lambda: tuple(nvml.nvmlDeviceGetCudaComputeCapability(handle)), (0, 0)),
        total_mib=memory.total / MIB,
        used_mib=memory.used / MIB,
        utilisation_percent=float(_or(nvml, lambda: nvml.nvmlDeviceGetUtilizationRates(handle).gpu, 0)),
        processes=tuple(_processes(nvml, handle)),
    )


def _processes(nvml: Any, handle: Any) -> list[GpuProcess]:
    found = _or(nvml, lambda: nvml.nvmlDeviceGetComputeRunningProcesses(handle), [])
    return [
        GpuProcess(
            pid=int(one.pid),
            name=_text(_or(nvml, lambda one=one: nvml.nvmlSystemGetProcessName(one.pid), "?")),  # type: ignore[misc]
            memory_mib=(one.usedGpuMemory or 0) / MIB,
        )
        for one in found
    ]


def _or(nvml: Any, read: Callable[[], Any], otherwise: Any) -> Any:
    """Return what a counter says, or something else where this card or driver has none (MIG, old drivers)."""
    try:
        return read()
    except nvml.NVMLError:
        return otherwise


def by_nvidia_smi(run: Run, environment: Mapping[str, str]) -> Gpus:
    """Ask the driver's own program."""
    answer = run(("nvidia-smi", f"--query-gpu={DEVICES}", "--format=csv,noheader,nounits"))
    if answer.code == -1:
        return Gpus(source="nvidia-smi")
    if answer.code != 0:
        said = (answer.out + answer.err).strip().splitlines()
        return Gpus(problem=f"nvidia-smi: {said[0] if said else f'exit status {answer.code}'}", source="nvidia-smi")
    rows = [[cell.strip() for cell in line.split(",")] for line in answer.out.splitlines() if line.count(",") >= 7]
    busy = _busy(run)
    chosen = visible([row[1] for row in rows], environment)
    gpus = tuple(_by_row(index, rows[place], busy) for index, place in enumerate(chosen))
    return Gpus(rows[0][3] if rows else "", gpus, "" if gpus else hidden(len(rows)), "nvidia-smi")


def _busy(run: Run) -> list[list[str]]:
    answer = run(("nvidia-smi", f"--query-compute-apps={PROCESSES}", "--format=csv,noheader,nounits"))
    lines = answer.out.splitlines() if answer.code == 0 else []
    return [[cell.strip() for cell in line.split(",")] for line in lines if line.count(",") >= 3]


def _by_row(index: int, row: list[str], busy: list[list[str]]) -> Gpu:
    major, _, minor = row[4].partition(".")
    capability = (int(major), int(minor)) if major.isdecimal() and minor.isdecimal() else (0, 0)
    processes = tuple(
        GpuProcess(int(one[1]), ",".join(one[2:-1]), _number(one[-1]))
        for one in busy
        if one[0] == row[1] and one[1].isdecimal()
    )
    return Gpu(index, row[2], capability, _number(row[5]), _number(row[6]), _number(row[7]), processes)


def _number(text: str) -> float:
    """Read a figure; nvidia-smi writes [N/A] for what a card does not tell."""
    try:
        return float(text)
    except ValueError:
        return 0.0


def _text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
