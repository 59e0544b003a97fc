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


@pytest.mark.parametrize(
    ("budget_s", "seen"),
    [(40.0, [(2, 3), (3, 4)]), (29.0, [(2, 3)]), (200.0, [(2, 3), (8, 4), (16, 5)])],
)
def test_the_next_training_is_as_long_as_the_time_allows(
    budget_s: float,
    seen: list[tuple[int, int]],
    trained: list[tuple[int, int]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A busy machine: 7.5 s an epoch, so that the first training takes 15 s."""
    seconds = 0.0

    def train(model: str, engine: str, sizes: dict[str, Any], seed: int, data: Path, folder: Path) -> Any:
        nonlocal seconds
        seconds += 7.5 * sizes["epochs"]
        trained.append((sizes["epochs"], seed))
        return SimpleNamespace(best_map=0.01)

    monkeypatch.setattr(trial, "_train", train)
    monkeypatch.setattr(trial, "time", SimpleNamespace(monotonic=lambda: seconds))
    list(trial.trials("tetad", "upstream", {}, tmp_path, budget_s))
    assert trained == seen


def test_no_training_begins_that_would_not_end_in_time(trained: list[tuple[int, int]], tmp_path: Path) -> None:
    list(trial.trials("tetad", "upstream", {}, tmp_path, budget_s=0.0))
    assert trained == [(2, 3)]


def test_a_pass_says_its_seed_and_what_was_tried_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    from tal_repro.run import contract

    attempts = [trial.Trial(SimpleNamespace(metrics=scored(ap)), None, epochs, seed)  # type: ignore[arg-type]
                for ap, epochs, seed in ((0.012, 2, 3), (0.031, 8, 4), (0.43, 32, 5))]  # fmt: skip
    monkeypatch.setattr(contract, "judge", lambda record: "9 steps")
    monkeypatch.setattr(contract, "_unpatched", lambda *given: "the same")
    for tried in (attempts, attempts[-1:]):
        monkeypatch.setattr(contract, "trials", lambda *given, tried=tried: iter(tried))
        training, learnt, unpatched = contract._training("tetad", "upstream", {}, 900.0)
        assert {training.outcome, learnt.outcome, unpatched.outcome} == {"ok"}
        for finding in (training, learnt):
            assert "seed 5, 32 epochs" in finding.message
            before = "training 3, after 2 that learnt too little (seed 3, 2 epochs: 1.2%; seed 4, 8 epochs: 3.1%)"
            assert (before in finding.message) == (len(tried) > 1)


def test_a_training_that_fails_says_what_was_tried_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another seed trains on other videos: where only the second fails, the first is not forgotten."""
    from tal_repro.errors import InputError
    from tal_repro.run import contract

    def fails(*given: Any) -> Any:
        yield trial.Trial(SimpleNamespace(metrics=scored(0.012)), None, 2, 3)  # type: ignore[arg-type]
        raise InputError("1 of 12 units are not in the training data", remedy="mend it")

    monkeypatch.setattr(contract, "judge", lambda record: "9 steps")
    monkeypatch.setattr(contract, "trials", fails)
    (finding,) = contract._training("tetad", "upstream", {}, 900.0)
    assert finding.outcome == "failed"
    said = "training data [training 2, after 1 that learnt too little (seed 3, 2 epochs: 1.2%)]\n"
    assert said in finding.message and finding.message.endswith("mend it")


def scored(ap: float) -> dict[str, Any]:
    """Metrics of a run whose average mAP is `ap`."""
    row = {"selection": "last", "weights": "ema", "protocol": "af-212", "ap": ap}
    return {"reported": {"protocol": "af-212"}, "rows": [row]}
