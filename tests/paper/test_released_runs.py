"""Runs of `released` in verify and report: beside the published mAP of their protocol, and nowhere else."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import made_up_runs
import pytest
from click.testing import CliRunner

from tal_repro.cli import main
from tal_repro.paper import released_runs
from tal_repro.runs.load import load_runs

ROOT = Path(__file__).resolve().parents[2]


def test_a_real_checkpoint_is_judged_and_a_synthetic_one_is_not(tmp_path: Path) -> None:
    made_up_runs.training(tmp_path, "tridet", 69.30, experiment="released", synthetic=False, engine="upstream")
    made_up_runs.training(tmp_path, "actionformer", 60.0, experiment="released", synthetic=False)
    made_up_runs.training(tmp_path, "tadtr", 56.7, experiment="released")
    made_up_runs.training(
        tmp_path, "temporalmaxer", 67.7, experiment="released", synthetic=False, flags=("no-detections",)
    )
    verdicts = {one.model: one.verdict for one in released_runs.comparisons(load_runs(tmp_path))}
    assert verdicts == {
        "actionformer": "-6.83, not the same",
        "tridet": "+0.03, the same to rounding",
        "tadtr": "SYNTHETIC data, not comparable",
        "temporalmaxer": "does not count, no-detections",
    }


@pytest.fixture
def results(tmp_path: Path) -> Path:
    made_up_runs.training(tmp_path / "runs", "tridet", 69.30, experiment="released", synthetic=False, engine="upstream")
    return tmp_path / "runs"


def test_verify_tells_it_in_words_and_in_json(results: Path) -> None:
    said = CliRunner().invoke(main, ["verify", "--results", str(results)])
    assert said.exit_code == 0, said.output
    line = "TriDet, released checkpoint, upstream engine, af-212: average mAP 69.30 %, published 69.27 %"
    assert f"{line} (README at cbbee1c): +0.03, the same to rounding." in " ".join(said.output.split())
    found = json.loads(CliRunner().invoke(main, ["verify", "--results", str(results), "--json"]).stdout)
    jsonschema.validate(found, json.loads((ROOT / "tal_repro/schemas/verify.json").read_text()))
    assert [one["verdict"] for one in found["released"]] == ["+0.03, the same to rounding"]
    # It trained nothing: no claim about trainings may take it for one.
    assert all(claim["verdict_measured"] == "not run" for claim in found["claims"] if claim["runs"] == [])
    assert all(claim["runs"] == [] for claim in found["claims"])


def test_the_report_has_a_section_of_it(results: Path, tmp_path: Path) -> None:
    said = CliRunner().invoke(main, ["report", "--results", str(results), "--out", str(tmp_path / "report")])
    assert said.exit_code == 0, said.output
    page = (tmp_path / "report" / "index.html").read_text()
    assert 'id="released"' in page and "+0.03, the same to rounding" in page
