"""What makes a machine not quiet, and that looking costs what it says."""

from __future__ import annotations

import time

import pytest

from tal_repro.errors import InputError
from tal_repro.measure.nvml import open_gpu
from tal_repro.measure.surroundings import disturbances, look_around
from tests.measure.fake_nvml import FakeNvml, device


@pytest.mark.parametrize(
    ("around", "words"),
    [
        ({"cpu_mean_percent": 2.0, "gpu_percent": 1.0, "cpu_steal_percent": 0.2}, []),
        ({"cpu_mean_percent": 60.0}, ["others use 60 % of the CPU"]),
        ({"cpu_steal_percent": 7.0}, ["the hypervisor withholds 7 % of the CPU"]),
        ({"neighbours": [12, 13], "gpu_percent": 90.0}, ["processes 12, 13 compute on the device"]),
        ({"neighbours": [], "gpu_percent": 90.0}, ["the GPU is 90 % busy"]),
    ],
)
def test_reasons_for_doubt(around: dict[str, float], words: list[str]) -> None:
    assert disturbances(around) == words


def test_looking_around() -> None:
    start = time.perf_counter()
    found = look_around("cpu", seconds=0.1)
    assert 0.1 <= time.perf_counter() - start < 5
    assert 0 <= found["cpu_mean_percent"] <= 100
    assert found["load_1min"] >= 0
    assert "neighbours" not in found  # of a device, and there is none


def test_a_device_in_use_is_seen_with_its_clock_and_temperature(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    nvml = FakeNvml(device(), device(uuid="GPU-1", ClockInfo=300, Temperature=45))
    monkeypatch.setattr("tal_repro.measure.surroundings.open_gpu", lambda index: open_gpu(index, nvml))
    found = look_around("cuda:1", lambda name: (4711,) if name == "cuda:1" else (), seconds=0.01)
    assert (found["sm_clock_mhz"], found["temperature_c"], found["neighbours"]) == (300, 45, [4711])
    assert "processes 4711 compute on the device" in disturbances(found)


def test_neighbours_that_cannot_be_told_are_absent() -> None:
    def blind(device: str) -> tuple[int, ...]:
        raise InputError("NVML does not answer")

    assert "neighbours" not in look_around("cuda:0", blind, seconds=0.01)
    assert look_around("cuda:0", lambda device: (7,), seconds=0.01)["neighbours"] == [7]
