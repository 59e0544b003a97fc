"""What the runs of a data set of one's own are expected to take, before any was done: its study's `[cost]`.

A training's time goes with what goes through the network: optimizer steps, units a step, steps a unit. Of full-size
networks the published times say how long that takes; of a trial's, a measurement of the kit's own.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from tal_repro.models.registry import model_entry

if TYPE_CHECKING:
    from tal_repro.data import DataSet
    from tal_repro.data.fitting import Choice

START_SECONDS = 7.0  # of a trial's training: start, reading, and scoring the test videos
# Seconds of a trial's training for a million feature steps that go through its network, on one core of a 2023 server.
TRIAL_SECONDS = {"tadtr": 27.0, "actionformer": 13.0, "tridet": 17.0, "temporalmaxer": 16.0}


def run_seconds(dataset: DataSet, recipes: Mapping[str, Mapping[str, Choice]], trial: bool) -> dict[str, float]:
    """Return the seconds that a model's training on all videos is expected to take, in a trial a measurement as well.

    Of a full study's measurements nothing is said: theirs are the flat figures that any study has.
    """
    from tal_repro.experiments import MEASURED
    from tal_repro.study import load_study

    trainings = {model: _seconds(dataset, model, choices, trial) for model, choices in recipes.items()}
    demo = load_study("demo").run_seconds if trial else {}
    return {**trainings, **{name: demo[name] for name in MEASURED if name in demo}}


def _seconds(dataset: DataSet, model: str, choices: Mapping[str, Choice], trial: bool) -> float:
    from tal_repro.data.fitting import STEPS_OF_A_TRAINING, STEPS_ON_SLICES, training_unit_count
    from tal_repro.run.costs import table2_seconds

    authors = model_entry(model).recipe
    recipe = {**vars(authors), **{key: choice.value for key, choice in choices.items()}}
    slices = authors.samples == "slices"
    length = "slice_length" if slices else "max_seq_len"
    steps = int(recipe["epochs"]) * math.ceil(training_unit_count(dataset, choices) / int(recipe["batch_size"]))
    work = steps * int(recipe["batch_size"]) * int(recipe[length])
    if trial:
        return START_SECONDS + TRIAL_SECONDS[model] * work / 1e6
    theirs = (STEPS_ON_SLICES if slices else STEPS_OF_A_TRAINING) * authors.batch_size * getattr(authors, length)
    return float(table2_seconds(model)[0] * work / theirs)
