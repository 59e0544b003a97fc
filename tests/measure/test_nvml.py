"""NVML columns: present when the counter answers, absent when it does not, empty when it fails in the middle."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from tal_repro.measure.energy import EnergyCounters
from tal_repro.measure.nvml import open_gpu
from tal_repro.measure.sampler import Ticks, write_samples
from tal_repro.measure.trace import read_trace
from tests.measure.fake_nvml import FakeNvml, NVMLError, device

WHOLE = {
    "gpu_percent": 50.0,
    "gpu_memory_bandwidth_percent": 20.0,
    "gpu_memory_mib": 1024.0,
    "power_w": 150.0,
    "sm_clock_mhz": 1500.0,
    "temperature_c": 61.0,
    "pcie_received_mib_s": 2.0,
    "pcie_sent_mib_s": 2.0,
}


@pytest.fixture(autouse=True)
def all_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


def test_every_counter_of_a_whole_card() -> None:
    gpu = open_gpu(0, FakeNvml(device()))
    assert gpu is not None
    assert gpu.name == "Fake A10"
    assert gpu.sample() == WHOLE
    assert gpu.errors == {}


def test_no_card_no_driver_no_index() -> None:
    assert open_gpu(None) is None
    assert open_gpu(1, FakeNvml(device())) is None
    assert open_gpu(0, FakeNvml(device(), initialises=False)) is None


def test_a_mig_slice_has_no_utilisation_and_says_so_by_absence(monkeypatch: pytest.MonkeyPatch) -> None:
    slice_ = device(uuid="MIG-1", UtilizationRates=NVMLError(3), PowerUsage=NVMLError(3), PcieThroughput=NVMLError(3))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "MIG-1")
    nvml = FakeNvml(device(), slice_)
    gpu = open_gpu(0, nvml)
    assert gpu is not None
    first, second = gpu.sample(), gpu.sample()
    assert first == second
    assert set(first) == {"gpu_memory_mib", "sm_clock_mhz", "temperature_c"}
    assert nvml.calls.count("nvmlDeviceGetUtilizationRates") == 1  # never asked again
    assert gpu.errors == {"Not Supported": 3}


def test_two_cards_and_the_order_of_cuda_visible_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    nvml = FakeNvml(device(PowerUsage=100_000), device(uuid="GPU-1", PowerUsage=200_000))

    def power(index: int) -> float:
        gpu = open_gpu(index, nvml)
        assert gpu is not None
        return gpu.sample()["power_w"]

    assert (power(0), power(1)) == (100, 200)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1,0")
    assert (power(0), power(1)) == (200, 100)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-1")
    assert power(0) == 200
    assert open_gpu(1, nvml) is None  # CUDA sees one
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert open_gpu(0, nvml) is None


def test_a_card_lost_in_the_middle_leaves_empty_cells(tmp_path: Path) -> None:
    card = device()
    nvml = FakeNvml(card)
    gpu = open_gpu(0, nvml)
    assert gpu is not None
    seen = []

    def sample(now: float) -> dict[str, float]:
        seen.append(now)
        if len(seen) == 3:
            card["lost"] = NVMLError(15)
        return gpu.sample()

    path = tmp_path / "trace.csv"
    time = iter(range(100))
    with path.open("w") as stream:
        ticks = Ticks(1.0, lambda: next(time), lambda _: None)
        write_samples(stream, ticks, sample, lambda: len(seen) == 5)
    trace = read_trace(path)
    assert trace["power_w"].notna().tolist() == [True, True, False, False, False]
    assert gpu.errors == {"GPU is lost": 1}  # then it is left alone
    assert gpu.energy_joules() is None


def test_a_counter_that_hiccups_comes_back() -> None:
    card = device()
    gpu = open_gpu(0, FakeNvml(card))
    assert gpu is not None
    assert "power_w" in gpu.sample()
    card["PowerUsage"] = NVMLError(999)
    assert "power_w" not in gpu.sample()
    card["PowerUsage"] = 90_000
    assert gpu.sample()["power_w"] == 90
    assert gpu.errors == {"Unknown": 1}


def test_pcie_is_left_out_of_fast_traces() -> None:
    gpu = open_gpu(0, FakeNvml(device()), pcie=False)
    assert gpu is not None
    assert set(WHOLE) - set(gpu.sample()) == {"pcie_received_mib_s", "pcie_sent_mib_s"}


def test_energy_of_a_card_and_of_processor_packages(tmp_path: Path) -> None:
    for number, start in enumerate((100, 990)):
        package = tmp_path / f"intel-rapl:{number}"
        package.mkdir()
        (package / "name").write_text(f"package-{number}\n")
        (package / "max_energy_range_uj").write_text("1000000\n")
        (package / "energy_uj").write_text(f"{start}\n")
    card = device()
    counters = EnergyCounters(open_gpu(0, FakeNvml(card)), tmp_path)
    card["TotalEnergyConsumption"] += 36_000  # mJ
    (tmp_path / "intel-rapl:0" / "energy_uj").write_text("500100\n")
    (tmp_path / "intel-rapl:1" / "energy_uj").write_text("490\n")  # wrapped at 1 J: 999500 more
    found = counters.joules()
    assert found["gpu"] == pytest.approx(36)
    assert found["cpu"] == pytest.approx(0.5 + 0.9995)


def test_energy_without_a_counter_is_absent(tmp_path: Path) -> None:
    unreadable = tmp_path / "intel-rapl:0"
    unreadable.mkdir()
    (unreadable / "name").write_text("package-0\n")
    (unreadable / "energy_uj").mkdir()  # reading fails for root too
    (unreadable / "max_energy_range_uj").write_text("1000\n")
    gpu = open_gpu(0, FakeNvml(device(TotalEnergyConsumption=NVMLError(3))))
    assert EnergyCounters(gpu, tmp_path).joules() == {}


def test_empty_cells_are_not_zeros() -> None:
    rows = iter([{"a": 1.0, "b": 2.0}, {"a": 3.0}])
    time = iter(range(100))
    out = io.StringIO()
    taken = []

    def sample(now: float) -> dict[str, float]:
        taken.append(now)
        return next(rows)

    write_samples(out, Ticks(1.0, lambda: next(time), lambda _: None), sample, lambda: len(taken) == 2)
    assert [line.split(",")[2:] for line in out.getvalue().splitlines()] == [["a", "b"], ["1", "2"], ["3", ""]]
