"""The mutation harness: a wrong edit is put into a copy and taken out again; what no test sees has survived."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import mutations
from benchmarks.mutations import Mutant, Outcome, read_mutants, summary, try_mutant

ROOT = Path(__file__).parents[1]


def test_every_mutant_names_tests_that_are_there_and_a_change() -> None:
    mutants = read_mutants()
    assert len(mutants) >= 60 and {mutant.room for mutant in mutants} == {
        "engines",
        "detection",
        "data",
        "paper",
        "run",
        "security",
    }
    for mutant in mutants:
        assert mutant.before != mutant.after
        assert mutant.tests and all((ROOT / test.partition("::")[0]).exists() for test in mutant.tests), mutant


@pytest.mark.parametrize(
    ("before", "tests_fail", "outcome"),
    [("a + b", True, "killed"), ("a + b", False, "survived"), ("a - b", True, "stale")],
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
    row = try_mutant(tmp_path, Mutant("data", "sums.py", before, "a * b", ("test_sums.py",)))
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
