"""What is done around a timing and a peak on a GPU, and in which order: told by a stand-in for torch.cuda."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tal_repro.measure.latency import Effort, Subject, collection_ms, measure_subjects, timer_for
from tal_repro.measure.memory import PeakMemory


class FakeCuda:
    """Notes what is called; events are clocks, one a device, that the work moves, peaks what the work allocates."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.now_ms = {"cuda:0": 0.0, "cuda:1": 0.0}
        self.peak_mib = self.held_mib = self.cached_mib = 0.0
        self.released_mib: list[float] = []

    def Event(self, enable_timing: bool) -> Any:
        assert enable_timing
        return FakeEvent(self)

    def synchronize(self, device: Any = None) -> None:
        self.done.append("synchronize")

    def current_stream(self, device: Any = "cuda:0") -> str:
        return str(device)

    def empty_cache(self) -> None:
        self.done.append("empty_cache")
        self.released_mib.append(self.cached_mib)
        self.cached_mib = 0.0

    def memory_allocated(self, device: Any) -> int:
        return int(self.held_mib * 2**20)

    def reset_peak_memory_stats(self, device: Any) -> None:
        self.done.append("reset")
        self.peak_mib = self.held_mib

    def max_memory_allocated(self, device: Any) -> int:
        return int(self.peak_mib * 2**20)

    def max_memory_reserved(self, device: Any) -> int:
        return int(2 * self.peak_mib * 2**20)

    def allocate(self, mib: float) -> None:
        self.peak_mib = max(self.peak_mib, self.held_mib + mib)
        self.cached_mib = max(self.cached_mib, mib)


class FakeEvent:
    def __init__(self, cuda: FakeCuda) -> None:
        self.cuda, self.at = cuda, 0.0

    def record(self, stream: str = "cuda:0") -> None:  # without a stream: of the current device
        self.cuda.done.append("record")
        self.at = self.cuda.now_ms[stream]

    def elapsed_time(self, other: FakeEvent) -> float:
        assert self.cuda.done[-1] == "synchronize"  # an event that the device has not passed tells nothing
        return other.at - self.at


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> FakeCuda:
    fake = FakeCuda()
    monkeypatch.setattr(torch, "cuda", fake)
    return fake


@pytest.mark.parametrize("device", ["cuda:0", "cuda:1"])
def test_a_call_is_timed_by_events_between_two_synchronisations(cuda: FakeCuda, device: str) -> None:
    def work() -> str:
        cuda.done.append("work")
        cuda.now_ms[device] += 12.5
        return "result"

    assert timer_for(torch.device(device))(work) == (12.5, "result")
    assert cuda.done == ["synchronize", "record", "work", "record", "synchronize"]


def test_a_peak_is_reset_before_each_length(cuda: FakeCuda) -> None:
    cuda.held_mib = 100  # the model
    peaks = []
    for mib in (500.0, 50.0):  # a long input, then a short one
        with PeakMemory("cuda:0") as peak:
            cuda.allocate(mib)
        peaks.append((peak.mib, peak.reserved_mib))
    assert peaks == [(600, 1200), (150, 300)]
    assert cuda.done == ["empty_cache", "reset"] * 2


def test_collection_waits_for_the_device(cuda: FakeCuda) -> None:
    assert collection_ms("cuda:0") > 0
    assert cuda.done == ["empty_cache", "synchronize"]


class FakeModel:
    """Holds 100 MiB of the fake device, needs `work_mib` a step of its input, and takes 1 ms a step."""

    def __init__(self, cuda: FakeCuda, work_mib: float) -> None:
        self.cuda, self.work_mib = cuda, work_mib

    def eval(self) -> FakeModel:
        return self

    def to(self, device: str) -> FakeModel:
        self.cuda.held_mib += 100
        return self

    def __call__(self, features: FakeInput) -> None:
        self.cuda.allocate(self.work_mib * features.length)
        self.cuda.now_ms["cuda:0"] += features.length


class FakeInput:
    """Takes 1 MiB a step of the fake device, and stays there."""

    def __init__(self, cuda: FakeCuda, length: int) -> None:
        self.cuda, self.length = cuda, length

    def to(self, device: str) -> FakeInput:
        self.cuda.held_mib += self.length
        return self


@pytest.fixture
def fake_rows(cuda: FakeCuda) -> list[tuple[str, dict[str, Any]]]:
    """Two models that need 3 and 2 MiB a step, timed in turn at 20 and 40 steps."""
    subjects = [
        Subject(name, lambda mib=mib: FakeModel(cuda, mib), lambda n: (FakeInput(cuda, n),), (20, 40))  # type: ignore[misc]
        for name, mib in (("a", 3.0), ("b", 2.0))
    ]
    effort = Effort(min_samples=2, min_seconds=0, max_samples=2, max_warmup=1)
    return list(measure_subjects(subjects, "cuda:0", effort=effort))


def test_a_peak_holds_its_model_and_input_and_nobody_elses(fake_rows: list[tuple[str, dict[str, Any]]]) -> None:
    peaks = {(n, r["feature_length"]): r["value"] for n, r in fake_rows if r["quantity"] == "peak_memory_mib"}
    assert peaks == {("a", 20): 180, ("a", 40): 260, ("b", 20): 160, ("b", 40): 220}  # 100 + (1 + need) a step


def test_a_collection_is_of_what_a_call_left(cuda: FakeCuda, fake_rows: list[tuple[str, dict[str, Any]]]) -> None:
    assert sum(row["quantity"] == "collection_ms" for _, row in fake_rows) == 6
    # a's longest call leaves 120 MiB, b's 80; what others left is released before the first
    assert cuda.released_mib[-8:][1:4] == [120] * 3
    assert cuda.released_mib[-3:] == [80] * 3
