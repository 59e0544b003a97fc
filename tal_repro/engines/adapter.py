"""The one interface between the runner and a (model, engine) pair; the runner's worker calls nothing else."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import pandas as pd

    from tal_repro.runs.writer import RunWriter
    from tal_repro.spec import RunSpec


Recipe = Mapping[str, Any]
FULL_SIZE: Recipe = MappingProxyType({})  # as the authors have it: no hyper-parameter is replaced


class StopRequested(Exception):
    """Raised inside `train` after a checkpoint when the process was asked to stop (exit code 143)."""


@dataclass
class RunContext:
    """What a worker gives an adapter: the spec, where to write, where the data lies, and when to stop."""

    spec: RunSpec
    record: RunWriter
    data_dir: Path | None
    device: str  # "cpu", "cuda:0"
    subset_ids: tuple[str, ...] = ()
    should_stop: Callable[[], str] = field(default=lambda: "")  # "", "epoch" (finish it) or "now"
    heartbeat: Callable[[], None] = field(default=lambda: None)


class Adapter(Protocol):
    """One model under one engine. A fifth model is a registry line, a patch folder and one of these."""

    model: str
    engine: str

    def version(self) -> str:
        """Return what pins the results: native's version number, or upstream's commit and patch hash."""

    def train(self, run: RunContext) -> None:
        """Train and evaluate; write epochs, metrics and detections through `run.record`; resume if it can."""

    def read_detections(self, run: RunContext) -> pd.DataFrame:
        """Return the test detections (video_id, start_s, end_s, label, score) of the last checkpoint."""

    def build_for_macs(self, length: int) -> Any:
        """Return the module whose multiply-accumulates are counted at `length` feature steps."""

    def build_for_timing(self, length: int, recipe: Recipe = FULL_SIZE) -> Any:
        """Return the module whose inference is timed: the bare network, without decoding and NMS.

        `recipe`: hyper-parameters in place of the authors' (theirs and a model's beyond the four are always at full
        size: a study refuses others).
        """

    def example_input(self, length: int, recipe: Recipe = FULL_SIZE) -> tuple[Any, ...]:
        """Return its input, [1, C, T] features and lengths, at `length` feature steps."""
