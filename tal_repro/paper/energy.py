"""Energy and carbon of a training, read off its run: counted by the machine, or from a power and a grid one states.

What nobody counted and nobody states is absent, never zero. A counter counts the whole part, so it tells nothing of a
run that shared its machine; and it counted the last attempt alone where a run was resumed.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from tal_repro.errors import InputError
from tal_repro.measure.energy import JOULES_PER_KWH
from tal_repro.models.registry import MODELS
from tal_repro.paper.statistics import describe
from tal_repro.paper.table_text import TextTable
from tal_repro.runs.load import Runs
from tal_repro.runs.run import Run, finite, part

GRID_VARIABLE = "TAL_REPRO_GRID"  # "G:SOURCE", grams of CO2 equivalent per kWh
POWER_VARIABLE = "TAL_REPRO_POWER"  # "W:SOURCE", watts of the whole machine
LARGEST = 1e6


@dataclass(frozen=True)
class Stated:
    """A number that the kit cannot know, and who says it."""

    value: float
    source: str


@dataclass(frozen=True)
class Assumed:
    """What is stated from outside: the grid's carbon (g CO2e a kWh), the machine's power (W). None: nothing is."""

    grid: Stated | None = None
    power: Stated | None = None


@dataclass(frozen=True)
class Used:
    """Energy of one run in kWh, and how it is known: "counted: gpu" or "estimated: 150 W (SOURCE)"."""

    kwh: float
    how: str


def assumed(grid: str | None = None, power: str | None = None) -> Assumed:
    """Return what options state, or else the environment; InputError for what has no number or no source."""
    return Assumed(
        _stated(grid, "--grid", GRID_VARIABLE, "grams of CO2e a kWh"),
        _stated(power, "--power", POWER_VARIABLE, "watts"),
    )


def _stated(text: str | None, option: str, variable: str, unit: str) -> Stated | None:
    where = option if text is not None else variable
    given = text if text is not None else os.environ.get(variable, "")
    if not given.strip():
        return None
    number, _, source = (field.strip() for field in given.partition(":"))
    try:
        value = float(number)
    except ValueError:
        value = math.nan
    if not (0 < value <= LARGEST) or not source:
        remedy = f"give {unit} and who says so, for example {option} '350:name of the source, year'"
        raise InputError(f"{given[:60]!r} is not NUMBER:SOURCE", where, remedy)
    return Stated(value, source)


def used_by(run: Run, runs: Runs, power: Stated | None = None) -> Used | None:
    """Return the energy of a run from start to end; None where it is not known, or is not of this run alone."""
    if not run.alone or _attempts(run) > 1:
        return None
    counted = joules_of(run, runs)
    if counted:
        return Used(sum(counted.values()) / JOULES_PER_KWH, f"counted: {' + '.join(sorted(counted))}")
    seconds = _seconds(run)
    if power is None or seconds is None:
        return None
    return Used(power.value * seconds / JOULES_PER_KWH, f"estimated: {power.value:g} W ({power.source})")


def joules_of(run: Run, runs: Runs) -> dict[str, float]:
    """Return the joules that counters of the machine counted, by part; {} where they do not tell of this run alone."""
    details = run.details
    joules = part(details, "energy", "joules") or part(details, "sampler", "energy_joules")
    if not joules or not run.alone or _attempts(run) > 1:
        return {}
    known = {name: number for name, value in joules.items() if (number := finite(value)) is not None and number > 0}
    return known if len(known) == len(joules) else {}


def _attempts(run: Run) -> int:
    attempts = run.record.status.get("attempts", 1)
    return attempts if isinstance(attempts, int) else 1


def _seconds(run: Run) -> float | None:
    return run.total_seconds if run.total_seconds and run.total_seconds > 0 else None


@dataclass(frozen=True)
class Summary:
    """Of runs whose energy is known in one way: kWh each, kWh a point of mAP (of those scored), how, run ids."""

    kwh: tuple[float, ...]
    kwh_a_point: tuple[float, ...]
    how: str
    run_ids: tuple[str, ...]


def summarise(group: Iterable[Run], runs: Runs, power: Stated | None) -> list[Summary]:
    """Group runs by how their energy is known ("" where it is not), so that no mean mixes counters and estimates."""
    uses: dict[str, list[tuple[Run, Used | None]]] = {}
    for run in group:
        used = used_by(run, runs, power)
        uses.setdefault(used.how if used else "", []).append((run, used))
    return [_summary(how, pairs) for how, pairs in sorted(uses.items(), reverse=True)]


def _summary(how: str, pairs: Sequence[tuple[Run, Used | None]]) -> Summary:
    known = [(run, used.kwh) for run, used in pairs if used]
    points = tuple(kwh / run.average_map for run, kwh in known if run.average_map)
    return Summary(tuple(kwh for _, kwh in known), points, how, tuple(run.run_id for run, _ in pairs))


NOT_KNOWN = "not measured"
HEADER = (
    "Model", "Engine", "Data", "Machine", "n", "kWh a training", "kWh a point of mAP", "g CO2e a training",
    "Energy is", "Runs",
)  # fmt: skip


def energy_table(runs: Runs, assumed: Assumed) -> TextTable:
    """Return a row for each model, engine, data set, machine and way of knowing of the baselines."""
    groups: dict[tuple[str, str, str, str], list[Run]] = {}
    for run in runs.of("baseline"):
        groups.setdefault((run.model, run.engine, run.data_title, run.device), []).append(run)
    rows = [
        _row(key, summary, assumed.grid)
        for key, group in sorted(groups.items())
        for summary in summarise(group, runs, assumed.power)
    ]
    notes = [
        *([] if rows else ["Nothing to tell: there is no finished run of the experiment baseline."]),
        *_notes(assumed),
    ]
    return TextTable("Energy and carbon of a training, start to end", HEADER, tuple(rows), tuple(notes))


def _row(key: tuple[str, str, str, str], summary: Summary, grid: Stated | None) -> tuple[str, ...]:
    model, *rest = key
    title = MODELS[model].title if model in MODELS else model
    carbon = significant([kwh * grid.value for kwh in summary.kwh]) if grid else "not stated"
    return (
        title, *rest, str(len(summary.run_ids)), significant(summary.kwh), significant(summary.kwh_a_point),
        carbon if summary.kwh else NOT_KNOWN, summary.how or NOT_KNOWN, " ".join(summary.run_ids),
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
