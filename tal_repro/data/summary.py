"""Sum a data set up: counts, lengths and sizes, and its statistics beside the real THUMOS14's.

`python -m tal_repro.data.summary DIR` prints the comparison of docs/data.md.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

from tal_repro.data.annotations import load_dataset
from tal_repro.data.dataset import DataSet, SubsetName, Video
from tal_repro.data.windows import DEFAULT, tadtr_steps, training_windows

# statistic -> what it is, THUMOS14's value in train and test (None: known only of both together, or not at all)
THUMOS14: dict[str, tuple[str, float | None, float | None]] = {
    "videos": ("videos with actions", 200, 212),
    "instances": ("instances", 3007, 3358),
    "ambiguous": ("Ambiguous segments", 89, 99),
    "video_s_mean": ("video length, mean (s)", 209, 217),
    "video_s_median": ("video length, median (s)", 150, 162),
    "video_s_log_mean": ("video length, mean of log", 4.94, 5.02),
    "video_s_log_std": ("video length, std of log", 0.92, 0.84),
    "video_s_min": ("shortest video (s; both: 9)", None, None),
    "video_s_max": ("longest video (s; both: 1673)", None, None),
    "instances_mean": ("instances a video, mean (both: 15)", None, None),
    "instances_median": ("instances a video, median (both: 8 to 9)", None, None),
    "instances_max": ("instances a video, most (both: 218)", None, None),
    "instances_log_mean": ("instances a video, mean of log (both: 2.04)", None, None),
    "instances_log_std": ("instances a video, std of log (both: 1.18)", None, None),
    "action_s_mean": ("action length, mean (s)", 4.04, 4.48),
    "action_s_median": ("action length, median (s)", 2.9, 3.2),
    "action_s_log_mean": ("action length, mean of log (both: 1.05)", None, None),
    "action_s_log_std": ("action length, std of log (both: 0.83)", None, None),
    "action_s_max": ("longest action (s; both: 118)", None, None),
    "foreground_share": ("share of time in an action (both: 0.29)", None, None),
    "one_class_share": ("share of videos with one class (both: 0.86)", None, None),
    "two_class_share": ("share of videos with two classes (both: 0.14)", None, None),
    "longer_than_2304_share": ("share longer than 2304 steps at stride 4 (both: 0.15)", None, None),
    "shorter_than_slice_share": ("share shorter than one slice of 128 steps at stride 8", None, None),
}
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
        "shorter_than_slice_share": float(np.mean([tadtr_steps(video)[0] < DEFAULT.slice_length for video in videos])),
        "ambiguous": sum(len(video.ambiguous_s) for video in dataset.videos.values() if video.subset == subset),
    }


def _covered_s(video: Video) -> float:
    """Return the seconds of a video that lie in any action."""
    covered = reached = 0.0
    for start, end in sorted(video.segments_s.clip(0, video.duration_s).tolist()):
        covered += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return covered


def comparison(dataset: DataSet) -> str:
    """Return a Markdown table: this data set's statistics beside THUMOS14's."""
    train, test = statistics(dataset, "train"), statistics(dataset, "test")
    lines = [
        f"| {dataset.name} ({dataset.version}) | train | THUMOS14 | test | THUMOS14 |",
        "|---|---|---|---|---|",
    ]
    for name, (what, real_train, real_test) in THUMOS14.items():
        cells = [_cell(train[name]), _cell(real_train), _cell(test[name]), _cell(real_test)]
        lines.append(f"| {what} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.0f}" if value >= 100 or float(value).is_integer() else f"{value:.2f}"


if __name__ == "__main__":
    print(comparison(load_dataset(Path(sys.argv[1]), "tadtr")))
