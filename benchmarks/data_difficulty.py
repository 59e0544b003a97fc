"""How fast a learner gains from more synthetic videos, by difficulty: prints the Markdown table of docs/data.md.

The learner is a ridge regression on single feature steps and their neighbourhood: no detector, no tuning. About a
minute on one core.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tal_repro.data import DataSet, FeatureStore, Video, draw_subset, load_dataset, open_features
from tal_repro.data.synthetic import write_synthetic
from tal_repro.data.synthetic_config import SyntheticConfig

PERCENTAGES = (5, 10, 20, 40, 60, 80, 100)
DIFFICULTIES = (0, 0.25, 0.5, 0.75, 1)
DRAWS = 3
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


def row(difficulty: float) -> str:
    """Return one line of the table."""
    with tempfile.TemporaryDirectory() as folder:
        config = SyntheticConfig(60, 40, feature_dim=64, seconds=(30, 70), difficulty=difficulty)
        root = write_synthetic(Path(folder) / "set", config, "actionformer")
        dataset, store = load_dataset(root), open_features(root)
        test = frames(dataset, store, dataset.test)
        cells = []
        for percent in PERCENTAGES:
            draws = [draw_subset(dataset, "video", "uniform", percent, seed).ids for seed in range(DRAWS)]
            found = [mean_ap(frames(dataset, store, [dataset.videos[i] for i in ids]), test) for ids in draws]
            cells.append(f"{100 * np.mean(found):.0f} +- {100 * np.std(found):.0f}")
    return f"| {difficulty:g} | {' | '.join(cells)} |"


if __name__ == "__main__":
    for each in DIFFICULTIES:
        print(row(each), flush=True)
