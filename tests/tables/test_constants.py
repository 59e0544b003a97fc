"""Constants of the code in the documents: read where they stand, written in the unit that the entry names."""

from __future__ import annotations

import pytest

from benchmarks.tables.constants import Number, constants, written
from tal_repro.run import space


@pytest.mark.parametrize(
    ("value", "form", "text"),
    [
        (1_000_000, "", "1,000,000"),
        (0.5, "", "0.5"),
        (0.07, "percent", "7 %"),
        (0.0001, "points", "0.01 points"),
        (900, "minutes", "15 minutes"),
        (2**17, "KiB", "128 KiB"),
        (2**30, "GiB", "1 GiB"),
        (8192, "GiB of MiB", "8 GiB"),
        (0.001, "milliseconds", "1 ms"),
    ],
)
def test_a_number_is_written_in_its_unit(value: float, form: str, text: str) -> None:
    assert format(Number(value), form) == text


def test_a_changed_constant_changes_what_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    place = "tal_repro.run.space:LEAST_FREE_INODES"
    assert written(place, form="{} files") == f"{space.LEAST_FREE_INODES} files"
    monkeypatch.setattr(space, "LEAST_FREE_INODES", 7)
    assert written(place, form="{} files") == "7 files"


def test_every_entry_of_the_file_can_be_written() -> None:
    assert all(write() for write in constants().values())
