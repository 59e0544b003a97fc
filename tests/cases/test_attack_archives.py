"""Archives of a hostile trial, rebuilt: refused by member and field, or shown without their escapes."""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from tal_repro.cli import main
from tal_repro.runs.store import RunStore
from tests.cases.hostile_runs import DEEP, packed, spoilt

CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
ESCAPE = "\x1b]0;owned\x07\x1b[2J\u202egnp"
FORMULA = '=HYPERLINK("http://x","y")'


def call(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


def imported(archive: Path, results: Path) -> Result:
    return call("results", "import", archive, "--results", results)


@pytest.mark.parametrize(
    ("files", "member", "field"),
    [
        ({"spec": DEEP}, "spec.json", "more than 64 levels"),
        ({"metrics": DEEP}, "metrics.json", "more than 64 levels"),
        ({"spec": {"threads": "x"}}, "spec.json", "threads = 'x'"),
        ({"spec": {"recipe": "x"}}, "spec.json", "recipe = 'x'"),
        (
            {"metrics": b'{"rows":[],"flags":[],"optimizer_steps":1e400}'},
            "metrics.json",
            "optimizer_steps is not a fin",
        ),
        ({"metrics": b'{"rows":[],"optimizer_steps":' + b"9" * 5000 + b"}"}, "metrics.json", "more than 4,300 digits"),
        ({"metrics": {"optimizer_steps": "many"}}, "metrics.json", "optimizer_steps"),
    ],
    ids=lambda value: None if isinstance(value, dict) else str(value)[:25],
)
def test_a_hostile_run_is_refused_by_member_and_field(
    tmp_path: Path, files: dict[str, Any], member: str, field: str
) -> None:
    run = spoilt(tmp_path / "from", **files)
    result = imported(packed(tmp_path / "x.tgz", tmp_path / "from"), tmp_path / "to")
    assert result.exit_code == 2, result.output
    first, *rest = result.stderr.splitlines()
    assert first.startswith("error: ") and f"run baseline/tadtr/{run.name}: {member}" in first and field in first
    assert [line.partition(":")[0] for line in rest] == ["  remedy"] and not (tmp_path / "to").exists()


@pytest.mark.parametrize("what", ["manifest", "status"])
def test_deep_nesting_where_an_import_looks_first(tmp_path: Path, what: str) -> None:
    run = spoilt(tmp_path / "from")
    if what == "status":
        (run / "status.json").write_bytes(DEEP)
    archive = packed(tmp_path / "x.tgz", tmp_path / "from", DEEP if what == "manifest" else None)
    result = imported(archive, tmp_path / "to")
    assert result.exit_code == 2 and f"{what}.json: not JSON that a reader takes: more than 64 levels" in result.stderr
    assert not (tmp_path / "to").exists()


@pytest.fixture
def escapes(tmp_path: Path, every_run_counts: None) -> Path:
    """A results folder into which a run was imported that holds terminal escapes wherever text may stand."""
    spec = {"engine_version": ESCAPE, "recipe": {ESCAPE: ESCAPE}}
    spec |= {"data": {"name": ESCAPE, "version": ESCAPE, "annotation_hash": "", "synthetic": False}}
    spoilt(
        tmp_path / "from", spec=spec, metrics={"flags": [ESCAPE], "table2_definition": ESCAPE},
        system={"machine": ESCAPE, "host": ESCAPE}, log=ESCAPE.encode(),
    )  # fmt: skip
    result = imported(packed(tmp_path / "x.tgz", tmp_path / "from"), tmp_path / "to")
    assert result.exit_code == 0, result.output
    return tmp_path / "to"


def test_no_control_character_of_a_run_reaches_the_terminal(escapes: Path) -> None:
    (record,) = RunStore(escapes).records()
    for words in (
        ("show", record.folder.name), ("show", record.folder.name, "--json"), ("table", 2), ("table", "energy"),
        ("table", 2, "--format", "csv"), ("table", 2, "--format", "latex"), ("verify", "--claim", "A2"),
        ("verify", "--json"), ("table", "runs"), ("gc", "--study", "demo"),
    ):  # fmt: skip
        result = call(*words, "--results", escapes)
        assert result.exit_code == 0, (words, result.output)
        assert not CONTROL.search(result.output.replace("\r\n", "\n")), words
    shown = call("show", record.folder.name, "--results", escapes).output
    assert shown.count("\\x1b[2J") >= 6, "the text itself is there, spelled out"


def test_no_cell_of_a_csv_is_a_formula(tmp_path: Path, every_run_counts: None) -> None:
    for number, start in enumerate("=+-@\t\r"):
        machine = FORMULA if start == "=" else f"{start}SUM(1,2)"
        spoilt(tmp_path / "from", system={"machine": machine}, spec={"engine_version": machine, "seed": number})
    assert imported(packed(tmp_path / "x.tgz", tmp_path / "from"), tmp_path / "to").exit_code == 0
    text = call("table", 2, "--format", "csv", "--results", tmp_path / "to").stdout
    cells = [cell for row in csv.reader(text.splitlines()) for cell in row]
    assert any("HYPERLINK" in cell for cell in cells)
    assert [cell for cell in cells if cell[:1] in tuple("=+-@\t\r") and not re.fullmatch(r"[+-]?[\d.]+", cell)] == []
