"""TadTR's layout made from ActionFormer's, for when TadTR's archive is gone: a deviation that every run on it names.

What agrees: two-stream I3D of Kinetics, 2048 channels, one step every 8 frames (every second of ActionFormer's steps at
stride 4), and the actions. What does not: TadTR's features are P-GCN's, of clips of 64 frames; ActionFormer's are of
clips of 16, so a step sees a quarter of the time, and crops and optical flow were another group's. ActionFormer's
annotations hold no Ambiguous segments. So a training on the result is a sound experiment, but its mAP says nothing
about TadTR's published one, and TadTR's released checkpoint does not fit these features.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path, PurePath

from tal_repro.data.annotations import load_dataset
from tal_repro.data.authors_files import write_annotations, write_features
from tal_repro.data.dataset import Video
from tal_repro.data.feature_formats import map_features
from tal_repro.data.layouts import FOLDERS, Layout, find_layout, find_layouts
from tal_repro.data.workplace import fsync_folder, require_room, staging_in, workplace
from tal_repro.errors import InputError

FOLDER = PurePath(FOLDERS["tadtr"]).name
DERIVED_FROM = "actionformer"


def derive(root: Path, say: Callable[[str], None] = lambda line: None) -> Path:
    """Write `root`/thumos14 from the ActionFormer layout in `root`; return it. It appears when it is complete.

    Raises InputError where there is no such layout, a TadTR layout already, or no space.
    """
    source = find_layout(root, "actionformer")
    with workplace(root):
        if any(layout.name == "tadtr" for layout in find_layouts(root)):
            raise InputError("holds TadTR's layout already", root, "move it away first; the authors' own is better")
        target = root / FOLDER
        if target.exists() or target.is_symlink():
            raise InputError("is there already", target, "move it away first")
        dataset = load_dataset(root, "actionformer")
        missing = [video.id for video in dataset.videos.values() if not video.has_features]
        if missing:
            raise InputError(f"no features of {missing[0]}", source.feature_folder, f"tal-repro data verify {root}")
        sizes = (os.stat(source.feature_file(video_id)).st_size for video_id in dataset.videos)  # noqa: PTH116 (one call)
        require_room(root, sum(sizes) // 2, "free space on this disk")
        with staging_in(root) as content:
            made = Layout("tadtr", root, content)
            made.feature_folder.mkdir()
            for index, video in enumerate(dataset.videos.values(), start=1):
                _write_features(source, made, video)
                if index % 100 == 0:
                    say(f"{index} of {len(dataset.videos)} videos")
            write_annotations(made, dataset, dataset.videos.values(), {"derived_from": DERIVED_FROM})
            fsync_folder(made.feature_folder)
            content.rename(target)
    return target


def _write_features(source: Layout, made: Layout, video: Video) -> None:
    """Write every second row of a video as TadTR stores it: a torch tensor [T, C]."""
    rows = map_features(source, video.id)[:: int(made.stride_frames / source.stride_frames)].copy()
    write_features(made, video.id, rows)
