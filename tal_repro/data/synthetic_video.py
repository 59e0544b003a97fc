"""One invented video and its actions: what annotations, quirks, features and layouts of synthetic data hand on."""

from __future__ import annotations

from dataclasses import dataclass, field

from tal_repro.data.dataset import SubsetName


@dataclass(frozen=True)
class Action:
    """One action in seconds. `shown_*` is where the features show it, the others what the annotation says."""

    label: str
    start_s: float
    end_s: float
    shown_start_s: float
    shown_end_s: float


@dataclass(frozen=True)
class SyntheticVideo:
    """One invented video, before its features."""

    id: str
    index: int  # of its random stream
    subset: SubsetName
    duration_s: float
    fps: float
    actions: tuple[Action, ...] = ()
    ambiguous_s: tuple[tuple[float, float], ...] = ()
    quirk: str = field(default="", compare=False)
