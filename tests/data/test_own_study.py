"""`study new`: who trains what, and measurements at the set's own lengths, width and classes. SYNTHETIC."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tal_repro.cli import main
from tal_repro.data import load_dataset
from tal_repro.data.fitting import measured_lengths
from tal_repro.engines.native.adapter import NativeAdapter
from tal_repro.paper.verdicts import judge_all
from tal_repro.published.load import load_published
from tal_repro.run.costs import published_seconds, table2_seconds
from tal_repro.runs.load import load_runs
from tal_repro.runs.store import RunStore
from tal_repro.study import Study, load_study
from tests.data.made_up_set import define


def write_study(data: Path, *words: str) -> Result:
    return CliRunner().invoke(main, ["study", "new", "--data", str(data), *words, "--out", str(data.parent / "s.toml")])


def study_of(data: Path, *words: str) -> Study:
    result = write_study(data, "--device", "cpu", *words)
    assert result.exit_code == 0, result.output
    return load_study(str(data.parent / "s.toml"))


def test_counts_and_times_are_of_the_sets_own_lengths_width_and_classes(tmp_path: Path) -> None:
    data = define(tmp_path, "npy")
    study = study_of(data, "--models", "temporalmaxer,tadtr", "--trial")
    measured = [run for run in study.runs() if run.experiment in ("macs", "inference")]
    assert len(measured) == 4
    for run in measured:
        assert run.feature_lengths == tuple(measured_lengths(load_dataset(data))) == (15, 30, 45, 60)
        assert (run.recipe["feature_dim"], run.recipe["num_classes"]) == (24, 5)
        authors = {"tadtr": ("hidden_dim", 256), "temporalmaxer": ("embed_dim", 512)}[run.model]
        assert run.recipe[authors[0]] == authors[1], "the rest is the authors' size, also in a trial"
    timed = next(run for run in measured if run.experiment == "inference" and run.model == "temporalmaxer")
    adapter = NativeAdapter("temporalmaxer")
    features, lengths = adapter.example_input(30, timed.recipe)
    assert features.shape == (1, 24, 30)
    outputs = adapter.build_for_timing(60, timed.recipe)(features, lengths)
    assert all(5 in level.shape for level in outputs.logits)


def test_videos_of_many_lengths_give_their_percentiles(tmp_path: Path) -> None:
    data = define(tmp_path, "npy", seconds=900.0, channels=8, videos=9)
    assert measured_lengths(load_dataset(data)) == [1125, 2250, 3375, 4500]


def test_both_engines_share_a_recipe_that_the_authors_code_takes(tmp_path: Path) -> None:
    data = define(tmp_path, "npy")
    study = study_of(data, "--models", "tadtr,actionformer", "--engines", "native,upstream", "--trial")
    baselines = {(run.model, run.engine): run.recipe for run in study.runs() if run.experiment == "baseline"}
    assert set(baselines) == {("tadtr", "native"), ("actionformer", "native"), ("actionformer", "upstream")}
    theirs, ours = baselines["actionformer", "upstream"], baselines["actionformer", "native"]
    assert {key: theirs[key] for key in ours} == dict(ours)
    assert theirs["max_seq_len"] == 144 and theirs["levels"] == 4, "18 steps of attention on a level of 8"
    assert theirs["mlp_dim"] == 4 * theirs["embed_dim"]
    assert "# native only: feature_dim = 24: TadTR's own code" in (tmp_path / "s.toml").read_text()
    assert {run.engine for run in study.runs() if run.experiment in ("macs", "inference", "trace")} == {"native"}


def test_what_the_authors_code_alone_cannot_train_is_refused(tmp_path: Path) -> None:
    data = define(tmp_path, "npy")
    result = write_study(data, "--models", "tadtr", "--engines", "upstream")
    assert result.exit_code == 2 and "TadTR's own code cannot be told so" in result.stderr
    assert "--engines native,upstream, or leave out tadtr" in result.stderr
    assert not (tmp_path / "s.toml").exists()
    assert "no engine 'theirs'" in write_study(data, "--engines", "theirs").stderr


@pytest.mark.parametrize("engine", ["upstream", "native,upstream"])
def test_an_engine_that_is_set_for_all_says_what_it_cannot_measure(tmp_path: Path, engine: str) -> None:
    data = define(tmp_path, "npy")
    assert write_study(data, "--models", "tridet").exit_code == 0
    words = ["plan", "--study", str(tmp_path / "s.toml"), "--results", str(tmp_path / "r"), "--set", f"engine={engine}"]
    result = CliRunner().invoke(main, words)
    refused = engine == "upstream"
    assert (result.exit_code == 2) is refused
    assert ("counted and timed at full size" in result.output) is refused


def test_counts_and_times_of_a_sets_own_width_judge_no_claim(tmp_path: Path) -> None:
    study = study_of(define(tmp_path, "npy"), "--models", "tadtr", "--trial")
    store = RunStore(tmp_path / "runs")
    for spec in study.runs():
        if spec.experiment in ("macs", "inference"):
            writer = store.writer(spec)
            quantity = "gmacs" if spec.experiment == "macs" else "latency_ms"
            writer.write_measurements(
                {"quantity": quantity, "feature_length": length, "sample": 0, "value": float(length), "unit": ""}
                for length in spec.feature_lengths
            )
            writer.finish(machine="made up", device="cpu", alone=True, attempts=1)
    runs = load_runs(tmp_path / "runs")
    assert {run.experiment for run in runs.runs} == {"macs", "inference"}
    verdicts = judge_all(load_published(), runs)
    judged = [verdict for verdict in verdicts if verdict.claim.experiment in ("macs", "inference")]
    assert judged and {verdict.measured.verdict for verdict in judged} == {"not run"}
    reasons = {reason for verdict in judged for reason in verdict.measured.unlike}
    assert reasons == {"networks for other channels, classes or levels than THUMOS14's"}


def shortest(study: Path) -> None:
    """Let trainings last two epochs."""
    text = re.sub(r"^epochs = \d+", "epochs = 2", study.read_text(), flags=re.M)
    study.write_text(re.sub(r"^lr_decay_epoch = \d+", "lr_decay_epoch = 1", text, flags=re.M))


def test_run_takes_a_definition_that_was_moved_and_refuses_that_of_another_set(tmp_path: Path) -> None:
    data, moved = define(tmp_path / "first", "npy", videos=6, channels=8), tmp_path / "moved"
    study_of(data, "--models", "tadtr", "--repeats", "1", "--trial")
    study = (tmp_path / "first" / "s.toml").rename(tmp_path / "s.toml")
    shortest(study)
    (tmp_path / "first").rename(moved)
    words = ["run", "--study", str(study), "--results", str(tmp_path / "r"), "--only", "experiment=baseline"]

    def run(*more: str) -> Result:
        return CliRunner().invoke(main, [*words, "--jobs", "1", *more])

    lost = run()
    assert lost.exit_code == 2 and "my-data.toml" in lost.stderr, "it is no longer where the study says"
    other = define(tmp_path / "other", "npy", videos=6, channels=8, classes=4)
    refused = run("--data", str(other))
    assert refused.exit_code != 0 and "the study declares" in refused.output
    assert not load_runs(tmp_path / "r").runs
    assert run("--data", str(moved / "my-data.toml")).exit_code == 0
    (done,) = load_runs(tmp_path / "r").runs
    assert (done.experiment, done.data_name, done.average_map is None) == ("baseline", "my-data", False)
    again = run("--data", str(moved / "my-data.toml"))
    assert again.exit_code == 0 and "1 finished run reused" in again.output


def test_a_study_is_priced_by_what_goes_through_the_network(tmp_path: Path) -> None:
    """Of a trial, seconds as they were measured; of full networks, Table 2's time for the authors' work."""
    data = define(tmp_path, "npy", videos=18, channels=8)
    trial = study_of(data, "--models", "tadtr,tridet", "--trial")
    assert set(trial.run_seconds) == {"tadtr", "tridet", "macs", "inference"}
    assert min(trial.run_seconds.values()) >= 7 and max(trial.run_seconds.values()) < 60
    (tmp_path / "s.toml").unlink()
    full = study_of(data, "--models", "tridet")
    work = full.recipes["tridet"]["epochs"] * len(load_dataset(data).train) * full.recipes["tridet"]["max_seq_len"]
    authors = 3500 * 2 * 2304
    assert full.run_seconds == {"tridet": round(table2_seconds("tridet")[0] * work / authors)}
    run = next(run for run in full.runs() if run.experiment == "baseline")
    priced = published_seconds(run, full.run_seconds)
    assert (priced.seconds, priced.source) == (full.run_seconds["tridet"], "the study file")
