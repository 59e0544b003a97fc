"""Everything that had to be changed to run the authors' code, rated by what it could do to a number: the one list.

Which models a patch is of, and the shims, are read from where they act (`patches/*/`, `engines/upstream/shims.py`);
deviations of the study from the authors' own settings stand here. `verify`, docs/artifact.md and the report print it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tal_repro.models.registry import MODELS, OF_AUTHORS

SEVERITIES = {
    "high": "changes what is computed",
    "medium": "may move a number within its scatter, or a time beyond it",
    "timing": "may move times, no mAP",
    "low": "no number depends on it",
}
# patches that not every model has; TE-TAD's code does not run as published
OF_ONE = {"00-repair": ("tetad",), "04-settings": ("dyfadet",)}
PATCHES = {  # name -> severity, title as in the file (a wheel holds no patches), and what it does to a number
    "01-subset": (
        "low", "Train on the units of the run only",
        "keeps every unit at 100 %; below, it is the experiment itself",
    ),
    "02-timing": (
        "timing", "Record when a run, epoch, training pass, evaluation, checkpoint and iteration start and end",
        "two short lines an iteration",
    ),
    "03-metrics": (
        "timing", "Record losses, mAP and detections of each epoch",
        "one reading of the losses an epoch, and a file of detections an evaluation",
    ),
    "00-repair": (
        "low", "Let the transformer take the four empty arguments that its caller gives",
        "one parameter more, read by nothing; without it the code does not run",
    ),
    "04-settings": (
        "low", "Take the decay of the weight average from the recipe",
        "the authors' own 0.999, unless a recipe says another",
    ),
}  # fmt: skip
_ALL = OF_AUTHORS


@dataclass(frozen=True)
class Change:
    """One change: how severe, of which kind (patch, shim or deviation), of which models' code, and what it does."""

    severity: str
    kind: str
    name: str
    models: tuple[str, ...]
    what: str

    def to_json(self) -> dict[str, object]:
        return {"severity": self.severity, "kind": self.kind, "name": self.name, "models": list(self.models),
                "what": self.what}  # fmt: skip


DEVIATIONS = (
    Change("high", "deviation", "epochs", ("tadtr",),
           "15 epochs as in the paper's Table 1, where the authors' default is 16"),
    Change("medium", "deviation", "software", _ALL,
           "today's torch, numpy and pandas instead of those of 2023: other kernels, other random draws"),
    Change("medium", "deviation", "hardware", _ALL,
           "one machine for all models, where the paper used an A10 for TadTR and a V100S for the others"),
    Change("medium", "deviation", "seeds", _ALL,
           "a seed of its own for each run, where the authors' settings name one for all"),
    Change("low", "deviation", "resume", _ALL,
           "a stopped run starts over: the authors' checkpoints lack random state and loss normaliser"),
)  # fmt: skip


def changes(models: Sequence[str] = OF_AUTHORS) -> list[Change]:
    """Return all changes to the code of `models`, the most severe first."""
    every = [*DEVIATIONS, *_shims(), *_patches()]
    made = [change for change in every if set(change.models) & set(models) or models == OF_AUTHORS]
    return sorted(made, key=lambda change: list(SEVERITIES).index(change.severity))


def _shims() -> Iterator[Change]:
    from tal_repro.engines.upstream.shims import SHIMS, needed

    of_models = {model: needed(model) for model in OF_AUTHORS}
    brought = [shim for shims_of_model in of_models.values() for shim in shims_of_model if shim not in SHIMS]
    for shim in (*SHIMS, *brought):
        models = tuple(model for model, shims_of_model in of_models.items() if shim in shims_of_model)
        yield Change(shim.severity, "shim", shim.name, models, shim.reason)


def _patches() -> Iterator[Change]:
    for name, models in _patched().items():
        severity, title, effect = PATCHES.get(name, ("high", name, "not rated yet"))
        yield Change(severity, "patch", name, tuple(models), f"{title}: {effect}")


def _patched() -> dict[str, list[str]]:
    """Return the models that each patch is of; an installed package holds none of them: every model has each."""
    from tal_repro import kit

    if kit.checkout() is None:
        return {name: list(OF_ONE.get(name, OF_AUTHORS)) for name in PATCHES}
    models: dict[str, list[str]] = {}
    for model in OF_AUTHORS:
        for path in sorted(kit.patches(model).glob("*.patch")):
            models.setdefault(path.stem, []).append(model)
    return models


def count_text(made: Sequence[Change], whose: str = "the authors' code") -> str:
    """Say in a line how many changes there are, by severity."""
    counts = Counter(change.severity for change in made)
    by_severity = ", ".join(f"{counts[name]} {name}" for name in SEVERITIES if counts[name])
    return f"To run {whose} {len(made)} things were changed: {by_severity}"


def models_text(change: Change) -> str:
    """Name the models that a change is about."""
    if not change.models:
        return "models beyond the four"
    every = set(change.models) >= set(OF_AUTHORS)
    return "all" if every else ", ".join(MODELS[name].title for name in change.models if name in MODELS)
