"""Sum a data set up: counts, lengths and sizes, and its statistics beside the real THUMOS14's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tal_repro.data.annotations import load_dataset
from tal_repro.data.dataset import DataSet, SubsetName, Video
from tal_repro.data.windows import WINDOW_STEPS, tadtr_steps, training_windows

LONG_STEPS = 2304  # what ActionFormer, TriDet and TemporalMaxer train on at most


def dataset_summary(root: Path) -> dict[str, Any]:
    """Count videos, actions and hours by subset, training slices, and bytes on disk."""
    dataset = load_dataset(root)
    subsets = {subset: _counts(videos) for subset, videos in (("train", dataset.train), ("test", dataset.test))}
    return {
        "root": str(root),
        "name": dataset.name,
        "version": dataset.version,
        "annotation_hash": dataset.annotation_hash,
        "classes": list(dataset.classes),
        **subsets,
        "training_slices": len(training_windows(dataset)),
        "bytes": sum(path.stat().st_size for path in root.rglob("*") if path.is_file()),
    }


def _counts(videos: list[Video]) -> dict[str, Any]:
    return {
        "videos": len(videos),
        "instances": sum(len(video.labels) for video in videos),
        "hours": round(sum(video.duration_s for video in videos) / 3600, 4),
    }


def statistics(dataset: DataSet, subset: SubsetName) -> dict[str, float]:
    """Return the statistics that THUMOS14 is described by, of one subset (seconds, shares, log-normal fits)."""
    videos = dataset.train if subset == "train" else dataset.test
    seconds = np.array([video.duration_s for video in videos])
    counts = np.array([len(video.labels) for video in videos])
    segments = np.concatenate([video.segments_s for video in videos])
    lengths = segments[:, 1] - segments[:, 0]
    held = np.array([len(set(video.labels.tolist())) for video in videos])
    steps = np.array([video.feature_length * video.feature_stride_frames / 4 for video in videos])
    return {
        "videos": len(videos),
        "instances": int(counts.sum()),
        "video_s_mean": float(seconds.mean()),
        "video_s_median": float(np.median(seconds)),
        "video_s_log_mean": float(np.log(seconds).mean()),
        "video_s_log_std": float(np.log(seconds).std()),
        "video_s_min": float(seconds.min()),
        "video_s_max": float(seconds.max()),
        "instances_mean": float(counts.mean()),
        "instances_median": float(np.median(counts)),
        "instances_max": int(counts.max()),
        "instances_log_mean": float(np.log(counts).mean()),
        "instances_log_std": float(np.log(counts).std()),
        "action_s_mean": float(lengths.mean()),
        "action_s_median": float(np.median(lengths)),
        "action_s_log_mean": float(np.log(lengths).mean()),
        "action_s_log_std": float(np.log(lengths).std()),
        "action_s_max": float(lengths.max()),
        "foreground_share": sum(_covered_s(video) for video in videos) / float(seconds.sum()),
        "one_class_share": float((held == 1).mean()),
        "two_class_share": float((held == 2).mean()),
        "longer_than_2304_share": float((steps > LONG_STEPS).mean()),
        "shorter_than_slice_share": float(np.mean([tadtr_steps(video)[0] < WINDOW_STEPS for video in videos])),
        "ambiguous": sum(len(video.ambiguous_s) for video in dataset.videos.values() if video.subset == subset),
    }


def _covered_s(video: Video) -> float:
    """Return the seconds of a video that lie in any action."""
    covered = reached = 0.0
    for start, end in sorted(video.segments_s.clip(0, video.duration_s).tolist()):
        covered += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return covered
