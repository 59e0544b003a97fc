"""All runs under one results folder: where each lies, in which state it is, and what else lies there."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

from tal_repro.errors import InputError
from tal_repro.runs.folder import folders, name_of, planned_id
from tal_repro.runs.record import RunRecord
from tal_repro.runs.writer import RunWriter
from tal_repro.spec import RunSpec

STATES = {"done": "", "partial": ".partial", "failed": ".failed"}  # state -> ending of the folder's name


class RunStore:
    """All runs under one results folder: `<root>/<experiment>/<model>/<name>/`."""

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.root = Path(root)

    def folder(self, spec: RunSpec) -> Path:
        return self.root / spec.experiment / spec.model / spec.name

    def partial(self, spec: RunSpec) -> Path:
        return self.folder(spec).with_suffix(".partial")

    def failed(self, spec: RunSpec) -> Path:
        return self.folder(spec).with_suffix(".failed")

    def state(self, spec: RunSpec) -> str:
        """Return done, failed, partial (started, not finished; maybe running) or todo."""
        return self.states([spec])[spec.run_id] if self.root.is_dir() else "todo"

    def states(self, specs: Iterable[RunSpec]) -> dict[str, str]:
        """Return run id -> state for many runs: one listing a folder instead of three look-ups a run."""
        there, states = Listing(self.root), {}
        for spec in specs:
            names, name = there.names(spec), spec.name
            matching = (state for state, end in STATES.items() if f"{name}{end}" in names)
            states[spec.run_id] = next(matching, "todo")
        return states

    def with_digests(self, specs: Iterable[RunSpec], latest: Mapping[str, str] = MappingProxyType({})) -> list[RunSpec]:
        """Return planned runs with the data digest that a folder of theirs is named after, where there is one.

        Planning needs no data. Of several, the one that the study was started with last (`latest`: planned id -> data
        digest) counts, else a finished one.
        """
        there = Listing(self.root)
        return [dataclasses.replace(spec, data_digest=there.digest(spec, latest)) for spec in specs]

    def digests(self, spec: RunSpec) -> list[str]:
        """Return the data digests (8 digits) under which a planned run lies here."""
        return Listing(self.root).digests(spec)

    def finished(self, specs: Iterable[RunSpec]) -> Iterator[Path]:
        """Yield the finished folders of planned runs, of whatever data."""
        there = Listing(self.root)
        for spec in specs:
            for name in sorted(name for name in there.names(spec) if "." not in name):
                yield self.root / spec.experiment / spec.model / name

    def set_aside(self, folder: Path) -> Path:
        """Rename a damaged run folder to `<name>.damaged[-N]`: kept for a look, never read again."""
        for number in range(1, 1000):
            target = folder.with_name(f"{name_of(folder)}.damaged" + (f"-{number}" if number > 1 else ""))
            if not target.exists():
                folder.rename(target)
                return target
        raise InputError("set aside a thousand times", folder, "move its .damaged folders elsewhere")

    def leftovers(self) -> Iterator[Path]:
        """Yield what is not a finished run: partial, failed and damaged folders."""
        for experiment in folders(self.root):
            for model in folders(experiment):
                yield from (run for run in folders(model) if "." in run.name)

    def find(self, beginning: str) -> list[Path]:
        """Return the folders of runs whose name starts with `beginning`, finished ones first."""
        runs = [
            run
            for experiment in folders(self.root)
            for model in folders(experiment)
            for run in folders(model)
            if run.name.startswith(beginning)
        ]
        return sorted(runs, key=lambda folder: ("." in folder.name, folder.name))

    def writer(self, spec: RunSpec) -> RunWriter:
        """Open the partial folder of `spec`, keeping a checkpoint that is there."""
        return RunWriter(spec, self.partial(spec), self.folder(spec), self.failed(spec))

    def records(self) -> Iterator[RunRecord]:
        """Yield the finished runs in the order of their paths."""
        for experiment in folders(self.root):
            for model in folders(experiment):
                yield from (RunRecord(run) for run in folders(model) if "." not in run.name)


class Listing:
    """What lies in a results folder now, each folder listed once."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._names: dict[tuple[str, str], dict[str, set[str]]] = {}

    def names(self, spec: RunSpec) -> set[str]:
        """Return the folder names of a planned run, in whatever state and of whatever data."""
        key = (spec.experiment, spec.model)
        if key not in self._names:
            by_id: dict[str, set[str]] = {}
            for folder in folders(self.root / spec.experiment / spec.model):
                by_id.setdefault(planned_id(name_of(folder)), set()).add(folder.name)
            self._names[key] = by_id
        return self._names[key].get(spec.run_id, set())

    def digests(self, spec: RunSpec) -> list[str]:
        """Return the data digests of a planned run's folders, finished ones first."""
        ordered = sorted(self.names(spec), key=lambda name: (name.count("."), name))
        digests = (name.partition(".")[0].partition("-")[2] for name in ordered)
        return list(dict.fromkeys(digest for digest in digests if digest))

    def digest(self, spec: RunSpec, latest: Mapping[str, str]) -> str:
        """Return the digest that a planned run is looked for under ("": its own, or none is here)."""
        if spec.data_digest or spec.data is None:
            return spec.data_digest
        here = self.digests(spec)
        last = latest.get(spec.run_id, "")
        return last if last or not here else here[0]
