"""`tal-repro bench inference`: rows a figure can draw, JSON under its schema, limits, and bad input."""

from __future__ import annotations

import functools
import json
import os
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from click.testing import CliRunner

import tal_repro
from tal_repro.cli import main
from tal_repro.commands.bench_inference import LENGTHS, parse_lengths, summarise
from tal_repro.errors import InputError
from tal_repro.measure.latency import Effort
from tal_repro.runs.load import load_runs
from tal_repro.runs.run import measurements
from tal_repro.runs.store import RunStore

SCHEMA = json.loads((Path(tal_repro.__file__).parent / "schemas" / "bench-inference.json").read_text())


def run(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(main, ["bench", "inference", *arguments])
    return result.exit_code, result.stdout, result.stderr


def test_one_model_is_timed_stored_and_reused(tmp_path: Path) -> None:
    arguments = ("--model", "tadtr", "--lengths", "8,16", "--samples", "2", "--results", str(tmp_path), "--json")
    code, out, err = run(*arguments)
    assert code == 0, err
    answer = json.loads(out)
    jsonschema.validate(answer, SCHEMA)
    (result,) = answer["results"]
    assert [row["feature_length"] for row in result["lengths"]] == [8, 16]
    assert all(row["samples"] == 2 and row["p10_ms"] <= row["median_ms"] <= row["p90_ms"] for row in result["lengths"])
    assert result["linearity"]["verdict"] == "undecided"
    (record,) = RunStore(tmp_path).records()
    assert record.damaged() == []
    assert record.status["state"] == "done"
    runs = load_runs(tmp_path)
    assert runs.problems == ()
    drawn = list(measurements(runs.of("inference"), "latency_ms"))
    assert sorted((row.feature_length, row.sample) for row in drawn) == [(8, "0"), (8, "1"), (16, "0"), (16, "1")]
    again = run(*arguments)
    assert json.loads(again[1]) == answer
    assert "reused" in again[2]


def test_post_processing_has_a_quantity_of_its_own(tmp_path: Path) -> None:
    code, out, err = run(
        "--model", "temporalmaxer", "--lengths", "64", "--samples", "1", "--include", "post", "--results", str(tmp_path)
    )
    assert code == 0, err
    assert "temporalmaxer (native, post)" in out
    (record,) = RunStore(tmp_path).records()
    quantities = set(record.measurements["quantity"])
    assert "post_latency_ms" in quantities
    assert "latency_ms" not in quantities


def test_lengths() -> None:
    assert parse_lengths("200,100,200") == (100, 200)
    assert parse_lengths("100:300:100") == (100, 200, 300)
    assert parse_lengths("100:30000") == LENGTHS
    assert parse_lengths("150:500") == (150, 200, 400, 500)
    for wrong in ("", "0", "-5", "a", "100:50", "1:2:3:4", "1:5:0", "100,,200", "2000000", "1:1000000:1"):
        with pytest.raises(InputError, match="lengths"):
            parse_lengths(wrong)


def test_a_length_that_did_not_fit_is_shown_as_a_limit() -> None:
    def row(quantity: str, length: int, value: float) -> dict[str, Any]:
        return {"quantity": quantity, "feature_length": length, "sample": 0, "value": value, "unit": "ms"}

    rows = [row("build_ms", 0, 5.0), row("out_of_memory", 200, 1.0), row("collection_ms", 0, 2.0)]
    rows += [row("latency_ms", 100, value) for value in (1.0, 2.0, 9.0)]
    found = summarise(rows)
    assert found["lengths"][1] == {"feature_length": 200, "out_of_memory": True}
    assert (found["lengths"][0]["median_ms"], found["lengths"][0]["samples"]) == (2.0, 3)


def test_bad_input_exits_with_2(tmp_path: Path) -> None:
    for arguments, words in (
        (("--model", "tadrt"), "unknown model 'tadrt'"),
        (("--lengths", "0"), "lengths '0'"),
        (("--device", "tpu"), "device 'tpu'"),
        (("--device", "cuda:99"), "no such device: cuda:99"),
        (("--device", "cuda:"), "device 'cuda:'"),
    ):
        code, out, err = run(*arguments, "--results", str(tmp_path))
        assert (code, out) == (2, ""), arguments
        assert words in err
        assert "remedy" in err
    assert list(tmp_path.iterdir()) == []


def test_a_machine_that_is_not_quiet_is_said_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    around = {"cpu_mean_percent": 80.0, "load_1min": 3.0}
    monkeypatch.setattr("tal_repro.measure.surroundings.look_around", lambda *_: around)
    monkeypatch.setattr("tal_repro.measure.surroundings.SHORTEST_S", 1000)  # who uses the processor meanwhile: not told
    arguments = ("--model", "tadtr", "--lengths", "8", "--samples", "1", "--results", str(tmp_path), "--json")
    code, out, err = run(*arguments)
    assert code == 0, err
    assert "this machine is not quiet, times are doubtful: others use 80 % of the CPU" in err
    assert json.loads(out)["results"][0]["doubtful"] == ["others use 80 % of the CPU"]
    (record,) = RunStore(tmp_path).records()
    assert record.system["alone"] is False
    assert json.loads(record.paths.details.read_text())["surroundings"]["before"] == around


@pytest.mark.parametrize("command", [("inference",), ("limit",), ("attribution", "--data", ".")])
def test_a_device_that_another_process_holds_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise RuntimeError("CUDA error: all CUDA-capable devices are busy or unavailable\nmore")

    monkeypatch.setattr("torch.zeros", refuse)
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(main, ["bench", *command, "--model", "tadtr"])
    assert result.exit_code == 2
    assert "cpu cannot be used (CUDA error: all CUDA-capable devices are busy or unavailable)" in result.stderr
    assert "who uses it: nvidia-smi" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_process_that_is_killed_while_it_times_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tal_repro.commands.bench_inference._measure_one", _die)
    code, out, err = run("--model", "tadtr", "--engine", "upstream", "--results", str(tmp_path))
    assert (code, out) == (2, "")
    assert "the process that timed tadtr was killed" in err
    assert "bench limit" in err


def _die(*_: Any) -> None:
    os.kill(os.getpid(), 9)


def test_a_length_whose_calls_never_agree_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tal_repro.measure.latency.Effort", functools.partial(Effort, stable_within=-1.0))
    code, out, err = run("--model", "tadtr", "--lengths", "8,16", "--samples", "1", "--results", str(tmp_path))
    assert code == 0, err
    assert "not warm: the calls before the samples never agreed at 8, 16 steps" in out


def test_the_largest_length_up_to_a_cap() -> None:
    result = CliRunner().invoke(main, ["bench", "limit", "--model", "tadtr", "--from", "8", "--to", "16"])
    assert (result.exit_code, result.stdout) == (0, "16\n")
    assert "nothing longer was tried" in result.stderr
    refused = CliRunner().invoke(main, ["bench", "limit", "--model", "tadtr", "--from", "20", "--to", "10"])
    assert refused.exit_code == 2
    assert "lengths from 20 to 10" in refused.stderr
