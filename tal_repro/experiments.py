"""The experiments of the kit, a line each: what a run of one does, which runs it has, and what they need.

One of your own is a line here and a file with the function that the line names (CONTRIBUTING.md). Studies, runners and
specifications look here; it imports nothing heavy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Shape = Literal["seeds", "sweep", "lengths"]
_TRAININGS, _MEASUREMENTS = "tal_repro.run.experiments:run_training", "tal_repro.run.experiments"


@dataclass(frozen=True)
class Experiment:
    """One experiment."""

    # "module:function", called with the run's RunContext and Adapter, imported when a run starts. "": it is a command.
    perform: str
    # Its runs. "seeds": a training on all data for each seed; "sweep": a training for each percentage and repeat;
    # "lengths": the model alone, without data or training, at feature_lengths.
    shape: Shape = "seeds"
    alone: bool = False  # it measures time: the device is its own
    planned: bool = True  # it may stand in a study
    disk_mib: float = 6.0  # of a finished run's folder
    seconds: float | None = None  # that a run is assumed to take; None: what its training takes
    options: Mapping[str, tuple[float, float]] = field(default_factory=dict)  # of a study: low, high
    seeded: bool = True  # another seed gives another result


EXPERIMENTS: Mapping[str, Experiment] = {
    "baseline": Experiment(_TRAININGS, alone=True),
    "data_sweep": Experiment(_TRAININGS, "sweep"),
    "ablation": Experiment(_TRAININGS, "sweep"),
    "macs": Experiment(f"{_MEASUREMENTS}:run_macs", "lengths", disk_mib=0.1, seconds=60.0, seeded=False),
    "inference": Experiment(f"{_MEASUREMENTS}:run_inference", "lengths", alone=True, disk_mib=0.2, seconds=180.0),
    "trace": Experiment(
        f"{_MEASUREMENTS}:run_trace", alone=True, disk_mib=8.0,
        options={"interval_s": (0.05, 3600.0)},  # what the sampler of measure.trace takes
    ),
    "released": Experiment("", planned=False),
    "training": Experiment(f"{_MEASUREMENTS}:run_one", planned=False),
    # An experiment of your own, a line: "mine": Experiment("tal_repro.run.mine:run"),
}  # fmt: skip
PLANNED = tuple(name for name, entry in EXPERIMENTS.items() if entry.planned)
MEASURED = tuple(name for name, entry in EXPERIMENTS.items() if entry.shape == "lengths")  # no data, no training
SWEPT = tuple(name for name, entry in EXPERIMENTS.items() if entry.shape == "sweep")
TIMING = tuple(name for name, entry in EXPERIMENTS.items() if entry.alone)  # these always have the device alone
