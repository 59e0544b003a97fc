"""The runs of a results folder: every finished one opened and checked, a study's kept, the rest counted and named."""

from __future__ import annotations

import gc
import os
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from tal_repro.errors import InputError
from tal_repro.kit import reference_folder
from tal_repro.runs.members import LeftOut, Planned, choose, summary
from tal_repro.runs.record import DamagedRun
from tal_repro.runs.run import Run, open_run
from tal_repro.runs.store import RunStore

Result = TypeVar("Result")


@dataclass(frozen=True)
class Runs:
    """The finished runs of one study in a results folder, what else lies there, and what could not be read."""

    root: Path | None
    runs: tuple[Run, ...] = ()
    problems: tuple[str, ...] = ()  # damaged or foreign folders, one line each
    left_out: tuple[LeftOut, ...] = ()
    study: str = ""

    def of(self, experiment: str, *models: str) -> list[Run]:
        """Return the runs of one experiment (of the named models; of all without)."""
        return [run for run in self._by_experiment.get(experiment, ()) if not models or run.model in models]

    @cached_property
    def _by_experiment(self) -> dict[str, list[Run]]:
        grouped: dict[str, list[Run]] = defaultdict(list)
        for run in self.runs:
            grouped[run.experiment].append(run)
        return grouped

    @property
    def synthetic(self) -> bool:
        """Say whether any run used synthetic data."""
        return any(run.synthetic for run in self.runs)

    @property
    def own_set(self) -> str:
        """Name the one data set that all runs with data are of, where it is neither THUMOS14 nor SYNTHETIC; else ""."""
        names = {run.data_name if run.other_data else "" for run in self.runs if run.data_name}
        return names.pop() if len(names) == 1 else ""

    @property
    def notes(self) -> list[str]:
        """Say what was left out, by reason, and what is damaged."""
        return [*self.problems, *summary(self.left_out)]

    def without(self, damage: DamagedRun) -> Runs:
        """Return the same without a run that turned out to be damaged."""
        kept = tuple(run for run in self.runs if run.folder != damage.folder)
        if len(kept) == len(self.runs):
            raise damage
        return replace(self, runs=kept, problems=(*self.problems, as_problem(damage)))


NO_RUNS = Runs(None)


def open_runs(root: str | os.PathLike[str]) -> tuple[list[Run], list[str]]:
    """Open every finished run under `root`; return them and what is wrong with those that cannot be believed."""
    folder = Path(root)
    if not folder.is_dir():
        raise InputError("not a folder of results", folder, "give a folder that `tal-repro run` has written")
    runs: list[Run] = []
    problems: list[str] = []
    with _no_collections():
        for record in RunStore(folder).records():
            try:
                runs.append(open_run(record.folder))
            except InputError as error:
                problems.append(as_problem(error))
            except OSError as error:
                problems.append(as_problem(InputError(f"cannot be read ({error.strerror})", record.folder)))
    return runs, problems


@contextmanager
def _no_collections() -> Iterator[None]:
    """Let nothing be collected while 10^5 runs are opened: none of them is cyclic, and looking costs a third more."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


def load_runs(
    root: str | os.PathLike[str] | None, planned: Planned | None = None, data_digests: Sequence[str] = ()
) -> Runs:
    """Return the runs of a study under `root` (all of them without one); no damaged or foreign run is among them."""
    if root is None:
        return NO_RUNS
    runs, problems = open_runs(root)
    if planned is None:
        return Runs(Path(root), tuple(runs), tuple(problems))
    mine, left_out = choose(runs, planned, data_digests)
    return Runs(Path(root), tuple(mine), tuple(problems), tuple(left_out), planned.name)


def load_system(name: str) -> tuple[Path, Runs]:
    """Return the folder and the runs of a system: a results folder, or the name of one that the kit ships."""
    shipped = reference_folder()
    for folder in (Path(name), shipped / name):
        if folder.is_dir() and (runs := load_runs(folder)).runs:
            return folder, runs
    names = sorted(path.name for path in shipped.iterdir() if path.is_dir()) if shipped.is_dir() else []
    known = f", or one of: {', '.join(names)}" if names else ""
    raise InputError(f"no finished runs of system {name!r}", remedy=f"name a folder of runs{known}")


def computed(runs: Runs, make: Callable[[Runs], Result]) -> tuple[Result, Runs]:
    """Return what `make` computes from whole runs, and these: a run found damaged on the way is named and left out."""
    while True:
        try:
            return make(runs), runs
        except DamagedRun as damage:
            runs = runs.without(damage)


def as_problem(error: InputError) -> str:
    return f"left out: {error}".replace("\n  remedy: ", "; ")
