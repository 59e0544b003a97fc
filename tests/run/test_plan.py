"""A plan says what is there, what is left and what it will cost, and where each figure comes from."""

from __future__ import annotations

import dataclasses
import json
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from click.testing import CliRunner

from tal_repro.cli import main
from tal_repro.errors import InputError
from tal_repro.models.registry import OF_STUDY
from tal_repro.run import costs
from tal_repro.run.datasets import STAMP, make_synthetic
from tal_repro.run.plan import make_plan
from tal_repro.run.selection import parse_filter, select
from tal_repro.run.system import machine_name
from tal_repro.runs.store import RunStore
from tal_repro.study import SHIPPED, Study, load_study
from tests.run.conftest import ROOT

SCHEMAS = ROOT / "tal_repro" / "schemas"


def schema(name: str) -> dict[str, object]:
    found: dict[str, object] = json.loads((SCHEMAS / f"{name}.json").read_text())
    return found


@pytest.mark.parametrize("path", sorted(SHIPPED.glob("*.toml")), ids=lambda path: path.stem)
def test_shipped_studies_meet_the_schema(path: Path) -> None:
    raw = tomllib.loads(path.read_text())
    if "schema" in raw:  # a page of recipes is not a study
        jsonschema.validate(raw, schema("study"))


def test_json_alone_on_stdout_meets_the_schema(tmp_path: Path) -> None:
    only = f"model={'|'.join(OF_STUDY)}"  # and no model that you added
    answer = CliRunner().invoke(
        main, ["plan", "--study", "paper", "--results", str(tmp_path), "--only", only, "--json"]
    )
    assert answer.exit_code == 0
    found = json.loads(answer.stdout)
    jsonschema.validate(found, schema("plan"))
    assert found["totals"]["runs"] == len(found["runs"]) == 159
    assert 13 < found["totals"]["device_hours"] < 16, "about 13 GPU-hours of trainings at published speeds"
    assert found["totals"]["usd"] == pytest.approx(found["totals"]["wall_hours"] * 0.86, abs=0.01)


def _open_claims(tmp_path: Path, *options: str) -> dict[str, tuple[int, int | None]]:
    answer = CliRunner().invoke(main, ["plan", "--results", str(tmp_path), "--json", *options])
    found = json.loads(answer.stdout)
    jsonschema.validate(found, schema("plan"))
    return {entry["claim"]: (entry["runs"], entry["settled_by"]) for entry in found["unsettled"]}


def test_claims_that_the_planned_runs_cannot_settle_are_listed_with_what_would(tmp_path: Path) -> None:
    core, full = _open_claims(tmp_path), _open_claims(tmp_path, "--scope", "full")
    assert core["T2.3"] == (5, None) and core["F1"] == (5, None) and core["H4"] == (3, None)
    runs, enough = core["T2.4"]
    assert runs == 5 and enough is not None and 5 < enough <= 20
    assert "F11" not in core and full["F11"][1] is None  # the core holds no sweep of TriDet
    assert _open_claims(tmp_path, "--only", "percent=50,experiment=data_sweep")["G1"] == (0, 5)
    two = _open_claims(tmp_path, "--only", "experiment=baseline,seed<=1")
    assert two["T2.5"] == (2, 5) and two["T2.1"] == (2, 3)
    text = CliRunner().invoke(main, ["plan", "--results", str(tmp_path)]).stdout
    lines = " ".join(text.split("cannot be settled with 5 runs: ")[1].split())
    assert lines.startswith("headline T2.3 (no affordable number would), T2.4 (")
    assert f"({enough} runs would); others F1 F2 F4 F5 (no affordable number would)" in lines


def test_nothing_is_said_of_claims_where_the_data_are_others(tmp_path: Path) -> None:
    assert _open_claims(tmp_path, "--study", "demo") == {}


def test_the_short_filters_narrow_the_plan(tmp_path: Path) -> None:
    arguments = ["plan", "--results", str(tmp_path), "--experiment", "data_sweep", "--model", "tadtr", "--json"]
    found = json.loads(CliRunner().invoke(main, arguments).stdout)
    assert len(found["runs"]) == 120
    assert {run["experiment"] for run in found["runs"]} == {"data_sweep"}


def test_published_times_are_named_and_scaled_by_share_and_epochs() -> None:
    runs = {
        run.subset.percent: run
        for run in load_study("paper").runs("core")
        if run.experiment == "data_sweep" and run.subset
    }
    whole, tenth = costs.published_seconds(runs[100]), costs.published_seconds(runs[10])
    assert whole.seconds == pytest.approx(426)
    assert whole.source == "Table 2 (A10)"
    assert tenth.seconds == pytest.approx(426 * (0.1 + 0.9 * 0.1))
    smoke = {run.model: run for run in load_study("smoke").runs()}
    assert costs.published_seconds(smoke["tridet"]).seconds == pytest.approx(646 * 2 / 40)


def test_a_model_whose_description_is_not_filled_in_yet_stops_no_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = costs.model_entry("tridet")
    unfinished = dataclasses.replace(
        entry, recipe=dataclasses.replace(entry.recipe, epochs=0)
    )  # as `models new` has it
    spec = next(
        run for run in load_study("paper").runs("full") if run.model == "tridet" and run.experiment == "baseline"
    )
    whole = costs.published_seconds(spec)
    monkeypatch.setattr(costs, "model_entry", lambda _: unfinished)
    assert costs.published_seconds(spec) == whole


@pytest.mark.parametrize("other", [{"machine": "another"}, {"attempts": 2}])
def test_done_runs_of_this_machine_correct_the_estimate(mini: Study, store: RunStore, other: dict[str, Any]) -> None:
    before = make_plan(mini, store, "core")
    about = {"attempts": 1, "machine": machine_name("cpu")}
    for number, spec in enumerate(mini.runs()[:3]):
        seconds = 0.5 * costs.published_seconds(spec).seconds
        store.writer(spec).finish(seconds=seconds, **(about if number < 2 else {**about, **other}))
    after = make_plan(mini, store, "core")
    assert after.counts == {"done": 3, "todo": 3}
    assert after.pending[0].estimate.seconds == pytest.approx(0.5 * before.runs[3].estimate.seconds)
    assert after.pending[0].estimate.source == "2 runs of its like done here"
    assert after.totals()["device_hours"] == pytest.approx(0.25 * before.totals()["device_hours"], rel=0.3)


def test_wall_time_knows_jobs_and_runs_that_must_be_alone(tmp_path: Path) -> None:
    study = load_study("paper")
    one = make_plan(study, RunStore(tmp_path), "core", jobs=1).totals()
    four = make_plan(study, RunStore(tmp_path), "core", jobs=4).totals()
    assert four["device_hours"] == one["device_hours"]
    assert one["wall_hours"] / 4 < four["wall_hours"] < one["wall_hours"]
    assert make_plan(study, RunStore(tmp_path), "core", price_usd_per_hour=2.0).totals()["price_source"] == "given"


def test_sweeps_are_priced_packed_and_alone_and_what_is_timed_stays_alone(tmp_path: Path) -> None:
    study, store = load_study("paper"), RunStore(tmp_path)
    plan = make_plan(study, store, "core")
    sweeps = sum(run.estimate.seconds for run in plan.pending if run.spec.experiment == "data_sweep") / 3600
    packed = {way["jobs_per_gpu"]: way for way in plan.totals()["packed"]}
    assert sorted(packed) == [1, 2, 3, 4]
    assert packed[1]["wall_hours"] == plan.totals()["wall_hours"]
    assert packed[1]["wall_hours"] - packed[4]["wall_hours"] == pytest.approx(0.75 * sweeps, abs=0.01)
    assert packed[2]["usd"] == pytest.approx(packed[2]["wall_hours"] * 0.86, abs=0.01)
    two = make_plan(study, store, "core", jobs_per_gpu=2).totals()
    assert two["wall_hours"] == packed[2]["wall_hours"] and two["device_hours"] == plan.totals()["device_hours"]
    assert make_plan(study, store, "core", "experiment=baseline").totals()["packed"] == []
    assert make_plan(load_study("demo"), store, "core").totals()["packed"] == [], "nothing of it is on a GPU"


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("", 159),
        ("experiment=data_sweep,percent<=20", 40),
        ("model=tadtr|tridet,experiment=baseline", 10),
        ("model!=tadtr,experiment=baseline", 15),
        ("model!=tadtr|tridet,experiment=baseline", 10),
        ("percent>95, seed=0, experiment=data_sweep", 1),
        ("engine=native", 16),
    ],
)
def test_filters_pick(text: str, count: int) -> None:
    runs = [run for run in load_study("paper").runs("core") if run.model in OF_STUDY]
    assert len(select(runs, text)) == count


def test_a_budget_picks_its_half_of_the_ablation() -> None:
    runs = load_study("ablation").runs()
    steps = select(runs, "budget=steps")
    assert {run.recipe["budget"] for run in steps} == {"steps"} and 0 < len(steps) < len(runs)


def test_an_id_picks_one_run() -> None:
    runs = load_study("paper").runs("core")
    assert select(runs, f"id={runs[7].run_id}") == [runs[7]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("colour=red", "unknown key 'colour'.*use one of: id, experiment"),
        ("model=tadpole", "unknown model 'tadpole'.*tadtr"),
        ("model", "not a condition: 'model'"),
        ("model<tadtr", "cannot be compared"),
        ("percent=ten", "takes a number, not 'ten'"),
        ("id=xyz", "not the beginning of a run id"),
        ("model=tadtr,model=tridet", "model=tadtr and model=tridet exclude each other"),
        ("percent=3,model=tridet", "no run meets"),
        ("__import__('os').system('x')=1", "not a condition"),
        ("percent=101", "percent 101.*from 0 to 100"),
        ("percent=nan", "percent nan.*from 0 to 100"),
        ("seed=-1", "seed -1.*use a number from 0"),
        (",,,", "no condition in ',,,'"),
    ],
)
def test_a_wrong_filter_is_told(text: str, message: str) -> None:
    with pytest.raises(InputError, match=f"(?s){message}"):
        select(load_study("paper").runs("core"), text)


def test_terms_may_be_spaced() -> None:
    assert [term.key for term in parse_filter(" model = tadtr , percent <= 5 ")] == ["model", "percent"]


def test_bad_input_ends_with_status_2_and_no_traceback(tal: Callable[..., object], tmp_path: Path) -> None:
    for arguments in (
        ("plan", "--only", "colour=red"),
        ("run", "--study", "nowhere"),
        ("run", "--study", "paper", "--set", "slurm"),
        ("run", "--study", "paper", "--confirm"),
        ("show", "abc"),
        ("gc", "--results", "nowhere"),
    ):
        answer = tal(*arguments)
        assert answer.returncode == 2, arguments  # type: ignore[attr-defined]
        assert "Traceback" not in answer.stderr  # type: ignore[attr-defined]
        assert "error: " in answer.stderr  # type: ignore[attr-defined]
    assert not list(tmp_path.glob("results/**/*.json"))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["jobs_per_gpu=x"], "jobs_per_gpu = 'x'.*1 or more, auto, or measured"),
        (["hang_seconds=abc"], "hang_seconds = 'abc'.*above 0"),
        (["hang_seconds=-1"], "hang_seconds = '-1'.*above 0"),
        (["slurm.foo=1"], "unknown setting 'slurm.foo'.*partition"),
        (["jobs_per_gpux=1"], "unknown setting 'jobs_per_gpux'.*engine.*jobs_per_gpu"),
        (["threads=1", "threads=2"], "threads is given twice: '1' and '2'"),
    ],
)
def test_settings_of_the_machine_are_checked_by_the_plan(settings: list[str], message: str) -> None:
    from tal_repro.commands.study_options import open_study

    with pytest.raises(InputError, match=f"(?s){message}"):
        open_study("demo", tuple(settings))
    study, machine = open_study("demo", ("jobs_per_gpu=auto", "hang_seconds=5", "slurm.mem_gb=4", "threads=2"))
    assert machine == {"jobs_per_gpu": "auto", "hang_seconds": "5", "slurm.mem_gb": "4"}
    assert study.settings == ("threads=2",)


@pytest.mark.parametrize("price", ["nan", "inf", "-1", "1e300"])
def test_a_price_that_is_none_is_refused(mini: Study, price: str) -> None:
    answer = CliRunner().invoke(main, ["plan", "--study", str(mini.path), "--json", "--price", price])
    assert answer.exit_code == 2
    assert "--price" in answer.output and "from 0 to 1000000" in answer.output


def test_the_data_set_of_a_study_appears_with_its_stamp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "made.toml"
    path.write_text(
        'schema = "tal-repro/study/1"\nname = "made"\n[data]\nname = "made"\n'
        "synthesis = { videos = 2, test = 2, feature_dim = 4, classes = 2, seconds = [20, 30] }\n"
        '[[experiments]]\nexperiment = "macs"\nfeature_lengths = [100]\n'
    )
    study, seen, replace = load_study(str(path)), [], Path.replace

    def killed_after(self: Path, target: Path) -> Path:
        replace(self, target)
        if target == tmp_path / "data":
            seen.append(sorted(item.name for item in target.iterdir()))
            raise KeyboardInterrupt
        return target

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(Path, "replace", killed_after)
        make_synthetic(tmp_path / "data", study, tmp_path / "runs", lambda line: None)
    assert seen and STAMP in seen[0]
    make_synthetic(tmp_path / "data", study, tmp_path / "runs", lambda line: None)  # goes on with what is there


def test_a_dry_run_starts_nothing(tal: Callable[..., object], mini: Study, store: RunStore) -> None:
    answer = tal("run", "--study", str(mini.path), "--results", str(store.root), "--dry-run")
    assert answer.returncode == 0  # type: ignore[attr-defined]
    assert "6 runs: 0 done, 6 to do" in answer.stdout  # type: ignore[attr-defined]
    assert not store.root.exists()


def test_what_it_says_to_do_next_is_about_the_same_runs(tmp_path: Path) -> None:
    """Without `--set models=all` the run would leave out the models that were planned."""
    words = ["--set", "models=all", "--set", "synthetic=true", "--only", "model=tetad", "--results", str(tmp_path)]
    answer = CliRunner().invoke(main, ["plan", "--study", "smoke", *words])
    assert answer.exit_code == 0, answer.output
    suggested = answer.stderr.replace("next: ", "").splitlines()
    assert suggested[0].strip() == "tal-repro doctor --study smoke --set models=all --set synthetic=true"
    again = CliRunner().invoke(main, ["plan", *suggested[1].split()[2:]])
    assert again.exit_code == 0 and again.stdout == answer.stdout
