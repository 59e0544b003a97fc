"""The benchmark of whole epochs: what it reads from a run folder, and how two sides are set against each other."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks import epochs


def run_folder(folder: Path, seconds: dict[str, float], rows: list[str]) -> Path:
    folder.mkdir()
    (folder / "metrics.json").write_text(json.dumps({"seconds": {"train": 40.0, "data_wait": 2.0, **seconds}}))
    (folder / "spec.json").write_text(json.dumps({"threads": 2}))
    head = "epoch,optimizer_steps,train_seconds,eval_seconds"
    (folder / "epochs.csv").write_text("\n".join([head, *rows]) + "\n")
    return folder


def test_the_first_epoch_does_not_count_and_an_evaluation_is_one(tmp_path: Path) -> None:
    inside = run_folder(tmp_path / "a", {"reported_eval": 6.0}, ["0,10,20,2", "1,20,12,2", "2,30,8,2"])
    found = epochs.read_run(inside)
    assert (found["iteration"], found["evaluation"], found["steps_per_epoch"], found["threads"]) == (1.0, 2.0, 10, 2)
    after = run_folder(tmp_path / "b", {"reported_eval": 0.0, "reported_eval_after": 5.0}, ["0,10,20,", "1,20,12,"])
    assert epochs.read_run(after)["evaluation"] == 5.0


def test_an_epoch_is_scaled_to_the_whole_data_set() -> None:
    def side(iteration: float, evaluation: float) -> dict[str, Any]:
        return {"iteration": iteration, "evaluation": evaluation, "data_wait_share": 0.1}

    found = epochs.compare(
        "tridet", {"native": [side(1.0, 2.0), side(1.0, 2.0)], "upstream": [side(2.0, 8.0), side(3.0, 8.0)]}, 53
    )
    assert found["iteration_speedup"] == [2.5, 2.0, 3.0]
    assert found["epoch_seconds"] == {"native": 100 + 4 * 2, "upstream": pytest.approx(250 + 4 * 8)}


def test_one_epoch_is_too_few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["epochs", "--epochs", "1"])
    with pytest.raises(SystemExit, match="2 or more"):
        epochs.main()
