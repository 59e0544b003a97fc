"""A training under the sampler: its trace, its phases, the idle baseline before it, and what claims read of them."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from tal_repro.cli import main
from tal_repro.data.synthetic import write_synthetic
from tal_repro.data.synthetic_annotations import SyntheticConfig
from tal_repro.paper.runs import load_runs, measurements
from tal_repro.paper.trace import read_phases, read_trace
from tal_repro.record import RunRecord, RunStore

SMALL = ["embed_dim=16", "head_dim=16", "levels=3", "regression_ranges=[[0,8],[8,32],[32,10000]]", "max_seq_len=256",
         "epochs=12", "warmup_epochs=1", "batch_size=2", "max_detections=10", "early_stop=false"]  # fmt: skip


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> RunRecord:
    folder = tmp_path_factory.mktemp("traced")
    data = write_synthetic(folder / "data", SyntheticConfig(20, 20, 16, 20, (20.0, 25.0), difficulty=0.1, seed=4))
    settings = [part for setting in SMALL for part in ("--set", setting)]
    command = ["train", "--model", "temporalmaxer", "--data", str(data), "--out", str(folder / "runs"), "--trace"]
    result = CliRunner().invoke(main, [*command, *settings])
    assert result.exit_code == 0, result.output
    (found,) = RunStore(folder / "runs").records()
    return found


def test_the_trace_and_its_cost_are_kept(record: RunRecord) -> None:
    import json

    details = json.loads(record.paths.details.read_text())
    trace = read_trace(record.paths.trace)
    assert details["sampler"]["samples"] == len(trace["time_s"]) >= 1
    assert details["sampler"]["seconds"] <= record.status["seconds"]
    assert (trace["thread_busiest_percent"] >= 0).all()
    assert "gpu_percent" not in trace  # absent, not zero, without a GPU


def test_the_idle_baseline_is_what_claim_h5_reads(record: RunRecord) -> None:
    runs = load_runs(record.folder.parents[2])
    (row,) = measurements(runs.of("trace"), "idle_cpu_percent")
    assert 0 <= row.value <= 100


def test_phases_cover_the_training(record: RunRecord) -> None:
    seconds = record.metrics["seconds"]
    parts = sum(seconds[name] for name in ("setup", "train", "eval", "checkpoint"))
    assert parts == pytest.approx(seconds["total"], rel=0.01)
    phases = read_phases(record.paths.events, read_trace(record.paths.trace))
    for kind in ("train", "eval"):
        told = sum(phase.end_s - phase.start_s for phase in phases if phase.kind == kind)
        assert told == pytest.approx(seconds[kind], rel=0.01, abs=0.02)
