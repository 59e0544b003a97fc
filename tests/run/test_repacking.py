"""Features of a defined set in other files: the same values of the same type train nothing again. SYNTHETIC."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from tal_repro.data.definition import read_definition
from tal_repro.run.datasets import dataset_for_unit
from tal_repro.run.inputs import Inputs
from tal_repro.run.training import plan_training
from tal_repro.runs.store import RunStore
from tal_repro.spec import RunSpec
from tests.data.made_up_set import define


@pytest.fixture
def data(tmp_path: Path) -> Iterator[Path]:
    yield define(tmp_path / "set", "npy", channels=8)
    dataset_for_unit.cache_clear()


def values_of(data: Path) -> dict[str, np.ndarray]:
    return {path.stem: np.load(path) for path in sorted(read_definition(data).features.iterdir())}


def pack_npz(data: Path) -> None:
    for name, rows in values_of(data).items():
        np.savez_compressed(data.parent / "packed" / f"{name}.npz", features=rows)


def pack_hdf5_each(data: Path) -> None:
    for name, rows in values_of(data).items():
        with h5py.File(data.parent / "packed" / f"{name}.h5", "w") as file:
            file.create_dataset("features", data=rows, chunks=(16, 4), compression="gzip")


def pack_hdf5_all(data: Path) -> None:
    with h5py.File(data.parent / "all.h5", "w") as file:
        for name, rows in values_of(data).items():
            file[name] = rows


def pack_npz_all(data: Path) -> None:
    np.savez(data.parent / "all.npz", **values_of(data))


def pack_tensors(data: Path) -> None:
    for name, rows in values_of(data).items():
        torch.save(torch.from_numpy(rows), data.parent / "packed" / f"{name}.pt")


def pack_channels_first(data: Path) -> None:
    for name, rows in values_of(data).items():
        np.save(data.parent / "packed" / f"{name}.npy", rows.T)


REPACKS = {
    ".npy -> .npz": (pack_npz, "packed", "npz", "TC"),
    ".npy -> HDF5, a file each": (pack_hdf5_each, "packed", "hdf5", "TC"),
    ".npy -> HDF5, one file of all": (pack_hdf5_all, "all.h5", "hdf5", "TC"),
    ".npy -> .npz, one file of all": (pack_npz_all, "all.npz", "npz", "TC"),
    ".npy -> .pt": (pack_tensors, "packed", "pt", "TC"),
    "[T, C] -> [C, T]": (pack_channels_first, "packed", "npy", "CT"),
}


def planned(data: Path, results: Path) -> RunSpec:
    """Plan a run as a new process would, with the digest of what it would read."""
    dataset_for_unit.cache_clear()
    spec = plan_training("temporalmaxer", data, "native", 50, 1, {"epochs": 4, "max_seq_len": 64})
    return Inputs(data, results).with_digests([spec])[0]


def point_to(data: Path, path: str, kind: str, axes: str) -> None:
    """Let the definition name the other files."""
    text = data.read_text().replace('path = "features"', f'path = "{path}"').replace('type = "npy"', f'type = "{kind}"')
    data.write_text(text.replace('axes = "TC"', f'axes = "{axes}"'))


@pytest.mark.parametrize("repack", REPACKS)
def test_a_repacked_set_trains_nothing_again(data: Path, tmp_path: Path, repack: str) -> None:
    done = planned(data, tmp_path / "runs")
    store = RunStore(tmp_path / "runs")
    store.writer(done).finish()
    (data.parent / "packed").mkdir()
    pack, *place = REPACKS[repack]
    pack(data)
    point_to(data, *place)
    shutil.rmtree(data.parent / "features")  # what is read is what was packed
    again = planned(data, tmp_path / "runs")
    assert again.name == done.name
    assert store.state(again) == "done"


@pytest.mark.parametrize("narrow", ["float16", "float64"])
def test_another_type_of_number_is_another_run(data: Path, tmp_path: Path, narrow: str) -> None:
    """Rounding changes values; where it changed none, only reading both sets could tell."""
    done = planned(data, tmp_path / "runs")
    (data.parent / "packed").mkdir()
    for name, rows in values_of(data).items():
        np.save(data.parent / "packed" / f"{name}.npy", rows.astype(narrow))
    point_to(data, "packed", "npy", "TC")
    again = planned(data, tmp_path / "runs")
    assert again.run_id == done.run_id and again.data_digest != done.data_digest
