"""A sample of `make bench-fuzz_readers`: mutated folders and archives end in values or a named error."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks import fuzz_readers
from benchmarks.fuzz import sets
from benchmarks.fuzz.mutations import KINDS, mutated


@pytest.fixture(scope="module")
def base() -> Iterator[Path]:
    with fuzz_readers.workplace() as folder, fuzz_readers.figures(drawn=False):
        yield folder


def snapshot(base: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in base.rglob("*") if path.is_file()}


def test_mutated_folders_and_archives_are_read_or_refused(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.fuzz.mutations.BOMB_BYTES", 1 << 20)
    quick = ("table energy", "measurements", "table 2")
    outcomes, wrong, kinds = fuzz_readers.read_files(base, 70, seed=3, names=quick)
    assert wrong == {} and fuzz_readers.read_files(base, 6, seed=4)[1] == {}
    assert set(outcomes) == {"read", "refused"} and set(kinds) == set(KINDS)


def test_commands_end_with_a_status_and_no_traceback(base: Path) -> None:
    names = [name for name in fuzz_readers.COMMANDS if name not in ("figure", "report")]  # seconds each
    ended, wrong = fuzz_readers.call_commands(base, 2, seed=3, names=names)
    assert wrong == {} and ended.total() == 2 * len(names)


def test_mutated_data_sets_are_read_or_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.fuzz.mutations.BOMB_BYTES", 1 << 20)
    folders = sets.make_sets(tmp_path)
    for root in folders:
        for read in sets.readers(root).values():
            read()  # unharmed
    outcomes, wrong, kinds = fuzz_readers.read_sets(folders, 120, seed=3)
    assert wrong == {} and set(outcomes) == {"read", "refused"} and set(kinds) == set(KINDS)


def test_a_mutation_changes_one_file_and_is_undone(base: Path) -> None:
    before, changed = snapshot(base), 0
    for seed in range(40):
        with mutated(base, random.Random(seed)):
            changed += snapshot(base) != before
        assert snapshot(base) == before, seed
    assert changed > 30


def test_what_no_reader_may_raise_is_seen() -> None:
    def fail() -> None:
        raise KeyError("rows")

    assert fuzz_readers._outcome(fail).startswith("KeyError")
