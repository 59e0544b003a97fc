"""From a planned run and a data folder to the digest of what the run reads there: its training units, the test videos.

`prepare` fills in the digests of a plan before anything starts; a worker, by the same way, makes sure that the data is
still what its run was started for.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tal_repro.errors import InputError
from tal_repro.files import is_own_there, write_json
from tal_repro.models.registry import model_entry
from tal_repro.run.datasets import dataset_for_unit, open_dataset
from tal_repro.runs.record import RunRecord, read_json
from tal_repro.spec import DATA_DIGITS, RunSpec

if TYPE_CHECKING:
    from tal_repro.data import DataSet
    from tal_repro.data.state import DataState
    from tal_repro.data.store import FeatureStore

FOLDER = ".data"  # in a results folder: digests of feature files, and states that runs were made from
Say = Callable[[str], None]


@dataclass
class Inputs:
    """A data folder as runs read it. `results`: where what is known of its files is kept."""

    data_dir: Path
    results: Path
    say: Say = field(default=lambda _: None)
    _states: dict[str, DataState] = field(default_factory=dict)

    def state(self, model: str) -> DataState:
        """Return the state of the layout that a model is trained on; read the features that changed since last time."""
        from tal_repro.data import open_features

        unit = model_entry(model).unit
        if unit not in self._states:
            dataset = dataset_for_unit(self.data_dir, unit)
            state = self._read(dataset, open_features(self.data_dir, dataset.layout, packed=False))
            used = open_features(self.data_dir, dataset.layout)
            if used.packed and self._read(dataset, used, "-packed").videos != state.videos:
                what = "packed from other values than its feature files hold, though sizes and times are equal"
                raise InputError(what, used.source, "tal-repro data pack DIR again")
            self._states[unit] = state
        return self._states[unit]

    def _read(self, dataset: DataSet, store: FeatureStore, kind: str = "") -> DataState:
        from tal_repro.data.state import read_state

        cache = self.results / FOLDER / f"{self._place}-{dataset.layout}{kind}.json"
        progress = _progress(f"reading the features of {dataset.layout}'s layout", self.say)
        return read_state(dataset, store, cache, progress)

    @property
    def _place(self) -> str:
        return hashlib.sha256(str(self.data_dir.resolve()).encode()).hexdigest()[:DATA_DIGITS]

    def digest(self, spec: RunSpec) -> str:
        """Return the digest of what a run reads (hex)."""
        videos, facts = self._reads(spec)
        return self.state(spec.model).digest_of(videos, facts)

    def videos(self, spec: RunSpec) -> list[str]:
        """Return the ids of the videos that a run reads: those of its training units, and every test video."""
        return self._reads(spec)[0]

    def _reads(self, spec: RunSpec) -> tuple[list[str], list[Any]]:
        dataset = open_dataset(self.data_dir, spec)
        tested = [video.id for video in dataset.videos.values() if video.subset == "test"]
        if spec.experiment == "released":
            return tested, []
        units = self._units(spec, dataset)
        total = _total_units(spec, dataset) if spec.recipe.get("budget") == "steps" else None
        return [*tested, *sorted({unit.split("_window_")[0] for unit in units})], [units, total]

    def _units(self, spec: RunSpec, dataset: DataSet) -> list[str]:
        from tal_repro.data import draw_subset

        subset = spec.subset
        if subset is None:
            return [video.id for video in dataset.train]
        return list(draw_subset(dataset, subset.unit, subset.policy, subset.percent, subset.seed, model=spec.model).ids)

    def with_digests(self, specs: Iterable[RunSpec]) -> list[RunSpec]:
        """Return runs with the digest of what they would read now; those that read none as they are."""
        return [spec if spec.data is None else replace(spec, data_digest=self.digest(spec)) for spec in specs]

    def check(self, spec: RunSpec) -> None:
        """Raise InputError where the data is no longer what the run was started for."""
        if spec.data_digest and not self.digest(spec).startswith(spec.data_digest):
            raise InputError(
                f"the data has changed since the run was started (digest {self.digest(spec)[:DATA_DIGITS]}, "
                f"started for {spec.data_digest[:DATA_DIGITS]})",
                self.data_dir,
                "start it again: the changed data is another run",
            )

    def again(self) -> Inputs:
        """Return the same data to be looked at anew: annotations read, the times of files compared."""
        dataset_for_unit.cache_clear()
        return Inputs(self.data_dir, self.results)

    def lengths(self, model: str) -> dict[str, Any]:
        """Compare the feature lengths of THUMOS14's videos with the real ones: how many differ, by how many steps."""
        from tal_repro.data.quirks import compare_lengths

        return compare_lengths(dataset_for_unit(self.data_dir, model_entry(model).unit))

    def note(self, model: str) -> DataState:
        """Keep the state of a model's layout, so that a later start can name what has changed; return it."""
        state = self.state(model)
        path = state_path(self.results, state.digest)
        if not is_own_there(path, "the next start writes the file again"):
            path.parent.mkdir(parents=True, exist_ok=True)
            write_json(path, state.to_json(), indent=None)
        return state

    def changes(self, spec: RunSpec, finished: Path) -> str:
        """Name what a run would read that is not as a finished run of the same plan found it."""
        from tal_repro.data.state_changes import name_changes

        try:
            before = str(RunRecord(finished).status.get("data_set") or "")
            state = read_json(state_path(self.results, before))
            return name_changes(state, self.state(spec.model), self.videos(spec))
        except InputError:
            return "what its data was is not known any more"


def state_path(results: Path, digest: str) -> Path:
    """Return where the state of a whole set is kept."""
    return results / FOLDER / f"state-{digest[:DATA_DIGITS]}.json"


def _total_units(spec: RunSpec, dataset: DataSet) -> int:
    """Return how many units the whole set has: a budget of steps is that of a training on all of it."""
    from tal_repro.data.subsets import training_units

    unit: Any = spec.subset.unit if spec.subset is not None else model_entry(spec.model).unit
    return len(training_units(dataset, unit))


def _progress(what: str, say: Say) -> Callable[[int, int], None]:
    """Say once what takes long, and when it is over."""

    def progress(done: int, total: int) -> None:
        if total >= 100 and done in (1, total):
            say(f"{what}: {done} of {total} videos" if done == 1 else f"{what}: done")

    return progress
