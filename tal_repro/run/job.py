"""What a runner tells the process of a run."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Job:
    """A run to do, where, and beside whom: plain values, so that any executor can carry it."""

    spec: Mapping[str, Any]
    results: str
    data_dir: str | None
    device: str
    study: str = ""
    settings: tuple[str, ...] = ()  # that replaced the study's own
    alone: bool = False  # none of ours is beside it
    exclusive: bool = False  # it measures time: nobody at all may be beside it
    wait_for_lock: bool = False  # a requeued Slurm task waits for what is left of its predecessor

    @property
    def data(self) -> Path | None:
        return None if self.data_dir is None else Path(self.data_dir)

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)
