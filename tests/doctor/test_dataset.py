"""The data set: absent, of the wrong layout, synthetic where it must not be, damaged, never verified, fine."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from machines import machine, needs

from tal_repro.data import load_dataset
from tal_repro.data.fingerprint import write_fingerprints
from tal_repro.data.synthetic import write_synthetic
from tal_repro.data.synthetic_config import SyntheticConfig
from tal_repro.data.verify import verify
from tal_repro.doctor.dataset import findings

SYNTHETIC = {"synthetic": True}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = SyntheticConfig(4, 4, feature_dim=8, classes=20, seconds=(12, 20), seed=5)
    return write_synthetic(tmp_path_factory.mktemp("data") / "small", config)


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "copy"))


def look(data: Path | None, **wanted: Any) -> dict[str, Any]:
    return {one.check: one for one in findings(needs(data=data, **wanted), machine())}


def test_no_data(tmp_path):
    found = look(tmp_path)["data set"]
    assert found.status == "fail"
    assert "--layout actionformer; tal-repro data fetch thumos14 --layout tadtr" in found.remedy
    assert look(None)["data set"].status == "fail"
    assert look(tmp_path, before_fetch=True)["data set"].status == "warn"
    assert "data synth" in look(tmp_path, synthetic=True)["data set"].remedy
    assert look(tmp_path, makes_data=True)["data set"].status == "ok"
    assert look(None, needs_data=False)["data set"].status == "ok"


def test_both_layouts_verified(folder):
    assert {one.status for one in look(folder, **SYNTHETIC).values()} == {"warn"}  # never verified
    reports = verify(folder)
    assert not [problem for report in reports for problem in report.problems if problem.severity == "error"]
    write_fingerprints(folder, load_dataset(folder), [report.fingerprint for report in reports if report.fingerprint])
    found = look(folder, **SYNTHETIC)
    assert {name: one.status for name, one in found.items()} == {"data actionformer": "ok", "data tadtr": "ok"}
    assert "synthetic, " in found["data tadtr"].what and "fingerprint " in found["data tadtr"].what


def test_a_layout_that_the_authors_code_reads_is_missing(folder):
    shutil.rmtree(folder / "data" / "thumos14")
    found = look(folder, **SYNTHETIC)
    assert found["data set"].status == "fail"
    assert found["data set"].remedy == "tal-repro data fetch thumos14 --layout tadtr"
    assert "data set" not in look(folder, layouts=(), **SYNTHETIC)  # native takes either


def test_synthetic_data_never_pass_for_the_real_ones(folder):
    found = look(folder)["data actionformer"]
    assert (found.status, "synthetic" in found.what) == ("fail", True)


def test_other_annotations_than_declared(folder):
    hashed = load_dataset(folder).annotation_hash
    assert look(folder, annotation_hash=hashed, **SYNTHETIC)["data actionformer"].status == "warn"
    assert "not the study's" in look(folder, annotation_hash="0" * 64, **SYNTHETIC)["data actionformer"].what


def test_features_or_annotations_that_are_damaged(folder):
    first = next((folder / "data" / "thumos" / "i3d_features").iterdir())
    first.unlink()
    found = look(folder, **SYNTHETIC)["data actionformer"]
    assert (found.status, "1 have no feature file" in found.what) == ("fail", True), found
    (folder / "data" / "thumos" / "annotations" / "thumos14.json").write_text("{")
    assert look(folder, **SYNTHETIC)["data actionformer"].status == "fail"
