"""Seconds by phase of a run, told to the hooks as they pass: what Table 2 and the trace are made of."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch

from tal_repro import hooks
from tal_repro.models.registry import model_entry

# phase of a run's seconds -> how Table 2's definition names it
_HELD = {"train": "training", "checkpoint": "checkpoints", "reported_eval": "evaluations"}


class Clock:
    """Wall seconds of each phase, those of the processes before among them when a run is resumed."""

    def __init__(self, device: str) -> None:
        self._device = torch.device(device)
        self._earlier_total = 0.0
        self._started = time.perf_counter()
        names = ("setup", "train", "eval", "checkpoint", "data_wait", "reported_eval")
        self.seconds = dict.fromkeys(names, 0.0)

    def carry_over(self, earlier: Mapping[str, float]) -> None:
        """Add what the processes before took, as `read` gave it."""
        self._earlier_total += float(earlier["total"])
        for name in self.seconds:
            self.seconds[name] += float(earlier[name])

    @contextmanager
    def phase(self, name: str, index: int, also: str | None = None, **values: Any) -> Iterator[None]:
        """Time a phase under its name (and under `also`), between a start and an end event."""
        hooks.event(name, "start", index, values)
        started = time.perf_counter()
        try:
            yield
        finally:
            if self._device.type == "cuda":
                torch.cuda.synchronize(self._device)
            passed = time.perf_counter() - started
            for key in (name, also):
                if key is not None:
                    self.seconds[key] += passed
            hooks.event(name, "end", index, values)

    def set_up(self) -> None:
        """Book everything since the clock was made as set-up: reading data and building the model."""
        self.seconds["setup"] += time.perf_counter() - self._started

    def waited(self, seconds: float) -> None:
        """Add time that training stood still for data (a part of `train`)."""
        self.seconds["data_wait"] += seconds

    def read(self) -> dict[str, float]:
        """Return the seconds so far, `total` being wall time."""
        return {**self.seconds, "total": self._earlier_total + time.perf_counter() - self._started}


def table2_seconds(model: str, seconds: Mapping[str, float]) -> tuple[float, str]:
    """Return what the paper's Table 2 calls a model's training time (s), and in words what this run's holds.

    The four published times are not of the same thing: upstream's loops differ in what they do between epochs. The
    words are of the phases that this run spent time in; `seconds` are those of its events.
    """
    counted = model_entry(model).reported.timed_phases
    *others, last = [words for phase, words in _HELD.items() if phase in counted and seconds[phase] > 0] or ["nothing"]
    held = f"{', '.join(others)} and {last}" if others else last
    left_out = "" if "reported_eval" in counted and seconds["reported_eval"] > 0 else ", no evaluation"
    return sum(seconds[phase] for phase in counted), held + left_out
