"""A study needs nobody who reads what it says: a closed standard error or a broken pipe stops no run."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable

import pytest

from tal_repro.runs.store import RunStore
from tal_repro.study import Study


@pytest.mark.parametrize("how", ["closed", "broken pipe"])
def test_a_study_goes_on_without_standard_error(
    mini: Study, store: RunStore, stand_in: Callable[..., None], how: str
) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "tal_repro", "run", "--study", str(mini.path), "--results", str(store.root)]
    closed = ["sh", "-c", 'exec "$@" 2>&-', "sh", *command]
    status = subprocess.run(command if how == "broken pipe" else closed, stderr=writing, timeout=30, check=False)
    os.close(writing)
    assert status.returncode == 0
    assert len(list(store.records())) == 6
