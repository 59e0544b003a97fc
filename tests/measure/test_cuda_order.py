"""What is done around a timing and a peak on a GPU, and in which order: told by a stand-in for torch.cuda."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tal_repro.measure.latency import collection_ms, timer_for
from tal_repro.measure.memory import PeakMemory


class FakeCuda:
    """Notes what is called; events are a clock that the work moves, peaks what the work allocates."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.now_ms = 0.0
        self.peak_mib = self.held_mib = 0.0

    def Event(self, enable_timing: bool) -> Any:
        assert enable_timing
        return FakeEvent(self)

    def synchronize(self, device: Any = None) -> None:
        self.done.append("synchronize")

    def empty_cache(self) -> None:
        self.done.append("empty_cache")

    def reset_peak_memory_stats(self, device: Any) -> None:
        self.done.append("reset")
        self.peak_mib = self.held_mib

    def max_memory_allocated(self, device: Any) -> int:
        return int(self.peak_mib * 2**20)

    def max_memory_reserved(self, device: Any) -> int:
        return int(2 * self.peak_mib * 2**20)

    def allocate(self, mib: float) -> None:
        self.peak_mib = max(self.peak_mib, self.held_mib + mib)


class FakeEvent:
    def __init__(self, cuda: FakeCuda) -> None:
        self.cuda, self.at = cuda, 0.0

    def record(self) -> None:
        self.cuda.done.append("record")
        self.at = self.cuda.now_ms

    def elapsed_time(self, other: FakeEvent) -> float:
        assert self.cuda.done[-1] == "synchronize"  # an event that the device has not passed tells nothing
        return other.at - self.at


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> FakeCuda:
    fake = FakeCuda()
    monkeypatch.setattr(torch, "cuda", fake)
    return fake


def test_a_call_is_timed_by_events_between_two_synchronisations(cuda: FakeCuda) -> None:
    def work() -> str:
        cuda.done.append("work")
        cuda.now_ms += 12.5
        return "result"

    assert timer_for(torch.device("cuda:0"))(work) == (12.5, "result")
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
