"""A training under the sampler: its trace, its phases, the idle baseline before it, and what claims read of them."""

from __future__ import annotations

import json
import sys
import threading
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import jsonschema
import pytest
from click.testing import CliRunner

import tal_repro
from tal_repro.cli import main
from tal_repro.commands.train import read_settings
from tal_repro.data.synthetic import write_synthetic
from tal_repro.data.synthetic_annotations import SyntheticConfig
from tal_repro.paper.report.cost_section import steps
from tal_repro.run.inputs import Inputs
from tal_repro.run.job import Job
from tal_repro.run.outcomes import DONE
from tal_repro.run.training import plan_training
from tal_repro.run.worker import run_job
from tal_repro.runs.load import load_runs
from tal_repro.runs.record import RunRecord
from tal_repro.runs.run import measurements
from tal_repro.runs.store import RunStore
from tal_repro.runs.trace import read_trace

SMALL = ["embed_dim=16", "head_dim=16", "levels=3", "regression_ranges=[[0,8],[8,32],[32,10000]]", "max_seq_len=256",
         "epochs=12", "warmup_epochs=1", "batch_size=2", "max_detections=10", "early_stop=false"]  # fmt: skip


def waited_for_a_core() -> float:
    """Return the seconds for which this thread was ready to run and others ran (0 where the kernel does not tell)."""
    told = Path(f"/proc/self/task/{threading.get_native_id()}/schedstat")
    return int(told.read_text().split()[1]) / 1e9 if sys.platform == "linux" else 0.0


@pytest.fixture(scope="module")
def traced(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunRecord, float]:
    """A training under the sampler, and the seconds a busy machine took from it: between any two of its phases."""
    folder = tmp_path_factory.mktemp("traced")
    data = write_synthetic(folder / "data", SyntheticConfig(20, 20, 16, 20, (20.0, 25.0), difficulty=0.1, seed=4))
    planned = plan_training("temporalmaxer", data, "native", 100.0, 0, read_settings(tuple(SMALL)), trace=True)
    (spec,) = Inputs(data, folder / "runs").with_digests([replace(planned, experiment="trace")])
    job = Job(spec.to_json(), str(folder / "runs"), str(data), "cpu")
    before = waited_for_a_core()
    assert run_job(job, log=False) == DONE
    waited = waited_for_a_core() - before
    (found,) = RunStore(folder / "runs").records()
    return found, waited


@pytest.fixture
def record(traced: tuple[RunRecord, float]) -> RunRecord:
    return traced[0]


def test_the_trace_and_its_cost_are_kept(record: RunRecord) -> None:
    details = json.loads(record.paths.details.read_text())
    trace = read_trace(record.folder).columns
    assert details["sampler"]["samples"] == len(trace["time_s"]) >= 1
    assert details["sampler"]["seconds"] <= record.status["seconds"]
    assert (trace["thread_busiest_percent"] >= 0).all()
    assert "gpu_percent" not in trace  # absent, not zero, without a GPU


def test_the_idle_baseline_is_what_claim_h5_reads(record: RunRecord) -> None:
    runs = load_runs(record.folder.parents[2])
    (row,) = measurements(runs.of("trace"), "idle_cpu_percent")
    assert 0 <= row.value <= 100


def test_phases_cover_the_training(traced: tuple[RunRecord, float]) -> None:
    record, waited = traced
    seconds = record.metrics["seconds"]
    parts = sum(seconds[name] for name in ("setup", "train", "eval", "checkpoint"))
    assert parts <= seconds["total"]
    assert parts >= 0.99 * seconds["total"] - waited
    phases = read_trace(record.folder).phases
    for kind in ("train", "eval"):
        told = sum(phase.end_s - phase.start_s for phase in phases if phase.kind == kind)
        assert told == pytest.approx(seconds[kind], rel=0.01, abs=0.02 + waited)


def test_a_step_of_it_is_accounted_for(record: RunRecord) -> None:
    found = json.loads(record.paths.details.read_text())["attribution"]
    assert sum(found["host"].values()) == pytest.approx(1)
    assert found["device_account"] == {}
    runs = load_runs(record.folder.parents[2])
    rows = {row.quantity: row.value for row in measurements(runs.of("trace"))}
    shares = [value for name, value in rows.items() if name.startswith("step_")]
    assert sum(shares) == pytest.approx(100)
    assert "gpu_kernel_percent" not in rows  # absent, not zero, without a GPU
    ends = [line for line in record.paths.events.read_text().splitlines() if '"run"' in line and '"end"' in line]
    assert len(ends) == 1  # the steps taken afterwards told no events
    shown = CliRunner().invoke(main, ["bench", "attribution", "--run", str(record.folder), "--json"])
    answer = json.loads(shown.stdout)
    jsonschema.validate(
        answer, json.loads((Path(tal_repro.__file__).parent / "schemas" / "attribution.json").read_text())
    )
    assert answer["host"] == found["host"]
    assert answer["verdict"] == f"temporalmaxer native: {found['verdict']}"
    page = steps(runs)
    assert "What a training step waits for" in page
    assert found["verdict"].partition("%")[0] in page


def test_what_cannot_be_accounted_for_leaves_the_trace(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from tal_repro.engines.adapter import RunContext, StopRequested
    from tal_repro.run import experiments
    from tal_repro.spec import RunSpec

    spec = RunSpec("trace", "tadtr", "upstream", "1", {})
    context = RunContext(spec, RunStore(tmp_path / "runs").writer(spec), None, "cpu")
    context.record.paths.subset.write_text("{}")
    seen = []

    def fails(run: RunContext, steps: int, scratch: Path) -> None:
        seen.append(run.record.paths.folder)
        assert run.record.paths.subset.read_text() == "{}"
        raise OSError("first line\nsecond")

    monkeypatch.setattr("tal_repro.engines.upstream.attribution.attribute_steps", fails)
    upstream = SimpleNamespace(engine="upstream")
    assert experiments._divide_steps(context, upstream) == {"not_attributed": "first line"}
    assert seen[0] != context.record.paths.folder  # its events and log are its own

    def stops(run: RunContext) -> None:
        raise StopRequested

    monkeypatch.setattr(experiments, "_native_steps", stops)
    with pytest.raises(StopRequested):
        experiments._divide_steps(context, SimpleNamespace(engine="native"))
