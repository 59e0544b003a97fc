"""Run folders become tables: whole, lean, and a damaged one is named and left out."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from tal_repro.errors import InputError
from tal_repro.paper.measured_tables import measured_tables, sweeps
from tal_repro.runs.apart import pooled
from tal_repro.runs.load import NO_RUNS, Runs, load_runs
from tal_repro.runs.record import RunRecord
from tal_repro.runs.run import Run, _reported, averages, measurements
from tal_repro.runs.store import RunStore
from tal_repro.runs.trace import read_trace
from tal_repro.spec import DERIVED_MARK, DataSpec, RunSpec
from tal_repro.thumos14 import TIOUS
from tests.conftest import FORMER_RUNS
from tests.paper.made_up_runs import demo, row, seal, trace, training


@pytest.fixture(scope="module")
def demo_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return demo(tmp_path_factory.mktemp("demo") / "runs")


@pytest.fixture(scope="module")
def demo_runs(demo_folder: Path) -> Runs:
    return load_runs(demo_folder)


def test_the_golden_run_is_read(golden_run: RunRecord) -> None:
    (run,) = load_runs(golden_run.folder.parents[2]).runs
    assert (run.model, run.percent, run.unit, run.synthetic) == ("tadtr", 10, "slice", True)
    assert run.reported == ("best-on-test", "raw", "tadtr-210")
    assert run.average_map == pytest.approx(100 * np.mean([0.57, 0.52, 0.47, 0.42, 0.37]))
    assert (run.train_seconds, run.train_seconds_of) == (4.0, "train and evaluation")


def test_a_run_of_a_former_version_is_refused_by_name() -> None:
    runs = load_runs(FORMER_RUNS)
    (problem,) = runs.problems
    assert runs.runs == () and "made by a former version of the kit" in problem and "2767e32e3d7c75e8" in problem


def test_the_demo_study_is_tabled(demo_runs: Runs) -> None:
    assert len(demo_runs.runs) == 4 * (12 + 2 + 1 + 1) + 1
    assert demo_runs.problems == () and demo_runs.synthetic
    points = sweeps(demo_runs.runs)
    assert len(points) == 24 and {len(group) for group in points.values()} == {2}
    tables = measured_tables(demo_runs.runs)
    assert set(tables) == {"learning_curves", "sweep_runs", "training_runs", "table2", "gmacs", "inference_runs"}
    curve = tables["learning_curves"].where(model="tadtr", train_percent=20.0)
    values = [run.average_map for run in points["tadtr", 20.0]]
    assert curve["map_std"][0] == pytest.approx(np.std(values, ddof=1))
    assert set(curve.origins[0].split()) == {run.run_id for run in points["tadtr", 20.0]}


def test_flagged_runs_have_no_map(tmp_path: Path) -> None:
    training(tmp_path, "tadtr", 50.0, flags=("no optimizer steps",))
    (run,) = load_runs(tmp_path).runs
    assert run.average_map is None
    assert sweeps([run]) == {}


def test_the_authors_protocol_is_reported_and_an_average_is_over_all_tious() -> None:
    keys = [("best-on-test", "raw", protocol) for protocol in ("af-212", "opentad-211", "tadtr-210")]
    names = ("selection", "weights", "protocol")
    rows = [{**dict(zip(names, key, strict=True)), "tiou": tiou, "ap": 0.5} for key in keys for tiou in TIOUS]
    assert _reported("tadtr", tuple(averages(rows))) == keys[2]
    assert list(averages(rows[:-1])) == keys[:2], "an AP is missing"
    assert _reported("tadtr", tuple(averages(rows[:-1]))) == keys[0]


def test_what_an_ablation_varies_is_kept_and_what_a_sweep_does_not_is_set_apart(tmp_path: Path) -> None:
    for experiment in ("ablation", "data_sweep"):
        for budget in ("epochs", "steps"):
            training(tmp_path, "tadtr", 50.0, experiment=experiment, recipe={"budget": budget})
    assert sorted(run.experiment for run in pooled(load_runs(tmp_path).runs)) == ["ablation", "ablation", "data_sweep"]


def test_a_fifth_model_is_read(tmp_path: Path) -> None:
    training(tmp_path, "<script>", 50.0)
    (run,) = load_runs(tmp_path).runs
    assert run.model == "<script>" and run.average_map == pytest.approx(50)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("metrics.json", "{", "not JSON, line 1"),
        ("metrics.json", "[]", "not a JSON object"),
        ("metrics.json", '{"rows": [{"tiou": 0.3}]}', "not the metrics of a run"),
        ("spec.json", '{"experiment": "macs"}', "not a run specification"),
        ("spec.json", None, "cannot be read"),
    ],
)
def test_a_damaged_run_is_named_and_left_out(tmp_path: Path, name: str, content: str | None, said: str) -> None:
    whole = training(tmp_path, "tadtr", 50.0, seed=1)
    broken = training(tmp_path, "tadtr", 51.0, seed=2)
    path = broken.folder / name
    path.unlink() if content is None else path.write_text(content, encoding="utf-8")
    seal(broken.folder)
    runs = load_runs(tmp_path)
    assert [run.run_id for run in runs.runs] == [whole.folder.name]
    (problem,) = runs.problems
    assert broken.folder.name in problem and said in problem


def test_an_ap_out_of_range_is_not_trusted(tmp_path: Path) -> None:
    record = training(tmp_path, "tadtr", 50.0)
    metrics = json.loads((record.folder / "metrics.json").read_text(encoding="utf-8"))
    for entry in metrics["rows"]:
        entry["ap"] = 55.0  # percent instead of a share
    (record.folder / "metrics.json").write_text(json.dumps(metrics), encoding="utf-8")
    seal(record.folder)
    assert "outside 0 to 1" in load_runs(tmp_path).problems[0]


def test_partial_and_failed_folders_do_not_count(tmp_path: Path) -> None:
    record = training(tmp_path, "tadtr", 50.0)
    for suffix in (".partial", ".failed"):
        shutil.copytree(record.folder, record.folder.with_suffix(suffix))
    assert len(load_runs(tmp_path).runs) == 1


def test_no_folder_and_a_wrong_one(tmp_path: Path) -> None:
    assert load_runs(None) is NO_RUNS
    with pytest.raises(InputError, match="not a folder of results"):
        load_runs(tmp_path / "nowhere")
    assert load_runs(tmp_path).runs == ()


@pytest.mark.parametrize(("before", "after"), [(",600,", ",many,"), (",600,0,", ",600,nan,")])
def test_a_broken_measurement_is_named_by_line(demo_folder: Path, tmp_path: Path, before: str, after: str) -> None:
    folder = Path(shutil.copytree(demo_folder / "macs", tmp_path / "macs"))
    path = next(folder.rglob("measurements.csv"))
    text = path.read_text(encoding="utf-8")
    assert before in text
    text = text.replace(before, after, 1)
    path.write_text(text, encoding="utf-8")
    seal(path.parent)
    with pytest.raises(InputError, match=r"measurements\.csv:3"):
        list(measurements(load_runs(tmp_path).runs))
    assert row("gmacs", 200, 1.0)["feature_length"] == 200


def test_phases_are_on_the_clock_of_the_trace(tmp_path: Path) -> None:
    phases = read_trace(trace(tmp_path).folder).phases
    assert [phase.kind for phase in phases[:3]] == ["train", "eval", "train"]
    assert phases[0].start_s == pytest.approx(0, abs=1e-3)
    assert phases[0].end_s == pytest.approx(2.0, abs=1e-3)


def test_a_trace_cut_by_a_kill_is_read(tmp_path: Path) -> None:
    paths = trace(tmp_path).paths
    whole = len(read_trace(paths.folder).columns["time_s"])
    text = paths.trace.read_text(encoding="utf-8")
    paths.trace.write_text(text[:-20], encoding="utf-8")
    assert len(read_trace(paths.folder).columns["time_s"]) == whole - 1
    lines = paths.events.read_text(encoding="utf-8").splitlines()
    paths.events.write_text("\n".join(lines[:3]) + "\n", encoding="utf-8")  # killed while evaluating
    assert read_trace(paths.folder).phases[-1].end_s == pytest.approx(9.9, abs=0.2)


@pytest.mark.parametrize(
    ("name", "synthetic", "other"),
    [
        ("thumos14", False, False),
        (f"thumos14{DERIVED_MARK}actionformer", False, False),
        ("thumos14-mine", False, True),
        ("kitchens", False, True),
        ("kitchens", True, False),
    ],
)
def test_a_set_of_ones_own_is_told_from_thumos14(
    tmp_path: Path, spec: RunSpec, name: str, synthetic: bool, other: bool
) -> None:
    data = DataSpec(name, "1", "0" * 64, synthetic)
    record = RunStore(tmp_path).writer(dataclasses.replace(spec, data=data)).finish()
    assert Run(record).other_data is other
