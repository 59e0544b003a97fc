"""The mutation harness: a wrong edit is put into a copy and taken out again; what no test sees has survived."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import mutations
from benchmarks.mutations import Mutant, Outcome, killed_in, read_mutants, summary, try_mutant, why_stale

ROOT = Path(__file__).parents[1]


def test_every_mutant_names_tests_that_are_there_and_a_change() -> None:
    mutants = read_mutants()
    assert len(mutants) >= 240
    for mutant in mutants:
        assert mutant.before != mutant.after
        assert mutant.tests and all((ROOT / test.partition("::")[0]).exists() for test in mutant.tests), mutant


def test_every_mutant_can_be_tried() -> None:
    """A line that moved takes its mutant with it: write the row anew in benchmarks/mutations.toml, or drop it."""
    stale = {
        f"{mutant.file}: {mutant.before}": reason for mutant in read_mutants() if (reason := why_stale(ROOT, mutant))
    }
    assert stale == {}


def test_own_tests_replace_those_of_the_room(tmp_path: Path) -> None:
    path = tmp_path / "list.toml"
    path.write_text(
        '[tests]\n"run" = ["."]\n[mutants]\nrun = [["run/a.py", "a", "b"], ["run/a.py", "c", "d", ["x.py"]]]\n'
    )
    assert [mutant.tests for mutant in read_mutants(path)] == [("tests/run",), ("x.py",)]


def test_a_report_is_gone_on_with(tmp_path: Path) -> None:
    mutants = [Mutant("run", "a.py", "a", after, ("t.py",)) for after in ("b", "c")]
    outcomes = [Outcome(mutants[0], 3, "killed", "FAILED t.py", 1.5), Outcome(mutants[1], 3, "survived", "", 2.0)]
    report = tmp_path / "report.json"
    report.write_text(json.dumps(summary(outcomes)))
    assert killed_in(report) == {mutants[0]: outcomes[0]}


@pytest.mark.parametrize(
    ("before", "tests_fail", "outcome"),
    [("a + b", True, "killed"), ("a + b", False, "survived"), ("a - b", True, "stale"), ("+ b", True, "stale")],
)
def test_a_mutant_is_tried_and_taken_out_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: str, tests_fail: bool, outcome: str
) -> None:
    (tmp_path / "tal_repro").mkdir()
    file = tmp_path / "tal_repro" / "sums.py"
    file.write_text("def add(a, b):\n    return a + b\n")
    seen = []

    def first_failure(tree: Path, tests: tuple[str, ...]) -> str:
        seen.append(file.read_text())
        return "FAILED test_sums.py" if tests_fail else ""

    monkeypatch.setattr(mutations, "first_failure", first_failure)
    after = "a * b" if before.startswith("a") else "+"
    row = try_mutant(tmp_path, Mutant("data", "sums.py", before, after, ("test_sums.py",)))
    assert row.outcome == outcome and file.read_text().endswith("a + b\n")
    assert seen == ([] if outcome == "stale" else ["def add(a, b):\n    return a * b\n"])
    assert row.line == (0 if outcome == "stale" else 2)


def test_stale_mutants_count_for_nothing() -> None:
    mutant = Mutant("run", "x.py", "a", "b", ())
    rows = [Outcome(mutant, 1, outcome, "", 0.0) for outcome in ("killed", "killed", "survived", "stale")]
    assert {key: summary(rows)[key] for key in ("tried", "killed", "share")} == {
        "tried": 3,
        "killed": 2,
        "share": 0.6667,
    }
