"""The four published curves, as the figures draw them."""

from __future__ import annotations

import csv
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

PUBLISHED = Path(__file__).resolve().parents[2] / "results" / "published"


@pytest.fixture(scope="session")
def curves() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    groups: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for row in csv.DictReader((PUBLISHED / "learning_curves.csv").read_text().splitlines()):
        groups[row["model"]].append((float(row["train_percent"]), float(row["map_mean"])))
    if max(groups["tridet"])[0] < 100:  # its 100 % point stands in Table 2 only
        table = csv.DictReader((PUBLISHED / "table2.csv").read_text().splitlines())
        groups["tridet"].append((100.0, next(float(r["map_mean"]) for r in table if r["model"] == "tridet")))
    return {name: (np.array(p)[:, 0], np.array(p)[:, 1]) for name, p in groups.items()}
