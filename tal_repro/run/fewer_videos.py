"""A data folder of which the authors' code trains on some videos alone, with no hook: what `restrict` must come to."""

from __future__ import annotations

import json
import shutil
from collections.abc import Collection
from pathlib import Path

from tal_repro.data import load_dataset
from tal_repro.data.dataset import LayoutName
from tal_repro.data.layouts import find_layout

UNUSED = "unused"  # the subset of the others: their entries stay, so that classes are counted alike


def with_videos(data: Path, layout: LayoutName, kept: Collection[str], out: Path) -> Path:
    """Copy a data folder, in one layout; return `out`, in which no videos but `kept` are there to train on."""
    source = find_layout(data, layout)
    training = {video.id for video in load_dataset(data, layout).videos.values() if video.subset == "train"}
    others = training.difference(kept)
    files = {source.feature_file(name).name for name in others}
    shutil.copytree(
        source.folder, out / source.folder.relative_to(data), ignore=lambda folder, names: files.intersection(names)
    )
    annotations = find_layout(out, layout).annotation_file
    content = json.loads(annotations.read_text(encoding="utf-8"))
    for name in others:
        content["database"][name]["subset"] = UNUSED
    annotations.write_text(json.dumps(content), encoding="utf-8")
    return out
