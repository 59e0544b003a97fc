"""Driver, torch and GPUs: what fits, what does not, and who else is there."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import Any

import pytest
from machines import gpu, gpus, machine, needs, neighbour

from tal_repro import kit
from tal_repro.doctor.gpu import findings, has_kernels
from tal_repro.doctor.probes import Torch
from tal_repro.machine.gpus import GpuProcess, Gpus, by_nvidia_smi, read_gpus
from tal_repro.machine.host import Answer


def look(wanted: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    return {one.check: one for one in findings(needs(**wanted or {}), machine(**changes))}


def test_a_machine_as_the_paper_has_it():
    found = look()
    assert {name: one.status for name, one in found.items()} == {"driver": "ok", "torch": "ok", "gpu cuda:0": "ok"}
    assert found["driver"].figures == {"driver": "580.95.05", "torch_build": "cuda"}
    assert "alone; the paper's GPU" in found["gpu cuda:0"].what
    assert "ratios" in look(gpus=lambda: gpus("580.95", gpu(name="NVIDIA A100-SXM4")))["gpu cuda:0"].what


@pytest.mark.parametrize(
    ("state", "status", "said"),
    [
        (gpus("535.183.01"), "ok", "TORCH=cuda12"),
        (gpus("580.95.05", gpu(name="Tesla V100S-PCIE-32GB", capability=(7, 0))), "ok", "Volta"),
        (gpus("470.82"), "fail", "needs driver 525.60.13"),
        (Gpus(problem="NVML: Driver/library version mismatch"), "fail", "mismatch"),
        (Gpus("580.95", (), "CUDA_VISIBLE_DEVICES hides all 2"), "fail", "hides all 2"),
        (Gpus(), "fail", "needs a GPU and none answers"),
    ],
)
def test_the_driver_decides_the_build(state, status, said):
    driver = look(gpus=lambda: state)["driver"]
    assert driver.status == status
    assert said in driver.what
    assert bool(driver.remedy) == (status == "fail")


def test_a_study_on_the_cpu_wants_no_gpu():
    found = look({"cuda": False}, gpus=Gpus, installed=lambda: {"torch": "2.13.0+cpu"})
    assert [one.status for one in found.values()] == ["ok", "ok"]
    assert "no run that is left needs one" in found["driver"].what


@pytest.mark.parametrize(
    ("wanted", "changes", "statuses"),
    [
        ({}, {}, {"torch": "ok", "gpu cuda:0": "ok"}),
        ({}, {"gpus": Gpus}, {"driver": "fail"}),
        ({"cuda": False}, {}, {"torch": "ok"}),
        ({"cuda": False}, {"torch": lambda: None}, {"torch": "fail"}),
    ],
)
def test_an_installed_package_has_no_list_of_builds_and_asks_torch(wanted, changes, statuses, monkeypatch):
    monkeypatch.setattr(kit, "checkout", lambda: None)
    assert {name: one.status for name, one in look(wanted, **changes).items()} == statuses


CU13 = {"torch": "2.13.0", "nvidia-cudnn-cu13": "9"}
CU12 = {"torch": "2.10.0", "nvidia-cudnn-cu12": "9"}


@pytest.mark.parametrize(
    ("changes", "wanted", "status", "said", "remedy"),
    [
        ({"installed": dict}, {}, "fail", "light environment", "make setup TORCH=cuda"),
        ({"installed": dict}, {"pending": 0}, "ok", "no run is left", ""),
        ({"installed": dict}, {"runtime": "docker"}, "ok", "comes with the image, TORCH=cuda", ""),
        ({"installed": lambda: {"torch": "2.13.0+cpu"}}, {}, "fail", "build for the CPU", "make setup TORCH=cuda"),
        ({"installed": lambda: {"torch": "2.5.1"}}, {}, "warn", "none of the locked builds", "make setup TORCH=cuda"),
        ({"installed": lambda: CU13, "gpus": lambda: gpus("550.54")}, {}, "fail", "here is 550.54", "TORCH=cuda12"),
        ({"installed": lambda: CU13, "gpus": lambda: gpus("460.1")}, {}, "fail", "here is 460.1", "580 or newer"),
        ({"installed": lambda: CU12, "torch": lambda: Torch("2.10.0", True, ("sm_80",))}, {}, "ok", "sees the GPU", ""),
        ({"torch": lambda: None}, {}, "fail", "cannot be imported", "import torch"),
        ({"torch": lambda: Torch("2.13.0", False, (), "no device")}, {}, "fail", "no device", "nvidia-smi"),
        ({"torch": lambda: Torch("2.13.0", True, ("sm_90",))}, {}, "fail", "no kernels for NVIDIA A10", "cuda12"),
        ({"environment": {"TORCH": "cuda"}, "gpus": lambda: gpus("550.54")}, {}, "fail", "asked for", "TORCH=cuda12"),
        ({"environment": {"TORCH": "rocm"}}, {}, "fail", "not known", "cuda12"),
    ],
)
def test_torch_must_fit_the_machine(changes, wanted, status, said, remedy):
    torch = look(wanted, **changes)["torch"]
    assert (torch.status, said in torch.what, remedy in torch.remedy) == (status, True, True), torch


@pytest.mark.parametrize(
    ("architectures", "capability", "serves"),
    [
        (("sm_70", "sm_80"), (8, 6), True),  # kernels of a generation run on its later members
        (("sm_70", "sm_90"), (8, 6), False),
        (("sm_86",), (8, 0), False),
        (("sm_70", "compute_70"), (8, 6), True),  # PTX is compiled for what is newer
        (("sm_75",), (7, 0), False),
        (("sm_90a", "sm_100"), (10, 0), True),
        (("nonsense", "sm_"), (7, 0), False),
    ],
)
def test_which_gpu_a_wheel_serves(architectures, capability, serves):
    assert has_kernels(Torch("", True, architectures), capability) is serves


@pytest.mark.parametrize(
    ("device", "wanted", "status", "said"),
    [
        (
            gpu(processes=(neighbour(),), used_mib=3000),
            {},
            "fail",
            "not alone: 77 python train.py (3000 MiB); timed runs",
        ),
        (gpu(processes=(neighbour(),) * 5), {"alone": False}, "warn", "and 2 more"),
        (gpu(processes=(neighbour(memory_mib=2e4),), used_mib=2e4), {"alone": False}, "fail", "8 GiB are wanted"),
        (gpu(processes=(neighbour(),)), {"alone": False}, "warn", "not alone"),
        (gpu(processes=(GpuProcess(os.getpid(), "doctor", 9),)), {}, "ok", "alone"),
        (gpu(used_mib=4000), {}, "warn", "whom this process cannot see"),
        (gpu(utilisation_percent=55), {}, "warn", "55 % busy"),
        (gpu(total_mib=4096), {}, "warn", "8 GiB are enough for every run"),
    ],
)
def test_a_gpu_that_is_not_free_and_alone_is_told(device, wanted, status, said):
    found = look(wanted, gpus=lambda: gpus("580.95", device))["gpu cuda:0"]
    assert found.status == status
    assert said in found.what


class FakeNvml:
    """pynvml for two GPUs; a value that is an NVMLError is raised."""

    class NVMLError(Exception):
        pass

    def __init__(self, **values: Any) -> None:
        self.values = {
            "nvmlInit": None, "nvmlShutdown": None, "nvmlSystemGetDriverVersion": b"580.95.05", "nvmlDeviceGetCount": 2,
            "nvmlDeviceGetName": "NVIDIA A10", "nvmlDeviceGetCudaComputeCapability": (8, 6),
            "nvmlDeviceGetMemoryInfo": SimpleNamespace(total=24 * 2**30, used=2**30),
            "nvmlDeviceGetUtilizationRates": SimpleNamespace(gpu=3),
            "nvmlDeviceGetComputeRunningProcesses": [SimpleNamespace(pid=5, usedGpuMemory=None)],
            "nvmlSystemGetProcessName": b"other", **values,
        }  # fmt: skip
        self.calls: list[str] = []

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:
        return index

    def nvmlDeviceGetUUID(self, handle: int) -> str:
        return f"GPU-{handle}0aa"

    def __getattr__(self, name: str) -> Any:
        def call(*_: Any) -> Any:
            self.calls.append(name)
            if isinstance(self.values[name], Exception):
                raise self.values[name]
            return self.values[name]

        return call


def no_program(command: Any) -> Answer:
    raise AssertionError(f"not to be run: {command}")


@pytest.mark.parametrize(
    ("shown", "count"), [(None, 2), ("1", 1), ("", 0), ("GPU-10", 1), ("1,0", 2), ("0,9,1", 1), ("-1,0", 0)]
)
def test_nvml_is_read_through_cuda_visible_devices(shown, count):
    nvml = FakeNvml()
    state = read_gpus(no_program, nvml, {} if shown is None else {"CUDA_VISIBLE_DEVICES": shown})
    assert len(state.gpus) == count
    assert state.driver == "580.95.05"
    assert [one.index for one in state.gpus] == list(range(count))
    assert bool(state.problem) == (count == 0)
    assert nvml.calls[-1] == "nvmlShutdown"


def test_nvml_that_refuses_is_a_problem_and_a_counter_that_lacks_is_not():
    error = FakeNvml.NVMLError("Driver/library version mismatch")
    assert (
        read_gpus(no_program, FakeNvml(nvmlInit=error), {}).problem
        == "NVML does not answer (Driver/library version mismatch)"
    )
    lacking = FakeNvml(
        nvmlDeviceGetUtilizationRates=FakeNvml.NVMLError("Not Supported"),
        nvmlSystemGetProcessName=FakeNvml.NVMLError("x"),
    )
    found = read_gpus(no_program, lacking, {}).gpus[0]
    assert found.utilisation_percent == 0
    assert found.processes == (GpuProcess(5, "?", 0.0),)


def test_nvidia_smi_takes_the_place_of_nvml_in_the_light_environment():
    devices = "0, GPU-a, NVIDIA A10, 535.1, 8.6, 23028, 3005, 7\n1, GPU-b, NVIDIA A10, 535.1, 8.6, 23028, 5, [N/A]\n"
    answers = {
        "nvidia-smi --query-gpu": Answer(0, devices),
        "nvidia-smi --query-compute-apps": Answer(0, "GPU-a, 77, python, train.py, 3000\n"),
    }
    state = by_nvidia_smi(machine(answers).run, {})
    assert (state.driver, state.source, len(state.gpus)) == ("535.1", "nvidia-smi", 2)
    assert state.gpus[0].processes == (GpuProcess(77, "python,train.py", 3000.0),)
    assert state.gpus[1].utilisation_percent == 0
    failed = by_nvidia_smi(machine({"nvidia-smi": Answer(9, "NVIDIA-SMI has failed\nmore")}).run, {})
    assert failed.problem == "nvidia-smi: NVIDIA-SMI has failed"
    assert by_nvidia_smi(machine().run, {}) == Gpus(source="nvidia-smi")
