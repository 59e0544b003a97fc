"""Write a synthetic data set in both upstream layouts, each video as it is invented (memory stays bounded)."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tal_repro.annotations import AMBIGUOUS
from tal_repro.data.dataset import LayoutName
from tal_repro.data.layouts import FEATURE_INFO_FILE, FOLDERS, Layout
from tal_repro.data.synthetic_config import SyntheticVideo
from tal_repro.data.synthetic_features import feature_steps
from tal_repro.errors import InputError
from tal_repro.files import write_bytes, write_json

_PATH_YML = """thumos14:
  ann_file: 'data/thumos14/th14_annotations_with_fps_duration.json'
  i3d2s:
    local_path: data/thumos14/I3D_2stream_Pth
    ft_info_file: 'data/thumos14/th14_i3d2s_ft_info.json'
"""


def synthetic_layout(root: Path, name: LayoutName) -> Layout:
    """Return where a synthetic data set keeps a layout: the folders both upstreams' own settings name."""
    return Layout(name, root, root / FOLDERS[name])


def write_annotations(layout: Layout, videos: list[SyntheticVideo], classes: tuple[str, ...], version: str) -> None:
    """Write the annotation files of a layout. The key 'synthetic' marks them; upstream loaders ignore it."""
    layout.annotation_file.parent.mkdir(parents=True, exist_ok=True)
    marked: dict[str, Any] = {"version": version, "synthetic": True}
    if layout.name == "actionformer":
        annotated = {video.id: _actionformer_entry(video, classes) for video in videos if video.actions}
        write_json(layout.annotation_file, {**marked, "database": annotated})
        return
    entries = {video.id: _tadtr_entry(video) for video in videos}
    write_json(layout.annotation_file, {**marked, "classes": list(classes), "database": entries})
    info = {video.id: _tadtr_feature_info(video, layout.stride_frames) for video in videos}
    write_json(layout.folder / FEATURE_INFO_FILE, {"synthetic": True, **info})
    path_yml = layout.root / "datasets" / "path.yml"
    path_yml.parent.mkdir(exist_ok=True)
    write_bytes(
        path_yml,
        b"# synthetic data set; run TadTR with this folder's parent as working directory\n" + _PATH_YML.encode(),
    )


def write_features(layouts: Iterable[Layout], video: SyntheticVideo, chunks: Iterator[npt.NDArray[np.float32]]) -> None:
    """Write one video's features in each layout: .npy at stride 4, a torch tensor of every second row at stride 8."""
    files = {layout.name: layout.feature_file(video.id) for layout in layouts}
    every_second: list[npt.NDArray[np.float32]] = []
    npy = files.get("actionformer")
    stream = npy.open("wb") if npy else None
    rows = 0
    try:
        for chunk in chunks:
            if stream:
                if rows == 0:
                    _write_npy_header(stream, (feature_steps(video.duration_s, video.fps), chunk.shape[1]))
                stream.write(chunk.data)
            if "tadtr" in files:
                every_second.append(chunk[rows % 2 :: 2].copy())
            rows += len(chunk)
    finally:
        if stream:
            stream.close()
    if "tadtr" in files:
        _write_tensor(files["tadtr"], np.concatenate(every_second))


def _write_npy_header(stream: Any, shape: tuple[int, int]) -> None:
    np.lib.format.write_array_header_1_0(stream, {"descr": "<f4", "fortran_order": False, "shape": shape})


def _write_tensor(path: Path, rows: npt.NDArray[np.float32]) -> None:
    try:
        import torch
    except ImportError:
        raise InputError(
            "TadTR's layout needs torch", path, "install it (make setup), or use --layout actionformer"
        ) from None
    with io.BytesIO() as buffer:  # torch names the archive after the file; a buffer keeps the bytes independent of it
        torch.save(torch.from_numpy(rows), buffer)
        path.write_bytes(buffer.getbuffer())


def _actionformer_entry(video: SyntheticVideo, classes: tuple[str, ...]) -> dict[str, Any]:
    annotations = [
        {
            "label": action.label,
            "segment": [action.start_s, action.end_s],
            "segment(frames)": [round(action.start_s * video.fps, 1), round(action.end_s * video.fps, 1)],
            "label_id": classes.index(action.label),
        }
        for action in video.actions
    ]
    subset = "Validation" if video.subset == "train" else "Test"
    return {"subset": subset, "duration": video.duration_s, "fps": video.fps, "annotations": annotations}


def _tadtr_entry(video: SyntheticVideo) -> dict[str, Any]:
    rows = [(action.start_s, action.end_s, action.label) for action in video.actions]
    rows += [(start, end, AMBIGUOUS) for start, end in video.ambiguous_s]
    annotations = [{"segment": [start, end], "label": label} for start, end, label in sorted(rows)]
    subset = "val" if video.subset == "train" else "test"
    return {"subset": subset, "duration": video.duration_s, "fps": video.fps, "annotations": annotations}


def _tadtr_feature_info(video: SyntheticVideo, stride_frames: float) -> dict[str, Any]:
    steps = -(-feature_steps(video.duration_s, video.fps) // 2)
    feature_fps = video.fps / stride_frames
    return {"feature_length": steps, "feature_fps": feature_fps, "feature_second": steps / feature_fps}
