"""What makes a machine not quiet, and that looking costs what it says."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tal_repro.errors import InputError
from tal_repro.measure.nvml import open_gpu
from tal_repro.measure.surroundings import (
    Meanwhile,
    _clock_and_temperature,
    _own_cpu_seconds,
    disturbances,
    look_around,
    surroundings,
)
from tests.measure.fake_nvml import FakeNvml, device


@pytest.mark.parametrize(
    ("around", "words"),
    [
        ({"cpu_mean_percent": 2.0, "gpu_percent": 1.0, "cpu_steal_percent": 0.2}, []),
        ({"cpu_mean_percent": 60.0}, ["others use 60 % of the CPU"]),
        ({"cpu_steal_percent": 7.0}, ["the hypervisor withholds 7 % of the CPU"]),
        ({"neighbours": [12, 13], "gpu_percent": 90.0}, ["processes 12, 13 compute on the device"]),
        ({"neighbours": [], "gpu_percent": 90.0}, ["the GPU is 90 % busy"]),
        ({"others_cpu_percent": 4.0}, []),
        ({"others_cpu_percent": 30.0}, ["others used 30 % of the CPU meanwhile"]),
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


@pytest.mark.parametrize(("seconds", "own", "others"), [(10.0, 8.0, 20.0), (10.0, 12.0, 0.0), (0.5, 0.0, None)])
def test_what_others_use_meanwhile_is_what_we_do_not(
    monkeypatch: pytest.MonkeyPatch, seconds: float, own: float, others: float | None
) -> None:
    """Two cores at 60 % for ten seconds are 12 s, of which this process had 8."""
    sample = {"cpu_mean_percent": 60.0, "cpu_steal_percent": 0.5, "cpu_0_percent": 80.0, "cpu_1_percent": 40.0}
    monkeypatch.setattr("tal_repro.measure.surroundings.system_counters", lambda: lambda now: dict(sample))
    stalled = iter((7.0, 7.0 + 0.1 * seconds))  # a kernel that counts waiting for cores
    monkeypatch.setattr("tal_repro.measure.surroundings._stalled_seconds", lambda: next(stalled))
    times, used = iter((100.0, 100.0 + seconds)), iter((3.0, 3.0 + own))
    found = Meanwhile(lambda: next(times), lambda: next(used)).over()
    expected = {"seconds": seconds, "others_cpu_percent": others, "cpu_steal_percent": 0.5}
    expected["cpu_stall_percent"] = pytest.approx(10)
    assert found == ({} if others is None else expected)


def test_what_we_start_and_wait_for_is_our_own() -> None:
    before = _own_cpu_seconds()
    spin = "import time\nwhile time.process_time() < 0.3: pass"
    subprocess.run([sys.executable, "-I", "-S", "-c", spin], check=True)
    assert _own_cpu_seconds() - before >= 0.28  # in ticks of 10 ms


def test_a_machine_that_others_came_to_is_doubtful() -> None:
    quiet = {"cpu_mean_percent": 1.0, "neighbours": []}
    assert surroundings(quiet, {}, quiet)["doubtful"] == []
    assert surroundings(quiet, {}, {**quiet, "gpu_percent": 90.0})["doubtful"] == []  # still our own load
    kept = surroundings(quiet, {"others_cpu_percent": 40.0}, quiet)
    assert kept["doubtful"] == ["others used 40 % of the CPU meanwhile"]
    assert kept["meanwhile"] == {"others_cpu_percent": 40.0}


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="looks for processes in /proc: run it on Linux")
def test_who_came_to_the_device_is_told_from_ourselves_under_another_number() -> None:
    before, gone = {"neighbours": [7]}, 2**22 + 1  # above the largest process id
    came = surroundings({"neighbours": []}, {}, {"neighbours": [os.getppid()]})
    assert came["doubtful"] == [f"processes {os.getppid()} compute on the device"]
    assert surroundings({"neighbours": []}, {}, {"neighbours": [gone]})["doubtful"] == []
    assert surroundings({"neighbours": []}, {}, {"neighbours": [gone, gone + 1]})["doubtful"] != []
    assert surroundings(before, {}, before)["doubtful"] == ["processes 7 compute on the device"]  # said once


def test_clock_and_temperature_where_they_are_told(tmp_path: Path) -> None:
    assert _clock_and_temperature(tmp_path / "none", tmp_path) == {}
    (tmp_path / "cpuinfo").write_text("model name : X\ncpu MHz\t\t: 2000.0\nmodel name : X\ncpu MHz\t\t: 3000.0\n")
    for number, degrees in enumerate((41000, 67500)):
        (tmp_path / f"thermal_zone{number}").mkdir()
        (tmp_path / f"thermal_zone{number}" / "temp").write_text(f"{degrees}\n")
    assert _clock_and_temperature(tmp_path / "cpuinfo", tmp_path) == {"cpu_mhz": 2500.0, "cpu_temperature_c": 67.5}
