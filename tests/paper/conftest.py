"""One small made-up study for all tests of tables and figures."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from made_up_runs import demo

from tal_repro.runs.load import Runs, load_runs


@pytest.fixture(scope="session")
def demo_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished study of every experiment on synthetic data."""
    return demo(tmp_path_factory.mktemp("demo") / "runs")


@pytest.fixture(scope="session")
def demo_runs(demo_folder: Path) -> Runs:
    return load_runs(demo_folder)
