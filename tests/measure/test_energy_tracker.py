"""Energy of a block of work from fakes: two cards, a card lost in the middle, a counter set back, RAPL and none."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from tal_repro.measure import energy
from tal_repro.measure.energy import Energy, EnergyCounters
from tal_repro.measure.nvml import open_gpu
from tests.measure.fake_nvml import FakeNvml, NVMLError, device


@pytest.fixture
def cards(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[dict[str, Any]]:
    """Two cards, and no RAPL."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    made = [device(), device(uuid="GPU-1", TotalEnergyConsumption=0)]
    nvml = FakeNvml(*made)
    monkeypatch.setattr(energy, "open_gpu", lambda index: open_gpu(index, nvml))
    _without_rapl(monkeypatch, tmp_path)
    return made


def _without_rapl(monkeypatch: pytest.MonkeyPatch, place: Path) -> None:
    class Here(EnergyCounters):
        def __init__(self, gpu: Any, rapl: Path = place) -> None:
            super().__init__(gpu, rapl)

    monkeypatch.setattr(energy, "EnergyCounters", Here)


def _package(
    place: Path, microjoules: int, wraps_at: int = 10**6, domain: str = "intel-rapl:0", name: str = "package-0"
) -> Path:
    folder = place / domain
    folder.mkdir()
    (folder / "name").write_text(f"{name}\n")
    (folder / "max_energy_range_uj").write_text(str(wraps_at))
    (folder / "energy_uj").write_text(str(microjoules))
    return folder / "energy_uj"


def test_the_card_that_was_asked_for_is_counted(cards: list[dict[str, Any]]) -> None:
    with Energy(1) as used:
        cards[0]["TotalEnergyConsumption"] += 99_000
        cards[1]["TotalEnergyConsumption"] += 7_200_000  # mJ
    assert used.to_json() == {"joules": {"gpu": 7200.0}, "kwh": {"gpu": 0.002}, "not_counted": ["cpu"]}


def test_a_card_lost_in_the_middle_is_not_zero(cards: list[dict[str, Any]]) -> None:
    with Energy(0) as used:
        cards[0]["lost"] = NVMLError(15)
    assert used.to_json() == {"joules": {}, "kwh": {}, "not_counted": ["cpu", "gpu"]}


def test_a_counter_that_was_set_back_is_not_believed(cards: list[dict[str, Any]]) -> None:
    with Energy(0) as used:
        cards[0]["TotalEnergyConsumption"] = 1000  # the driver was loaded again
    assert used.joules == {}


def test_a_package_that_wraps_while_nobody_looks_is_looked_at(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    counter = _package(tmp_path, 900_000)
    _without_rapl(monkeypatch, tmp_path)
    with Energy() as used:
        counter.write_text("500000")  # 0.6 J later, by way of the end
        used._counters.joules()  # what its thread does once a minute
        counter.write_text("400000")  # another 0.9 J: without the look this would be a fall of 0.5 J
    assert used.joules == {"cpu": pytest.approx(1.5)}
    assert used.to_json()["not_counted"] == []


@pytest.mark.parametrize(
    ("domain", "name"), [("intel-rapl:1", "psys"), ("intel-rapl:1", "dram"), ("intel-rapl:0:0", "package-0")]
)
def test_only_packages_are_counted(tmp_path: Path, domain: str, name: str) -> None:
    package, other = _package(tmp_path, 0), _package(tmp_path, 0, domain=domain, name=name)
    counters = EnergyCounters(None, tmp_path)
    package.write_text("300000")
    other.write_text("900000")
    assert counters.joules() == {"cpu": pytest.approx(0.3)}


def test_all_packages_are_counted_beyond_the_tenth(tmp_path: Path) -> None:
    files = [_package(tmp_path, 0, domain=f"intel-rapl:{n}", name=f"package-{n}") for n in range(12)]
    counters = EnergyCounters(None, tmp_path)
    for file in files:
        file.write_text("100000")
    assert counters.joules() == {"cpu": pytest.approx(1.2)}


@pytest.mark.parametrize("missing", ["energy_uj", "max_energy_range_uj", "name"])
def test_part_of_the_packages_is_not_all_of_them(tmp_path: Path, missing: str) -> None:
    package = _package(tmp_path, 0)
    (_package(tmp_path, 0, domain="intel-rapl:1", name="package-1").parent / missing).unlink()
    counters = EnergyCounters(None, tmp_path)
    package.write_text("300000")
    assert counters.joules() == {}


@pytest.mark.parametrize(("microjoules", "wraps_at"), [(0, 0), (0, -1), (-5, 10**6)])
def test_a_counter_that_cannot_be_is_absent_and_not_zero(tmp_path: Path, microjoules: int, wraps_at: int) -> None:
    package = _package(tmp_path, microjoules, wraps_at)
    counters = EnergyCounters(None, tmp_path)
    package.write_text("300000")
    assert counters.joules() == {}


def test_a_package_that_stops_answering_is_absent(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    counter = _package(tmp_path, 100)
    _without_rapl(monkeypatch, tmp_path)
    with Energy() as used:
        counter.unlink()
    assert used.to_json() == {"joules": {}, "kwh": {}, "not_counted": ["cpu"]}


def test_without_nvml_there_is_no_card(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert open_gpu(0) is None
