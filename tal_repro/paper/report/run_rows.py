"""One line of the runs table for each run, finished or failed: read from the run folder, in few small reads."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tal_repro.errors import InputError
from tal_repro.paper.energy import joules_of
from tal_repro.paper.report.markup import plain
from tal_repro.run.view import log_tail
from tal_repro.runs.details import finite
from tal_repro.runs.folder import RunPaths, name_of
from tal_repro.runs.load import Runs
from tal_repro.runs.portable import Clean, cleaner
from tal_repro.runs.record import RunRecord, read_json
from tal_repro.runs.repeat import repeat_command
from tal_repro.runs.run import Run
from tal_repro.runs.store import RunStore
from tal_repro.spec import RunSpec

TAIL_LINES, TAIL_COLUMNS = 12, 200


@dataclass(frozen=True)
class RunRow:
    """What the page shows of a run. `folder` holds its log; NaN never gets here: what is not finite is None."""

    run_id: str
    experiment: str
    model: str
    engine: str
    data: str
    percent: float | None
    seed: int | None
    average_map: float | None
    seconds: float | None
    energy_joules: float | None
    machine: str
    status: str
    study: str
    ended: str
    folder: Path
    repeat: str  # the command that runs it again, into another folder
    why: str = ""
    clean: Clean = str  # takes out of a text what tells of the machine


def run_rows(runs: Runs, with_host: bool = False) -> list[RunRow]:
    """Return failed runs first (they want a look), then finished ones in the order of their paths.

    Names of host and user and absolute paths are left out unless `with_host`.
    """
    rows = [*_failed(runs), *(_finished(run, runs) for run in runs.runs)]
    return rows if with_host else [_without_host(row) for row in rows]


def _without_host(row: RunRow) -> RunRow:
    clean = cleaner(str(_read(RunPaths(row.folder).status).get("host", "")))
    return replace(row, study=clean(row.study), repeat=clean(row.repeat), why=clean(row.why), clean=clean)


def _finished(run: Run, runs: Runs) -> RunRow:
    status, alone = run.record.status, "" if run.alone else " (not alone)"
    return RunRow(
        run.run_id, run.experiment, run.model, run.engine, data_name(run),
        run.percent if run.unit else None, run.seed, finite(run.average_map), finite(status.get("seconds")),
        _energy(run, runs), f"{run.device}{alone}",
        "invalid" if run.flags else "done", str(status.get("study") or ""), str(status.get("finished") or ""),
        run.folder, repeat_command(run.spec, status), "; ".join(run.flags),
    )  # fmt: skip


def data_name(run: Run) -> str:
    """Name a run's data set, SYNTHETIC where it is; a run that needs none says so."""
    if not run.data_name:
        return "none"
    return f"{run.data_name} (SYNTHETIC)" if run.synthetic else run.data_name


def _failed(runs: Runs) -> Iterator[RunRow]:
    folders = [] if runs.root is None else list(RunStore(runs.root).leftovers())
    done = {run.run_id for run in runs.runs}
    for folder in folders:
        if name_of(folder) not in done:  # else an earlier attempt of a run that is done since
            yield _unfinished(folder)


def _unfinished(folder: Path) -> RunRow:
    """Return what can be read of a run that failed or is under way; its files may be spoilt."""
    record, kind = RunRecord(folder), folder.name.partition(".")[2]
    status, system = _read(record.paths.status), _read(record.paths.system)
    try:
        spec: RunSpec | None = record.spec
    except InputError:
        spec = None
    data, subset = (spec.data, spec.subset) if spec else (None, None)
    name = f"{data.name}{' (SYNTHETIC)' if data.synthetic else ''}" if data else "none"
    return RunRow(
        name_of(folder), folder.parent.parent.name, folder.parent.name, spec.engine if spec else "", name,
        subset.percent if subset else None, None, None, finite(status.get("seconds")), None,
        str(system.get("machine") or "unknown machine"), "unfinished" if kind == "partial" else kind,
        str(status.get("study") or ""), str(status.get("finished") or ""), folder,
        repeat_command(spec, status) if spec else "", str(status.get("reason") or ""),
    )  # fmt: skip


def tail(folder: Path) -> list[str]:
    """Return the last lines of a run's log as text, however long the log and its lines are."""
    lines = [line.rstrip().rpartition("\r")[2] for line in log_tail(folder, TAIL_LINES)]
    return [plain(line)[:TAIL_COLUMNS] for line in lines]


def _energy(run: Run, runs: Runs) -> float | None:
    """Return the joules that counters of the machine counted for this run alone, all parts together."""
    joules = joules_of(run, runs)
    return sum(joules.values()) if joules else None


def _read(path: Path) -> dict[str, Any]:
    try:
        return read_json(path)
    except InputError:
        return {}


def groups(rows: Iterable[RunRow]) -> dict[tuple[str, str, str, str, str], list[RunRow]]:
    """Group rows by what makes their figures comparable: experiment, model, engine, data, machine."""
    found: dict[tuple[str, str, str, str, str], list[RunRow]] = {}
    for row in rows:
        found.setdefault((row.experiment, row.model, row.engine, row.data, row.machine), []).append(row)
    return dict(sorted(found.items()))
