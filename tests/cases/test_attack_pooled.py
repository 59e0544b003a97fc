"""Two recipes, and a set that only calls itself THUMOS14: never one row of a table, and no claim is judged by them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tal_repro.cli import main
from tal_repro.data.synthetic import write_synthetic
from tal_repro.data.synthetic_config import SyntheticConfig
from tal_repro.planned import keep
from tal_repro.study import Study, load_study
from tests.runs.test_members import finished

TEXT = """
schema = "tal-repro/study/1"
name = "{name}"
[data]
name = "{data}"
version = "i3d"
[defaults]
engines = ["native"]
device = "cpu"
[[experiments]]
experiment = "baseline"
models = ["tadtr"]
seeds = {seeds}
[recipes.tadtr]
epochs = {epochs}
"""


def study(folder: Path, name: str, epochs: int, seeds: str, data: str = "thumos14") -> Study:
    path = folder / f"{name}.toml"
    path.write_text(TEXT.format(name=name, epochs=epochs, seeds=seeds, data=data))
    return load_study(str(path))


@pytest.fixture
def quick(tmp_path: Path) -> Study:
    return study(tmp_path, "quick", 2, "[0, 1, 2]")


@pytest.fixture
def mix(tmp_path: Path, quick: Study) -> Path:
    """One results folder with the runs of two recipes."""
    root = tmp_path / "mix"
    for number, of in enumerate((quick, study(tmp_path, "long", 20, "[0, 1]"))):
        for spec in of.runs():
            finished(root, spec, 40.0 + 20 * number)
        keep(root, of, "core", of.runs(), {})
    return root


def call(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


def measured_rows(result: Result) -> list[str]:
    assert result.exit_code == 0, result.output
    return [line for line in result.stdout.splitlines() if line.startswith("| TadTR | measured")]


def test_two_recipes_are_never_one_mean(mix: Path) -> None:
    refused = call("table", 2, "--results", mix)
    assert refused.exit_code == 2 and "holds runs of 2 studies: long, quick" in refused.stderr
    for name, n, mean in (("quick", 3, "40.0"), ("long", 2, "60.0")):
        result = call("table", 2, "--results", mix, "--study", name)
        (line,) = measured_rows(result)
        assert f"| {n} |" in line and mean in line
        assert "warning: 2 runs left out: other recipe (epochs)" in result.stderr


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"threads": 2}, "other threads (2)"),
        ({"precision": "bf16"}, "other precision (bf16)"),
        ({"engine_version": "0"}, "other engine version (0)"),
    ],
)
def test_settings_and_versions_are_never_one_mean(
    tmp_path: Path, quick: Study, change: dict[str, str], reason: str
) -> None:
    for spec in quick.runs():
        finished(tmp_path / "r", spec, 40.0)
        finished(tmp_path / "r", replace(spec, **change), 90.0)
    keep(tmp_path / "r", quick, "core", quick.runs(), {})
    result = call("table", 2, "--results", tmp_path / "r")
    (line,) = measured_rows(result)
    assert "| 3 |" in line and "40.0" in line and f"3 runs left out: {reason}" in result.stderr


def test_a_set_that_only_calls_itself_thumos14_is_refused(tmp_path: Path, quick: Study) -> None:
    data = write_synthetic(tmp_path / "D", SyntheticConfig(8, 5, 16, 3, (15.0, 20.0), difficulty=0.1, seed=4))
    for path in data.rglob("*.json"):
        content = json.loads(path.read_text())
        content.pop("synthetic", None)
        path.write_text(json.dumps(content))
    result = call("run", "--study", quick.path, "--results", tmp_path / "r", "--data", data)
    assert result.exit_code == 2 and "D: its annotations hash to" in result.stderr, result.output
    assert not list((tmp_path / "r").glob("baseline/*/*"))


def test_runs_of_such_a_set_judge_no_claim(tmp_path: Path) -> None:
    own = study(tmp_path, "mine", 35, "[0, 1, 2, 3, 4]", data="kitchens")
    for spec in own.runs():
        finished(tmp_path / "r", spec, 99.0)
    keep(tmp_path / "r", own, "core", own.runs(), {})
    claims = json.loads(call("verify", "--json", "--results", tmp_path / "r").stdout)["claims"]
    assert {claim["verdict_measured"] for claim in claims} == {"not run"}
    assert {"5 runs cannot judge a claim about THUMOS14: not THUMOS14, by its annotations"} <= {
        claim["measured_reason"] for claim in claims
    }
