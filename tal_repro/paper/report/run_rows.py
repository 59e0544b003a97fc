"""One line of the runs table for each run, finished or failed: read from the run folder, in few small reads."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tal_repro.errors import InputError
from tal_repro.paper.energy import joules_of
from tal_repro.paper.report.markup import plain
from tal_repro.runs.load import Runs
from tal_repro.runs.run import Run
from tal_repro.runs.folder import RunPaths
from tal_repro.runs.record import read_json
from tal_repro.runs.store import RunStore
from tal_repro.run.view import log_tail

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
    why: str = ""

    @property
    def repeat(self) -> str:
        """Return the command that runs it again, into another folder."""
        if self.experiment == "released":
            words = f"tal-repro released --model {self.model} --engine {self.engine}"
            return f"{words} --checkpoint FILE --data DIR --out OTHER_FOLDER"
        study = self.study or "paper"
        return f"tal-repro run --study {study} --scope every-percent --only id={self.run_id} --results OTHER_FOLDER"


def run_rows(runs: Runs) -> list[RunRow]:
    """Return failed runs first (they want a look), then finished ones in the order of their paths."""
    return [*_failed(runs), *(_finished(run, runs) for run in runs.runs)]


def _finished(run: Run, runs: Runs) -> RunRow:
    status, system = _read(RunPaths(run.folder).status), _system(runs, run)
    alone = "" if system.get("alone", True) else " (shared)"
    return RunRow(
        run.run_id, run.experiment, run.model, run.engine, data_name(run),
        run.percent if run.unit else None, run.seed, finite(run.average_map), finite(status.get("seconds")),
        _energy(run, runs), f"{system.get('machine') or 'unknown machine'}{alone}",
        "invalid" if run.flags else "done", str(status.get("study") or ""), str(status.get("finished") or ""),
        run.folder, "; ".join(run.flags),
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
        run_id, _, kind = folder.name.partition(".")
        if run_id in done:
            continue  # an earlier attempt of a run that is done since
        paths = RunPaths(folder)
        status, system, spec = _read(paths.status), _read(paths.system), _read(paths.spec)
        data, subset = _mapping(spec.get("data")), _mapping(spec.get("subset"))
        name = f"{data['name']}{' (SYNTHETIC)' if data.get('synthetic') else ''}" if data.get("name") else "none"
        yield RunRow(
            run_id, folder.parent.parent.name, folder.parent.name, str(spec.get("engine", "")), name,
            finite(subset.get("percent")), None, None, finite(status.get("seconds")), None,
            str(system.get("machine") or "unknown machine"), "unfinished" if kind == "partial" else kind,
            str(status.get("study") or ""), str(status.get("finished") or ""), folder, str(status.get("reason") or ""),
        )  # fmt: skip


def tail(folder: Path) -> list[str]:
    """Return the last lines of a run's log as text, however long the log and its lines are."""
    lines = [line.rstrip().rpartition("\r")[2] for line in log_tail(folder, TAIL_LINES)]
    return [plain(line)[:TAIL_COLUMNS] for line in lines]


def finite(value: Any) -> float | None:
    """Return a finite number, None for everything else."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def _energy(run: Run, runs: Runs) -> float | None:
    """Return the joules that counters of the machine counted for this run alone, all parts together."""
    try:
        joules = joules_of(run, runs)
    except InputError:
        return None
    return sum(joules.values()) if joules else None


def _system(runs: Runs, run: Run) -> dict[str, Any]:
    try:
        return run.system
    except InputError:
        return {}


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


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
