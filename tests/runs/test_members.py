"""Which runs of a results folder are a study's: those that it plans, of one state of its data. All others are named."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from tal_repro.cli import main
from tal_repro.errors import InputError
from tal_repro.paper.measured_tables import measured_tables
from tal_repro.planned import keep, note_path, planned, read_note
from tal_repro.runs.apart import apart, others, pooled
from tal_repro.runs.load import Runs, load_runs
from tal_repro.runs.record import RunRecord
from tal_repro.runs.run import REPORTED
from tal_repro.spec import DERIVED_MARK, SCOPES, DataSpec, RunSpec
from tal_repro.study import Study, load_study
from tal_repro.thumos14 import TIOUS
from tests.paper.made_up_runs import REAL, finish, writer_of

MINE, CHANGED = "a" * 64, "b" * 64  # two states of the study's data
TEXT = """
schema = "tal-repro/study/1"
name = "mine"
{admits}
[data]
name = "thumos14"
version = "i3d"
[[experiments]]
experiment = "data_sweep"
models = ["tadtr", "tridet"]
percentages = [50, 100]
repeats = 2
[[experiments]]
experiment = "baseline"
models = ["tadtr"]
seeds = [0, 1]
"""


def finished(root: Path, spec: RunSpec, value: float = 50.0, digest: str = MINE, data_set: str = "") -> RunRecord:
    """Write a finished training with an average mAP of `value` percent."""
    writer = writer_of(root, replace(spec, data_digest=digest))
    selection, weights, protocol = REPORTED[spec.model]
    shared = {"epoch": 1, "selection": selection, "weights": weights, "protocol": protocol, "ap": value / 100}
    writer.write_metrics(
        [{**shared, "tiou": tiou} for tiou in TIOUS],
        optimizer_steps=1, seconds={}, table2_seconds=value, table2_definition="training",
    )  # fmt: skip
    return finish(writer, data_set=data_set or digest[:16])


@pytest.fixture
def study(tmp_path: Path) -> Study:
    path = tmp_path / "mine.toml"
    path.write_text(TEXT.format(admits=""))
    return load_study(str(path))


@pytest.fixture
def root(tmp_path: Path, study: Study) -> Path:
    """A results folder that holds the whole study: 8 trainings of its sweep, 2 baselines."""
    root = tmp_path / "runs"
    write_all(root, study.runs(), MINE)
    start(root, study, MINE)
    return root


def write_all(root: Path, specs: Iterable[RunSpec], digest: str, **options: Any) -> None:
    for number, spec in enumerate(specs):
        finished(root, spec, 40.0 + number, digest, **options)


def start(root: Path, study: Study, digest: str) -> None:
    """Note in the results folder that the study was started with this state of its data."""
    keep(root, study, "core", [replace(s, data_digest=digest) for s in study.runs()], {"actionformer": digest})


def of_study(root: Path, **options: Any) -> Runs:
    return load_runs(root, planned(root), **options)


def contents(runs: Runs) -> dict[str, list[str]]:
    """Return every table as text: what Figure 2, Table 2 and the verdicts are made of."""
    return {
        name: [*(repr(table[column].tolist()) for column in table.columns), *table.origins]  # text: NaN is not itself
        for name, table in measured_tables(runs.runs).items()
    }


def strangers(spec: RunSpec) -> dict[str, RunSpec]:
    """Return runs like a study's own that the study does not plan, by the reason that is given."""
    kitchens = DataSpec("custom-kitchens", "1", "c" * 64, synthetic=False)
    derived = replace(REAL, name=f"thumos14{DERIVED_MARK}actionformer")
    assert spec.data is not None and spec.subset is not None
    return {
        "the study plans no training of tadtr": replace(spec, experiment="training"),
        "other data": replace(spec, data=kitchens),
        "other data ": replace(spec, data=derived),
        "other engine version (0)": replace(spec, engine_version="0"),
        "other recipe (epochs)": replace(spec, recipe={**spec.recipe, "epochs": 1}),
        "other recipe (batch_size, epochs)": replace(spec, recipe={**spec.recipe, "epochs": 1, "batch_size": 3}),
        "other threads (2)": replace(spec, threads=2),
        "other precision (bf16)": replace(spec, precision="bf16"),
        "other device (cuda)": replace(spec, device_kind="cuda"),
        "other feature lengths": replace(spec, feature_lengths=(7,)),
        "other unit (video)": replace(spec, subset=replace(spec.subset, unit="video")),
        "not in the study's grid": replace(spec, subset=replace(spec.subset, percent=30)),
        "the study plans no baseline of tridet": replace(spec, model="tridet", experiment="baseline"),
    }


def test_of_all_kinds_of_runs_the_studys_own_count_to_the_digit(root: Path, study: Study) -> None:
    alone = of_study(root)
    assert len(alone.runs) == 10 and alone.notes == []
    own = study.runs()[0]
    foreign = strangers(own)
    names = {reason.strip(): set[str]() for reason in foreign}
    for reason, spec in foreign.items():
        names[reason.strip()].add(finished(root, spec, 99.0).folder.name)
    mixed = of_study(root)
    assert [run.run_id for run in mixed.runs] == [run.run_id for run in alone.runs]
    assert contents(mixed) == contents(alone) and set(contents(alone)) >= {"learning_curves", "table2"}
    assert mixed.problems == ()
    left_out: dict[str, set[str]] = {}
    for run_id, reason in mixed.left_out:
        left_out.setdefault(reason, set()).add(run_id)
    assert left_out == names
    assert "2 runs left out: other data" in mixed.notes and "1 run left out: other threads (2)" in mixed.notes


def test_verify_says_what_it_left_out_and_judges_the_same(root: Path, study: Study) -> None:
    def verdicts() -> tuple[str, str]:
        result = CliRunner().invoke(main, ["verify", "--json", "--results", str(root)], catch_exceptions=False)
        assert result.exit_code == 0
        return result.stdout, result.stderr

    before = verdicts()
    assert before[1] == ""
    for spec in strangers(study.runs()[0]).values():
        finished(root, spec, 99.0)
    after = verdicts()
    assert json.loads(after[0])["claims"] == json.loads(before[0])["claims"]
    assert "warning: 2 runs left out: other data" in after[1] and "1 run left out: other recipe (epochs)" in after[1]


@pytest.mark.parametrize("how", ["copied", "of another model", "changed", "a file more", "a file less", "former"])
def test_a_run_that_cannot_be_believed_is_named_and_left_out(root: Path, study: Study, how: str) -> None:
    whole = of_study(root)
    folder = next(run.folder for run in whole.runs if run.model == "tadtr" and run.experiment == "data_sweep")
    if how == "copied":
        folder = Path(shutil.copytree(folder, folder.with_name(f"{'0' * 16}-{MINE[:8]}")))
        said = "holds the specification of run"
    elif how == "of another model":
        folder = Path(shutil.copytree(folder, folder.parents[1] / "tridet" / folder.name))
        said = "it lies in another's place"
    elif how == "changed":
        path = folder / "metrics.json"
        path.write_text(path.read_text().replace('"ap": 0.4', '"ap": 0.9'))
        said = "is not as it was written"
    elif how == "a file more":
        (folder / "details.json").write_text("{}")
        said = "was not there when the run was finished"
    elif how == "a file less":
        (folder / "data.json").unlink()
        said = "missing"
    else:
        path = folder / "status.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "format": 1}))
        said = "former version of the kit"
    runs = of_study(root)
    (problem,) = runs.problems
    assert said in problem and str(folder) in problem and "run it again" in problem
    added = how in ("copied", "of another model")
    assert [run.run_id for run in runs.runs] == [run.run_id for run in whole.runs if added or run.folder != folder]
    result = CliRunner().invoke(main, ["verify", "--results", str(root)], catch_exceptions=False)
    assert result.exit_code == 1 and said in result.stderr


def test_a_format_of_the_future_is_refused_by_name(root: Path) -> None:
    path = of_study(root).runs[0].folder / "status.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": 3}))
    (problem,) = of_study(root).problems
    assert "run folder format '3', this kit reads 2" in problem and str(path) in problem


def test_two_states_of_the_data_are_refused_or_chosen(root: Path, study: Study) -> None:
    alone = of_study(root)
    newer = study.runs()[:3]
    write_all(root, newer, CHANGED)
    with pytest.raises(InputError) as refused:
        of_study(root)
    message = str(refused.value)
    assert re.search(r"the finished runs of study mine are of 2 states of its data", message)
    assert "aaaaaaaa (10 runs" in message and "bbbbbbbb (3 runs" in message and "--data-digest" in message
    first = of_study(root, data_digests=["aaaa"])
    assert contents(first) == contents(alone)
    assert first.notes == ["3 runs left out: other data (bbbbbbbb)"]
    second = of_study(root, data_digests=[CHANGED[:8]])
    assert {run.spec.run_id for run in second.runs} == {spec.run_id for spec in newer}
    assert second.notes == ["10 runs left out: other data (aaaaaaaa)"]
    result = CliRunner().invoke(main, ["verify", "--results", str(root)])
    assert result.exit_code == 2 and "2 states" in result.stderr
    chosen = CliRunner().invoke(main, ["verify", "--results", str(root), "--data-digest", "aaaaaaaa"])
    assert chosen.exit_code == 0, chosen.output


def test_status_counts_runs_of_data(root: Path, study: Study) -> None:
    result = CliRunner().invoke(main, ["status", "--study", str(study.path), "--results", str(root)])
    assert "10/10 done" in result.output, result.output


def test_a_digest_that_no_run_has_is_refused(root: Path) -> None:
    with pytest.raises(InputError, match="no run of study mine is of data 'cafe'"):
        of_study(root, data_digests=["cafe"])


def test_runs_that_a_change_of_the_data_does_not_touch_stay_with_the_study(root: Path, study: Study) -> None:
    """Of a set that has changed, those runs are made anew whose own videos changed; the others are as good as new."""
    specs = study.runs()
    kept, anew = specs[:4], specs[4:]
    write_all(root, anew, CHANGED)
    now = [*(replace(s, data_digest=MINE) for s in kept), *(replace(s, data_digest=CHANGED) for s in anew)]
    keep(root, study, "core", now, {"actionformer": CHANGED})
    with pytest.raises(InputError, match="2 states"):  # those made anew lie here twice
        of_study(root)
    runs = of_study(root, data_digests=[CHANGED[:8]])
    assert {run.run_id for run in runs.runs} == {spec.name for spec in now}
    assert runs.notes == [f"{len(anew)} runs left out: other data (aaaaaaaa)"]


def test_released_belongs_to_every_study_of_its_data(root: Path, study: Study) -> None:
    released = RunSpec("released", "tridet", "upstream", "x", {}, REAL, options={"checkpoint_sha256": "0" * 64})
    mine = finished(root, released).folder.name
    other = finished(root, replace(released, data=replace(REAL, annotation_hash="c" * 64))).folder.name
    runs = of_study(root)
    assert [run.run_id for run in runs.of("released")] == [mine]
    assert [entry for entry in runs.left_out if entry.run_id == other] == [(other, "other data")]


def test_without_a_note_it_is_the_papers_study_and_settings_are_not_typed_twice(tmp_path: Path) -> None:
    assert planned(tmp_path).name == "paper"
    study = load_study("smoke", {"engine": "native", "device": "cpu", "threads": "2"})
    write_all(tmp_path, study.runs(), MINE)
    keep(tmp_path, study, "core", study.runs(), {})
    runs = of_study(tmp_path)
    assert runs.study == "smoke" and len(runs.runs) == len(study.runs()) and runs.notes == []


def test_a_loop_of_links_in_the_place_of_a_kept_study_is_to_be_removed(tmp_path: Path) -> None:
    study = load_study("smoke")
    keep(tmp_path, study, SCOPES[0], [], {})
    path = note_path(tmp_path, "smoke")
    path.unlink()
    path.symlink_to(path.name)
    for use in (lambda: planned(tmp_path), lambda: keep(tmp_path, study, SCOPES[0], [], {})):
        with pytest.raises(InputError, match="symbolic links") as refused:
            use()
        assert str(refused.value.remedy).startswith("remove this link, which leads nowhere; start the study again")


def test_a_smaller_start_drops_nothing_and_a_study_that_leaves_fields_open_counts_whole(tmp_path: Path) -> None:
    study = load_study("paper")
    least, most = study.runs(SCOPES[0]), study.runs(SCOPES[-1])
    assert study.admits and len(least) < len(most)
    for scope in (SCOPES[-1], SCOPES[0]):
        keep(tmp_path, study, scope, [], {})
    assert read_note(note_path(tmp_path, "paper")).scope == SCOPES[-1]
    keep(tmp_path / "other", study, SCOPES[0], [], {})
    assert len(planned(tmp_path / "other").specs) == len(most)


def test_of_several_studies_one_has_to_be_named(root: Path, tmp_path: Path) -> None:
    smoke = load_study("smoke", {"engine": "native"})
    keep(root, smoke, "core", smoke.runs(), {})
    with pytest.raises(InputError, match="holds runs of 2 studies: mine, smoke"):
        planned(root)
    assert planned(root, "mine").name == "mine" and planned(root, "smoke").name == "smoke"
    runs = load_runs(root, planned(root, "smoke"))
    assert runs.runs == () and len(runs.left_out) == 10


def variants(spec: RunSpec) -> dict[str, RunSpec]:
    """Return a run of the paper's under each engine, device, precision and number of threads."""
    native = replace(
        spec, engine="native", engine_version=planned_version(spec),
        recipe={name: value for name, value in spec.recipe.items() if name != "loader_workers"},
    )  # fmt: skip
    return {
        "upstream": spec,
        "native": native,
        "cpu": replace(native, device_kind="cpu"),
        "bf16": replace(native, precision="bf16"),
        "threads": replace(native, threads=8),
    }


def planned_version(spec: RunSpec) -> str:
    from tal_repro.engines.registry import engine_version

    return engine_version(spec.model, "native", spec.experiment)


def test_the_papers_study_admits_what_it_leaves_open_and_never_averages_over_it(tmp_path: Path) -> None:
    baselines = [run for run in load_study("paper").runs("core") if run.experiment == "baseline"]
    spec = next(run for run in baselines if run.model == "tridet" and run.seed == 0)
    made = {name: finished(tmp_path, run, 50.0 + place) for place, (name, run) in enumerate(variants(spec).items())}
    old = finished(tmp_path, replace(spec, engine_version="older"), 99.0)
    other = finished(tmp_path, replace(spec, recipe={**spec.recipe, "epochs": 1}), 99.0)
    runs = of_study(tmp_path)
    assert runs.study == "paper"
    assert {run.run_id for run in runs.runs} == {record.folder.name for record in made.values()}
    assert dict(runs.left_out) == {
        old.folder.name: "other engine version (older)", other.folder.name: "other recipe (epochs)",
    }  # fmt: skip
    assert len(apart(runs.runs)) == 5
    table = measured_tables(runs.runs)["table2"]
    assert len(table) == 1 and table["map_mean"].tolist() == [pytest.approx(50)], "the authors' code leads"
    native = [run for run in runs.runs if run.engine == "native"]
    (lead,) = pooled(native)
    assert lead.run_id == made["native"].folder.name
    notes = others(native, [lead])
    assert len(notes) == 3 and all("shown apart, not averaged" in note for note in notes)
    assert {note.rpartition(": ")[2] for note in notes} == {"device cpu", "precision bf16", "threads 8"}


def of_set(root: Path, spec: RunSpec, layout: str, annotations: str, value: float) -> RunRecord:
    """Write a finished run whose data.json says of which set it is."""
    digest = annotations * 64
    writer = writer_of(root, replace(spec, data_digest=digest))
    about = {"layout": layout, "data_set": layout[0] + 15 * "0", "annotation_hash": digest, "digest": digest}
    writer.write_json("data", about)
    writer.write_metrics([], optimizer_steps=1, seconds={}, table2_seconds=value, table2_definition="training")
    return finish(writer, layout="forged", data_set="f" * 16)


def test_two_sets_in_two_layouts_are_refused_or_one_is_chosen(tmp_path: Path, study: Study) -> None:
    """TadTR on one set and TriDet on another lie in layouts of their own: one table may not show them side by side."""
    layouts = {"tadtr": ("dtadtr", "a"), "tridet": ("eactionformer", "b")}
    for number, spec in enumerate(study.runs()):
        of_set(tmp_path, spec, *layouts[spec.model], value=float(number))
    keep(tmp_path, study, "core", study.runs(), {})
    with pytest.raises(InputError, match=r"(?s)of 2 data sets with other annotations: .*d0000000.*--data-digest"):
        of_study(tmp_path)
    for model, digest in (("tadtr", "d000"), ("tridet", "e000")):
        chosen = of_study(tmp_path, data_digests=[digest])
        assert {run.model for run in chosen.runs} == {model} and "other data" in chosen.notes[0]


def test_layouts_with_the_same_annotations_are_one_set(tmp_path: Path, study: Study) -> None:
    for number, spec in enumerate(study.runs()):
        of_set(tmp_path, spec, f"{'d' if spec.model == 'tadtr' else 'e'}x", "a", float(number))
    keep(tmp_path, study, "core", study.runs(), {})
    assert len(of_study(tmp_path).runs) == len(study.runs())


def test_a_run_whose_data_file_is_of_other_data_is_named_and_left_out(tmp_path: Path, study: Study) -> None:
    """Somebody has written data.json and the digests anew: the specification names other data."""
    good, forged = study.runs()[:2]
    of_set(tmp_path, good, "tadtr", "a", 40.0)
    writer = writer_of(tmp_path, replace(forged, data_digest="b" * 64))
    writer.write_json(
        "data", {"layout": "tadtr", "data_set": "t" * 16, "annotation_hash": "a" * 64, "digest": "a" * 64}
    )
    finish(writer)
    runs = of_study(tmp_path)
    assert [run.spec.run_id for run in runs.runs] == [good.run_id]
    assert len(runs.problems) == 1 and "is of other data than the run's specification" in runs.problems[0]
