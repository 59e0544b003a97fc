"""A data set as files of one of the two layouts that the authors' code reads: annotations, lengths, features."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from tal_repro.data.dataset import DataSet, FloatArray, Video
from tal_repro.data.layouts import FEATURE_INFO_FILE, Layout
from tal_repro.data.windows import tadtr_steps
from tal_repro.files import write_bytes, write_json

Entry = dict[str, Any]


def write_annotations(layout: Layout, dataset: DataSet, videos: Iterable[Video], marks: Entry | None = None) -> None:
    """Write the annotation files of a layout, with their actions (Ambiguous segments are left out).

    `marks`: keys beside the database. Rates and lengths are those of the slices' stride in TadTR's layout.
    """
    videos = list(videos)
    layout.annotation_file.parent.mkdir(parents=True, exist_ok=True)
    top: Entry = {"version": dataset.version, **(marks or {})}
    if dataset.synthetic:
        top["synthetic"] = True
    entry: Callable[[Video, tuple[str, ...]], Entry] = _tadtr_entry
    if layout.name == "tadtr":
        top["classes"] = list(dataset.classes)
        write_json(layout.folder / FEATURE_INFO_FILE, {video.id: _tadtr_info(video) for video in videos})
    else:
        entry = _actionformer_entry
    write_json(
        layout.annotation_file, {**top, "database": {video.id: entry(video, dataset.classes) for video in videos}}
    )


def write_features(layout: Layout, video_id: str, rows: np.ndarray) -> Path:
    """Write one video's rows [T, C] as the layout stores them; return the file."""
    path = layout.feature_file(video_id)
    with io.BytesIO() as buffer:  # torch names the archive inside after its file: a buffer keeps the bytes the same
        if layout.name == "tadtr":
            import torch

            torch.save(torch.from_numpy(rows), buffer)
        else:
            np.save(buffer, rows)
        write_bytes(path, buffer.getvalue())
    return path


def _tadtr_entry(video: Video, classes: tuple[str, ...]) -> Entry:
    annotations = [{"segment": segment, "label": classes[label]} for label, segment in _actions(video)]
    subset = "val" if video.subset == "train" else "test"
    return {"subset": subset, "duration": video.duration_s, "fps": video.fps, "annotations": annotations}


def _tadtr_info(video: Video) -> Entry:
    steps, feature_fps = tadtr_steps(video)
    return {"feature_length": steps, "feature_fps": feature_fps, "feature_second": steps / feature_fps}


def _actionformer_entry(video: Video, classes: tuple[str, ...]) -> Entry:
    annotations = [
        {"label": classes[label], "segment": segment, "label_id": label} for label, segment in _actions(video)
    ]
    subset = "Validation" if video.subset == "train" else "Test"
    return {"subset": subset, "duration": video.duration_s, "fps": video.fps, "annotations": annotations}


def _actions(video: Video) -> Iterable[tuple[int, list[float]]]:
    segments: FloatArray = video.segments_s
    return zip(video.labels.tolist(), segments.tolist(), strict=True)
