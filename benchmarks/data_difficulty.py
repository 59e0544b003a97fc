"""How fast a learner gains from more synthetic videos, by difficulty: what the table of docs/data.md is written from.

The learner is a ridge regression on single feature steps and their neighbourhood: no detector, no tuning. About a
minute on one core. `--out FILE` writes the report; that of the documents is results/reference/data/difficulty.json.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.skeleton import parser
from tal_repro.data import DataSet, FeatureStore, Video, draw_subset, load_dataset, open_features
from tal_repro.data.synthetic import write_synthetic
from tal_repro.data.synthetic_config import SyntheticConfig
from tal_repro.files import write_whole

PERCENTAGES = (5, 10, 20, 40, 60, 80, 100)
DIFFICULTIES = (0, 0.25, 0.5, 0.75, 1)
DRAWS = 3
TRAIN, TEST, CHANNELS, SECONDS = 60, 40, 64, (30, 70)
NEIGHBOURS = 4  # steps on each side that a step is averaged over, as a second view of it
RIDGE = 30.0

Array = npt.NDArray[np.float32]


def frames(dataset: DataSet, store: FeatureStore, videos: list[Video]) -> tuple[Array, Array]:
    """Return inputs [N, 2C] and targets [N, classes + 1] (the last is background) of every second step."""
    inputs, targets = [], []
    for video in videos:
        rows = store.read(video.id)
        times = (np.arange(len(rows)) * 4 + 8) / video.fps
        target = np.zeros((len(rows), len(dataset.classes) + 1), np.float32)
        for (start, end), label in zip(video.segments_s, video.labels, strict=True):
            target[(times >= start) & (times <= end), label] = 1
        target[target.sum(axis=1) == 0, -1] = 1
        padded = np.pad(rows, ((NEIGHBOURS + 1, NEIGHBOURS), (0, 0)), mode="edge")
        sums = np.cumsum(padded, axis=0)
        width = 2 * NEIGHBOURS + 1
        around = (sums[width:] - sums[:-width]) / width
        inputs.append(np.concatenate([rows, around], axis=1)[::2])
        targets.append(target[::2])
    return np.concatenate(inputs), np.concatenate(targets)


def mean_ap(train: tuple[Array, Array], test: tuple[Array, Array]) -> float:
    """Fit on `train`; return the mean over classes of the average precision of single steps of `test`."""
    mean, spread = train[0].mean(axis=0), train[0].std(axis=0) + 1e-3
    fitted, tested = (np.c_[(part[0] - mean) / spread, np.ones(len(part[0]))] for part in (train, test))
    weights = np.linalg.solve(fitted.T @ fitted + RIDGE * np.eye(fitted.shape[1]), fitted.T @ train[1])
    scores = tested @ weights
    precisions = []
    for label in range(test[1].shape[1] - 1):
        hits = test[1][np.argsort(-scores[:, label]), label] > 0
        if hits.any():
            precisions.append((np.cumsum(hits) / np.arange(1, len(hits) + 1))[hits].mean())
    return float(np.mean(precisions))


def measure(difficulty: float) -> dict[str, Any]:
    """Return the mean AP (%) of each draw, by share of the training videos."""
    with tempfile.TemporaryDirectory() as folder:
        config = SyntheticConfig(TRAIN, TEST, feature_dim=CHANNELS, seconds=SECONDS, difficulty=difficulty)
        root = write_synthetic(Path(folder) / "set", config, "actionformer")
        dataset, store = load_dataset(root), open_features(root)
        test = frames(dataset, store, dataset.test)
        found = {}
        for percent in PERCENTAGES:
            draws = [draw_subset(dataset, "video", "uniform", percent, seed).ids for seed in range(DRAWS)]
            trained = [frames(dataset, store, [dataset.videos[i] for i in ids]) for ids in draws]
            found[str(percent)] = [100 * mean_ap(train, test) for train in trained]
    return {"difficulty": difficulty, "mean_ap_percent": found}


def main() -> None:
    """Measure every difficulty; print it, and write the report that is asked for."""
    options = parser(__doc__).parse_args()
    rows = []
    for difficulty in DIFFICULTIES:
        rows.append(measure(difficulty))
        print(json.dumps(rows[-1]), flush=True)
    if options.out:
        report = {
            "schema": "tal-repro/data-difficulty/1", "synthetic": True, "train_videos": TRAIN, "test_videos": TEST,
            "channels": CHANNELS, "seconds": SECONDS, "seed": SyntheticConfig().seed, "rows": rows,
        }  # fmt: skip
        write_whole(options.out, json.dumps(report, indent=1).encode() + b"\n")


if __name__ == "__main__":
    main()
