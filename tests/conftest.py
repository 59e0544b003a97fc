"""Fixtures every test may use: one golden run specification, a weird path, and one thread."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from pathlib import Path

import pytest

for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

# Of the shell or of xdist: output held in memory is wrapped for a test alone that sets it.
os.environ.pop("COLUMNS", None)

# Other tests of this machine are no reason to wait (tal_repro/run/turns.py); those of one process are.
os.environ["TAL_REPRO_TURNS"] = tempfile.mkdtemp(prefix="tal-repro-turns-")
atexit.register(shutil.rmtree, os.environ["TAL_REPRO_TURNS"], ignore_errors=True)

from tal_repro.runs.record import RunRecord  # noqa: E402 (the threads are set before numpy is loaded)
from tal_repro.spec import DataSpec, RunSpec, SubsetSpec  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent
GOLDEN_RUNS = Path(__file__).parent / "golden" / "runs"
FORMER_RUNS = Path(__file__).parent / "golden" / "former"  # the same run as format 1 kept it
GOLDEN_DIGEST = "d" * 64  # of its made-up data


@pytest.fixture
def spec() -> RunSpec:
    """A small training run on synthetic data: the specification of the golden run."""
    return RunSpec(
        experiment="data_sweep",
        model="tadtr",
        engine="native",
        engine_version="1",
        recipe={"feature_dim": 64, "hidden_dim": 32, "epochs": 2},
        data=DataSpec("golden", "1", "0" * 64, synthetic=True),
        subset=SubsetSpec(unit="slice", policy="uniform", percent=10, seed=1),
        seed=1,
    )


@pytest.fixture
def golden_run(spec: RunSpec) -> RunRecord:
    """The one run folder that every reader must understand (made by tests/golden/make_run.py)."""
    return RunRecord(GOLDEN_RUNS / spec.experiment / spec.model / f"{spec.run_id}-{GOLDEN_DIGEST[:8]}")


@pytest.fixture
def every_run_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let commands keep all runs of a results folder: for made-up ones, which no study plans."""
    monkeypatch.setattr("tal_repro.planned.planned", lambda *_, **__: None)


@pytest.fixture
def weird_path(tmp_path: Path) -> Path:
    """A folder whose name holds a space, quotes, a newline and non-ASCII letters."""
    folder = tmp_path / "a b'\"\n\u00e9\u4e2d"
    folder.mkdir()
    return folder
