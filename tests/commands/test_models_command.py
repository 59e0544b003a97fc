"""`tal-repro models`: the list, its JSON, and the way to the subcommands."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
from click.testing import CliRunner

import tal_repro
from tal_repro.cli import main
from tal_repro.commands import models as command
from tal_repro.models import MODELS

SCHEMA = json.loads((Path(tal_repro.__file__).parent / "schemas" / "models.json").read_text())
PARAMETERS = {"tadtr": 8_661_594, "actionformer": 29_251_612, "tridet": 15_989_604, "temporalmaxer": 7_117_852}


def test_json_lists_every_model() -> None:
    result = CliRunner().invoke(main, ["models", "--no-macs", "--json"])
    assert result.exit_code == 0
    listed = json.loads(result.stdout)
    jsonschema.validate(listed, SCHEMA)
    assert all(row["native"] for row in listed["models"] if row["name"] in PARAMETERS)
    assert [row["name"] for row in listed["models"]] == list(MODELS)
    found = {row["name"]: row["parameters"] for row in listed["models"]}
    assert {name: found[name] for name in PARAMETERS} == PARAMETERS


def test_macs_are_at_the_training_length() -> None:
    row = command.describe("tadtr", with_macs=True)
    assert (row["training_length"], row["macs"]) == (128, 679_161_856)


def test_table_names_sources_and_licences() -> None:
    out = CliRunner().invoke(main, ["models", "--no-macs"]).stdout
    line = next(line for line in out.splitlines() if line.startswith("temporalmaxer"))
    assert "7 117 852" in line
    assert line.endswith("none")
    assert "TemporalMaxer: Tang et al., 2023; TuanTNG/TemporalMaxer@4030cdf" in out


def test_without_torch_the_list_still_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "_has_torch", lambda: False)
    result = CliRunner().invoke(main, ["models"])
    assert result.exit_code == 0
    assert "Without torch" in result.stdout


def test_help_lists_the_subcommands() -> None:
    out = CliRunner().invoke(main, ["models", "--help"]).stdout
    assert "check" in out
    assert "new" in out
    assert CliRunner().invoke(main, ["models", "nosuch"]).exit_code == 2


def test_a_model_of_the_authors_code_alone_has_no_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    import dataclasses

    from tal_repro.errors import InputError
    from tal_repro.measure.macs import count_macs

    foreign = dataclasses.replace(MODELS["tridet"], name="foreign", adapter="some.module")
    monkeypatch.setitem(MODELS, "foreign", foreign)
    row = command.describe("foreign", with_macs=True)
    assert (row["native"], row["parameters"], row["macs"], row["training_length"]) == (False, None, None, None)
    jsonschema.validate({"schema": "tal-repro/models/1", "models": [row]}, SCHEMA)
    with pytest.raises(InputError, match="no native model"):
        count_macs("foreign", 100)
