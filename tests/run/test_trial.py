"""The small trainings of `models check`: longer and from another seed until one has learnt, within the budget."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tal_repro.run import trial


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """(epochs, seed) of each training that was asked for; none learns before its 32nd epoch."""
    asked: list[tuple[int, int]] = []

    def train(model: str, engine: str, sizes: dict[str, Any], seed: int, data: Path, folder: Path) -> Any:
        asked.append((sizes["epochs"], seed))
        return SimpleNamespace(best_map=0.5 if sizes["epochs"] >= 32 else 0.01)

    monkeypatch.setattr(trial, "_train", train)
    monkeypatch.setattr(trial, "_small_data", lambda *given, **named: Path("data"))
    monkeypatch.setattr(trial, "small", lambda model, engine: {"feature_dim": 16, "epochs": 2})
    return asked


def test_each_training_is_longer_and_from_another_seed(trained: list[tuple[int, int]], tmp_path: Path) -> None:
    assert len(list(trial.trials("tetad", "upstream", {}, tmp_path))) == 3
    assert trained == [(2, 3), (8, 4), (32, 5)]


def test_where_epochs_are_given_there_is_one(trained: list[tuple[int, int]], tmp_path: Path) -> None:
    list(trial.trials("tetad", "upstream", {"epochs": 4}, tmp_path))
    assert trained == [(4, 3)]


def test_no_training_begins_that_would_not_end_in_time(trained: list[tuple[int, int]], tmp_path: Path) -> None:
    list(trial.trials("tetad", "upstream", {}, tmp_path, budget_s=0.0))
    assert trained == [(2, 3)]
