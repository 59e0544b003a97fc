"""Finished runs that are as planned but for their data set: told where a plan is shown or started, never reused.

A run whose declared data (name, annotations) changed has another planned id, so that nothing else would speak of it.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Collection, Iterator
from pathlib import Path

from tal_repro.errors import InputError
from tal_repro.runs.folder import folders, planned_id
from tal_repro.runs.record import RunRecord
from tal_repro.spec import RunSpec

MOST_LOOKED_AT = 2000  # runs that are not planned


def count_of_other_data(root: Path, specs: Collection[RunSpec]) -> int:
    """Count the finished runs in a results folder that differ from one of `specs` in the declared data set alone."""
    sought = {_but_data(spec) for spec in specs if spec.data is not None}
    if not sought:
        return 0
    unplanned = itertools.islice(_unplanned(root, specs), MOST_LOOKED_AT)
    return sum(_but_data(spec) in sought for spec in unplanned if spec.data is not None)


def other_data_line(count: int) -> str:
    """Say in one line how many runs those are."""
    runs, kept = ("finished run is", "it is kept") if count == 1 else ("finished runs are", "they are kept")
    return f"{count} {runs} of other data (another name of the set, or other annotations): {kept}, and not reused"


def _but_data(spec: RunSpec) -> str:
    return dataclasses.replace(spec, data=None, data_digest="").run_id


def _unplanned(root: Path, specs: Collection[RunSpec]) -> Iterator[RunSpec]:
    """Yield the finished runs of the same experiments and models with other planned ids."""
    ids = {spec.run_id for spec in specs}
    for experiment, model in dict.fromkeys((spec.experiment, spec.model) for spec in specs if spec.data is not None):
        for folder in folders(root / experiment / model):
            if "." not in folder.name and planned_id(folder.name) not in ids:
                try:
                    yield RunRecord(folder).spec
                except InputError:  # it is named where it is read
                    continue
