"""docs/your-data.md, acted out from its own text on a made-up set (SYNTHETIC)."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from tal_repro.cli import main
from tal_repro.data.definition import read_definition
from tal_repro.runs.store import RunStore
from tests.data.made_up_set import write_set

DOCUMENT = (Path(__file__).parents[2] / "docs" / "your-data.md").read_text(encoding="utf-8")
ONE = ["--only", "experiment=data_sweep,model=tadtr,percent=100,seed=0"]  # of the study's 44 runs


def commands() -> list[list[str]]:
    blocks = re.findall(r"```console\n(.*?)```", DOCUMENT, re.S)
    return [shlex.split(line)[1:] for block in blocks for line in block.splitlines()]


def _shorten(study: Path) -> None:
    """Let its trainings end after 4 epochs."""
    text, trainings = re.subn(r"^epochs = \d+ ", "epochs = 4 ", study.read_text(), flags=re.M)
    assert trainings == 2, "tadtr and actionformer"
    study.write_text(re.sub(r"^lr_decay_epoch = \d+", "lr_decay_epoch = 3", text, flags=re.M))


def test_the_document_works_as_it_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_set(tmp_path, "hdf5")
    monkeypatch.chdir(tmp_path)
    for words in commands():
        result = CliRunner().invoke(main, [*words, *(ONE if words[0] == "run" else [])])
        assert result.exit_code == 0, (words, result.output)
        if words[0] == "study":
            _shorten(tmp_path / "my-study.toml")
    (record,) = RunStore(tmp_path / "results" / "my-data").records()
    assert record.spec.data is not None and record.spec.data.name == "my-data"
    page = (tmp_path / "my-report" / "index.html").read_text(encoding="utf-8")
    assert "<title>Report on a data set of your own: my-data: mAP and cost against its data</title>" in page
    assert "Every run with data is of my-data, not of THUMOS14: no claim of the paper is judged" in page
    assert "on THUMOS14, the paper beside runs here" not in page
    assert 'id="claims"' not in page and "TadTR, published" not in page
    caption = (tmp_path / "results" / "figures" / "figure-2.caption.md").read_text(encoding="utf-8")
    assert "Runs are of my-data, not of THUMOS14" in caption and "learning_curves.csv" not in caption


def test_the_definition_in_the_document_is_the_one_that_is_written(tmp_path: Path) -> None:
    annotations, features = write_set(tmp_path, "hdf5")
    shown = re.findall(r"```toml\n(.*?)```", DOCUMENT, re.S)[0]
    (tmp_path / "shown.toml").write_text(shown)
    (tmp_path / "my-data.toml").unlink(missing_ok=True)
    words = ["data", "describe", str(annotations), str(features), "--out", str(tmp_path / "my-data.toml")]
    assert CliRunner().invoke(main, words).exit_code == 0
    written = vars(read_definition(tmp_path / "my-data.toml"))
    assert {**vars(read_definition(tmp_path / "shown.toml")), "path": None} == {**written, "path": None}
