"""`tal-repro study new --trial`: the demo's small networks and its amount of work, on a data set of one's own."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from tal_repro.models.registry import model_entry

if TYPE_CHECKING:
    from tal_repro.data import DataSet
    from tal_repro.data.fitting import Choice
    from tal_repro.study import Study

LEFT_OF_START = 0.1  # of the first weights in their moving average, after a trial by the authors' code
LEFT_BY_DEMO = 0.03  # the same after a training of the demo's
MOST_WORK = 2.0  # of the demo's: feature steps that go through a network in training
LEAST_EPOCHS, MOST_EPOCHS = 4, 60
LEAST_EPOCHS_ON_SLICES = 2  # of which a long video makes hundreds


def trial_recipe(
    dataset: DataSet, model: str, fitted: Mapping[str, Choice], engines: Collection[str]
) -> dict[str, Choice]:
    """Return what the demo's small networks have in place of the full ones, for about the demo's work.

    Where the authors' code is among the engines, as far as it can be told so.
    """
    from tal_repro.data.fitting import Choice, training_unit_count

    demo = _demo()
    sizes = {key: value for key, value in demo.recipes[model].items() if key not in fitted or key == "batch_size"}
    units = training_unit_count(dataset, fitted)
    epochs = _epochs(demo, model, fitted, units)
    sizes["epochs"] = epochs
    if "lr_decay_epoch" in fitted:
        sizes["lr_decay_epoch"] = epochs - 1
    if "ema_decay" in sizes:  # few steps under the demo's decay would hardly leave the first weights
        steps = epochs * math.ceil(units / int(fitted["batch_size"].value))
        sizes["ema_decay"] = min(float(sizes["ema_decay"]), round(LEFT_BY_DEMO ** (1 / steps), 5))
    choices = {key: Choice(value, "a trial") for key, value in sizes.items()}
    return _tellable(model, choices, fitted, units) if "upstream" in engines else choices


def trial_options(experiment: str) -> dict[str, Any]:
    """Return the demo's options of an experiment: fewer evaluations and samples, a finer trace."""
    chosen: dict[str, Any] = {}
    for grid in _demo().grids:
        if grid.experiment == experiment:
            chosen = dict(grid.options)  # of the last, where the demo has several: the fewest samples
    return chosen


def _demo() -> Study:
    from tal_repro.study import load_study

    return load_study("demo")


def _epochs(demo: Study, model: str, fitted: Mapping[str, Choice], units: int) -> int:
    """Return the epochs that take the demo's optimizer steps, or fewer where its clips are far shorter than these."""
    own = demo.recipes[model]
    shown = int(own["epochs"]) * int(demo.synthesis["videos"])  # clips or slices that the demo trains on
    length = "slice_length" if "slice_length" in fitted else "max_seq_len"
    longer = int(fitted[length].value) / int(own.get(length, getattr(model_entry(model).recipe, length)))
    epochs = shown * min(1.0, MOST_WORK / longer) / units
    return min(max(round(epochs), LEAST_EPOCHS_ON_SLICES if length == "slice_length" else LEAST_EPOCHS), MOST_EPOCHS)


def _tellable(model: str, choices: dict[str, Choice], fitted: Mapping[str, Choice], units: int) -> dict[str, Choice]:
    """Return what the authors' code takes of a trial; its attention window stays, which clips are a multiple of.

    Its moving average of the weights cannot be told to be shorter, so a training lasts until the average has followed.
    """
    from tal_repro.data.fitting import Choice
    from tal_repro.engines.upstream.settings import MLP_EXPANSION, settable

    kept = {key: choice for key, choice in choices.items() if key in settable(model) and key != "attention_window"}
    if model == "actionformer":
        kept["mlp_dim"] = Choice(MLP_EXPANSION * int(kept["embed_dim"].value), "as the authors' code makes it")
    if decay := model_entry(model).recipe.ema_decay:
        steps = math.log(LEFT_OF_START) / math.log(decay)
        epochs = math.ceil(steps / max(units // int({**fitted, **kept}["batch_size"].value), 1))
        kept["epochs"] = Choice(epochs, f"a trial; {steps:.0f} steps leave {LEFT_OF_START:.0%} of the start in the EMA")
    return kept
