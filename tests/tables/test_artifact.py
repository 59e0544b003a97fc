"""The artifact appendix: every claim once, decided by runs of the study, with the minutes the plan gives."""

from __future__ import annotations

import dataclasses
import re

import pytest

from benchmarks.tables import artifact, documents
from tal_repro.kit import require_checkout
from tal_repro.paper.claims.statements import load_claims
from tal_repro.run.plan import make_plan
from tal_repro.runs.store import RunStore
from tal_repro.study import load_study


def cells(text: str) -> list[list[str]]:
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[1:]]


def test_the_documents_tables_are_fresh() -> None:
    path = require_checkout("testing") / "docs" / "artifact.md"
    text = path.read_text(encoding="utf-8")
    assert documents.filled(text, path) == text, documents.REMEDY
    assert text.count("<!-- generated:") == 3


def test_every_claim_is_there_and_every_measured_one_is_decided_once() -> None:
    claims = {claim.id: claim for claim in load_claims()}
    rows = {row[0]: row for row in cells(artifact.artifact_text())}
    assert list(rows) == list(claims)
    decided = [name for row in cells(artifact.experiments_text()) for name in re.findall(r"[A-Z]\d[\d.]*", row[-1])]
    assert sorted(decided) == sorted(name for name, claim in claims.items() if claim.measure)
    for name, claim in claims.items():
        assert (rows[name][4] == "-") == (not claim.measure)
        assert ("published data alone" in rows[name][5]) == (not claim.measure)


@pytest.mark.parametrize("scope", ["core", "full"])
def test_minutes_and_disk_are_those_of_a_plan_with_nothing_done(scope, tmp_path) -> None:
    plan = make_plan(load_study("paper"), RunStore(tmp_path), scope)
    works = [work for work in artifact.works() if work.experiment not in artifact.STUDIES]
    works = [work for work in works if scope == "full" or work.scope == scope]
    assert sum(work.runs for work in works) == len(plan.runs)
    assert sum(work.minutes for work in works) / 60 == pytest.approx(plan.totals()["device_hours"], abs=1e-3)
    assert all(work.minutes > 0 and work.sources for work in works)


def test_a_claim_that_no_run_decides_is_an_error() -> None:
    claim = dataclasses.replace(load_claims()[0], experiment="macs", models=("fifth",))
    with pytest.raises(ValueError, match="no run of the paper's study decides it"):
        artifact._scope(claim)


def test_a_study_on_synthetic_data_is_not_said_to_decide() -> None:
    (row,) = [row for row in cells(artifact.experiments_text()) if row[0] == "ablation"]
    claim = next(claim for claim in load_claims() if claim.measure == "acceleration")
    assert load_study("ablation").data.synthetic and f"{claim.id} (undecided: only real data decide it" in row[-1]
