"""What runs say of models that the paper does not have: beside the verdicts, since no claim is about them."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import mean
from typing import TYPE_CHECKING

from tal_repro.models.registry import ENTRIES

if TYPE_CHECKING:
    from tal_repro.runs.load import Runs
    from tal_repro.runs.run import Run


def beyond_paper(runs: Runs) -> Iterator[str]:
    """Yield a line for each model beyond the four: its average mAP on all training data, and its place there."""
    for entry in ENTRIES:
        if not entry.beyond:
            continue
        whole = [run for run in _on_all_data(runs) if run.model == entry.name]
        if not whole:
            yield f"{entry.title} (not in the paper): no run on all training data yet."
            continue
        yield f"{entry.title} (not in the paper): average mAP {_average(whole):.2f} % over {len(whole)} run(s)" + (
            f", SYNTHETIC data{_rank(whole, runs)}." if whole[0].synthetic else f"{_rank(whole, runs)}."
        )


def _rank(whole: list[Run], runs: Runs) -> str:
    """Place a model among the others that ran on all of the same data."""
    others: dict[str, list[Run]] = {}
    for run in _on_all_data(runs):
        if run.data_name == whole[0].data_name:
            others.setdefault(run.model, []).append(run)
    averages = sorted((_average(maps) for maps in others.values()), reverse=True)
    return f", place {averages.index(_average(others[whole[0].model])) + 1} of {len(averages)} on this data"


def _on_all_data(runs: Runs) -> list[Run]:
    trained = (run for run in runs.runs if run.experiment != "released")
    return [run for run in trained if run.percent == 100 and run.average_map is not None]


def _average(runs: list[Run]) -> float:
    return mean(run.average_map for run in runs if run.average_map is not None)
