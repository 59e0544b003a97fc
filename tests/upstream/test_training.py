"""The authors' own code under the kit (marker `upstream`): units, phases, mAP, untouched losses, and their defaults."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from functools import reduce
from operator import getitem
from pathlib import Path
from typing import Any

import pytest

from benchmarks import upstream_check
from tal_repro.engines.upstream import settings
from tal_repro.engines.upstream.checkout import checkout_folder, status
from tal_repro.models.registry import OF_STUDY, model_entry

# Our names for what the authors' configuration calls otherwise or writes in another form.
PAPER = {"epochs": 15, "lr_decay_epoch": 14}  # Table 1; TadTR's own default is 16 epochs
READ_PYRAMID = """
import json, sys
sys.path.insert(0, sys.argv[1])
import yaml
from libs.core.config import load_config
print(json.dumps(load_config(sys.argv[2]), default=str))
"""
READ_TADTR = """
import json, sys
sys.path.insert(0, sys.argv[1])
from opts import cfg, update_cfg_from_file
update_cfg_from_file(cfg, sys.argv[2])
print(json.dumps(dict(cfg), default=str))
"""

pytestmark = [pytest.mark.upstream, pytest.mark.timeout(3600)]


@pytest.fixture(params=OF_STUDY)
def model(request: pytest.FixtureRequest) -> str:
    """A model whose checkout is there."""
    found = status(request.param)
    if not found.present:
        pytest.skip(f"{found.folder} is empty: run `make submodules`, or set TAL_REPRO_THIRD_PARTY")
    assert found.problem == "", f"{found.problem}; {found.remedy}"
    return str(request.param)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return upstream_check.make_data(tmp_path_factory.mktemp("data") / "small")


def test_it_trains_on_the_units_asked_and_says_what_the_kit_says(model: str, data: Path, tmp_path: Path) -> None:
    row = upstream_check.check(model, data, tmp_path)
    assert row.get("checks"), row["summary"]
    assert row["ids_used"] == row["ids_asked"] and row["ids_used"]
    assert abs(1 - row["phases_over_wall"]) <= 0.02
    assert all(abs(one["kit_map"] - one["upstream_printed_map"]) <= 1e-4 for one in row["own_print"])  # 0.01 points
    assert len(row["own_print"]) >= 2
    assert row["losses_compared"] > 0 and row["losses_equal"]


def test_the_authors_defaults_are_our_recipe(model: str) -> None:
    theirs = read_defaults(model)
    recipe = dataclasses.asdict(model_entry(model).recipe)
    if model == "tadtr":
        pairs = {field: theirs[key] for field, key in settings._TADTR.items()}
        assert theirs["epochs"] == 16 and theirs["lr_step"] == [PAPER["lr_decay_epoch"]]
        pairs |= {"epochs": PAPER["epochs"], "sampling_points": theirs["enc_n_points"]}
        assert theirs["enc_n_points"] == theirs["dec_n_points"]
    else:
        known = {**settings._PYRAMID, **settings._OWN[model]}
        pairs = {field: reduce(getitem, key.split("."), theirs[section]) for field, (section, key) in known.items()}
        pairs["epochs"] = theirs["opt"]["epochs"] + theirs["opt"]["warmup_epochs"]
    different = {
        field: (value, recipe[field]) for field, value in pairs.items() if plain(value) != plain(recipe[field])
    }
    assert different == {}
    assert len(pairs) > 20


def read_defaults(model: str) -> dict[str, Any]:
    """Let the authors' own reader fill in what their file leaves out (in a process: three own a package `libs`)."""
    tree = checkout_folder(model_entry(model))
    code = READ_TADTR if model == "tadtr" else READ_PYRAMID
    command = [sys.executable, "-c", code, str(tree), str(tree / settings.CONFIG_FILE[model])]
    answer = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ}, cwd=tree)
    found: dict[str, Any] = json.loads(answer.stdout.splitlines()[-1])
    return found


def plain(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    return float(value) if isinstance(value, int | float) else value
