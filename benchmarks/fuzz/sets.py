"""Data sets of every dialect and format in miniature, made up: what fuzz_readers mutates beside results folders."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch

from tal_repro.data import load_dataset, open_features
from tal_repro.data.definition import read_definition
from tal_repro.detection.detections_io import read_detections, read_ground_truth

IDS = ("video_validation_0000001", "video_test_0000002")
ROWS = np.ones((20, 4), np.float32)
DEFINITION = """
schema = "tal-repro/data/1"
name = "fuzzed"
annotations = "{annotations}"
{said}
[splits]
train = ["{train}"]
test = ["{test}"]
[features]
path = "{features}"
type = "{kind}"
steps_per_second = 2
"""


def make_sets(folder: Path) -> list[Path]:
    """Write a data set of each dialect, each with features of another format; return their folders.

    No folder holds files and folders: a mutation of a file puts back its folder's files.
    """
    folders = []
    for number, (name, (files, place, said, sides)) in enumerate(_dialects().items()):
        root, kind = folder / name, list(_FEATURES)[number % len(_FEATURES)]
        for inner in ("annotations", "features", "definition", "found"):
            (root / inner).mkdir(parents=True)
        for file, text in files.items():
            (root / "annotations" / file).write_text(text)
        filled = DEFINITION.format(
            annotations=f"../annotations/{place}", said=said, train=sides[0], test=sides[1], kind=kind.rstrip("1"),
            features=f"../features/{_FEATURES[kind](root / 'features')}",
        )  # fmt: skip
        (root / "definition/set.toml").write_text(filled)
        label = "3" if name == "actions" else "a"
        (root / "found/found.csv").write_text(f",video-id,t-start,t-end,label,score\n0,{IDS[1]},1.0,2.0,{label},0.5\n")
        found = {IDS[1]: [{"label": label, "score": 0.5, "segment": [1.0, 2.0]}]}
        (root / "found/found.json").write_text(json.dumps({"results": found}))
        folders.append(root)
    return folders


def _dialects() -> dict[str, tuple[dict[str, str], str, str, tuple[str, str]]]:
    """Return name -> files, the annotations among them, what the definition says of them, its splits."""
    sides = ("validation", "test")
    entries = {
        video_id: {
            "subset": side,
            "duration": 10.0,
            "annotations": [{"label": "a", "label_id": 0, "segment": [1, 2.5]}],
        }
        for video_id, side in zip(IDS, sides, strict=True)
    }
    bare = {video_id: {"duration_second": 10.0, "annotations": entries[video_id]["annotations"]} for video_id in IDS}
    acted = {video_id: {"subset": entries[video_id]["subset"], "actions": [[3, 1, 2.5]]} for video_id in IDS}
    videos = "video,fps,sample_fps,count,sample_count\n" + "".join(f"{name},30.0,10.0,300.0,100\n" for name in IDS)
    afsd = "video,type,type_idx,start,end,startFrame,endFrame\n" + "".join(f"{v},a,7,1.0,2.5,30,75\n" for v in IDS)
    epic = "participant_id,video_id,start_timestamp,stop_timestamp,verb,verb_class,noun_class\n"
    rows = [f"P01,{video_id},00:00:01.00,00:00:02.5,take,0,2\n" for video_id in IDS]
    return {
        "json": ({"a.json": json.dumps({"version": "x", "database": entries})}, "a.json", 'classes = ["a"]', sides),
        "bare": (
            {"a.json": json.dumps(bare), "v.csv": videos}, "a.json", 'videos = "../annotations/v.csv"', sides,
        ),
        "actions": ({"a.json": json.dumps(acted)}, "a.json", "", sides),
        "texts": (
            {
                "a_val.txt": f"{IDS[0]}  1.0 2.5\n", "a_test.txt": f"{IDS[1]} 1 2\n",
                "Ambiguous_val.txt": f"{IDS[0]} 3 4\n",
            },
            "", "", ("val", "test"),
        ),
        "tables": ({"val.csv": afsd, "info.csv": videos}, "", "", sides),
        "epic": (
            {"train.csv": epic + rows[0], "later.csv": epic + rows[1], "verb_classes.csv": "id,key\n0,a\n"},
            "", 'labels = "verb"', sides,
        ),
    }  # fmt: skip


def _files(write: Callable[[Path], None], ending: str) -> Callable[[Path], str]:
    """Return what writes a file for each video into a folder."""

    def make(folder: Path) -> str:
        for video_id in IDS:
            write(folder / f"{video_id}{ending}")
        return ""

    return make


def _one(name: str, write: Callable[[Path], None]) -> Callable[[Path], str]:
    """Return what writes one file of all videos into a folder, and names it."""

    def make(folder: Path) -> str:
        write(folder / name)
        return name

    return make


def _write_hdf5(path: Path) -> None:
    with h5py.File(path, "w") as file:
        for video_id in IDS:
            file[video_id] = ROWS


_FEATURES: dict[str, Callable[[Path], str]] = {
    "npy": _files(lambda path: np.save(path, ROWS), ".npy"),
    "npz": _files(lambda path: np.savez_compressed(path, feats=ROWS), ".npz"),
    "pt": _files(lambda path: torch.save(torch.from_numpy(ROWS), path), ".pt"),
    "hdf5": _one("features.h5", _write_hdf5),
    "npz1": _one("features.npz", lambda path: np.savez(path, **dict.fromkeys(IDS, ROWS))),
    "pt1": _one("features.pt", lambda path: torch.save(dict.fromkeys(IDS, torch.from_numpy(ROWS)), path)),
}


def readers(root: Path) -> dict[str, Callable[[], Any]]:
    """Return everything that reads a data set, by name; each is to read it or to raise InputError."""

    def features() -> None:
        store = open_features(root / "definition/set.toml")
        for video_id in store.video_ids:
            store.read(video_id)

    def scored() -> None:
        definition = read_definition(root / "definition/set.toml")
        truth = read_ground_truth(definition.annotations, *definition.test)
        for name in ("found.csv", "found.json"):
            read_detections(root / "found" / name, truth, other_classes=True)

    return {"load_dataset": lambda: load_dataset(root / "definition/set.toml"), "features": features, "scored": scored}
