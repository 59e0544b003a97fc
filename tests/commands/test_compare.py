"""`tal-repro compare`: known ratios of made-up machines, intervals, and systems that cannot be compared."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from click.testing import CliRunner

sys.path.insert(0, str(Path(__file__).parent.parent / "paper"))
from made_up_runs import seal, training

import tal_repro
from tal_repro.cli import main
from tal_repro.measure.compare import Key, compare
from tal_repro.runs.store import RunStore
from tal_repro.spec import RunSpec

SCHEMA = json.loads((Path(tal_repro.__file__).parent / "schemas" / "compare.json").read_text())
KEY = Key("tadtr", "native", "latency_ms", 100)


def run(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(main, ["compare", *arguments])
    return result.exit_code, result.stdout, result.stderr


@pytest.fixture
def machine(tmp_path: Path) -> Callable[..., str]:
    """Write made-up inference runs of one machine: times are `factor` times the length, with a spread of 1 %."""

    def make(
        name: str, factor: float, lengths: tuple[int, ...] = (100, 200), alone: bool = True, **settings: Any
    ) -> str:
        folder = tmp_path / name
        settings = {"recipe": {}, **settings}
        spec = RunSpec("inference", "tadtr", "native", "1", feature_lengths=lengths, seed=len(name), **settings)
        writer = RunStore(folder).writer(spec)
        draw = np.random.default_rng(0)
        rows = [
            {"quantity": "latency_ms", "feature_length": n, "sample": i, "unit": "ms",
             "value": factor * n * (1 + 0.01 * draw.standard_normal())}
            for n in lengths for i in range(20)
        ]  # fmt: skip
        rows.append({"quantity": "build_ms", "feature_length": 0, "sample": 0, "unit": "ms", "value": 10 * factor})
        writer.write_measurements(rows)
        writer.write_json("system", {"machine": f"Made-up {name}", "alone": alone})
        writer.finish()
        return str(folder)

    return make


def test_a_machine_twice_as_fast(machine: Callable[..., str]) -> None:
    code, out, err = run(machine("slow", 2.0), machine("quick", 1.0, alone=False), "--json")
    assert code == 0, err
    answer = json.loads(out)
    jsonschema.validate(answer, SCHEMA)
    assert (answer["a"]["machine"], answer["b"]["doubtful"]) == ("Made-up slow", True)
    timed = [row for row in answer["ratios"] if row["quantity"] == "latency_ms"]
    assert [row["feature_length"] for row in timed] == [100, 200]
    for row in timed:
        low, high = row["interval_95"]
        assert low <= row["ratio"] <= high
        assert row["ratio"] == pytest.approx(0.5, rel=0.01)
        assert high - low < 0.02
    (built,) = (row for row in answer["ratios"] if row["quantity"] == "build_ms")
    assert (built["ratio"], built["interval_95"]) == (0.5, None)


def test_only_what_both_have_is_compared(machine: Callable[..., str]) -> None:
    code, out, _ = run(machine("a", 1.0, (100, 400)), machine("bb", 1.0, (100, 800)), "--quantity", "latency_ms")
    assert code == 0
    assert "not compared: 1 that only A has, 1 that only B has" in out
    assert " 400" not in out


def test_trainings_are_compared_on_the_same_data_and_recipe_only(tmp_path: Path) -> None:
    for name, factor, epochs in (("a", 1.0, 15), ("b", 0.5, 15), ("c", 0.5, 16)):
        for seed in range(5):
            training(
                tmp_path / name, "tadtr", 50.0, experiment="baseline", seed=seed, recipe={"epochs": epochs},
                seconds=factor * (100 + seed), machine=f"Made-up {name}",
            )  # fmt: skip
    code, out, err = run(str(tmp_path / "a"), str(tmp_path / "b"), "--json")
    assert code == 0, err
    answer = json.loads(out)
    jsonschema.validate(answer, SCHEMA)
    (row,) = answer["ratios"]
    assert (row["quantity"], row["ratio"], row["samples"]) == ("train_seconds", 102 / 204, [5, 5])
    assert row["of"].startswith("synthetic-demo (SYNTHETIC), recipe ")
    assert row["interval_95"][0] < 0.5 < row["interval_95"][1]
    assert run(str(tmp_path / "a"), str(tmp_path / "c"))[0] == 2  # other recipes never meet


@pytest.mark.parametrize(
    "other", [{"recipe": {"queries": 100}}, {"threads": 2}, {"precision": "bf16"}, {"options": {"include": "all"}}]
)
def test_times_at_other_settings_never_meet(machine: Callable[..., str], other: dict[str, Any]) -> None:
    first = machine("a", 1.0)
    code, _, err = run(first, machine("bb", 1.0, **other))
    assert (code, "no measurement in common" in err) == (2, True)
    assert err.count("tadtr native (recipe ") == 2  # what each has is named
    machine("pooled", 1.0)
    code, out, _ = run(first, machine("pooled", 9.0, **other), "--quantity", "latency_ms", "--json")
    assert [row["ratio"] for row in json.loads(out)["ratios"]] == pytest.approx([1.0, 1.0])  # not one of 1 and 9


def test_few_samples_have_no_interval() -> None:
    few, many = [1.0, 1.1, 1.2, 1.3], [1.0, 1.1, 1.2, 1.3, 1.4]
    for a, b, known in ((few, many, False), (many, few, False), (many, many, True)):
        (row,) = compare({KEY: a}, {KEY: b}, {})
        assert (row.low is not None, row.high is not None) == (known, known)


def test_a_shipped_system_is_found_from_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    _, _, err = run("no-such-system", "none")
    assert "one of: " in err and "cpu-2core-epyc-zen3" in err


@pytest.mark.parametrize("value", ["-3", "nan", "inf", ""])
def test_a_time_that_cannot_be_is_refused_by_file_and_line(machine: Callable[..., str], value: str) -> None:
    first, second = machine("a", 1.0), machine("bb", 1.0)
    (path,) = Path(second).rglob("measurements.csv")
    lines = path.read_text().splitlines()
    cells = lines[3].split(",")
    cells[lines[0].split(",").index("value")] = value
    path.write_text("\n".join([*lines[:3], ",".join(cells), *lines[4:]]) + "\n")
    seal(path.parent)
    code, out, err = run(first, second)
    assert (code, out) == (2, "")
    assert f"{path}:4" in err and "not a measurement" in err and value in err


def test_intervals_hold_what_they_say() -> None:
    draw = np.random.default_rng(1)
    held = 0
    for trial in range(60):
        a, b = draw.normal(10, 1, 30).tolist(), draw.normal(15, 1, 30).tolist()
        (row,) = compare({KEY: a}, {KEY: b}, {}, seed=trial)
        assert row.low is not None and row.high is not None
        held += row.low <= 1.5 <= row.high
    assert held >= 52  # 95 % of 60 is 57


def test_bad_input_exits_with_2(machine: Callable[..., str], tmp_path: Path) -> None:
    first = machine("a", 1.0, (100,))
    (tmp_path / "none").mkdir()
    for other, words in (("no-such-system", "no finished runs"), (str(tmp_path / "none"), "no finished runs")):
        code, out, err = run(first, other)
        assert (code, out) == (2, "")
        assert words in err
        assert "remedy" in err
