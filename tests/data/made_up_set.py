"""Small data sets that are nothing like THUMOS14, in any format, for the tests of definitions. SYNTHETIC."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from click.testing import CliRunner

from tal_repro.cli import main


def features_of(seconds: float, rate: float, channels: int, actions: list[dict[str, Any]], seed: int) -> np.ndarray:
    """Return float32 [T, C] noise in which every class shifts its own channels while it happens."""
    rng = np.random.default_rng(seed)
    rows = 0.5 * rng.standard_normal((round(seconds * rate), channels)).astype(np.float32)
    for action in actions:
        start, end = (round(bound * rate) for bound in action["segment"])
        number = int(action["label"].removeprefix("class"))
        rows[start:end, number :: max(channels // 8, 1)] += 2.0
    return rows


def annotated(videos: int, classes: int, seconds: float, seed: int = 0, name: str = "video {:03d}") -> dict[str, Any]:
    """Return ActivityNet-like annotations: two thirds `training`, the rest `validation`, every class in both."""
    rng, database = np.random.default_rng(seed), {}
    for index in range(videos):
        starts = np.sort(rng.uniform(0, seconds * 0.8, 3)).round(2)
        ends = np.minimum(starts + rng.uniform(seconds / 20, seconds / 6, 3).round(2), seconds)
        labels = [f"class{(index + place) % classes:02d}" for place in range(3)]
        database[name.format(index)] = {
            "subset": "validation" if index % 3 == 2 else "training",
            "duration": seconds,
            "annotations": [
                {"label": label, "segment": [float(start), float(end)]}
                for label, start, end in zip(labels, starts, ends, strict=True)
            ],
        }
    return {"database": database}


def write_set(
    root: Path,
    kind: str = "hdf5",
    *,
    videos: int = 18,
    classes: int = 5,
    seconds: float = 12.0,
    rate: float = 5.0,
    channels: int = 24,
    dtype: str = "float32",
    transposed: bool = False,
    name: str = "video {:03d}",
) -> tuple[Path, Path]:
    """Write annotations and features; return both paths. `kind`: npy, npz, pt, hdf5s; in one file hdf5, npz1, pt1."""
    root.mkdir(parents=True, exist_ok=True)
    content = annotated(videos, classes, seconds, name=name)
    (root / "annotations.json").write_text(json.dumps(content))
    place = root / {"hdf5": "features.h5", "npz1": "features.npz", "pt1": "features.pt"}.get(kind, "features")
    if not place.suffix:
        place.mkdir()
    kept: dict[str, Any] = {}
    for number, (video_id, entry) in enumerate(content["database"].items()):
        rows = features_of(seconds, rate, channels, entry["annotations"], number).astype(dtype)
        rows = rows.T if transposed else rows
        if kind == "npy":
            np.save(place / f"{video_id}.npy", rows)
        elif kind == "npz":
            np.savez_compressed(place / f"{video_id}.npz", feats=rows, other=rows[:1])
        elif kind == "pt":
            torch.save(torch.from_numpy(np.ascontiguousarray(rows)), place / f"{video_id}.pt")
        elif kind in ("npz1", "pt1"):
            kept[video_id] = np.ascontiguousarray(rows)
        else:
            with h5py.File(place if kind == "hdf5" else place / f"{video_id}.h5", "a") as file:
                file[video_id if kind == "hdf5" else "features"] = rows
    if kind == "npz1":
        np.savez(place, **kept)
    elif kind == "pt1":
        torch.save({video_id: torch.from_numpy(rows) for video_id, rows in kept.items()}, place)
    return root / "annotations.json", place


def define(root: Path, kind: str = "hdf5", *words: str, **more: Any) -> Path:
    """Write a set and its definition, as `data describe` makes it; return the definition."""
    annotations, features = write_set(root, kind, **more)
    path = root / "my-data.toml"
    result = CliRunner().invoke(main, ["data", "describe", str(annotations), str(features), "--out", str(path), *words])
    assert result.exit_code == 0, result.output
    return path
