"""Folders that may not be entered or written: an error with the path and what to do, whoever runs the tests."""

from __future__ import annotations

import contextlib
import ctypes
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from tal_repro.cli import main

DAC_OVERRIDE, DAC_READ_SEARCH = 1, 2  # capabilities(7): by them permission bits do not hold for root
VERSION_3 = 0x20080522


@contextlib.contextmanager
def bits_hold() -> Iterator[None]:
    """Let permission bits hold for this thread, root's too: two of its capabilities are laid down meanwhile."""
    libc = ctypes.CDLL(None, use_errno=True)
    header, before = (ctypes.c_uint32 * 2)(VERSION_3, 0), (ctypes.c_uint32 * 6)()
    if libc.capget(header, before):
        raise OSError(ctypes.get_errno(), "capget")
    without = (ctypes.c_uint32 * 6)(*before)
    without[0] &= ~(1 << DAC_OVERRIDE | 1 << DAC_READ_SEARCH)  # of the effective set alone, so that it comes back
    if libc.capset(header, without):
        raise OSError(ctypes.get_errno(), "capset")
    try:
        yield
    finally:
        libc.capset(header, before)


@pytest.fixture
def shut(tmp_path: Path) -> Iterator[Path]:
    """A folder that nobody may enter."""
    folder = tmp_path / "p"
    folder.mkdir()
    folder.chmod(0)
    with bits_hold():
        yield folder
    folder.chmod(0o700)


@pytest.mark.parametrize(
    "words",
    [
        "status --study demo --results {p}/x", "plan --study demo --results {p}/x",
        "run --study demo --results {p}/x", "verify --results {p}/x", "report --results {p}/x", "gc --results {p}/x",
        "figure 2 --results {p}/x", "show 12 --results {p}/x", "table 2 --results {p}", "table 2 --out {p}/t.md",
        "table 2 --out {p}/x/t.md", "forecast {p}/x.csv", "evaluate {p}/d.json {p}/a.json", "compare {p}/a {p}/b",
        "results import {p}/x.tgz", "results export {p}/x.tgz --results {p}/x", "data verify {p}/d",
        "train --model tadtr --data {p}/d", "subset --data {p}/d --percent 10", "report --out {p}/x",
        "released --model tadtr --data {p}/d --checkpoint {p}/c",
    ],
    ids=lambda words: words.replace("{p}/", "").replace("{p}", "p"),
)  # fmt: skip
def test_a_folder_that_may_not_be_entered_is_an_error_with_its_path(shut: Path, words: str, tmp_path: Path) -> None:
    result = CliRunner().invoke(main, words.format(p=shut).split())
    assert result.exit_code == 2 and isinstance(result.exception, SystemExit), (result.output, result.exception)
    error = result.stderr[result.stderr.index("error: ") :]
    assert str(shut) in error and re.search("Permission denied|may be entered", error) and "\n  remedy: " in error
    assert [path.name for path in tmp_path.iterdir()] == ["p"]


def test_permission_bits_held(shut: Path) -> None:
    with pytest.raises(PermissionError):
        list(shut.iterdir())
