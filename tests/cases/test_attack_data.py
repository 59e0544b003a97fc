"""Features change in place: the same study trains into folders of its own, says what changed, and pools nothing."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from tal_repro.cli import main
from tal_repro.data.synthetic import write_synthetic
from tal_repro.data.synthetic_config import SyntheticConfig
from tal_repro.run import start
from tal_repro.run.datasets import dataset_for_unit
from tal_repro.run.inputs import Inputs
from tal_repro.run.runner import Summary
from tal_repro.runs.run import REPORTED, TIOUS
from tal_repro.runs.store import RunStore

STUDY = """
schema = "tal-repro/study/1"
name = "mine"
[data]
name = "mine"
version = "1"
[defaults]
engines = ["native"]
device = "cpu"
[[experiments]]
experiment = "baseline"
models = ["temporalmaxer"]
seeds = {seeds}
[recipes.temporalmaxer]
epochs = 2
feature_dim = 16
num_classes = 3
"""


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A set of somebody's own: no generator vouches for its values."""
    folder = write_synthetic(tmp_path / "D", SyntheticConfig(6, 5, 16, 3, (15.0, 20.0), difficulty=0.1, seed=4))
    for path in folder.rglob("*.json"):
        path.write_text(json.dumps({k: v for k, v in json.loads(path.read_text()).items() if k != "synthetic"}))
    return folder


@pytest.fixture(autouse=True)
def untrained(monkeypatch: pytest.MonkeyPatch, data: Path) -> None:
    """Let a run be finished without a training; of what its data is, everything is as `run` leaves it."""

    def finish(_: Any, pending: Any, store: RunStore, *more: Any) -> Summary:
        for run in pending:
            inputs, writer = Inputs(data, store.root), store.writer(run.spec)
            note = inputs.note(run.spec.model)
            selection, weights, protocol = REPORTED[run.spec.model]
            rows = [
                {"epoch": 1, "selection": selection, "weights": weights, "protocol": protocol, "tiou": tiou, "ap": 0.5}
                for tiou in TIOUS
            ]
            writer.write_metrics(rows, optimizer_steps=1, seconds={}, table2_seconds=1.0, table2_definition="none")
            writer.write_json("data", {"digest": run.spec.data_digest})
            writer.finish(layout=note.layout, data_set=note.digest[:16], study="mine")
        return Summary({run.spec.run_id: "done" for run in pending})

    monkeypatch.setattr(start, "_run_on", finish)


def run(tmp_path: Path, seeds: str, version: str = "1") -> Result:
    (tmp_path / "mine.toml").write_text(STUDY.format(seeds=seeds).replace('version = "1"', f'version = "{version}"'))
    words = ["run", "--study", str(tmp_path / "mine.toml"), "--results", str(tmp_path / "r"), "--data", "D"]
    result = CliRunner().invoke(main, [*words[:-1], str(tmp_path / "D")])
    assert result.exit_code == 0, result.output
    return result


def table(tmp_path: Path, *words: str) -> Result:
    return CliRunner().invoke(main, ["table", "2", "--results", str(tmp_path / "r"), *words])


def digests(tmp_path: Path) -> list[str]:
    return [record.folder.name.partition("-")[2] for record in RunStore(tmp_path / "r").records()]


def test_changed_features_are_other_data(data: Path, tmp_path: Path) -> None:
    run(tmp_path, "[0, 1, 2]")
    (before,) = set(digests(tmp_path))
    assert "reused" in run(tmp_path, "[0, 1, 2]").stderr and digests(tmp_path) == [before] * 3
    earlier = {path: path.read_bytes() for path in data.rglob("*.npy")}
    for path in earlier:
        np.save(path, np.random.default_rng(0).random(np.load(path).shape, np.float32))
    told = run(tmp_path, "[0, 1, 2, 3]").stderr
    assert "the data has changed since 3 finished runs: features of 11 videos; made anew, beside" in told, told
    after = next(digest for digest in digests(tmp_path) if digest != before)
    assert sorted(digests(tmp_path)) == sorted([before] * 3 + [after] * 4), "nothing reused, nothing overwritten"
    refused = table(tmp_path)
    assert refused.exit_code == 2 and "2 states of its data" in refused.stderr, "never one mean of two data sets"
    chosen = refused.stderr.rpartition("--data-digest ")[2].strip()
    assert "| 1.0 ± 0.0 | 50.00 ± 0.00 | 4 |" in table(tmp_path, "--data-digest", chosen).stdout
    for path, content in earlier.items():
        path.write_bytes(content)
    back = run(tmp_path, "[0, 1, 2]").stderr
    assert "those of the data as it is now are here already" in back and "3 finished runs reused" in back, back


def test_runs_of_a_data_set_that_is_declared_otherwise_are_told_and_kept(data: Path, tmp_path: Path) -> None:
    run(tmp_path, "[0, 1, 2]")
    earlier = digests(tmp_path)
    assert "of other data" not in run(tmp_path, "[0, 1, 2]").stderr
    (tmp_path / "mine.toml").write_text(STUDY.format(seeds="[1, 2, 3]").replace('version = "1"', 'version = "2"'))
    words = ["plan", "--study", str(tmp_path / "mine.toml"), "--results", str(tmp_path / "r")]
    said = "2 finished runs are of other data (another name of the set, or other annotations): they are kept, and not"
    assert said in CliRunner().invoke(main, words).stdout
    assert said in run(tmp_path, "[1, 2, 3]", version="2").stderr
    assert sorted(digests(tmp_path)) == sorted(earlier * 2), "nothing reused, nothing overwritten"
    assert said not in run(tmp_path, "[1, 2, 3]", version="2").stderr, "all are here"


@pytest.mark.parametrize(("seed", "others"), [("0", 1), ("1", 0)])
def test_a_training_after_a_changed_annotation_tells_of_the_run_before(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: str, others: int
) -> None:
    def finish(spec: Any, store: RunStore, *_: Any) -> None:
        store.writer(spec).finish()
        sys.exit(0)

    def train(seed: str) -> str:
        words = ["--model", "temporalmaxer", "--data", str(data), "--out", str(tmp_path / "r"), "--seed", seed]
        dataset_for_unit.cache_clear()
        result = CliRunner().invoke(main, ["train", *words])
        assert result.exit_code == 0, result.output
        return result.stderr

    monkeypatch.setattr("tal_repro.commands.train._execute", finish)
    assert "of other data" not in train("0")
    for path in data.rglob("thumos14.json"):
        content = json.loads(path.read_text())
        entry = next(entry for entry in content["database"].values() if entry["annotations"])
        entry["annotations"][0]["segment"][1] -= 0.2
        path.write_text(json.dumps(content))
    assert train(seed).count("1 finished run is of other data") == others


def test_a_changed_set_is_told_before_its_new_fingerprint(data: Path, tmp_path: Path) -> None:
    verified = [CliRunner().invoke(main, ["data", "verify", str(data)]).output]
    path = next(data.rglob("*.npy"))
    np.save(path, np.load(path) + 1)
    verified.append(CliRunner().invoke(main, ["data", "verify", str(data)]).output)
    changed = "warning: the actionformer layout changed since its last check: fingerprint"
    assert changed not in verified[0] and "runs made before are of other data" in verified[1]
    assert 0 < verified[1].index(changed) < verified[1].index("fingerprint written to")
