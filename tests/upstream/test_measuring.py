"""Times and attribution of the authors' own code (marker `upstream`): each model, each part, with the native's MACs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import tal_repro
from benchmarks import upstream_check
from tal_repro.engines.macs_process import count_apart
from tal_repro.engines.upstream.checkout import status
from tal_repro.measure.macs import count_macs
from tal_repro.models.registry import OF_STUDY

pytestmark = [pytest.mark.upstream, pytest.mark.timeout(1800)]
SCHEMAS = Path(tal_repro.__file__).parent / "schemas"
LENGTH = 256
QUANTITY = {"model": "latency_ms", "post": "post_latency_ms", "all": "full_latency_ms"}


@pytest.fixture(params=OF_STUDY)
def model(request: pytest.FixtureRequest) -> str:
    """A model whose checkout is there."""
    found = status(request.param)
    if not found.present:
        pytest.skip(f"{found.folder} is empty: run `make submodules`, or set TAL_REPRO_THIRD_PARTY")
    return str(request.param)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return upstream_check.make_data(tmp_path_factory.mktemp("data") / "small")


def bench(schema: str, *words: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "tal_repro", "bench", *words, "--engine", "upstream", "--json"]
    answer = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ})
    assert answer.returncode == 0, answer.stderr
    found: dict[str, Any] = json.loads(answer.stdout)
    jsonschema.validate(found, json.loads((SCHEMAS / f"{schema}.json").read_text()))
    return found


def test_model_and_post_processing_are_timed_apart(model: str, tmp_path: Path) -> None:
    medians = {}
    for include in QUANTITY:
        words = ("--model", model, "--lengths", str(LENGTH), "--samples", "1", "--include", include)
        found = bench("bench-inference", "inference", *words, "--results", str(tmp_path / include))
        (result,) = found["results"]
        (row,) = result["lengths"]
        medians[include] = row["median_ms"]
    assert all(value > 0 for value in medians.values())
    assert medians["post"] < medians["all"]


def test_the_whole_pass_has_the_macs_that_the_native_engine_counts_for_it(model: str) -> None:
    counted = count_apart(model, "upstream", LENGTH)["macs"]
    assert counted == pytest.approx(count_macs(model, LENGTH, None, upstream_form=True).macs, rel=1e-3)


def test_a_training_step_is_attributed(model: str, data: Path) -> None:
    settings = [f"--set={key}={value}" for key, value in upstream_check.SETTINGS[model].items() if key != "epochs"]
    found = bench("attribution", "attribution", "--model", model, "--data", str(data), "--steps", "2", *settings)
    assert found["engine"] == "upstream" and found["steps"] == 2
    assert sum(found["host"].values()) == pytest.approx(1)
    assert found["verdict"].startswith(f"{model} upstream on cpu: ")
    assert found["loader_functions"] and found["operators"]
