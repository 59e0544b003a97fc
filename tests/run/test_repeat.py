"""The command that `show` prints makes the same run again, in another folder: tested by running it."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from tal_repro.cli import main
from tal_repro.data.synthetic import write_synthetic
from tal_repro.data.synthetic_config import SyntheticConfig
from tal_repro.runs.store import RunStore
from tal_repro.study import Study

SMALL = ["embed_dim=16", "head_dim=16", "levels=3", "regression_ranges=[[0,8],[8,32],[32,10000]]", "max_seq_len=256",
         "epochs=1", "warmup_epochs=0", "batch_size=2", "max_detections=10"]  # fmt: skip
SETTINGS = [word for setting in SMALL for word in ("--set", setting)]


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("data") / "tiny"
    return write_synthetic(out, SyntheticConfig(8, 6, 8, 20, (20.0, 25.0), difficulty=0.1, seed=4))


def call(*words: str, env: dict[str, str] | None = None) -> str:
    result = CliRunner(env=env).invoke(main, list(words), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def shown(store: RunStore, **places: str) -> tuple[dict[str, str], list[str]]:
    """Return variables and words of the one run's command, its placeholders filled in."""
    (record,) = store.records()
    line = call("show", record.folder.name, "--results", str(store.root)).splitlines()[-1]
    assert line.startswith("repeat it: ")
    places = {"FOLDER": str(record.folder), **places}
    words = shlex.split(line.removeprefix("repeat it: "))
    env = dict(word.split("=", 1) for word in words[: words.index("tal-repro")])
    words = words[words.index("tal-repro") + 1 :]
    return env, [_filled(word, places) for word in words]


def _filled(word: str, places: dict[str, str]) -> str:
    first, slash, rest = word.partition("/")
    return places.get(first, first) + slash + rest


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("--percent", "62.5", "--seed", "3"),
        ("--set", "crop_ratio=[0.8, 1.0]", "--set", "budget=steps", "--set", "learning_rate=0.00025"),
        ("--precision", "bf16"),
        ("--trace", "--percent", "50"),
    ],
    ids=" ".join,
)
def test_a_training_is_repeated(
    data_dir: Path,
    tmp_path: Path,
    stand_in: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
) -> None:
    stand_in(epochs=1)
    monkeypatch.setattr("tal_repro.run.experiments.BASELINE_S", 0.2)
    mine, again = RunStore(tmp_path / "mine"), RunStore(tmp_path / "again")
    call("train", "--model", "temporalmaxer", "--data", str(data_dir), "--out", str(mine.root), *SETTINGS, *arguments)
    env, words = shown(mine, DIR=str(data_dir), OTHER_FOLDER=str(again.root))
    call(*words, env=env)
    assert [record.folder.name for record in again.records()] == [record.folder.name for record in mine.records()]


@pytest.mark.parametrize(
    "drawn", [("--percent", "50", "--policy", "stratified"), ("--percent", "100", "--unit", "slice")]
)
def test_a_training_on_a_subset_file_is_repeated_to_the_digit(
    data_dir: Path, tmp_path: Path, drawn: tuple[str, ...]
) -> None:
    mine, again, file = RunStore(tmp_path / "mine"), RunStore(tmp_path / "again"), str(tmp_path / "units.json")
    call("subset", "--data", str(data_dir), "--out", file, *drawn)
    call("train", "--model", "temporalmaxer", "--data", str(data_dir), "--out", str(mine.root), "--subset", file,
         *SETTINGS)  # fmt: skip
    env, words = shown(mine, DIR=str(data_dir), OTHER_FOLDER=str(again.root))
    assert "--subset" in words
    call(*words, env=env)
    (first,), (second,) = mine.records(), again.records()
    assert second.folder.name == first.folder.name
    assert second.metrics["rows"] == first.metrics["rows"]


def test_a_run_of_a_study_is_repeated_under_its_settings(
    mini: Study, tmp_path: Path, tal: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    mine, again = RunStore(tmp_path / "mine"), RunStore(tmp_path / "again")
    one = ("--only", "percent=20,seed=1")
    done = tal("run", "--study", str(mini.path), "--set", "threads=2", "--results", str(mine.root), *one)
    assert done.returncode == 0, done.stderr
    _, words = shown(mine, DIR=str(tmp_path), OTHER_FOLDER=str(again.root))
    assert words[words.index("--set") + 1] == "threads=2"
    repeated = tal(*words)
    assert repeated.returncode == 0, repeated.stderr
    (first,), (second,) = mine.records(), again.records()
    assert second.folder.name == first.folder.name
    assert second.paths.metrics.read_bytes() == first.paths.metrics.read_bytes()
