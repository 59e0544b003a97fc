"""Time reading TadTR's training slices, side by side: loading the whole video (as upstream does), mapped files, a pack.

    python benchmarks/data_slices.py [--data DIR] [--slices 400] [--rounds 5]

Without --data it makes a synthetic set of 24 videos of 100 to 300 s, 2048 channels, in a temporary folder. The
contestants alternate round by round over the same slices, in memory (warm page cache); ratios come with their range.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from benchmarks import skeleton
from tal_repro.data import FeatureStore, load_dataset, open_features
from tal_repro.data.layouts import find_layout
from tal_repro.data.pack import pack_features
from tal_repro.data.synthetic import write_synthetic
from tal_repro.data.synthetic_config import SyntheticConfig
from tal_repro.data.windows import Window, training_windows

Read = Callable[[Window], npt.NDArray[np.float32]]


def contestants(root: Path) -> dict[str, Read]:
    """Return the three ways to read a slice."""
    layout = find_layout(root, "tadtr")
    files = open_features(root, "tadtr", packed=False)
    packed = FeatureStore.open(pack_features(root, "tadtr"))

    def whole_video(window: Window) -> npt.NDArray[np.float32]:
        rows: npt.NDArray[np.float32] = torch.load(layout.feature_file(window.video_id), weights_only=True).numpy()
        return rows[window.start : window.stop]

    return {
        "whole video": whole_video,
        "mapped file": lambda window: files.read(window.video_id, window.start, window.stop),
        "pack": lambda window: packed.read(window.video_id, window.start, window.stop),
    }


def measure(root: Path, slices: int, rounds: int) -> dict[str, dict[str, object]]:
    """Return ms a slice and, beside the whole video, the ratio with its range over rounds."""
    windows = training_windows(load_dataset(root, "tadtr"))
    order = np.random.default_rng(0).permutation(len(windows))[:slices]
    chosen, ways = [windows[index] for index in order], contestants(root)
    for window in chosen[:20]:
        first, *others = (read(window) for read in ways.values())
        assert all(np.array_equal(first, other) for other in others)
    times: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(rounds + 1):
        for name, read in ways.items():
            started = time.perf_counter()
            for window in chosen:
                read(window)
            if turn:  # the first round warms the page cache
                times[name].append(1000 * (time.perf_counter() - started) / len(chosen))
    report: dict[str, dict[str, object]] = {}
    for name, taken in times.items():
        ratios = [slow / fast for slow, fast in zip(times["whole video"], taken, strict=True)]
        report[name] = {
            "ms_median": round(statistics.median(taken), 4),
            "ratio_median": round(statistics.median(ratios), 2),
            "ratio_range": [round(min(ratios), 2), round(max(ratios), 2)],
        }
    return report


def main() -> None:
    """Measure and print JSON."""
    parser = skeleton.parser(__doc__, rounds=5)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--slices", type=int, default=400)
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        root = options.data or write_synthetic(
            Path(folder) / "set", SyntheticConfig(24, 1, 2048, seconds=(100, 300)), "tadtr"
        )
        print(json.dumps(measure(root, options.slices, options.rounds), indent=1))


if __name__ == "__main__":
    main()
