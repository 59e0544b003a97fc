"""Seconds by phase of a run, told to the hooks as they pass: what Table 2 and the trace are made of."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch

from tal_repro import hooks
from tal_repro.models.registry import model_entry


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
    """Return what the paper's Table 2 calls a model's training time, and its definition.

    The four published times are not of the same thing: upstream's loops differ in what they do between epochs.
    """
    reported = model_entry(model).reported
    return sum(seconds[phase] for phase in reported.timed_phases), reported.timed
