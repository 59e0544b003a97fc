"""Damaged, copied and foreign runs among a study's: named and left out by every command that publishes."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tal_repro.cli import main
from tal_repro.paper.report import content
from tal_repro.runs.store import RunStore
from tests.paper.made_up_runs import measured, row, training

AP = 0.5


@pytest.fixture
def root(tmp_path: Path, every_run_counts: None, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three baselines of TadTR on real data, and a run that measures."""
    monkeypatch.setattr(content, "FIGURES", {})  # they take seconds
    monkeypatch.setattr(content, "forecasts", lambda published, runs: [])
    for seed in range(3):
        training(tmp_path, "tadtr", 100 * AP, experiment="baseline", synthetic=False, seed=seed)
    measured(tmp_path, "inference", "tadtr", [row("latency_ms", 100, 1.0, sample, "ms") for sample in range(5)])
    return tmp_path


def call(root: Path, *words: str) -> Result:
    result = CliRunner().invoke(main, [*words, "--results", str(root)])
    assert result.exit_code in (0, 1) and not isinstance(result.exception, ValueError | OSError), result.output
    return result


def said(root: Path) -> tuple[str, int, str]:
    """Return Table 2's mean mAP and n of the runs, the exit status, and what was warned of."""
    result = call(root, "table", "2")
    line = next(line for line in result.stdout.splitlines() if line.startswith("| TadTR | measured"))
    return line, result.exit_code, result.stderr


def first(root: Path) -> Path:
    return next((root / "baseline" / "tadtr").iterdir())


def test_a_number_that_was_edited_is_in_no_table_and_no_verdict(root: Path) -> None:
    line, _, _ = said(root)
    assert re.search(r"\b3\b", line) and "50.0" in line
    metrics = first(root) / "metrics.json"
    metrics.write_text(metrics.read_text().replace(f'"ap": {AP}', '"ap": 0.9'))
    after, status, warning = said(root)
    assert "50.0" in after and re.search(r"\b2\b", after) and status == 1
    assert f"{metrics}: is not as it was written" in warning
    verdict = call(root, "verify", "--claim", "A2")
    assert verdict.exit_code == 1 and f"{metrics}: is not as it was written" in verdict.stderr
    page = call(root, "report", "--out", str(root / "page"))
    assert page.exit_code == 1 and "is not as it was written" in (root / "page" / "index.html").read_text()


def test_a_copied_folder_counts_once(root: Path) -> None:
    line, *_ = said(root)
    shutil.copytree(first(root), first(root).with_name(f"{first(root).name} (copy)"))
    after, status, warning = said(root)
    assert (after, status) == (line, 1) and "(copy): holds the specification of run" in warning


def test_a_missing_file_is_named(root: Path) -> None:
    (first(root) / "metrics.json").unlink()
    after, status, warning = said(root)
    assert re.search(r"\b2\b", after) and status == 1 and f"{first(root) / 'metrics.json'}: missing" in warning


def test_a_broken_byte_is_named_with_its_file(root: Path) -> None:
    (path,) = root.glob("inference/*/*/measurements.csv")
    path.write_bytes(path.read_bytes() + b"\xff")
    for words in (("verify",), ("report", "--out", str(root / "page")), ("figure", "4", "--out", str(root / "f"))):
        result = call(root, *words)
        assert result.exit_code == 1 and f"{path}: is not as it was written" in result.stderr, words
    assert len(list(RunStore(root).records())) == 4, "nothing was moved or deleted"
