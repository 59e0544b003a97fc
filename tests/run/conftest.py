"""A miniature study run by a stand-in that trains nothing: the runner is tested, not the models."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tal_repro.runs.store import RunStore
from tal_repro.study import Study, load_study

ROOT = Path(__file__).resolve().parents[2]
BENCHMARKS = ROOT / "benchmarks"


def study_text(percentages: str = "[10, 20]", repeats: int = 3, extra: str = "") -> str:
    return f"""
schema = "tal-repro/study/1"
name = "mini"
[data]
name = "mini"
synthetic = true
version = "1"
[[experiments]]
experiment = "data_sweep"
models = ["tadtr"]
percentages = {percentages}
repeats = {repeats}
{extra}
"""


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Let the stand-in take every engine's place, here and in child processes; called, it sets what it does."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    monkeypatch.setenv("PYTHONPATH", f"{BENCHMARKS}:{ROOT}")
    monkeypatch.setenv("TAL_REPRO_STAND_IN", "standin")

    def plan(**values: Any) -> None:
        monkeypatch.setenv("TAL_REPRO_STAND_IN_PLAN", json.dumps({"epochs": 3, "epoch_seconds": 0.01, **values}))

    plan()
    return plan


@pytest.fixture
def mini(stand_in: Callable[..., None], tmp_path: Path) -> Study:
    """Six runs of TadTR."""
    path = tmp_path / "mini.toml"
    path.write_text(study_text())
    return load_study(str(path))


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    return RunStore(tmp_path / "runs")


@pytest.fixture
def tal(tmp_path: Path, stand_in: Callable[..., None]) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Call the command line in a process of its own."""

    def call(*arguments: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "tal_repro", *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=timeout, cwd=tmp_path, check=False)

    return call


@pytest.fixture
def start(tmp_path: Path, stand_in: Callable[..., None]) -> Callable[..., subprocess.Popen[str]]:
    """Start the command line and leave it running; killed at the end of the test."""
    started: list[subprocess.Popen[str]] = []

    def call(*arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "tal_repro", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=tmp_path,
            env=dict(os.environ),
        )
        started.append(process)
        return process

    yield call
    for process in started:
        if process.poll() is None:
            process.kill()
        process.wait()
        if process.stdout:
            process.stdout.close()


def results_of(store: RunStore) -> dict[str, Any]:
    """Return what must be bit-identical between an undisturbed and a disturbed study."""
    return {record.folder.name: record.paths.metrics.read_bytes() for record in store.records()}
