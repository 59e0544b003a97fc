"""The native models against the checked-out upstreams, at full size (marker `upstream`; minutes per model)."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.reference import checks
from tal_repro.models import MODELS, model_entry

THIRD_PARTY = Path(__file__).parents[2] / "third_party"


@pytest.mark.upstream
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("check", checks.CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", list(MODELS))
def test_native_equals_upstream(name: str, check: checks.Check) -> None:
    folder = THIRD_PARTY / model_entry(name).submodule
    if not any(folder.glob("*.py")):
        pytest.skip(f"{folder} is empty: run `make submodules`")
    rows = check(name, folder, 20230621)
    assert rows
    assert [row for row in rows if not row.passed] == []
