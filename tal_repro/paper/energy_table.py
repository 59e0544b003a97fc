"""The table of energy and carbon: what a training of each model took, in kWh, kWh a point of mAP and g CO2e."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tal_repro.models.registry import MODELS
from tal_repro.paper.energy import GRID_VARIABLE, POWER_VARIABLE, Assumed, Stated, Summary, summarise
from tal_repro.paper.statistics import describe
from tal_repro.paper.table_text import TextTable
from tal_repro.runs.load import Runs
from tal_repro.runs.run import Run

NOT_KNOWN = "not measured"
HEADER = (
    "Model", "Engine", "Data", "Machine", "n", "kWh a training", "kWh a point of mAP", "g CO2e a training",
    "Energy is", "Runs",
)  # fmt: skip


def energy_table(runs: Runs, assumed: Assumed) -> TextTable:
    """Return a row for each model, engine, data set, machine and way of knowing of the baselines."""
    groups: dict[tuple[str, str, str, str], list[Run]] = {}
    for run in runs.of("baseline"):
        data = f"{run.data_name} (SYNTHETIC)" if run.synthetic else run.data_name
        groups.setdefault((run.model, run.engine, data, run.device), []).append(run)
    rows = [
        _row(key, one, assumed.grid)
        for key, group in sorted(groups.items())
        for one in summarise(group, runs, assumed.power)
    ]
    notes = [
        *([] if rows else ["Nothing to tell: there is no finished run of the experiment baseline."]),
        *_notes(assumed),
    ]
    return TextTable("Energy and carbon of a training, start to end", HEADER, tuple(rows), tuple(notes))


def _row(key: tuple[str, str, str, str], one: Summary, grid: Stated | None) -> tuple[str, ...]:
    model, *rest = key
    title = MODELS[model].title if model in MODELS else model
    carbon = significant([kwh * grid.value for kwh in one.kwh]) if grid else "not stated"
    return (
        title, *rest, str(len(one.run_ids)), significant(one.kwh), significant(one.kwh_a_point),
        carbon if one.kwh else NOT_KNOWN, one.how or NOT_KNOWN, " ".join(one.run_ids),
    )  # fmt: skip


def significant(values: Sequence[float]) -> str:
    """Return mean ± sample std with three significant digits, "not measured" of nothing."""
    if not values:
        return NOT_KNOWN
    sample = describe(values)
    return f"{sample.mean:.3g}" + (f" ± {sample.std:.2g}" if sample.n > 1 else "")


def _notes(assumed: Assumed) -> Iterator[str]:
    yield "A counter or a power is of a whole machine: runs that shared theirs, or were resumed, are not measured."
    if assumed.power:
        yield f"Estimates are the stated power ({assumed.power.value:g} W, {assumed.power.source}) times the wall time."
    else:
        yield f"Nothing is estimated; state a power for that: {POWER_VARIABLE}=WATTS:SOURCE, or --power."
    if assumed.grid:
        yield f"Carbon: {assumed.grid.value:g} g CO2e a kWh ({assumed.grid.source})."
    else:
        yield f"No carbon: no grid intensity was stated ({GRID_VARIABLE}=GRAMS:SOURCE, or --grid)."
