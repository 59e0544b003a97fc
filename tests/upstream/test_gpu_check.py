"""gpu-check and the authors' code, on a CPU in a card's place: their script takes steps and tells their time."""

from __future__ import annotations

from pathlib import Path

import pytest

from tal_repro.gpu_check.evidence import authors_task, make_data, models_of_authors, run_task
from tal_repro.models.registry import OF_AUTHORS

pytestmark = pytest.mark.upstream
MODEL = "temporalmaxer"


def test_the_authors_script_takes_steps_and_tells_how_long_one_takes(tmp_path: Path) -> None:
    there = models_of_authors()
    if MODEL not in there:
        pytest.skip("its checkout is not there: run `make submodules`, or set TAL_REPRO_THIRD_PARTY")
    assert set(there) <= set(OF_AUTHORS)
    (line,) = run_task(authors_task(MODEL, "cpu", make_data(tmp_path), small=True))
    assert line.get("problem") is None
    assert line["did"] == f"authors {MODEL}" and line["step_ms"] > 0
