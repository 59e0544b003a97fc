"""Compare the runs of two systems, group by group: mAP by Welch's test, time as a ratio. Neither is the truth."""

from __future__ import annotations

from dataclasses import dataclass

from tal_repro.models.registry import MODELS
from tal_repro.paper.report.markup import NOTHING, Html, number, table, tag
from tal_repro.paper.statistics import Sample, describe, welch
from tal_repro.runs.load import Runs
from tal_repro.runs.run import Run
from tal_repro.spec import canonical_json

Key = tuple[str, str, str, str, float, str]  # experiment, model, engine, data, percent, recipe and subset


@dataclass(frozen=True)
class Compared:
    """One group of runs that both systems hold: its mAPs and training seconds, here and there."""

    key: Key
    maps: tuple[Sample, Sample] | None
    seconds: tuple[Sample, Sample] | None

    @property
    def p(self) -> float | None:
        """Return Welch's p that both have the same mean mAP; None where either has a single run."""
        if self.maps is None or min(sample.n for sample in self.maps) < 2:
            return None
        return welch(*self.maps)


def compare(here: Runs, there: Runs) -> list[Compared]:
    """Return the groups that both hold, in the order of their keys."""
    ours, theirs = _grouped(here), _grouped(there)
    return [_compared(key, ours[key], theirs[key]) for key in sorted(set(ours) & set(theirs))]


def _grouped(runs: Runs) -> dict[Key, list[Run]]:
    groups: dict[Key, list[Run]] = {}
    for run in runs.runs:
        if run.average_map is not None or run.train_seconds is not None:
            recipe = canonical_json([run.unit, run.policy, run.spec.precision, run.spec.recipe])  # others never meet
            groups.setdefault((run.experiment, run.model, run.engine, run.data_title, run.percent, recipe), []).append(
                run
            )
    return groups


def _compared(key: Key, ours: list[Run], theirs: list[Run]) -> Compared:
    maps = [[run.average_map for run in group if run.average_map is not None] for group in (ours, theirs)]
    seconds = [[run.train_seconds for run in group if run.train_seconds is not None] for group in (ours, theirs)]
    return Compared(key, _pair(maps), _pair(seconds))


def _pair(values: list[list[float]]) -> tuple[Sample, Sample] | None:
    return (describe(values[0]), describe(values[1])) if all(values) else None


HEADER = (
    "Experiment", "Model", "Engine", "Data", "Train %", "mAP here", "mAP there", "Difference", "Welch p",
    "Training here (s)", "There (s)", "Here / there",
)  # fmt: skip


def comparison(name: str, compared: list[Compared]) -> Html:
    """Return the table of the groups that both systems hold."""
    if not compared:
        return tag("p", f"No group of runs (same experiment, model, engine, data, recipe) is in both: {name}.")
    note = "A difference in mAP counts where p is small; p needs two runs or more on either side."
    return table(f"Runs here beside those of {name}", HEADER, [_row(group) for group in compared], note)


def _row(group: Compared) -> list[str]:
    experiment, model, engine, data, percent, _ = group.key
    title = MODELS[model].title if model in MODELS else model
    maps = [NOTHING] * 3
    if group.maps:
        maps = [_sample(group.maps[0], 2), _sample(group.maps[1], 2), f"{group.maps[0].mean - group.maps[1].mean:+.2f}"]
    seconds = [NOTHING] * 3
    if group.seconds:
        here, there = group.seconds
        ratio = number(here.mean / there.mean if there.mean else None)
        seconds = [_sample(here, 1), _sample(there, 1), ratio]
    return [experiment, title, engine, data, f"{percent:g}", *maps, number(group.p, 3), *seconds]


def _sample(sample: Sample, digits: int) -> str:
    spread = f" ± {sample.std:.{digits}f}" if sample.n > 1 else ""
    return f"{sample.mean:.{digits}f}{spread} (n = {sample.n})"
