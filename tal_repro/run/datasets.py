"""The data set of a study: checked against its declaration, and made on the spot where the study carries its recipe."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from tal_repro.errors import InputError
from tal_repro.files import is_own_there
from tal_repro.models.registry import model_entry
from tal_repro.run import locks
from tal_repro.runs.record import read_json
from tal_repro.spec import DERIVED_MARK

if TYPE_CHECKING:
    from tal_repro.data import DataSet
    from tal_repro.data.dataset import LayoutName
    from tal_repro.spec import DataSpec, RunSpec
    from tal_repro.study import Study

STAMP = "made_for.json"


def open_dataset(data_dir: Path, spec: RunSpec) -> DataSet:
    """Read the data set of a run; raise InputError where it is not the one the run declares."""
    dataset = dataset_of(data_dir, spec.model)
    declared = spec.data
    assert declared is not None
    if dataset.synthetic != declared.synthetic:
        kinds = {True: "synthetic", False: "not marked synthetic"}
        raise InputError(
            f"the data set is {kinds[dataset.synthetic]}, the study declares it {kinds[declared.synthetic]}",
            data_dir,
            "give the study's own data set, or a study that declares this one",
        )
    _check_derived(dataset, declared, data_dir, spec.model)
    if declared.annotation_hash and dataset.annotation_hash != declared.annotation_hash:
        raise InputError(
            f"its annotations hash to {dataset.annotation_hash[:12]}, the study declares "
            f"{declared.annotation_hash[:12]}",
            data_dir,
            "check it: tal-repro data verify DIR",
        )
    return dataset


def dataset_of(data_dir: Path, model: str) -> DataSet:
    """Read a data folder in the layout that a model is trained on, where it is there."""
    return dataset_for_unit(data_dir, model_entry(model).unit)


def _check_derived(dataset: DataSet, declared: DataSpec, data_dir: Path, model: str) -> None:
    """Raise InputError where features stand in for the authors' own and the run's specification does not say so."""
    if dataset.derived and dataset.name != declared.name:
        raise InputError(
            f"the features of {model} are derived ({dataset.name}), the study declares {declared.name}",
            data_dir,
            f'fetch the authors\' own, or copy the study and declare [data] name = "{dataset.name}"',
        )
    if DERIVED_MARK in declared.name and not dataset.derived:
        raise InputError(
            f"the study declares {declared.name}, the features of {model} are not derived",
            data_dir,
            "run the models apart: --only model=tadtr with the derived data set",
        )
    if model == "tadtr" and dataset.layout != "tadtr" and not dataset.synthetic and not dataset.defined:
        raise InputError(
            "TadTR's features are not there, and ActionFormer's are of other clips",
            data_dir,
            "tal-repro data fetch thumos14 --layout tadtr; where its archive is gone: tal-repro data derive-tadtr DIR",
        )


@cache
def dataset_for_unit(data_dir: Path, unit: str) -> DataSet:
    """Read in the layout of a model's own archive where it is there: slices are cut from TadTR's feature lengths."""
    from tal_repro.data import load_dataset
    from tal_repro.data.layouts import find_layouts

    own: LayoutName = "tadtr" if unit == "slice" else "actionformer"
    there = any(layout.name == own for layout in find_layouts(data_dir))
    return load_dataset(data_dir, own if there else "auto")


def make_synthetic(data_dir: Path, study: Study, root: Path, say: Callable[[str], None]) -> None:
    """Make a study's own data set in `data_dir`, once, whoever else starts at the same time."""
    path = locks.lock_path(root, "data")
    while (lock := locks.acquire(path)) is None:
        time.sleep(0.2)
    try:
        stamped = {"study": study.name, "version": study.data.version}
        stamp = data_dir / STAMP
        if data_dir.is_dir() and any(data_dir.iterdir()):
            if not is_own_there(stamp, "give another folder: --data DIR") or read_json(stamp) != stamped:
                raise InputError(
                    f"holds something else than the synthetic data of study {study.name}",
                    data_dir,
                    "give another folder: --data DIR",
                )
            return
        from tal_repro.data.synthetic import write_synthetic
        from tal_repro.data.synthetic_config import synthetic_config

        config = synthetic_config(study.synthesis, f"{study.path}: data.synthesis")
        say(f"making synthetic data in {data_dir}")
        # with its stamp at once: killed after it, the data set is whole
        write_synthetic(data_dir, config, notes={STAMP: stamped})
    finally:
        lock.release()
