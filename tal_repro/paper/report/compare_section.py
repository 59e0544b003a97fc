"""The comparison of this system's runs with another's, as a section of the page."""

from __future__ import annotations

from tal_repro.models.registry import MODELS
from tal_repro.paper.report.compare import Compared
from tal_repro.paper.report.markup import NOTHING, Html, number, table, tag
from tal_repro.paper.statistics import Sample

HEADER = (
    "Experiment", "Model", "Engine", "Data", "Train %", "mAP here", "mAP there", "Difference", "Welch p",
    "Training here (s)", "There (s)", "Here / there",
)  # fmt: skip


def comparison(name: str, compared: list[Compared]) -> Html:
    """Return the table of the groups that both systems hold."""
    if not compared:
        return tag("p", f"No group of runs (same experiment, model, engine, data, recipe) is in both: {name}.")
    note = "A difference in mAP counts where p is small; p needs two runs or more on either side."
    return table(f"Runs here beside those of {name}", HEADER, [_row(one) for one in compared], note)


def _row(one: Compared) -> list[str]:
    experiment, model, engine, data, percent, _ = one.key
    title = MODELS[model].title if model in MODELS else model
    maps = [NOTHING] * 3
    if one.maps:
        maps = [_sample(one.maps[0], 2), _sample(one.maps[1], 2), f"{one.maps[0].mean - one.maps[1].mean:+.2f}"]
    seconds = [NOTHING] * 3
    if one.seconds:
        here, there = one.seconds
        ratio = number(here.mean / there.mean if there.mean else None)
        seconds = [_sample(here, 1), _sample(there, 1), ratio]
    return [experiment, title, engine, data, f"{percent:g}", *maps, number(one.p, 3), *seconds]


def _sample(sample: Sample, digits: int) -> str:
    spread = f" ± {sample.std:.{digits}f}" if sample.n > 1 else ""
    return f"{sample.mean:.{digits}f}{spread} (n = {sample.n})"
