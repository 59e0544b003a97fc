"""A run somebody is at: gc leaves it alone, a second start says who it is and exits 75, an import goes round it."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tal_repro.cli import main
from tal_repro.data.synthetic import write_synthetic
from tal_repro.data.synthetic_config import SyntheticConfig
from tal_repro.run.outcomes import BUSY
from tal_repro.runs.store import RunStore
from tests.run.conftest import stand_in, start  # noqa: F401 (fixtures)

SMALL = ("embed_dim=16", "head_dim=16", "levels=3", "regression_ranges=[[0,8],[8,32],[32,10000]]", "max_seq_len=256",
         "epochs=1", "warmup_epochs=0", "batch_size=2", "max_detections=10")  # fmt: skip

EPOCHS = 25  # a tenth of a second each


def call(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


@pytest.fixture
def live(
    tmp_path: Path,
    stand_in: Callable[..., None],  # noqa: F811
    start: Callable[..., subprocess.Popen[str]],  # noqa: F811
) -> tuple[list[str], Path, subprocess.Popen[str]]:
    """A `train` that is under way with a checkpoint: its words, its results folder, its process."""
    data = write_synthetic(tmp_path / "D", SyntheticConfig(6, 5, 8, 20, (20.0, 25.0), difficulty=0.1, seed=4))
    stand_in(epochs=EPOCHS, epoch_seconds=0.1)
    settings = [word for setting in SMALL for word in ("--set", setting)]
    words = ["train", "--model", "temporalmaxer", "--data", str(data), "--out", str(tmp_path / "t"), *settings]
    process = start(*words)
    deadline = time.monotonic() + 60
    while not list((tmp_path / "t").glob("*/*/*.partial/checkpoint.pt")):
        assert time.monotonic() < deadline and process.poll() is None, process.communicate()
        time.sleep(0.05)
    return words, tmp_path / "t", process


def test_a_live_training_is_left_alone_by_gc_import_and_a_second_start(
    live: tuple[list[str], Path, subprocess.Popen[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words, root, process = live
    (partial,) = root.glob("*/*/*.partial")
    cleaned = call("gc", "--results", root, "--delete")
    assert cleaned.exit_code == 0 and f"left alone, a runner is at them: {partial.name}" in cleaned.stderr
    assert (partial / "checkpoint.pt").is_file()
    second = call(*words)
    assert second.exit_code == BUSY == 75
    assert f"error: process {process.pid} on {os.uname().nodename} is at this run: {partial}" in second.stderr
    imported = call("results", "import", elsewhere(words, tmp_path, monkeypatch), "--results", root)
    name = partial.name.removesuffix(".partial")
    assert imported.exit_code == 1, imported.output
    assert f"left out, a runner is at them: {name}" in imported.stderr
    assert process.poll() is None and not list(RunStore(root).records()), "the first goes on"
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
    (record,) = RunStore(root).records()
    assert record.damaged() == [] and record.status["attempts"] == 1
    assert record.metrics["optimizer_steps"] == EPOCHS, "its own result, not the one that came"


def elsewhere(words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Finish the same run in another folder, with other results; return its archive."""
    monkeypatch.setenv("TAL_REPRO_STAND_IN_PLAN", '{"epochs": 1}')
    other = [*words[: words.index("--out")], "--out", str(tmp_path / "other"), *words[words.index("--out") + 2 :]]
    assert call(*other).exit_code == 0
    assert call("results", "export", tmp_path / "x.tar.gz", "--results", tmp_path / "other").exit_code == 0
    return tmp_path / "x.tar.gz"
