"""`tal-repro macs`: JSON alone on stdout, valid under its schema; errors that exit with 2."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
from click.testing import CliRunner

import tal_repro
from tal_repro.cli import main

SCHEMA = json.loads((Path(tal_repro.__file__).parent / "schemas" / "macs.json").read_text())


def run(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(main, ["macs", *arguments])
    return result.exit_code, result.stdout, result.stderr


def test_json_of_one_count() -> None:
    code, out, _ = run("--model", "tadtr", "--length", "100", "--no-actionness", "--json")
    count = json.loads(out)
    assert code == 0
    jsonschema.validate(count, SCHEMA)
    assert count["macs"] == sum(count["by_operator"].values()) == 536_550_400
    assert (count["feature_length"], count["padded_length"], count["max_seq_len"]) == (100, 100, None)
    assert count["unsupported_ops"]["aten::softmax"] == 12
    assert 0 < count["native_macs"] < count["macs"]


def test_json_of_several_counts_is_a_list() -> None:
    _, out, _ = run("--model", "tadtr", "--length", "10", "--length", "20", "--json")
    counts = json.loads(out)
    jsonschema.validate(counts, SCHEMA)
    assert [c["feature_length"] for c in counts] == [10, 20]


def test_table_shows_padding_and_both_forms() -> None:
    code, out, err = run("--model", "temporalmaxer", "--length", "200", "--max-seq-len", "576")
    assert code == 0
    row = out.splitlines()[1].split()
    assert row[:4] == ["temporalmaxer", "200", "576", "5.872822272"]
    assert float(row[4]) < 5.872822272
    assert "aten::max_pool1d" in out
    assert "counting temporalmaxer" in err


def test_errors_exit_with_2() -> None:
    for arguments, words in (
        (("--model", "tadrt"), "unknown model 'tadrt'"),
        (("--model", "tadtr", "--length", "0"), "length 0"),
        (("--model", "temporalmaxer", "--model", "tadtr", "--max-seq-len", "576"), "means nothing to tadtr"),
        (("--model", "temporalmaxer", "--max-seq-len", "600"), "not a multiple of the coarsest stride 32"),
        (("--model", "actionformer", "--length", "100", "--max-seq-len", "608"), "not a multiple of 576"),
    ):
        code, out, err = run(*arguments)
        assert (code, out) == (2, "")
        assert words in err
        assert "remedy" in err or "1..1000000" in err
        assert "counting temporalmaxer" not in err or "stride" in words


def test_without_a_model_the_four_of_the_study_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    from tal_repro.measure.macs import MacCount

    made_up = MacCount("", 1000, 1000, None, 1, {}, {})
    asked: list[str] = []
    monkeypatch.setattr(
        "tal_repro.commands.macs._count", lambda model, *_: (asked.append(model), (made_up, made_up))[1]
    )
    assert run()[0] == 0 and asked == ["tadtr", "actionformer", "tridet", "temporalmaxer"]
