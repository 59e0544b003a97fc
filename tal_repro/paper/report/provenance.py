"""Where the runs come from, read from the runs themselves: what ran where, on which systems, how it deviates."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from tal_repro.models.registry import MODELS
from tal_repro.runs.load import Runs
from tal_repro.runs.run import Run


@dataclass(frozen=True)
class Deviation:
    """A way in which what ran here is not what the paper ran."""

    what: str
    where: str
    meaning: str


def deviations(runs: Runs) -> list[Deviation]:
    """Return how the finished runs differ from the paper's, found in the runs themselves."""
    deviating = []
    counts: Counter[tuple[str, str]] = Counter()
    for run in runs.runs:
        for kind, applies in (
            ("synthetic", run.synthetic), ("native", run.engine == "native"), ("shared", not run.alone),
        ):  # fmt: skip
            counts[kind, run.experiment] += applies
    for kind, what, meaning in KINDS:
        where = {experiment: count for (name, experiment), count in counts.items() if name == kind and count}
        if where:
            places = ", ".join(f"{count} of {experiment}" for experiment, count in sorted(where.items()))
            deviating.append(Deviation(what, places, meaning))
    flags = Counter(flag for run in runs.runs for flag in run.flags)
    deviating += [Deviation(f"invalid mAP: {flag}", _count(n), "left out of every mean") for flag, n in flags.items()]
    return deviating + _recipes(runs)


KINDS = (
    ("synthetic", "Made-up data instead of THUMOS14", "judges no claim about THUMOS14 mAP or training time"),
    ("native", "The kit's own engine instead of the authors' code", "replicates rather than reproduces"),
    ("shared", "The machine was shared while they ran", "their times are not to be compared"),
)


def _recipes(runs: Runs) -> list[Deviation]:
    """Return the hyper-parameters in which trainings differ from the study's recipe of their model."""
    changed: Counter[tuple[str, str]] = Counter()
    for run in [*runs.of("baseline"), *runs.of("data_sweep")]:
        text = _changed(run)
        if text:
            changed[run.model, text] += 1
    meaning = "another network or schedule than the paper's: numbers of its own"
    return [Deviation(f"{MODELS[model].title} with {text}", _count(n), meaning) for (model, text), n in changed.items()]


def _changed(run: Run) -> str:
    if run.model not in MODELS:
        return ""
    standard = MODELS[run.model].recipe
    recipe = {key: value for key, value in run.spec.recipe.items() if hasattr(standard, key)}
    pairs = ((key, value, getattr(standard, key)) for key, value in sorted(recipe.items()))
    return ", ".join(f"{key} {value} (not {usual})" for key, value, usual in pairs if _plain(value) != _plain(usual))


def _plain(value: Any) -> Any:
    return [_plain(part) for part in value] if isinstance(value, list | tuple) else value


def _count(count: int) -> str:
    return f"{count} run{'' if count == 1 else 's'}"


def systems(runs: Runs) -> list[tuple[dict[str, Any], int]]:
    """Return the distinct machines with their software, and how many runs each did."""
    counted: dict[str, tuple[dict[str, Any], int]] = {}
    for run in runs.runs:
        system = {key: value for key, value in run.system.items() if key in SYSTEM_KEYS}
        key = repr(sorted(system.items(), key=lambda pair: pair[0]))
        counted[key] = (system, counted.get(key, (system, 0))[1] + 1)
    return sorted(counted.values(), key=lambda pair: -pair[1])


# The host's name is nobody's business; clocks and load differ from run to run and stay in system.json.
SYSTEM_KEYS = ("machine", "os", "cpu", "memory_mib", "python", "packages", "container", "made_up")


def what_ran(runs: Runs) -> list[str]:
    """Say in sentences what was run where: one for each engine, data set and machine."""
    groups: Counter[tuple[str, str, str]] = Counter()
    for run in runs.runs:
        groups[run.engine, _on(run), run.device] += 1
    return [
        f"{_count(count)} with {WHOSE.get(engine, engine)}, {data}, on {machine}."
        for (engine, data, machine), count in sorted(groups.items())
    ]


WHOSE = {"native": "the kit's native engine", "upstream": "the authors' own code"}


def _on(run: Run) -> str:
    if not run.data_name:
        return "needing no data"
    return f"on {'SYNTHETIC data' if run.synthetic else 'the real data set'} ({run.data_name})"
