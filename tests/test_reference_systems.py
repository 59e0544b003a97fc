"""results/reference/: every system that is shipped can be compared with, is whole, and says what it is."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from tal_repro.cli import main
from tal_repro.run.failures import find_damage
from tal_repro.runs.store import RunStore

REFERENCE = Path(__file__).resolve().parents[1] / "results" / "reference"
SYSTEMS = sorted({spec.relative_to(REFERENCE).parts[0] for spec in REFERENCE.rglob("spec.json")})
TIMED = [name for name in SYSTEMS if any((REFERENCE / name / kind).is_dir() for kind in ("inference", "baseline"))]


def test_a_timed_system_is_shipped() -> None:
    assert TIMED


@pytest.mark.parametrize("name", SYSTEMS)
def test_a_shipped_system_is_whole_named_and_described(name: str) -> None:
    assert re.fullmatch(r"(cpu|gpu)(-[a-z0-9]+)+", name), "name it by device and place: gpu-a10-lambda"
    text = (REFERENCE / name / "README.md").read_text(encoding="utf-8")
    assert len(text.split()) >= 20, "say what the machine is, who measured, and whether it was quiet"
    records = list(RunStore(REFERENCE / name).records())
    assert records
    assert {record.folder.name: find_damage(record) for record in records if find_damage(record)} == {}


@pytest.mark.parametrize("name", SYSTEMS)
def test_a_system_travels_and_is_equal_to_itself(name: str, tmp_path: Path) -> None:
    """The way by which REPRODUCE.md adds one."""
    archive, there = tmp_path / "mine.tar.gz", tmp_path / name
    compared = (
        [["compare", name, str(there), "--json"]] if name in TIMED else []
    )  # times of traced trainings are no benchmark
    for words in (
        ["results", "export", str(archive), "--results", str(REFERENCE / name)],
        ["results", "import", str(archive), "--results", str(there)],
        *compared,
    ):
        answer = CliRunner().invoke(main, words)
        assert answer.exit_code == 0, answer.output
    if not compared:
        assert len(list(there.rglob("spec.json"))) == len(list((REFERENCE / name).rglob("spec.json")))
        return
    ratios = [row["ratio"] for row in json.loads(answer.stdout)["ratios"]]
    assert ratios and set(ratios) == {1.0}
